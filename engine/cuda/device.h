/* device.h: what the files of luabench_cuda.so share. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdatomic.h>
#include "api.h"
#include "library.h"

struct lb_cuda_dev {
    int device;
    bool lost;
    cudaStream_t stream, body_stream;   /* the second one captures bodies of decisions */
    bool in_body;
    cudaStream_t branches[LB_CUDA_BRANCHES];   /* [0] is not used */
    int branch;
    cudaEvent_t *marks;            /* NULL where not made yet */
    int mark_count;
    struct { unsigned long long handle; int bodies; bool picks; } choices[LB_CUDA_DECISIONS];
    cudaGraph_t *bodies;           /* of the last choice; the graph's */
    cudaEvent_t events[LB_CUDA_EVENTS];
    int sm_count;
    size_t l2_bytes;
    void *flushed;                 /* of flush(): twice the L2; NULL until first used */
    unsigned flush_word;
    volatile unsigned *gate;       /* mapped memory of the host that the blocking kernel looks at; [1]: it gave up */
    unsigned *gate_device;
    unsigned gate_turn;
    uint64_t *clocks;              /* [LB_CUDA_CLOCKS][SM_MOST][2] on the device: cycles and nanoseconds */
};

enum { LB_CUDA_SM_MOST = 1024 };

/* LB_OK for cudaSuccess; else the error text, "cuda:0: what: reason (name)"; LB_ENOMEM where memory is missing. */
lb_status lb_cuda_result(lb_cuda_dev *d, cudaError_t e, const char *what);

/* time.cu */
cudaError_t lb_cuda_gate_launch(cudaStream_t s, unsigned *gate, unsigned turn);
cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sm_count);
cudaError_t lb_cuda_clock_launch(cudaStream_t s, uint64_t *out, int sm_count);

/* decide.cu */
cudaError_t lb_cuda_decide_launch(cudaStream_t s, const lb_cuda_decision *at, const unsigned long long *handles, int n,
                                  lb_cuda_decided *out);

/* decide.c */
lb_status lb_cuda_decide(lb_cuda_dev *d, const lb_cuda_decision *at, int n, lb_cuda_decided *out);
lb_status lb_cuda_choice(lb_cuda_dev *d, int k);
lb_status lb_cuda_body(lb_cuda_dev *d, int i);

/* time.c */
lb_status lb_cuda_block(lb_cuda_dev *d);
void lb_cuda_unblock(lb_cuda_dev *d, bool *timed_out);
lb_status lb_cuda_flush(lb_cuda_dev *d);
lb_status lb_cuda_clock(lb_cuda_dev *d, int i);
lb_status lb_cuda_clock_ghz(lb_cuda_dev *d, int from, int to, double *ghz);
void lb_cuda_time_done(lb_cuda_dev *d);

/* compile.c */
lb_status lb_cuda_compile(lb_cuda_dev *d, const char *name, const char *source, const char *const *options, int count,
                          lb_cuda_module **out, char **log);
void lb_cuda_module_free(lb_cuda_module *m);
lb_status lb_cuda_function(lb_cuda_module *m, const char *name, void **out, int *registers, int64_t *local_bytes);
lb_status lb_cuda_launch_function(void *function, void *stream, const unsigned grid[3], const unsigned block[3],
                                  size_t shared_bytes, void **args);

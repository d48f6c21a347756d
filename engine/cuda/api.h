/* api.h: what the program asks of luabench_cuda.so. The program is built without CUDA's headers and libraries; the
 * shared object has the CUDA runtime in it and is loaded when a driver is there. Everything that fails says so through
 * lb_fail, which the program exports. Of one device, calls are made by one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../kernel.h"
#include "../status.h"

#define LB_CUDA_ABI 3
#define LB_CUDA_SYMBOL "luabench_cuda"      /* const lb_cuda_api luabench_cuda */

typedef struct lb_cuda_dev lb_cuda_dev;         /* a device's context, its stream and events */
typedef struct lb_cuda_graph lb_cuda_graph;     /* captured and instantiated */
typedef struct lb_cuda_module lb_cuda_module;   /* compiled from source at run time */

typedef struct lb_cuda_props {
    char model[256], pci[32], uuid[48];
    int cc;                                     /* 80, 89, 90 */
    int sm_count, driver, runtime;              /* versions: 13000 is 13.0 */
    int64_t memory_bytes, memory_free_bytes, l2_bytes, smem_per_block;
    int clock_khz, memory_clock_khz, bus_bits;  /* nominal; 0 = unknown */
    bool ecc, integrated;
} lb_cuda_props;

enum { LB_CUDA_EVENTS = 4, LB_CUDA_CLOCKS = 2, LB_CUDA_ARGS = 64, LB_CUDA_WHENS = 4, LB_CUDA_DECISIONS = 32,
       LB_CUDA_BRANCHES = 4 };

/* What a part of a graph hangs on; the device reads it when it gets there. All addresses are the device's. */
typedef struct lb_cuda_decision {
    const int32_t *whens[LB_CUDA_WHENS];        /* it runs only if all of them are nonzero */
    const int32_t *pick;                        /* which of its bodies runs, from 0; NULL: there is one */
    int when_count, bodies;
    int step, steps;                            /* for `bad`; how many steps a body launches */
} lb_cuda_decision;
/* On the device: what decisions left behind; to begin with { 0, ~0 }. */
typedef struct lb_cuda_decided {
    uint64_t launches;                          /* steps that ran */
    uint64_t bad;                               /* step << 32 | pick, of the first step whose pick is out of range */
} lb_cuda_decided;

typedef struct lb_cuda_api {
    int abi;
    int toolkit;                                /* 13000: what it was built with */
    const char *architectures;                  /* "80 89 90a" */
    const lb_kernel *const *kernels;            /* NULL-terminated */

    /* The devices that the driver shows. LB_EDEVICE: the driver is too old, or it fails; and how. */
    lb_status (*count)(int *devices);
    lb_status (*open)(int device, lb_cuda_dev **out);
    void (*close)(lb_cuda_dev *d);
    lb_status (*props)(lb_cuda_dev *d, lb_cuda_props *out);
    lb_status (*memory)(lb_cuda_dev *d, int64_t *free_bytes, int64_t *total_bytes);
    /* Devices whose memory this one can read and write itself. */
    lb_status (*peers)(lb_cuda_dev *d, int *devices, int most, int *count);
    /* A fault (an address out of bounds, a trap) has destroyed the context: nothing works in this process any more. */
    bool (*lost)(lb_cuda_dev *d);

    lb_status (*alloc)(lb_cuda_dev *d, size_t bytes, void **out);      /* LB_ENOMEM: no room */
    void (*free)(lb_cuda_dev *d, void *p);
    /* In the order of the stream; put and get have finished when they return. */
    lb_status (*put)(lb_cuda_dev *d, void *device, const void *host, size_t bytes);
    lb_status (*get)(lb_cuda_dev *d, void *host, const void *device, size_t bytes);
    lb_status (*copy)(lb_cuda_dev *d, void *to, const void *from, size_t bytes);
    lb_status (*set)(lb_cuda_dev *d, void *device, int byte, size_t bytes);
    lb_status (*sync)(lb_cuda_dev *d);

    void *(*stream)(lb_cuda_dev *d);            /* what kernels are launched on now */
    lb_status (*current)(lb_cuda_dev *d);       /* makes it the calling thread's device: before kernels are launched */
    lb_status (*launched)(lb_cuda_dev *d);      /* the error of the launches since the last call; does not wait */
    lb_status (*capture_begin)(lb_cuda_dev *d);
    lb_status (*capture_end)(lb_cuda_dev *d, lb_cuda_graph **out);     /* *out NULL on error; the capture is over */
    lb_status (*graph_launch)(lb_cuda_dev *d, lb_cuda_graph *g);
    /* Parts of a graph that hang on values, while it is captured: decide() reads the values of `n` of them at this
     * place (LB_EUNSUPPORTED: this toolkit has no such nodes); choice(k) puts the k-th of them here, and what is
     * launched between body(i) and body(-1) is its body i. */
    lb_status (*decide)(lb_cuda_dev *d, const lb_cuda_decision *at, int n, lb_cuda_decided *out);
    lb_status (*choice)(lb_cuda_dev *d, int k);
    lb_status (*body)(lb_cuda_dev *d, int i);
    void (*graph_free)(lb_cuda_dev *d, lb_cuda_graph *g);
    /* Streams of a graph that run side by side, while it is captured: branch(b) (< LB_CUDA_BRANCHES; 0: the device's
     * own) takes what is launched from here on; mark(m) keeps the place that it has reached, after(m) has it wait for
     * that. A branch begins with after(). All must be waited for on branch 0 before the capture ends. Marks are numbers
     * from 0. */
    lb_status (*branch)(lb_cuda_dev *d, int b);
    lb_status (*mark)(lb_cuda_dev *d, int m);
    lb_status (*after)(lb_cuda_dev *d, int m);

    /* ---- time ---- */
    lb_status (*event)(lb_cuda_dev *d, int i);                         /* records event i, < LB_CUDA_EVENTS */
    lb_status (*elapsed)(lb_cuda_dev *d, int from, int to, double *ns);        /* waits for `to` */
    /* A kernel that waits until unblock() or for two seconds: what is enqueued behind it then runs without gaps that
     * the host makes. *timed_out: it gave up, and gaps there may be. */
    lb_status (*block)(lb_cuda_dev *d);
    void (*unblock)(lb_cuda_dev *d, bool *timed_out);
    /* Writes twice as many bytes as the L2 holds, then reads them, so that nothing is left to be written. */
    lb_status (*flush)(lb_cuda_dev *d);
    /* Reads clocks on every multiprocessor; ghz: cycles over time between two such readings, their median; waits. */
    lb_status (*clock)(lb_cuda_dev *d, int i);
    lb_status (*clock_ghz)(lb_cuda_dev *d, int from, int to, double *ghz);

    /* ---- source of a script's own (NVRTC, found at run time) ---- */
    /* *log: the compiler's words, malloc'd, also where it succeeds; may be NULL. */
    lb_status (*compile)(lb_cuda_dev *d, const char *name, const char *source, const char *const *options, int count,
                         lb_cuda_module **out, char **log);
    void (*module_free)(lb_cuda_module *m);
    /* The function's handle and what it uses. LB_EINVAL: no such function (*names: those there are, malloc'd). */
    lb_status (*function)(lb_cuda_module *m, const char *name, void **out, int *registers, int64_t *local_bytes);
    /* args: pointers to the arguments' values, as cuLaunchKernel takes them. Device and stream are given as the launch
     * has them. */
    lb_status (*launch)(void *function, void *stream, const unsigned grid[3], const unsigned block[3],
                        size_t shared_bytes, void **args);
} lb_cuda_api;

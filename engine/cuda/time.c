/* time.c: the gate, the flush and the clocks of a device; made when first used. */
#include "device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lb_status make_gate(lb_cuda_dev *d) {
    void *host = NULL, *device = NULL;
    if (d->gate) return LB_OK;
    lb_status s = lb_cuda_result(d, cudaHostAlloc(&host, 64, cudaHostAllocMapped), "allocating the gate");
    if (!s) s = lb_cuda_result(d, cudaHostGetDevicePointer(&device, host, 0), "mapping the gate");
    if (s) {
        if (host) cudaFreeHost(host);
        return s;
    }
    memset(host, 0, 64);
    d->gate = host;
    d->gate_device = device;
    return LB_OK;
}

lb_status lb_cuda_block(lb_cuda_dev *d) {
    lb_status s = make_gate(d);
    if (s) return s;
    d->gate_turn++;
    return lb_cuda_result(d, lb_cuda_gate_launch(d->stream, d->gate_device, d->gate_turn), "launching the gate");
}

void lb_cuda_unblock(lb_cuda_dev *d, bool *timed_out) {
    atomic_thread_fence(memory_order_seq_cst);
    *timed_out = d->gate && d->gate[1] == d->gate_turn;
    if (d->gate) d->gate[0] = d->gate_turn;
    atomic_thread_fence(memory_order_seq_cst);
}

lb_status lb_cuda_flush(lb_cuda_dev *d) {
    size_t bytes = 2 * d->l2_bytes;
    if (bytes < 1 << 20) bytes = 1 << 20;
    if (!d->flushed) {
        lb_status s = lb_cuda_result(d, cudaMalloc(&d->flushed, bytes), "allocating what flushes the L2");
        if (s) return d->flushed = NULL, s;
    }
    return lb_cuda_result(d, lb_cuda_flush_launch(d->stream, d->flushed, bytes, ++d->flush_word, d->sm_count),
                          "flushing");
}

/* ---- clocks ---- */

enum { WORDS = 2 * LB_CUDA_SM_MOST };

lb_status lb_cuda_clock(lb_cuda_dev *d, int i) {
    lb_status s = LB_OK;
    size_t bytes = LB_CUDA_CLOCKS * WORDS * sizeof(uint64_t);
    if (!d->clocks) {
        void *at = NULL;
        s = lb_cuda_result(d, cudaMalloc(&at, bytes), "allocating the clocks");
        if (!s) s = lb_cuda_result(d, cudaMemsetAsync(at, 0, bytes, d->stream), "allocating the clocks");
        if (s) return s;
        d->clocks = at;
    }
    return lb_cuda_result(d, lb_cuda_clock_launch(d->stream, d->clocks + (size_t)i * WORDS, d->sm_count),
                          "reading clocks");
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

lb_status lb_cuda_clock_ghz(lb_cuda_dev *d, int from, int to, double *ghz) {
    uint64_t *words = malloc(LB_CUDA_CLOCKS * WORDS * sizeof *words);
    double rates[LB_CUDA_SM_MOST];
    int n = 0;
    *ghz = NAN;
    if (!words) return lb_fail(LB_ENOMEM, "cuda:%d: no memory for clocks", d->device);
    cudaError_t e =
        cudaMemcpyAsync(words, d->clocks, LB_CUDA_CLOCKS * WORDS * sizeof *words, cudaMemcpyDeviceToHost, d->stream);
    if (e == cudaSuccess) e = cudaStreamSynchronize(d->stream);
    lb_status s = lb_cuda_result(d, e, "reading clocks");
    for (int i = 0; i < LB_CUDA_SM_MOST && !s; i++) {
        const uint64_t *a = words + (size_t)from * WORDS + 2 * i, *b = words + (size_t)to * WORDS + 2 * i;
        /* multiprocessors that one of the readings missed have zeros or an older reading: the median outvotes those */
        if (a[1] && b[1] > a[1] && b[0] > a[0]) rates[n++] = (double)(b[0] - a[0]) / (double)(b[1] - a[1]);
    }
    free(words);
    if (n) qsort(rates, (size_t)n, sizeof *rates, compare);
    if (n) *ghz = rates[n / 2];
    return s;
}

void lb_cuda_time_done(lb_cuda_dev *d) {
    if (d->flushed) cudaFree(d->flushed);
    if (d->clocks) cudaFree(d->clocks);
    if (d->gate) cudaFreeHost((void *)(uintptr_t)d->gate);
}

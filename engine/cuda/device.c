/* device.c: luabench_cuda.so: a device's context, memory, stream, events and graphs. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const lb_kernel *const lb_kernels_cuda[];

static bool destroys_context(cudaError_t e) {
    switch (e) {
    case cudaErrorIllegalAddress: case cudaErrorLaunchFailure: case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction: case cudaErrorMisalignedAddress: case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc: case cudaErrorAssert: case cudaErrorECCUncorrectable: case cudaErrorLaunchTimeout:
    case cudaErrorContained: case cudaErrorTensorMemoryLeak: case cudaErrorUnknown:
        return true;
    default: return false;
    }
}

lb_status lb_cuda_result(lb_cuda_dev *d, cudaError_t e, const char *what) {
    if (e == cudaSuccess) return LB_OK;
    cudaGetLastError();       /* or the next call would report it again */
    if (destroys_context(e)) d->lost = true;
    return lb_fail(e == cudaErrorMemoryAllocation ? LB_ENOMEM : LB_EDEVICE, "cuda:%d: %s: %s (%s)%s", d->device, what,
                   cudaGetErrorString(e), cudaGetErrorName(e),
                   d->lost ? "; the context is lost, and this process can use the device no more" : "");
}

static lb_status enter(lb_cuda_dev *d, const char *what) {
    if (d->lost)
        return lb_fail(LB_EDEVICE, "cuda:%d: %s: the context was lost by an earlier fault", d->device, what);
    return lb_cuda_result(d, cudaSetDevice(d->device), what);
}

static lb_status no_devices(cudaError_t e) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    cudaGetLastError();
    if (driver == 0) return lb_fail(LB_EDEVICE, "cuda: no NVIDIA driver is installed here");
    if (e == cudaErrorInsufficientDriver)
        return lb_fail(LB_EDEVICE, "cuda: the driver is too old: it knows CUDA %d.%d, this build needs %d.%d",
                       driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    return lb_fail(LB_EDEVICE, "cuda: %s (%s)", cudaGetErrorString(e), cudaGetErrorName(e));
}

static lb_status count(int *devices) {
    *devices = 0;
    cudaError_t e = cudaGetDeviceCount(devices);
    if (e == cudaSuccess) return LB_OK;
    *devices = 0;
    if (e == cudaErrorNoDevice) return cudaGetLastError(), LB_OK;
    return no_devices(e);
}

static void close_device(lb_cuda_dev *d) {
    if (!d->lost && cudaSetDevice(d->device) == cudaSuccess) {
        lb_cuda_time_done(d);
        for (int i = 0; i < LB_CUDA_EVENTS; i++)
            if (d->events[i]) cudaEventDestroy(d->events[i]);
        if (d->stream) cudaStreamDestroy(d->stream);
        if (d->body_stream) cudaStreamDestroy(d->body_stream);
        for (int i = 1; i < LB_CUDA_BRANCHES; i++)
            if (d->branches[i]) cudaStreamDestroy(d->branches[i]);
        for (int i = 0; i < d->mark_count; i++)
            if (d->marks[i]) cudaEventDestroy(d->marks[i]);
    }
    free(d->marks);
    free(d);
}

static lb_status open_device(int device, lb_cuda_dev **out) {
    int sms = 0, l2 = 0;
    *out = NULL;
    lb_cuda_dev *d = calloc(1, sizeof *d);
    if (!d) return lb_fail(LB_ENOMEM, "cuda:%d: no memory", device);
    d->device = device;
    lb_status s = enter(d, "opening it");
    if (!s) s = lb_cuda_result(d, cudaFree(NULL), "making a context");
    if (!s) s = lb_cuda_result(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "making a stream");
    if (!s) s = lb_cuda_result(d, cudaStreamCreateWithFlags(&d->body_stream, cudaStreamNonBlocking), "making a stream");
    for (int i = 1; i < LB_CUDA_BRANCHES && !s; i++)
        s = lb_cuda_result(d, cudaStreamCreateWithFlags(&d->branches[i], cudaStreamNonBlocking), "making a stream");
    for (int i = 0; i < LB_CUDA_EVENTS && !s; i++)
        s = lb_cuda_result(d, cudaEventCreate(&d->events[i]), "making an event");
    if (!s) s = lb_cuda_result(d, cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device), "asking");
    if (!s) s = lb_cuda_result(d, cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device), "asking");
    d->sm_count = sms;
    d->l2_bytes = (size_t)l2;
    if (s) return close_device(d), s;
    *out = d;
    return LB_OK;
}

static lb_status memory(lb_cuda_dev *d, int64_t *free_bytes, int64_t *total_bytes) {
    size_t room = 0, all = 0;
    lb_status s = enter(d, "asking for its memory");
    if (!s) s = lb_cuda_result(d, cudaMemGetInfo(&room, &all), "asking for its memory");
    *free_bytes = (int64_t)room;
    *total_bytes = (int64_t)all;
    return s;
}

static lb_status props(lb_cuda_dev *d, lb_cuda_props *p) {
    struct cudaDeviceProp all;
    memset(p, 0, sizeof *p);
    lb_status s = enter(d, "asking for its properties");
    if (!s) s = lb_cuda_result(d, cudaGetDeviceProperties(&all, d->device), "asking for its properties");
    if (s) return s;
    snprintf(p->model, sizeof p->model, "%s", all.name);
    snprintf(p->pci, sizeof p->pci, "%08x:%02x:%02x.0", all.pciDomainID, all.pciBusID, all.pciDeviceID);
    char *at = p->uuid + snprintf(p->uuid, sizeof p->uuid, "GPU-");
    for (int i = 0; i < 16; i++)
        at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)all.uuid.bytes[i]);
    p->cc = 10 * all.major + all.minor;
    p->sm_count = all.multiProcessorCount;
    p->l2_bytes = all.l2CacheSize;
    p->smem_per_block = (int64_t)all.sharedMemPerBlockOptin;
    p->clock_khz = lb_cuda_attribute(d->device, cudaDevAttrClockRate);
    p->memory_clock_khz = lb_cuda_attribute(d->device, cudaDevAttrMemoryClockRate);
    p->bus_bits = all.memoryBusWidth;
    p->ecc = all.ECCEnabled;
    p->integrated = all.integrated;
    cudaDriverGetVersion(&p->driver);
    cudaRuntimeGetVersion(&p->runtime);
    return memory(d, &p->memory_free_bytes, &p->memory_bytes);
}

static lb_status peers(lb_cuda_dev *d, int *devices, int most, int *found) {
    int all = 0;
    *found = 0;
    lb_status s = lb_cuda_result(d, cudaGetDeviceCount(&all), "counting devices");
    for (int i = 0; i < all && !s; i++) {
        int can = 0;
        if (i == d->device) continue;
        s = lb_cuda_result(d, cudaDeviceCanAccessPeer(&can, d->device, i), "asking for peers");
        if (!s && can && *found < most) devices[(*found)++] = i;
    }
    return s;
}

static bool lost(lb_cuda_dev *d) { return d->lost; }

/* ---- memory ---- */

static lb_status alloc(lb_cuda_dev *d, size_t bytes, void **out) {
    *out = NULL;
    lb_status s = enter(d, "allocating");
    if (s) return s;
    cudaError_t e = cudaMalloc(out, bytes);
    if (e != cudaErrorMemoryAllocation) return lb_cuda_result(d, e, "allocating");
    cudaGetLastError();
    return lb_fail(LB_ENOMEM, "cuda:%d: no room for %zu bytes", d->device, bytes);
}

static void free_memory(lb_cuda_dev *d, void *p) {
    if (!d->lost && cudaSetDevice(d->device) == cudaSuccess) cudaFree(p);
    cudaGetLastError();
}

static lb_status sync(lb_cuda_dev *d) {
    lb_status s = enter(d, "waiting");
    return s ? s : lb_cuda_result(d, cudaStreamSynchronize(d->stream), "waiting for the device");
}

static lb_status move(lb_cuda_dev *d, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                      const char *what) {
    lb_status s = enter(d, what);
    return s ? s : lb_cuda_result(d, cudaMemcpyAsync(to, from, bytes, kind, d->stream), what);
}

static lb_status put(lb_cuda_dev *d, void *device, const void *host, size_t bytes) {
    lb_status s = move(d, device, host, bytes, cudaMemcpyHostToDevice, "copying to the device");
    return s ? s : sync(d);
}

static lb_status get(lb_cuda_dev *d, void *host, const void *device, size_t bytes) {
    lb_status s = move(d, host, device, bytes, cudaMemcpyDeviceToHost, "copying from the device");
    return s ? s : sync(d);
}

static lb_status copy(lb_cuda_dev *d, void *to, const void *from, size_t bytes) {
    return move(d, to, from, bytes, cudaMemcpyDeviceToDevice, "copying on the device");
}

static lb_status set(lb_cuda_dev *d, void *device, int byte, size_t bytes) {
    lb_status s = enter(d, "setting memory");
    return s ? s : lb_cuda_result(d, cudaMemsetAsync(device, byte, bytes, d->stream), "setting memory");
}

/* ---- stream, graphs, events ---- */

static void *stream(lb_cuda_dev *d) {
    return d->in_body ? d->body_stream : d->branch ? d->branches[d->branch] : d->stream;
}
static lb_status current(lb_cuda_dev *d) { return enter(d, "choosing it"); }
static lb_status launched(lb_cuda_dev *d) {
    const char *why = lb_cuda_refused();
    lb_status s = lb_cuda_result(d, cudaGetLastError(), "launching");
    return s || !why ? s : lb_fail(LB_EDEVICE, "cuda:%d: launching: %s", d->device, why);
}

/* Relaxed: what is launched for the first time here (a kernel, cuBLASLt's) is loaded here, which may allocate. In the
 * other modes that would invalidate the capture, and ending one whose conditional body was invalidated crashes in the
 * driver. */
static lb_status capture_begin(lb_cuda_dev *d) {
    lb_status s = enter(d, "capturing");
    d->branch = 0;
    return s ? s : lb_cuda_result(d, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeRelaxed), "capturing");
}

static lb_status capture_end(lb_cuda_dev *d, lb_cuda_graph **out) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    *out = NULL;
    d->branch = 0;
    lb_status s = lb_cuda_result(d, cudaStreamEndCapture(d->stream, &graph), "capturing");
    if (!s) s = lb_cuda_result(d, cudaGraphInstantiate(&exec, graph, 0), "instantiating a graph");
    if (graph) cudaGraphDestroy(graph);
    if (!s) s = lb_cuda_result(d, cudaGraphUpload(exec, d->stream), "uploading a graph");
    if (!s) *out = (lb_cuda_graph *)exec;
    else if (exec) cudaGraphExecDestroy(exec);
    return s;
}

static lb_status graph_launch(lb_cuda_dev *d, lb_cuda_graph *g) {
    return lb_cuda_result(d, cudaGraphLaunch((cudaGraphExec_t)g, d->stream), "launching a graph");
}

static void graph_free(lb_cuda_dev *d, lb_cuda_graph *g) {
    if (!d->lost && cudaSetDevice(d->device) == cudaSuccess) cudaGraphExecDestroy((cudaGraphExec_t)g);
    cudaGetLastError();
}

static lb_status branch(lb_cuda_dev *d, int b) { return d->branch = b, LB_OK; }

static lb_status mark(lb_cuda_dev *d, int m) {
    if (m >= d->mark_count) {
        int count = m < 64 ? 64 : 2 * m;
        cudaEvent_t *marks = realloc(d->marks, (size_t)count * sizeof *marks);
        if (!marks) return lb_fail(LB_ENOMEM, "cuda:%d: no memory for %d marks", d->device, count);
        for (int i = d->mark_count; i < count; i++) marks[i] = NULL;
        d->marks = marks;
        d->mark_count = count;
    }
    lb_status s = LB_OK;
    if (!d->marks[m])
        s = lb_cuda_result(d, cudaEventCreateWithFlags(&d->marks[m], cudaEventDisableTiming), "making an event");
    return s ? s : lb_cuda_result(d, cudaEventRecord(d->marks[m], stream(d)), "marking a branch");
}

static lb_status after(lb_cuda_dev *d, int m) {
    return lb_cuda_result(d, cudaStreamWaitEvent(stream(d), d->marks[m], 0), "joining branches");
}

static lb_status event(lb_cuda_dev *d, int i) {
    return lb_cuda_result(d, cudaEventRecord(d->events[i], d->stream), "recording an event");
}

static lb_status elapsed(lb_cuda_dev *d, int from, int to, double *ns) {
    float ms = 0;
    lb_status s = lb_cuda_result(d, cudaEventSynchronize(d->events[to]), "waiting for the device");
    if (!s) s = lb_cuda_result(d, cudaEventElapsedTime(&ms, d->events[from], d->events[to]), "reading an event");
    *ns = 1e6 * (double)ms;
    return s;
}

#ifndef LB_CUDA_ARCHITECTURES
#define LB_CUDA_ARCHITECTURES "unknown"
#endif

extern const lb_cuda_api luabench_cuda;
__attribute__((visibility("default"))) const lb_cuda_api luabench_cuda = {
    .abi = LB_CUDA_ABI, .toolkit = CUDART_VERSION, .architectures = LB_CUDA_ARCHITECTURES, .kernels = lb_kernels_cuda,
    .count = count, .open = open_device, .close = close_device, .props = props, .memory = memory, .peers = peers,
    .lost = lost, .alloc = alloc, .free = free_memory, .put = put, .get = get, .copy = copy, .set = set, .sync = sync,
    .stream = stream, .current = current, .launched = launched, .capture_begin = capture_begin,
    .capture_end = capture_end, .graph_launch = graph_launch, .graph_free = graph_free, .decide = lb_cuda_decide,
    .choice = lb_cuda_choice, .body = lb_cuda_body, .branch = branch, .mark = mark, .after = after, .event = event,
    .elapsed = elapsed, .block = lb_cuda_block, .unblock = lb_cuda_unblock, .flush = lb_cuda_flush,
    .clock = lb_cuda_clock, .clock_ghz = lb_cuda_clock_ghz, .compile = lb_cuda_compile,
    .module_free = lb_cuda_module_free, .function = lb_cuda_function, .launch = lb_cuda_launch_function,
};

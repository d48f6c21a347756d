/* decide.c: parts of a graph that hang on values: conditional nodes, whose bodies are captured on a stream of their
 * own. */
#include "device.h"
#include "overlap.h"

#if CUDART_VERSION >= 13000
/* The graph that is being captured, and what the next node comes after. */
static lb_status capturing(lb_cuda_dev *d, cudaGraph_t *graph, const cudaGraphNode_t **after,
                           const cudaGraphEdgeData **edges, size_t *n) {
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    lb_status s =
        lb_cuda_result(d, cudaStreamGetCaptureInfo(d->stream, &status, NULL, graph, after, edges, n), "capturing");
    if (!s && status != cudaStreamCaptureStatusActive)
        s = lb_fail(LB_EDEVICE, "cuda:%d: a decision is part of a graph, and none is being captured", d->device);
    return s;
}

lb_status lb_cuda_decide(lb_cuda_dev *d, const lb_cuda_decision *at, int n, lb_cuda_decided *out) {
    cudaGraph_t graph = NULL;
    const cudaGraphNode_t *after;
    const cudaGraphEdgeData *edges;
    unsigned long long handles[LB_CUDA_DECISIONS];
    size_t count;
    if (n < 1 || n > LB_CUDA_DECISIONS) return lb_fail(LB_EINTERNAL, "cuda:%d: %d decisions at once", d->device, n);
    lb_status s = capturing(d, &graph, &after, &edges, &count);
    for (int i = 0; i < n && !s; i++) {
        s = lb_cuda_result(d, cudaGraphConditionalHandleCreate(&handles[i], graph, 0, 0), "making a conditional node");
        d->choices[i].handle = handles[i];
        d->choices[i].bodies = at[i].bodies;
        d->choices[i].picks = at[i].pick != NULL;
    }
    return s ? s : lb_cuda_result(d, lb_cuda_decide_launch(d->stream, at, handles, n, out), "launching a decision");
}

lb_status lb_cuda_choice(lb_cuda_dev *d, int k) {
    struct cudaGraphNodeParams p = { .type = cudaGraphNodeTypeConditional };
    cudaGraph_t graph = NULL;
    cudaGraphNode_t node;
    const cudaGraphNode_t *after;
    const cudaGraphEdgeData *edges;
    size_t count;
    lb_status s = capturing(d, &graph, &after, &edges, &count);
    if (s) return s;
    p.conditional.handle = d->choices[k].handle;
    p.conditional.type = d->choices[k].picks ? cudaGraphCondTypeSwitch : cudaGraphCondTypeIf;
    p.conditional.size = (unsigned)d->choices[k].bodies;
    s = lb_cuda_result(d, cudaGraphAddNode(&node, graph, after, edges, count, &p), "making a conditional node");
    if (!s)
        s = lb_cuda_result(
            d, cudaStreamUpdateCaptureDependencies(d->stream, &node, NULL, 1, cudaStreamSetCaptureDependencies),
            "making a conditional node");
    d->bodies = s ? NULL : p.conditional.phGraph_out;
    return s;
}

lb_status lb_cuda_body(lb_cuda_dev *d, int i) {
    cudaGraph_t graph = NULL;
    if (i >= 0) {
        lb_status s = lb_cuda_result(
            d, cudaStreamBeginCaptureToGraph(d->body_stream, d->bodies[i], NULL, NULL, 0, cudaStreamCaptureModeRelaxed),
            "capturing a body");
        d->in_body = s == LB_OK;
        lb_cuda_overlap_in_body(d->in_body);
        return s;
    }
    if (!d->in_body) return LB_OK;
    d->in_body = false;
    lb_cuda_overlap_in_body(false);
    return lb_cuda_result(d, cudaStreamEndCapture(d->body_stream, &graph), "capturing a body");
}
#else
lb_status lb_cuda_decide(lb_cuda_dev *d, const lb_cuda_decision *at, int n, lb_cuda_decided *out) {
    (void)at, (void)n, (void)out;
    return lb_fail(LB_EUNSUPPORTED, "cuda:%d: conditional nodes need CUDA 13.0, this was built with %d.%d", d->device,
                   CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}
lb_status lb_cuda_choice(lb_cuda_dev *d, int k) { return (void)k, lb_cuda_decide(d, NULL, 0, NULL); }
lb_status lb_cuda_body(lb_cuda_dev *d, int i) { return i < 0 ? LB_OK : lb_cuda_decide(d, NULL, 0, NULL); }
#endif

/* bare_cublaslt.cpp: cuBLASLt called bare, for make gpu-bench to set luabench's figures against: no engine, no oracle,
 * its heuristic's first algorithm, graph replays; the median of a second and a half, after half a second that brings
 * the chip to the clocks that its power allows, as with luabench's.
 *
 *   gpu_bare FILE.json DEVICE WHAT M N K ...     WHAT: bf16, fp8 (e4m3, a scale each), f32 results like luabench's
 *
 * Weights rotate over copies of four times the L2, as with luabench's weights-cold; 8192^3 is one copy. Status 77: no
 * device or no cuBLASLt, which is said. */
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/cuda/library.h"

/* What goes wrong is the row's: the others are measured, unless the context is lost. */
static void need(bool ok, const std::string &why) {
    if (!ok) throw std::runtime_error(why);
}
static void cuda(cudaError_t e, const char *what) {
    need(e == cudaSuccess, std::string(what) + ": " + cudaGetErrorName(e));
}
static void lt(cublasStatus_t s, const char *what) {
    need(s == CUBLAS_STATUS_SUCCESS, std::string(what) + ": cuBLASLt's status " + std::to_string((int)s));
}

#define FUNCTION(name) decltype(&::name) name
static struct {
    FUNCTION(cublasLtCreate);
    FUNCTION(cublasLtMatmul);
    FUNCTION(cublasLtMatmulDescCreate);
    FUNCTION(cublasLtMatmulDescSetAttribute);
    FUNCTION(cublasLtMatrixLayoutCreate);
    FUNCTION(cublasLtMatmulPreferenceCreate);
    FUNCTION(cublasLtMatmulPreferenceSetAttribute);
    FUNCTION(cublasLtMatmulAlgoGetHeuristic);
} f;

static void load() {
    const char *from = "";
    void *so = lb_cuda_library("cublasLt", &from);
    if (!so) {
        printf("%s\n", from);
        exit(77);
    }
#define FIND(name) need((f.name = (decltype(f.name))dlsym(so, #name)) != nullptr, #name)
    FIND(cublasLtCreate);
    FIND(cublasLtMatmul);
    FIND(cublasLtMatmulDescCreate);
    FIND(cublasLtMatmulDescSetAttribute);
    FIND(cublasLtMatrixLayoutCreate);
    FIND(cublasLtMatmulPreferenceCreate);
    FIND(cublasLtMatmulPreferenceSetAttribute);
    FIND(cublasLtMatmulAlgoGetHeuristic);
}

/* Normal values, in fp8 the largest as 448: zeros run faster than real data, and so may anything that toggles less. */
static std::vector<unsigned char> random_bytes(size_t bytes, bool fp8) {
    static unsigned char table8[65536];
    static unsigned short table16[65536];
    std::vector<unsigned char> v(bytes);
    unsigned long long state = 88172645463325252ull;
    auto next = [&] { return state ^= state << 13, state ^= state >> 7, state ^= state << 17, state >> 16; };
    for (int i = 0; i < 65536 && !table16[65535]; i++) {
        double u = ((double)(next() & 0xffffff) + 0.5) / 16777216;
        double angle = 6.283185307179586 * (double)(next() & 0xffffff) / 16777216;
        double value = std::sqrt(-2 * std::log(u)) * std::cos(angle);
        table8[i] = __nv_cvt_double_to_fp8(value * 448 / 6, __NV_SATFINITE, __NV_E4M3);
        __nv_bfloat16_raw raw = __float2bfloat16((float)value);
        table16[i] = raw.x;
    }
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        unsigned long long bits = next(), more = next();
        for (int k = 0; k < (fp8 ? 8 : 4); k++) {
            unsigned long long from = k < 3 ? bits >> 16 * k : k < 6 ? more >> 16 * (k - 3) :
                (bits >> 5) * 31 + (unsigned)k;
            unsigned at = (unsigned)(from & 65535);
            if (fp8) v[i + (size_t)k] = table8[at];
            else memcpy(v.data() + i + 2 * k, &table16[at], 2);
        }
    }
    return v;
}
static void *upload(const std::vector<unsigned char> &v) {
    void *p = nullptr;
    cuda(cudaMalloc(&p, v.size()), "memory");
    cuda(cudaMemcpy(p, v.data(), v.size(), cudaMemcpyHostToDevice), "copying");
    return p;
}

static double measure(bool fp8, int64_t m, int64_t n, int64_t k, int l2, cublasLtHandle_t handle) {
    size_t each = fp8 ? 1 : 2, workspace = (size_t)32 << 20;
    int64_t bytes = n * k * (int64_t)each;
    int sets = m >= 1024 ? 1 : (int)std::min<int64_t>(64, 4 * (int64_t)l2 / bytes + 1), count = 0;
    int rounds = m >= 1024 ? 1 : 16; /* in a graph */
    cudaDataType_t in = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t lw, lx, lo;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    float one = 1, zero = 0, *scale = nullptr;
    void *space = nullptr, *out = nullptr, *x = upload(random_bytes((size_t)(m * k) * each, fp8));
    std::vector<void *> w;
    for (int i = 0; i < sets; i++) w.push_back(upload(random_bytes((size_t)bytes, fp8)));
    cuda(cudaMalloc(&space, workspace), "workspace");
    cuda(cudaMalloc(&out, (size_t)(m * n) * 4), "results");
    cuda(cudaMalloc((void **)&scale, 4), "a scale");
    cuda(cudaMemcpy(scale, &one, 4, cudaMemcpyHostToDevice), "a scale");
    lt(f.cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "descriptor");
    lt(f.cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
       "descriptor");
    if (fp8) {
        lt(f.cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &scale, sizeof scale), "scale");
        lt(f.cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &scale, sizeof scale), "scale");
    }
    lt(f.cublasLtMatrixLayoutCreate(&lw, in, (uint64_t)k, (uint64_t)n, k), "layout");
    lt(f.cublasLtMatrixLayoutCreate(&lx, in, (uint64_t)k, (uint64_t)m, k), "layout");
    lt(f.cublasLtMatrixLayoutCreate(&lo, CUDA_R_32F, (uint64_t)n, (uint64_t)m, n), "layout");
    lt(f.cublasLtMatmulPreferenceCreate(&preference), "preference");
    lt(f.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                              sizeof workspace),
       "preference");
    lt(f.cublasLtMatmulAlgoGetHeuristic(handle, desc, lw, lx, lo, lo, preference, 1, &found, &count), "heuristic");
    need(count > 0, "no algorithm");
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t replay;
    cudaEvent_t from, to;
    cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    auto run = [&] {
        for (int i = 0; i < rounds * sets; i++)
            lt(f.cublasLtMatmul(handle, desc, &one, w[(size_t)(i % sets)], lw, x, lx, &zero, out, lo, out, lo,
                                &found.algo, space, workspace, stream),
               "product");
    };
    run();
    cuda(cudaStreamSynchronize(stream), "product");
    cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capture");
    run();
    cuda(cudaStreamEndCapture(stream, &graph), "capture");
    cuda(cudaGraphInstantiate(&replay, graph, 0), "graph");
    cuda(cudaEventCreate(&from), "event");
    cuda(cudaEventCreate(&to), "event");
    std::vector<float> times;
    const auto begin = std::chrono::steady_clock::now();
    for (double seconds = 0; seconds < 2 || times.size() < 20;) {
        float ms = 0;
        cuda(cudaGraphLaunch(replay, stream), "replay"); /* while it runs the next one is enqueued: no gap is timed */
        cuda(cudaEventRecord(from, stream), "event");
        cuda(cudaGraphLaunch(replay, stream), "replay");
        cuda(cudaEventRecord(to, stream), "event");
        cuda(cudaEventSynchronize(to), "replay");
        cuda(cudaEventElapsedTime(&ms, from, to), "event");
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        if (seconds >= 0.5) times.push_back(1000 * ms / (float)(rounds * sets));
    }
    std::sort(times.begin(), times.end());
    for (void *p : w) cudaFree(p);
    cudaFree(x), cudaFree(out), cudaFree(space), cudaFree(scale), cudaGraphExecDestroy(replay), cudaGraphDestroy(graph);
    return times[times.size() / 2];
}

/* "NAME": { "us": } or { "error": } of a product. */
static std::string row_of(const char *const *product, const cudaDeviceProp &props, int l2, cublasLtHandle_t handle,
                          bool *failed) {
    int64_t m = atoll(product[1]), n = atoll(product[2]), k = atoll(product[3]);
    const bool fp8 = !strcmp(product[0], "fp8");
    char name[128], us[40];
    snprintf(name, sizeof name, "\"%s M = %lld, %lld x %lld\": { ", product[0], (long long)m, (long long)n,
             (long long)k);
    if (fp8 && props.major * 10 + props.minor < 89)
        return std::string(name) + "\"error\": \"fp8 needs compute capability 8.9\" }";
    try {
        snprintf(us, sizeof us, "\"us\": %.4f }", measure(fp8, m, n, k, l2, handle));
        return std::string(name) + us;
    } catch (const std::exception &e) {
        *failed = true;
        return std::string(name) + "\"error\": \"" + e.what() + "\" }";
    }
}

/* After each row, in the place of what was there: what ends this early leaves those before it. */
static void write_rows(const char *path, const std::string &text) {
    const std::string beside = std::string(path) + ".new";
    FILE *file = fopen(beside.c_str(), "w");
    need(file && fprintf(file, "%s } }\n", text.c_str()) > 0 && fclose(file) == 0 &&
             rename(beside.c_str(), path) == 0, "writing");
}

static int run(int argc, char **argv) {
    int devices = 0, device = argc > 2 ? atoi(argv[2]) : 0, l2 = 0;
    bool failed = false;
    cublasLtHandle_t handle;
    cudaDeviceProp props;
    if (argc < 7 || (argc - 3) % 4) return fprintf(stderr, "usage: gpu_bare FILE.json DEVICE {bf16|fp8 M N K} ...\n"),
        2;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || device >= devices) {
        printf("no NVIDIA GPU that the driver shows\n");
        return 77;
    }
    load();
    cuda(cudaSetDevice(device), "device");
    cuda(cudaGetDeviceProperties(&props, device), "device");
    cuda(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device), "device");
    lt(f.cublasLtCreate(&handle), "handle");
    std::string text = "{ \"device\": \"" + std::string(props.name) + "\", \"rows\": {";
    for (int i = 3; i + 3 < argc; i += 4) {
        const std::string row = row_of(argv + i, props, l2, handle, &failed);
        printf("bare cuBLASLt %s\n", row.c_str());
        text += (i > 3 ? ", " : " ") + row;
        write_rows(argv[1], text);
    }
    return failed;
}

int main(int argc, char **argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception &e) {
        return printf("bare cuBLASLt: %s\n", e.what()), 1;
    }
}

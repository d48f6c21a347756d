/* rope_f32_block.cu: a block for a token and 1024 of its pairs: sines and cosines once, by f64 polynomials, then every
 * head. 8 bytes a rotated value; a block's f64 work is n sines for up to 1024 pairs. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, PAIRS = 1024, MOST = 512 }; /* frequencies */

/* As on the CPU (rope_f32.h): the angle, its distance from a multiple of pi / 2 and the polynomials are in f64. */
__device__ static void angle(double position, float frequency, float scale, float *c, float *s) {
    double a = position * (double)frequency, k = a * 0.63661977236758134308 + 6755399441055744.0;
    long long bits = __double_as_longlong(k);
    k -= 6755399441055744.0;
    double x = (a - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11, z = x * x;
    double sn = x * (1 + z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 +
                z * (-1.0 / 39916800 + z * (1.0 / 6227020800.0)))))));
    double cs = 1 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                z * (1.0 / 479001600.0))))));
    double so = bits & 1 ? cs : sn, co = bits & 1 ? sn : cs;
    *s = (float)(bits & 2 ? -so : so) * scale;
    *c = (float)((bits + 1) & 2 ? -co : co) * scale;
}

__global__ void __launch_bounds__(THREADS) rope_kernel(lb_rows x, const int32_t *positions, const float *frequencies,
                                                       int n, int heads, int tokens, bool interleaved, float scale) {
    __shared__ float c[MOST], s[MOST];
    int pairs = heads * n, first = (int)blockIdx.y * PAIRS, last = first + PAIRS < pairs ? first + PAIRS : pairs;
    for (int t = blockIdx.x; t < tokens; t += gridDim.x) {
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += THREADS) angle(positions[t], frequencies[i], scale, &c[i], &s[i]);
        __syncthreads();
        for (int p = first + threadIdx.x; p < last; p += THREADS) {
            int h = p / n, i = p % n;
            float *row = lb_row(x, (int64_t)t * heads + h);
            float *u = row + (interleaved ? 2 * i : i), *v = row + (interleaved ? 2 * i + 1 : i + n);
            float a = *u, b = *v;
            *u = a * c[i] - b * s[i];
            *v = b * c[i] + a * s[i];
        }
    }
}

static bool supports(const lb_args *a, const char **why) {
    *why = "more than 512 frequencies, or 67 million pairs a token";
    int64_t n = lb_arg(a, LB_ROPE_FREQUENCIES)->dims[0];
    return n <= MOST && n * lb_arg(a, LB_ROPE_X)->dims[1] <= 65535 * (int64_t)PAIRS &&
           lb_arg(a, LB_ROPE_X)->dims[0] < INT32_MAX;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_ROPE_X), *f = lb_arg(a, LB_ROPE_FREQUENCIES);
    int64_t pairs = x->dims[1] * f->dims[0];
    if (x->dims[0] == 0 || pairs == 0) return;
    dim3 grid((unsigned)x->dims[0], (unsigned)((pairs + PAIRS - 1) / PAIRS));
    LB_CUDA_LAUNCH(rope_kernel, grid, THREADS, 0, lb_cuda_stream(l), lb_rows_of(x),
                   (const int32_t *)lb_tensor_data(lb_arg(a, LB_ROPE_POSITIONS)), (const float *)lb_tensor_data(f),
                   (int)f->dims[0], (int)x->dims[1], (int)x->dims[0], a->p[LB_ROPE_P_INTERLEAVED] != 0,
                   (float)a->p[LB_ROPE_P_SCALE]);
}

} // namespace

LB_CUDA_KERNEL(rope_f32_block) = {
    .name = "rope.f32.block", .op = "rope", .device = "cuda",
    .about = "a token and 1024 of its pairs a block, sines and cosines by f64 polynomials in shared memory",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12, .tolerance_why = "sine and cosine to half an ulp of f32, two products and a sum: NMSE of 1e-14",
    .priority = 1, .supports = supports, .launch = launch,
};

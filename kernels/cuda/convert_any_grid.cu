/* convert_any_grid.cu: f32, f16, bf16 and f8e4m3 into one another, eight values a thread: 16-byte accesses on the side
 * of 16 bits, 8 on that of fp8. 2 to 8 bytes a value; sm_89 and later convert fp8 in hardware, sm_80 by a dozen integer
 * instructions a value. */
#include "cells.cuh"

namespace {

enum { THREADS = 256, EACH = 8 };

template <lb_dtype T> struct stored { typedef uint16_t type; };
template <> struct stored<LB_F32> { typedef float type; };
template <> struct stored<LB_F8E4M3> { typedef uint8_t type; };

template <lb_dtype FROM, lb_dtype TO>
__global__ void __launch_bounds__(THREADS) convert_kernel(const typename stored<FROM>::type *x,
                                                          typename stored<TO>::type *out, int64_t n, bool aligned) {
    struct alignas(sizeof(x[0]) * EACH > 16 ? 16 : sizeof(x[0]) * EACH) in { typename stored<FROM>::type v[EACH]; };
    struct alignas(sizeof(out[0]) * EACH > 16 ? 16 : sizeof(out[0]) * EACH) to { typename stored<TO>::type v[EACH]; };
    int64_t first = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
    if (first >= n) return;
    if (!aligned || first + EACH > n) {
        for (int64_t i = first; i < n && i < first + EACH; i++)
            lb_cell_put(TO, (char *)out, i, lb_cell(FROM, LB_PACKED_NONE, (const char *)x, i));
        return;
    }
    in a = *(const in *)(x + first);
    to b;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        lb_cell_put(TO, (char *)b.v, i, lb_cell(FROM, LB_PACKED_NONE, (const char *)a.v, i));
    *(to *)(out + first) = b;
}

template <lb_dtype FROM, lb_dtype TO> static void convert(const lb_tensor *x, const lb_tensor *out,
                                                          const lb_launch *l) {
    int64_t n = lb_tensor_numel(x), each = THREADS * EACH;
    if (n == 0) return;
    bool aligned = ((uintptr_t)lb_tensor_data(x) | (uintptr_t)lb_tensor_data(out)) % 16 == 0;
    LB_CUDA_LAUNCH((convert_kernel<FROM, TO>), (unsigned)((n + each - 1) / each), THREADS, 0, lb_cuda_stream(l),
                   (const typename stored<FROM>::type *)lb_tensor_data(x),
                   (typename stored<TO>::type *)lb_tensor_data(out), n, aligned);
}
template <lb_dtype FROM> static void convert_from(const lb_tensor *x, const lb_tensor *out, const lb_launch *l) {
    switch (out->dtype) {
    case LB_F32: convert<FROM, LB_F32>(x, out, l); break;
    case LB_F16: convert<FROM, LB_F16>(x, out, l); break;
    case LB_BF16: convert<FROM, LB_BF16>(x, out, l); break;
    default: convert<FROM, LB_F8E4M3>(x, out, l); break;
    }
}

static bool supports(const lb_args *a, const char **why) {
    lb_dtype from = lb_arg(a, LB_CONVERT_X)->dtype, to = lb_arg(a, LB_CONVERT_OUT)->dtype;
    *why = "takes f32, f16, bf16 and f8e4m3";
    return (from == LB_F32 || from == LB_F16 || from == LB_BF16 || from == LB_F8E4M3) &&
           (to == LB_F32 || to == LB_F16 || to == LB_BF16 || to == LB_F8E4M3);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_CONVERT_X), *out = lb_arg(a, LB_CONVERT_OUT);
    switch (x->dtype) {
    case LB_F32: convert_from<LB_F32>(x, out, l); break;
    case LB_F16: convert_from<LB_F16>(x, out, l); break;
    case LB_BF16: convert_from<LB_BF16>(x, out, l); break;
    default: convert_from<LB_F8E4M3>(x, out, l); break;
    }
}

} // namespace

LB_CUDA_KERNEL(convert_any_grid) = {
    .name = "convert.any.grid", .op = "convert", .device = "cuda", .about = "eight values a thread",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "the nearest value of the type, compared exactly", .priority = 1,
    .supports = supports, .launch = launch,
};

/* swiglu_f32_avx512.c: out = silu(gate) * up, 16 elements at a time. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/kv.h"
#include "engine/ops/slots.h"

/* e^x as exp_f32.h has it, with fused steps; scalef handles over- and underflow, so only NaN passes through as such. */
static inline __m512 exp_16(__m512 x) {
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8); /* nearest even, no exception */
    /* keeps inf - inf out of r; scalef saturates far inside these bounds */
    n = _mm512_max_ps(_mm512_set1_ps(-300.0f), _mm512_min_ps(_mm512_set1_ps(300.0f), n));
    x = _mm512_max_ps(_mm512_set1_ps(-200.0f), _mm512_min_ps(_mm512_set1_ps(200.0f), x));
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145751953125f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

static void swiglu(const float *gate, const float *up, float *out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 16) {
        __mmask16 m = (__mmask16)(end - i >= 16 ? 0xffffu : (1u << (end - i)) - 1);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 d = _mm512_add_ps(_mm512_set1_ps(1.0f), exp_16(_mm512_sub_ps(_mm512_setzero_ps(), g)));
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(_mm512_div_ps(g, d), u));
    }
}

/* Dense operands are one long row. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *gate = lb_arg(a, LB_SWIGLU_GATE), *up = lb_arg(a, LB_SWIGLU_UP), *out = lb_arg(a, LB_SWIGLU_OUT);
    bool dense = lb_tensor_is_dense(gate) && lb_tensor_is_dense(up);
    int64_t n = lb_tensor_numel(out), k = dense ? n : lb_row_length(out), rows = dense ? n > 0 : lb_row_count(out);
    int64_t begin, end;
    lb_split(k, 16, l->part, l->parts, &begin, &end);
    for (int64_t r = 0; r < rows; r++) swiglu(lb_row_f32(gate, r), lb_row_f32(up, r), lb_row_f32(out, r), begin, end);
}

const lb_kernel lb_kernel_swiglu_f32_avx512 = {
    .name = "swiglu.f32.avx512",
    .op = "swiglu",
    .device = "cpu",
    .about = "16 lanes; e^x = 2^n * Taylor polynomial of degree 7, exact division",
    .source = "luabench",
    .isa = LB_ISA_AVX512,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12,
    .tolerance_why = "the exponential is within 2e-7, and three more f32 roundings: NMSE of 1e-14 to 1e-13",
    .priority = 10,
    .launch = launch,
};

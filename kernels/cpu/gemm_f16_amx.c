/* gemm_f16_amx.c: gemm over f16 weights as they are, on AMX tiles, with no bit of the activations left out: an f16 is
 * two bf16, an f32 three. Of values below some 2^-104 the last one is subnormal, which tiles take for zero: an NMSE
 * of 1.3e-9 at 2^-112, of 5.7e-5 at 2^-120 (measured). */
#include "tiles_dense.h"
#include "tiles_split.h"

enum { X_TERMS = 3, LEAST = 32 /* rows of x: of 16 it had 0.93 times the rate of AVX-512 */ };

static int64_t padded(int64_t k) { return (k + 31) / 32 * 32; }
static size_t act_bytes(const lb_quantizer *q, int64_t k) { return (void)q, (size_t)padded(k) * 2 * X_TERMS; }

/* Sixteen values' highest bits, cut off, as bf16; what is left of them stays. Of Inf that is NaN. */
static inline __m256i cut_16(__m512 *x) {
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(*x), _mm512_set1_epi32((int)0xffff0000u));
    *x = _mm512_sub_ps(*x, _mm512_castsi512_ps(bits));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

/* A NaN whose upper bits would be Inf's stays one, since what is left of it is NaN. */
static void act_prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    for (int64_t i = 0; i < padded(k); i += 16) {
        const int64_t left = k - i;
        __m512 v = _mm512_maskz_loadu_ps((__mmask16)(left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1 : 0), x + i);
        for (int t = 0; t < X_TERMS; t++)
            _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)act + padded(k) * t + i), cut_16(&v));
    }
}

/* Both halves of each pair to two terms. */
static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,
                          int64_t some, tiles_pairs *to) {
    (void)q;
    for (int half = 0; half < 2; half++)
        for (int64_t i = 0; i < some; i += 32) {
            __m512i v[16];
            dense_pairs(panel, rows, k, at + i, half, v);
            for (int r = 0; r < 16; r++) {
                const __m512 even = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v[r]));
                const __m512 odd = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v[r], 16)));
                tiles_split(even, odd, &to->w[i / 2 + r][half], &to->w[TILES_PAIRS / 2 + i / 2 + r][half]);
            }
        }
    return NULL;
}

static const tiles_format format = { .terms = 2, .act_terms = X_TERMS, .in_rows = true, .span = TILES_PAIRS,
                                     .panel_bytes = dense_panel_bytes, .act_prepare = act_prepare,
                                     .act_bytes = act_bytes, .expand = expand };
TILES_GEMM(format)

static bool supports(const lb_args *a, const char **why) {
    *why = "two terms of weights by three of activations are for 32 rows of these and more";
    return lb_arg(a, LB_GEMM_X)->dims[0] >= LEAST;
}

const lb_kernel lb_kernel_gemm_f16_amx = {
    .name = "gemm.f16.amx",
    .about = "tdpbf16ps on tiles, sums of 32 x 32: f16 as two bf16 times f32 as three, five products; 32 rows of "
             "weights by 256 k turned into pairs in L1, whose sums are added to the totals in f32",
    .format = "f16",
    .act = LB_ACT_F32,
    .tolerance = 1e-11,
    .tolerance_why = "terms add up to the weight and to the value; the product of both's last, 2^-27 of the whole, is "
                     "left out; f32 sums of 1280 products at a time: NMSE of about 1e-13",
    .op = "gemm",
    .device = "cpu",
    .source = "luabench",
    .isa = LB_ISA_AVX512 | LB_ISA_AMX_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .priority = TILES_PRIORITY,
    .supports = supports,
    .phases = tiles_phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};

/* gemm_mxfp6_row_amx.c: gemm over mxfp6 weights of e2m3 in panels of 32 rows, one row of x: w = 2^(e - 127) * q, e per
 * 32. Eight times q is an integer of six bits and a sign, a byte by one look-up, so that x's digits (digits_amx.h) meet
 * it exactly. */
#define LB_ONE_ROW
#include "digits_amx.h"
#include "rows32.h"
#include "rows32_float_pack.h"

enum { AHEAD = 8192, RUN_BYTES = 384 /* 32 k of 16 rows */, EIGHTHS = 3 /* a byte of a tile is q times 2^3 */ };

/* Eight times the e2m3 of codes c .. c + 7 without their sign, c a multiple of 8. */
#define STEPS(from, by, sign)                                                                                        \
    (sign) * (from), (sign) * ((from) + (by)), (sign) * ((from) + 2 * (by)), (sign) * ((from) + 3 * (by)),           \
    (sign) * ((from) + 4 * (by)), (sign) * ((from) + 5 * (by)), (sign) * ((from) + 6 * (by)),                        \
    (sign) * ((from) + 7 * (by))
#define LEVELS(sign) STEPS(0, 1, sign), STEPS(8, 1, sign), STEPS(16, 2, sign), STEPS(32, 4, sign)
static const int8_t levels[64] __attribute__((aligned(64))) = { LEVELS(1), LEVELS(-1) };

/* Codes at bits 0 and 6 of words, or at 4 and 10, to bytes of 16 rows. */
LB_INLINE __m512i bytes_of(__m512i words, const int first, __m512i table) {
    const __m512i at = _mm512_set1_epi64(0x3630262016100600 + 0x0101010101010101 * first);
    return _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(at, words), table); /* looks at six bits */
}
/* The lower bytes of one, the upper ones of another. */
LB_INLINE __m512i bytes_beside(__m512i lower, __m512i upper, __m512i table) {
    const __m512i which = _mm512_set1_epi16(0xff);
    return _mm512_permutexvar_epi8(_mm512_ternarylogic_epi32(which, lower, upper, 0xca), table);
}

/* 16 rows of a run: 8 rows of a tile. Half of it is shifted by multishift, for look-ups keep its port busy. */
LB_INLINE void expand_run(const uint8_t *p, __m512i table, int8_t *to) {
    LB_UNROLL for (int i = 0; i < 6; i++) lb_ask(p + 64 * i, AHEAD);
    LB_UNROLL for (int i = 0; i < 2; i++, p += 192, to += 256) {
        const __m512i a = _mm512_load_si512(p), b = _mm512_load_si512(p + 64), c = _mm512_load_si512(p + 128);
        const __m512i third = _mm512_or_si512(_mm512_srli_epi16(a, 12), _mm512_slli_epi16(b, 4));
        const __m512i upper = _mm512_set1_epi16(0x300);
        const __m512i sixth = _mm512_ternarylogic_epi32(_mm512_slli_epi16(c, 10), _mm512_srli_epi16(b, 6), upper, 0xf8);
        _mm512_store_si512(to, bytes_of(a, 0, table));
        _mm512_store_si512(to + 64, bytes_beside(third, _mm512_slli_epi16(b, 6), table));
        _mm512_store_si512(to + 128, bytes_beside(_mm512_srli_epi16(b, 8), sixth, table));
        _mm512_store_si512(to + 192, bytes_of(c, 4, table));
    }
}

LB_INLINE void expand(const uint8_t *p, __m512i table, digits_codes *to) {
    LB_UNROLL for (int h = 0; h < 2; h++) expand_run(p + h * RUN_BYTES, table, to->of[h]);
}

/* Powers of two, of half the rows of group i; 2^-127 is subnormal. */
LB_INLINE __m512 scale_of(const uint8_t *panel, int64_t i, int half) {
    const uint8_t *p = panel + FLOAT_ROWS * i + 16 * half;
    const __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)));
}

/* x that its digits do not hold. */
static __attribute__((noinline)) void run_plain(const lb_quantizer *q, const uint8_t *panel, const uint16_t *x,
                                                int64_t k, float *out) {
    const __m512i table = _mm512_load_si512(levels);
    const uint8_t *p = panel + float_e8m0_head(q, k);
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    for (int64_t i = 0; i < k / 32; i++, x += 32, p += 2 * RUN_BYTES) {
        digits_codes codes;
        digits_plain sums = { 0 };
        expand(p, table, &codes);
        digits_plain_step(x, 32, lb_act_digits_sixes_order, &codes, 0, &sums);
        for (int h = 0; h < 2; h++) {
            const __m512 eighth = _mm512_mul_ps(digits_plain_total(&sums, h), _mm512_set1_ps(1.0f / (1 << EIGHTHS)));
            total[h] = _mm512_fmadd_ps(eighth, scale_of(panel, i, h), total[h]);
        }
    }
    for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

/* The totals += group i's sums times its scales. */
LB_INLINE void add_group(const uint8_t *panel, int64_t i, const digits_sums *sums, const int count, __m512 exponent,
                         __m512 total[2]) {
    _mm_prefetch((const char *)panel + FLOAT_ROWS * i + 1024, _MM_HINT_T0);
    LB_UNROLL for (int h = 0; h < 2; h++)
        total[h] = _mm512_fmadd_ps(digits_total(sums, h, 0, count, exponent), scale_of(panel, i, h), total[h]);
}

/* `count`, a constant: of x's digits. */
LB_INLINE void run_digits(const lb_quantizer *q, const uint8_t *panel, const void *act, int64_t k, const int count,
                          float *out) {
    const __m512i table = _mm512_load_si512(levels);
    const uint8_t *p = panel + float_e8m0_head(q, k);
    const int8_t *x = lb_act_digits_tiles(act, k);
    const __m512 exponent = _mm512_set1_ps(lb_act_digits_of(act, k)->exponent - EIGHTHS);
    digits_codes codes[2];
    digits_sums sums[2];
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    const int64_t groups = k / 32;
    lb_tiles_open(digits_shape(count, 32));
    for (int64_t i = 0; i <= groups; i++, p += 2 * RUN_BYTES) {
        if (i < groups) expand(p, table, &codes[i % 2]);
        if (i == 0) continue;
        const int64_t j = i - 1;
        if (j > 1) digits_store((int)(j % 2), &sums[j % 2]); /* group j - 2 */
        if (j > 2) add_group(panel, j - 3, &sums[(j + 1) % 2], count, exponent, total); /* they have arrived */
        digits_zero((int)(j % 2));
        digits_step((int)(j % 2), x + j / 2 * lb_act_digits_tile(count) + j % 2 * 32, &codes[j % 2]);
    }
    if (groups > 2) add_group(panel, groups - 3, &sums[(groups + 1) % 2], count, exponent, total);
    const int64_t last = groups > 1 ? groups - 2 : 0;
    for (int64_t j = last; j < groups; j++) digits_store((int)(j % 2), &sums[j % 2]);
    for (int64_t j = last; j < groups; j++) add_group(panel, j, &sums[j % 2], count, exponent, total);
    lb_tiles_close();
    LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)stride, (void)cols, (void)out_stride;
    if (digits_miss(act, k)) run_plain(q, panel, act, k, out);
    else if (lb_act_digits_of(act, k)->count == LB_DIGITS_FEW) run_digits(q, panel, act, k, LB_DIGITS_FEW, out);
    else run_digits(q, panel, act, k, LB_DIGITS, out);
}

#define unpack float_unpack_sixes
static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return float_e8m0_head(q, k) + (size_t)(lb_act_bf16_padded(k) / 32) * 2 * RUN_BYTES;
}
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(6, float_e8m0_head(q, k), unpack, float_put_e8m0_6bit, q, native, n, k, row0, row1, dst);
}

static bool supports(const lb_args *a, const char **why) {
    const bool e2m3 = lb_arg(a, LB_GEMM_W)->quantizer->param[0] == 2;
    *why = e2m3 ? "tiles of x's digits are for one row of activations" : "tiles of x's digits meet codes of e2m3 only";
    return e2m3 && lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

LB_ROWS32_PANEL(lb_act_digits_sixes_prepare, lb_act_digits_bytes, LB_ACT_KIND_DIGITS_SIXES)

const lb_kernel lb_kernel_gemm_mxfp6_row_amx = {
    .name = "gemm.mxfp6.row_amx",
    .about = "panels of 32 rows; e2m3 as a byte by a table of 64, one row of x as four or eight digits of a byte, "
             "tdpbssd, exact sums of 32, each times its scale in f32",
    .format = "mxfp6",
    LB_ROWS32_KERNEL,
    DIGITS_KERNEL,
    .supports = supports,
    .tolerance = 1e-12,
    .tolerance_why = "sums of 32 are exact, or in f64 where x's digits do not hold it; their total in f32",
};

/* attention_bf16_pack.h: 64 rows of a cache of bf16, f8e4m3 or f16 in the forms that products of pairs of bf16 want;
 * included by kernels of the template of flash.h, after it.
 *
 * A value of f16, 11 bits, is the sum of two bf16, its first 8 bits and the rest: all of the first stand before all of
 * the second. */
#pragma once
#include "f8_bf16.h"
#include "transpose16.h"

#define UNROLL _Pragma("GCC unroll 16")

/* ---- 32 values of a row as bf16 ---- */

static inline __mmask32 first32(int64_t n) { return (__mmask32)(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0); }

/* What is packed; of an f16 one of its two terms. */
typedef enum form { FORM_BF16, FORM_F8, FORM_F16_FIRST, FORM_F16_REST } form;

static inline int64_t bytes_of(form f) { return f == FORM_F8 ? 1 : 2; }

/* 16 of f16: a term as bf16. Inf and NaN have no rest. */
static inline __attribute__((always_inline)) __m256i term16(form f, __m256i h) {
    __m512 x = _mm512_cvtph_ps(h);
    if (f == FORM_F16_REST) {
        __m512 first = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0xffff0000)));
        x = _mm512_maskz_sub_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(INFINITY), _CMP_LT_OQ), x, first);
    }
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(x), 16));
}

/* The values of `some` from p, the rest 0. */
static inline __attribute__((always_inline)) __m512i load32(form f, const tables *t, const char *p, __mmask32 some) {
    if (f == FORM_BF16) return _mm512_maskz_loadu_epi16(some, p);
    if (f == FORM_F8) {
        __m512i x = _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(some, p)), high, low;
        x = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x); /* lane i: bytes 8i .. 8i + 7 */
        f8_bytes(x, t, &high, &low);
        return _mm512_unpacklo_epi8(low, high);
    }
    __m512i x = _mm512_maskz_loadu_epi16(some, p);
    return _mm512_inserti64x4(_mm512_castsi256_si512(term16(f, _mm512_castsi512_si256(x))),
                              term16(f, _mm512_extracti64x4_epi64(x, 1)), 1);
}

/* ---- packing ---- */

/* Whole runs of 32 values are apart from the last: their mask is known, so there is none. */
#define BY_32(CALL, form, n)                                      \
    do {                                                          \
        int64_t whole = (n) / 32 * 32;                            \
        CALL(form, row, 0, whole, ~0u, to);                       \
        if (whole < (n)) CALL(form, row, whole, n, first32((n) - whole), to); \
    } while (0)

/* [pair of dimensions][64 positions] */
static inline __attribute__((always_inline)) void keys_of(form f, const char *const *row, int64_t from,
                                                          int64_t to,
                                                          __mmask32 some, uint32_t *k) {
    tables tab = tables_of();
    int64_t size = bytes_of(f);
    for (int64_t d = from; d < to; d += 32) {
        for (int64_t i = 0; i < BLOCK; i += 16) {
            __m512i r[16];
            UNROLL for (int j = 0; j < 16; j++) r[j] = load32(f, &tab, row[i + j] + d * size, some);
            transpose16(r);
            UNROLL for (int j = 0; j < 16; j++) _mm512_store_si512(k + (d / 2 + j) * BLOCK + i, r[j]);
        }
    }
}

static void pack_keys(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
    if (t->k.dtype == LB_BF16) BY_32(keys_of, FORM_BF16, t->dim);
    else if (t->k.dtype == LB_F8E4M3) BY_32(keys_of, FORM_F8, t->dim);
    else {
        BY_32(keys_of, FORM_F16_FIRST, t->dim);
        to += rows_least(t->dim, 32) / 2 * BLOCK;
        BY_32(keys_of, FORM_F16_REST, t->dim);
    }
}

/* [pair of positions][vpad values]: two rows interleaved. */
static inline __attribute__((always_inline)) void values_of(form f, const char *const *row, int64_t from,
                                                            int64_t to,
                                                            __mmask32 some, uint32_t *v, int64_t vpad) {
    tables tab = tables_of();
    int64_t size = bytes_of(f);
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5,
                                           36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    for (int64_t i = 0; i < BLOCK; i += 2, v += vpad) {
        const char *a = row[i], *b = row[i + 1];
        for (int64_t d = from; d < to; d += 32) {
            __m512i x = load32(f, &tab, a + d * size, some), y = load32(f, &tab, b + d * size, some);
            _mm512_store_si512(v + d, _mm512_permutex2var_epi16(x, first, y));
            if (d + 16 < vpad) _mm512_store_si512(v + d + 16, _mm512_permutex2var_epi16(x, second, y));
        }
    }
}

static void pack_values(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
#define VALUES(form, row, from, end, some, to) values_of(form, row, from, end, some, to, t->vpad)
    if (t->v.dtype == LB_BF16) BY_32(VALUES, FORM_BF16, t->values);
    else if (t->v.dtype == LB_F8E4M3) BY_32(VALUES, FORM_F8, t->values);
    else {
        BY_32(VALUES, FORM_F16_FIRST, t->values);
        to += BLOCK / 2 * t->vpad;
        BY_32(VALUES, FORM_F16_REST, t->values);
    }
}

/* Types whose values bf16 holds exactly; with `two` as well the one that two bf16 do. */
static bool fits(lb_dtype t, bool two) { return t == LB_BF16 || t == LB_F8E4M3 || (two && t == LB_F16); }

static bool caches_fit(const lb_args *a, bool two, const char **why) {
    const lb_tensor *v = lb_arg(a, LB_ATTENTION_V);
    if (fits(lb_arg(a, LB_ATTENTION_K)->dtype, two) && (!v || fits(v->dtype, two))) return rows_fit(a, why);
    *why = two ? "takes caches of bf16, f8e4m3 and f16, whose values one or two bf16 hold exactly"
               : "takes caches of bf16 and f8e4m3, whose values bf16 holds exactly";
    return false;
}

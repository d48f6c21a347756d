/* attention_bf16_pack.h: 64 rows of a cache of bf16 or f8e4m3 in the forms that products of pairs of bf16 want;
 * included by kernels of the template of flash.h, after it. */
#pragma once
#include "f8_bf16.h"
#include "transpose16.h"

#define UNROLL _Pragma("GCC unroll 16")

/* ---- 32 values of a row as bf16 ---- */

static inline __mmask32 first32(int64_t n) { return (__mmask32)(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0); }

/* The values of `some` from p, the rest 0. */
static inline __attribute__((always_inline)) __m512i load32(lb_dtype type, const tables *t, const char *p,
                                                            __mmask32 some) {
    if (type == LB_BF16) return _mm512_maskz_loadu_epi16(some, p);
    __m512i x = _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(some, p)), high, low;
    x = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x); /* lane i gets bytes 8i .. 8i + 7 */
    f8_bytes(x, t, &high, &low);
    return _mm512_unpacklo_epi8(low, high);
}

/* ---- packing ---- */

/* Whole runs of 32 values are apart from the last: their mask is known, so there is none. */
#define BY_32(CALL, type, n)                                      \
    do {                                                          \
        int64_t whole = (n) / 32 * 32;                            \
        CALL(type, row, 0, whole, ~0u, to);                       \
        if (whole < (n)) CALL(type, row, whole, n, first32((n) - whole), to); \
    } while (0)

/* Where 16 positions' pair of dimensions stands, and 16 values' pair of positions, of a block. PACKED_BY_TILES: in
 * tiles of 16 pairs, each in one piece: [32 dimensions][16 positions] of them, and [32 positions][16 values]. */
#ifdef PACKED_BY_TILES
static inline int64_t key_at(int64_t pair, int64_t position) {
    return (pair / 16 * 4 + position / 16) * 256 + pair % 16 * 16;
}
static inline int64_t value_at(int64_t pair, int64_t value, int64_t vpad) {
    return pair / 16 * 16 * vpad + value / 16 * 256 + pair % 16 * 16;
}
#else
static inline int64_t key_at(int64_t pair, int64_t position) { return pair * BLOCK + position; }
static inline int64_t value_at(int64_t pair, int64_t value, int64_t vpad) { return pair * vpad + value; }
#endif

static inline __attribute__((always_inline)) void keys_of(lb_dtype type, const char *const *row, int64_t from,
                                                          int64_t to,
                                                          __mmask32 some, uint32_t *k) {
    tables tab = tables_of();
    int64_t size = type == LB_BF16 ? 2 : 1;
    for (int64_t d = from; d < to; d += 32) {
        for (int64_t i = 0; i < BLOCK; i += 16) {
            __m512i r[16];
            UNROLL for (int j = 0; j < 16; j++) r[j] = load32(type, &tab, row[i + j] + d * size, some);
            transpose16(r);
            UNROLL for (int j = 0; j < 16; j++) _mm512_store_si512(k + key_at(d / 2 + j, i), r[j]);
        }
    }
}

static void pack_keys(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
    if (t->k.dtype == LB_BF16) BY_32(keys_of, LB_BF16, t->dim);
    else BY_32(keys_of, LB_F8E4M3, t->dim);
}

/* Two rows interleaved. */
static inline __attribute__((always_inline)) void values_of(lb_dtype type, const char *const *row, int64_t from,
                                                            int64_t to,
                                                            __mmask32 some, uint32_t *v, int64_t vpad) {
    tables tab = tables_of();
    int64_t size = type == LB_BF16 ? 2 : 1;
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5,
                                           36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    for (int64_t i = 0; i < BLOCK; i += 2) {
        const char *a = row[i], *b = row[i + 1];
        for (int64_t d = from; d < to; d += 32) {
            __m512i x = load32(type, &tab, a + d * size, some), y = load32(type, &tab, b + d * size, some);
            _mm512_store_si512(v + value_at(i / 2, d, vpad), _mm512_permutex2var_epi16(x, first, y));
            if (d + 16 < vpad)
                _mm512_store_si512(v + value_at(i / 2, d + 16, vpad), _mm512_permutex2var_epi16(x, second, y));
        }
    }
}

static void pack_values(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
#define VALUES(type, row, from, end, some, to) values_of(type, row, from, end, some, to, t->vpad)
    if (t->v.dtype == LB_BF16) BY_32(VALUES, LB_BF16, t->values);
    else BY_32(VALUES, LB_F8E4M3, t->values);
}

/* Types whose values bf16 holds exactly. */
static bool exact(lb_dtype t) { return t == LB_BF16 || t == LB_F8E4M3; }

static bool caches_exact(const lb_args *a, const char **why) {
    const lb_tensor *v = lb_arg(a, LB_ATTENTION_V);
    if (exact(lb_arg(a, LB_ATTENTION_K)->dtype) && (!v || exact(v->dtype))) return rows_fit(a, why);
    *why = "takes caches of bf16 and f8e4m3, whose values bf16 holds exactly";
    return false;
}

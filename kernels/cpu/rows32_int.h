/* rows32_int.h: what the kernels of weight-only integer formats with groups share: codes of 1 to 8 bits to bf16
 * (exact), a scale and a zero a group, vdpbf16ps with f32 sums, panels of 32 rows; with AMX codes, or in groups of 32
 * and 64 values as two bf16, for gemm_tiles.h, in other bits.
 *
 * w = level * s + z; the level is code - 2^(bits - 1); with 7 bits code + 128, with 8 the code. Sums of a group start
 * at zero and are scaled onto the total in f32, in the order of K; after every INT_LATER groups their zeros meet the
 * sums of the activations. No step depends on the number of columns, so a row's result has the same bits in every
 * batch. */
#pragma once
#include "rows32_float.h"
#include "rows32_int_pack.h"

enum { INT_LATER = 64, INT_ZERO_COLS = 7, INT_AHEAD = 8192 };

#define INT_1(c) FLOAT_INTEGER(((c) & 1) - 1)
#define INT_2(c) FLOAT_INTEGER(((c) & 3) - 2)
#define INT_3(c) FLOAT_INTEGER(((c) & 7) - 4)
#define INT_4(c) FLOAT_INTEGER(((c) & 15) - 8)
#define INT_5(c) FLOAT_INTEGER(((c) & 31) - 16)
#define INT_6(c) FLOAT_INTEGER(((c) & 63) - 32)
/* Levels by the low bits of what they are looked up with. */
static const uint16_t int_levels[7][64] __attribute__((aligned(64))) = { { 0 },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_1, 0) },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_2, 0) },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_3, 0) },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_4, 0) },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_5, 0) },
                                                                         { FLOAT_64(FLOAT_WHOLE, INT_6, 0) } };

/* Scales and zeros of rows 0..15 (half 0) or 16..31 of the group at `p`. */
LB_INLINE void int_head(const int_format f, const uint8_t *p, int half, __m512 *s, __m512 *z) {
    __m512i pair = _mm512_load_si512(p + 64 * half);
    if (f.head == INT_F16) {
        *s = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair));
        __m512 point = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pair, 16)));
        *z = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(int_offset(f)), point), *s);
    } else if (f.head == INT_BF16) {
        *s = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
        *z = _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000)));
    } else {
        *s = _mm512_castsi512_ps(pair);
        *z = _mm512_load_ps((const float *)(const void *)p + 32 + 16 * half);
    }
}

/* The 16 pair vectors of 16 rows of the run at `p`. */
LB_INLINE void int_decode(const int_format f, const uint8_t *p, __m512i w[16]) {
    const __m512i low = _mm512_load_si512(int_levels[f.bits < 7 ? f.bits : 0]);
    const __m512i high = _mm512_load_si512(int_levels[f.bits < 7 ? f.bits : 0] + 32);
    __m512i v[8];
    LB_UNROLL for (int i = 0; i < f.bits; i++) v[i] = _mm512_load_si512(p + 64 * i);
    LB_UNROLL for (int i = 0; i < 16; i++) {
        int at = i * f.bits, from = at % 16;
        __m512i x = from ? _mm512_srli_epi16(v[at / 16], (unsigned)from) : v[at / 16];
        if (from + f.bits > 16) x = _mm512_or_si512(x, _mm512_slli_epi16(v[at / 16 + 1], (unsigned)(16 - from)));
        if (f.bits <= 5) {
            w[i] = _mm512_permutexvar_epi16(x, low);
        } else if (f.bits == 6) {
            w[i] = _mm512_permutex2var_epi16(low, x, high);
        } else if (f.bits == 7) { /* 128 + code: a bf16's mantissa has seven bits */
            w[i] = _mm512_ternarylogic_epi32(x, _mm512_set1_epi16(0x7f), _mm512_set1_epi16(0x4300), 0xea);
        } else {
            const __m512i byte = _mm512_set1_epi32(255);
            __m512i even = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_and_si512(x, byte)));
            __m512i odd = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, 16), byte)));
            w[i] = _mm512_or_si512(_mm512_srli_epi32(even, 16), odd); /* 8 bits: the low halves are zero */
        }
    }
}

#if defined(LB_BF16_PANEL)
#include "rows32_int_panel.h"
#elif defined(LB_ONE_ROW)
#include "rows32_int_row.h"
#elif defined(__AMX_TILE__)
/* ---- tiles: weights with their scales and zeros, as two bf16 ---- */

/* tiles_format.expand of a width; a chunk holds whole groups. */
LB_INLINE const void *int_pairs(const int_format f, const lb_quantizer *q, const uint8_t *panel, int64_t at,
                                int64_t some, tiles_pairs *to) {
    const uint8_t *p = panel + (size_t)(at / q->group) * int_group_bytes(f, q->group);
    for (int64_t k = 0; k < some; k += q->group) {
        __m512 s[2], z[2];
        LB_UNROLL for (int h = 0; h < 2; h++) int_head(f, p, h, &s[h], &z[h]);
        p += int_head_bytes(f);
        for (int64_t run = k / 32; run < (k + q->group) / 32; run++)
            LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) {
                __m512i w[16];
                int_decode(f, p, w);
                LB_UNROLL for (int j = 0; j < 16; j++)
                    tiles_split(_mm512_fmadd_ps(tiles_even(w[j]), s[h], z[h]),
                                _mm512_fmadd_ps(tiles_odd(w[j]), s[h], z[h]), &to->w[16 * run + j][h],
                                &to->w[TILES_PAIRS / 2 + 16 * run + j][h]);
            }
    }
    return p;
}

/* tiles_format.expand_groups of a width. */
LB_INLINE const void *int_codes(const int_format f, const lb_quantizer *q, const uint8_t *panel, int64_t at,
                                int64_t some, tiles_pairs *to, tiles_group *groups) {
    const uint8_t *p = panel + (size_t)(at / q->group) * int_group_bytes(f, q->group);
    for (int64_t k = 0; k < some; k += q->group, groups++) {
        LB_UNROLL for (int h = 0; h < 2; h++) int_head(f, p, h, &groups->scale[h], &groups->zero[h]);
        p += int_head_bytes(f);
        for (int64_t run = k / 32; run < (k + q->group) / 32; run++)
            LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) {
                __m512i w[16];
                int_decode(f, p, w);
                LB_UNROLL for (int j = 0; j < 16; j++) to->w[16 * run + j][h] = w[j];
            }
    }
    return p;
}

/* A function for each width; with `groups` those of int_codes. */
#define INT_RUN(b, its_head)                                                                                         \
    static __attribute__((noinline)) const void *run_##b(const lb_quantizer *q, const uint8_t *panel, int64_t at,    \
                                                         int64_t some, tiles_pairs *to, tiles_group *groups) {       \
        return groups ? int_codes(((int_format){ b, its_head }), q, panel, at, some, to, groups)                     \
                      : int_pairs(((int_format){ b, its_head }), q, panel, at, some, to);                            \
    }
typedef const void *(*int_run_fn)(const lb_quantizer *, const uint8_t *, int64_t, int64_t, tiles_pairs *,
                                  tiles_group *);
#define INT_DEFINE_RUN                                                                                               \
    static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,      \
                              int64_t some, tiles_pairs *to) {                                                       \
        (void)rows, (void)k;                                                                                         \
        return runs[q->bits](q, panel, at, some, to, NULL);                                                          \
    }                                                                                                                \
    static const void *expand_groups(const lb_quantizer *q, const uint8_t *panel, int64_t at, int64_t some,          \
                                     tiles_pairs *to, tiles_group *groups) {                                         \
        return runs[q->bits](q, panel, at, some, to, groups);                                                        \
    }
#define INT_DEFINE_PANELS
#undef LB_ROWS32_TILES
#define LB_ROWS32_TILES .terms = 2, .act_scaled = false, .expand_groups = expand_groups
#define INT_PANELS
#define INT_WITH(how)                                                                                                \
    "tdpbf16ps on tiles of bf16 activations, sums of 32 x 32; groups of 32 and 64 are multiplied by their scales "   \
    "before; " how
#undef LB_FLOAT_BOUND
#define LB_FLOAT_BOUND                                                                                               \
    .tolerance = 1e-9,                                                                                               \
    .tolerance_why = "groups of 32 and 64: weights are two bf16, which hold 16 bits of code times scale: NMSE of "   \
                     "about 2e-11; larger ones: codes are exact in bf16 and products in f32, tdpbf16ps rounds each " \
                     "sum and flushes subnormals, codes with a zero are multiplied before it is taken off, which "   \
                     "cancels where activations have one sign"
#else
/* The sums of activations of groups from `first` on of column c. */
LB_INLINE const float *int_act_sums(const void *act, size_t stride, int64_t k, int64_t group, int64_t first, int c) {
    return (const float *)(const void *)float_act(act, stride, k, c) + lb_act_bf16_sums_at(k, group) + first;
}
/* The groups whose zeros come later together, up to the one that is `next`, or 0. */
LB_INLINE int int_groups_due(int64_t next, int64_t group, int64_t k) {
    int64_t some = next % INT_LATER ? next % INT_LATER : next ? INT_LATER : 0;
    return some == INT_LATER || next * group == k ? (int)some : 0;
}

/* ---- few columns: every weight byte is read once, codes stay in registers ---- */

/* total += the sums of `together` groups times their scales; their zeros are kept for later. Groups side by side,
 * because the products of one are one chain, each step of which takes 6 cycles. */
LB_INLINE void int_few_groups(const int_format f, const uint8_t *p, const void *act, size_t stride, int64_t at,
                              int64_t group, __m512 total[2][FLOAT_GEMV_COLS], __m512 zeros[][2], const int together,
                              const int cols) {
    __m512 sum[2][2][FLOAT_GEMV_COLS];
    size_t bytes = int_group_bytes(f, group);
    LB_UNROLL for (int g = 0; g < together; g++)
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) sum[g][h][c] = _mm512_setzero_ps();
    const uint8_t *run = p + int_head_bytes(f);
    const size_t lines = (size_t)together * bytes / 64, runs = (size_t)group / 32;
    for (size_t i = 0; i < runs; i++, run += 2 * int_run_bytes(f)) {
        for (size_t l = lines * i / runs; l < lines * (i + 1) / runs; l++) /* in the order of addresses */
            _mm_prefetch((const char *)p + INT_AHEAD + 64 * l, _MM_HINT_T0);
        LB_UNROLL for (int g = 0; g < together; g++)
            LB_UNROLL for (int h = 0; h < 2; h++) {
                __m512i w[16];
                int_decode(f, run + (size_t)g * bytes + (size_t)h * int_run_bytes(f), w);
                const int64_t k = at + g * group + 32 * (int64_t)i;
                LB_UNROLL for (int j = 0; j < 16; j++)
                    LB_UNROLL for (int c = 0; c < cols; c++)
                        sum[g][h][c] = float_dot2(sum[g][h][c], w[j], float_act(act, stride, k, c) + 2 * j);
            }
    }
    LB_UNROLL for (int g = 0; g < together; g++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512 s;
            int_head(f, p + (size_t)g * bytes, h, &s, &zeros[g][h]);
            LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_fmadd_ps(sum[g][h][c], s, total[h][c]);
        }
}

LB_INLINE void int_few(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                       int64_t k, float *out, int64_t out_stride, const int cols) {
    __m512 total[2][FLOAT_GEMV_COLS], zeros[INT_LATER][2];
    size_t bytes = int_group_bytes(f, q->group);
    int64_t groups = k / q->group, some;
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups; g += some, panel += (size_t)some * bytes) {
        some = cols <= 2 && q->group > 32 && g + 1 < groups ? 2 : 1; /* INT_LATER is even */
        if (some == 2)
            int_few_groups(f, panel, act, stride, g * q->group, q->group, total, zeros + g % INT_LATER, 2, cols);
        else
            int_few_groups(f, panel, act, stride, g * q->group, q->group, total, zeros + g % INT_LATER, 1, cols);
        int due = int_groups_due(g + some, q->group, k);
        for (int i = 0; i < due; i++)
            LB_UNROLL for (int c = 0; c < cols; c++) {
                __m512 sum = _mm512_set1_ps(int_act_sums(act, stride, k, q->group, g + some - due, c)[i]);
                LB_UNROLL for (int h = 0; h < 2; h++) total[h][c] = _mm512_fmadd_ps(zeros[i][h], sum, total[h][c]);
            }
    }
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride + 16 * h, total[h][c]);
}

/* ---- many columns: 32 x 256 are expanded to bf16 in L1 once and meet all of them ---- */

LB_INLINE void int_expand(const int_format f, const uint8_t *p, int64_t group, int64_t groups, float_expanded *e,
                          __m512 zeros[][2]) {
    for (int64_t i = 0; i < groups; i++) {
        LB_UNROLL for (int h = 0; h < 2; h++) int_head(f, p, h, &e->scale[i][h], &zeros[i][h]);
        p += int_head_bytes(f);
        for (int64_t run = i * group / 32; run < (i + 1) * group / 32; run++)
            LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) {
                __m512i w[16];
                int_decode(f, p, w);
                LB_UNROLL for (int j = 0; j < 16; j++) e->w[16 * run + j][h] = w[j];
            }
    }
}

/* acc[cols][32] += zeros times sums, the latter from a column's `sums` on; `stride` in bytes. */
LB_INLINE void int_zero_tile(__m512 zeros[][2], int groups, const float *sums, size_t stride, float *acc,
                             const int cols) {
    __m512 total[INT_ZERO_COLS][2];
    LB_UNROLL for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) total[c][h] = _mm512_load_ps(acc + FLOAT_ROWS * c + 16 * h);
    for (int i = 0; i < groups; i++)
        LB_UNROLL for (int c = 0; c < cols; c++) {
            __m512 sum = _mm512_set1_ps(*(const float *)(const void *)((const char *)(sums + i) + (size_t)c * stride));
            LB_UNROLL for (int h = 0; h < 2; h++) total[c][h] = _mm512_fmadd_ps(zeros[i][h], sum, total[c][h]);
        }
    LB_UNROLL for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) _mm512_store_ps(acc + FLOAT_ROWS * c + 16 * h, total[c][h]);
}

/* Seven columns and what is left together: single ones would wait for each sum before the next. */
static __attribute__((noinline)) void int_add_zeros(__m512 zeros[][2], int groups, const float *sums, size_t stride,
                                                    int cols, float *acc) {
    for (int c = 0; c < cols; c += INT_ZERO_COLS) {
        const float *of = (const float *)(const void *)((const char *)sums + (size_t)c * stride);
        float *to = acc + FLOAT_ROWS * c;
        switch (cols - c) {
        case 1: int_zero_tile(zeros, groups, of, stride, to, 1); break;
        case 2: int_zero_tile(zeros, groups, of, stride, to, 2); break;
        case 3: int_zero_tile(zeros, groups, of, stride, to, 3); break;
        case 4: int_zero_tile(zeros, groups, of, stride, to, 4); break;
        case 5: int_zero_tile(zeros, groups, of, stride, to, 5); break;
        case 6: int_zero_tile(zeros, groups, of, stride, to, 6); break;
        default: int_zero_tile(zeros, groups, of, stride, to, INT_ZERO_COLS);
        }
    }
}

/* `panels`, a constant: 1, or 2 that stand one behind the other; they take turns, half a chunk each (both fit L1), so
 * that a tile's activations come from L2 or L3 once for both. A chunk holds whole groups. */
LB_INLINE void int_many(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                        int64_t k, int cols, float *out, int64_t out_stride, const int panels) {
    float *acc[2];
    float_expanded e[2];
    __m512 zeros[2][INT_LATER][2];
    for (int p = 0; p < panels; p++)
        memset(acc[p] = lb_panel_sums_take(cols), 0, (size_t)cols * FLOAT_ROWS * sizeof **acc);
    const int most = FLOAT_TILE_COLS(q->group), count = (cols + most - 1) / most, chunk = FLOAT_CHUNK / panels;
    const size_t bytes = int_group_bytes(f, q->group), each = (size_t)(k / q->group) * bytes;
    for (int64_t at = 0; at == 0 || at < k; at += chunk) {
        int64_t some = k - at < chunk ? k - at : chunk, groups = some / q->group, end = at / q->group + groups;
        int due = int_groups_due(end, q->group, k);
        for (int p = 0; p < panels; p++)
            int_expand(f, panel + (size_t)p * each, q->group, groups, &e[p], zeros[p] + at / q->group % INT_LATER);
        panel += (size_t)groups * bytes; /* what is expanded next is prefetched between the tiles */
        const char *next = (const char *)panel + (at + some == k ? (size_t)(panels - 1) * each : 0);
        int lines = (int)((size_t)groups * bytes / 64);
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            const uint16_t *from = float_act(act, stride, at, c0);
            const uint16_t *then = c1 < cols ? float_act(act, stride, at, c1) : float_act(act, stride, at + some, 0);
            const float *sums = int_act_sums(act, stride, k, q->group, end - due, c0);
            for (int p = 0; p < panels; p++) {
                float *to = out + c0 * out_stride + FLOAT_ROWS * p, *total = acc[p] + FLOAT_ROWS * c0;
                for (int l = lines * i / count; l < lines * (i + 1) / count; l++)
                    _mm_prefetch(next + (size_t)p * each + 64 * l, _MM_HINT_T0);
                if (at + some == k) t32_results_soon(to, out_stride, c1 - c0);
                float_meet_at((int)q->group, &e[p], from, then, stride, some, c1 - c0, total);
                if (due) int_add_zeros(zeros[p], due, sums, stride, c1 - c0, total);
                for (int c = 0; c < c1 - c0 && at + some == k;
                     c++) /* tile by tile: misses hide behind the next one's work */
                    memcpy(to + c * out_stride, total + FLOAT_ROWS * c, FLOAT_ROWS * sizeof *out);
            }
        }
    }
    for (int p = panels; p-- > 0;) lb_panel_sums_give(acc[p], cols);
}

/* One panel, or with `panels` 2 two that stand one behind the other. */
LB_INLINE void int_run(const int_format f, const int panels, const lb_quantizer *q, const void *panel, const void *act,
                       size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    if (panels == 2 && cols > FLOAT_GEMV_COLS && q->group <= FLOAT_CHUNK / 2) {
        int_many(f, q, panel, act, stride, k, cols, out, out_stride, 2);
        return;
    }
    for (int p = 0; p < panels;
         p++, panel = (const char *)panel + (size_t)(k / q->group) * int_group_bytes(f, q->group)) {
        float *to = out + FLOAT_ROWS * p;
        switch (cols) {
        case 1: int_few(f, q, panel, act, stride, k, to, out_stride, 1); break;
        case 2: int_few(f, q, panel, act, stride, k, to, out_stride, 2); break;
        case 3: int_few(f, q, panel, act, stride, k, to, out_stride, 3); break;
        case 4: int_few(f, q, panel, act, stride, k, to, out_stride, 4); break;
        default: int_many(f, q, panel, act, stride, k, cols, to, out_stride, 1);
        }
    }
}

#define INT_PANELS &panels_ops
#define INT_DEFINE_PANELS                                                                                            \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)step;                                                                                                  \
        runs[q->bits](count, q, panels, act, stride, k, cols, out, out_stride);                                      \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = 2, .run = run_panels };
#define INT_WITH(how) "vdpbf16ps with bf16 activations in " how
#endif
#if !defined(LB_ONE_ROW)
#define INT_ACT lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16
#endif
/* INT_CENTRED is defined before by a format whose zero is none or the middle of its codes, so that nothing cancels. */
#if !defined(INT_CENTRED) && (!defined(__AMX_TILE__) || defined(LB_BF16_PANEL))
#undef LB_FLOAT_BOUND
#define LB_FLOAT_BOUND                                                                                               \
    .tolerance = 1e-9,                                                                                               \
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32, whose sums are rounded: NMSE of about "   \
                     "1e-13; codes with a zero are multiplied before it is taken off, which cancels where "          \
                     "activations have one sign: up to 1.4e-10 was seen"
#endif
#ifdef LB_ONE_ROW
#define LB_INT_KERNEL LB_ROWS32_KERNEL, DIGITS_KERNEL, INT_ROW_BOUND, .supports = int_row_supports
#else
#define LB_INT_KERNEL LB_FLOAT_KERNEL, .act = LB_ACT_BF16
#endif

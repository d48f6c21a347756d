/* rows32_float.h: what the kernels of formats with floating-point codes share: codes to bf16 (exact) by tables,
 * vdpbf16ps with f32 sums, panels of 32 rows; with AMX what gemm_tiles.h multiplies instead (tiles_float.h), in other
 * bits.
 *
 * Sums start at zero for every span (as far as a scale reaches, at most FLOAT_CHUNK) and are then scaled onto the total
 * in f32, in the order of K. No step depends on the number of columns, so a row's result has the same bits in every
 * batch. */
#pragma once
#include "act_bf16_avx512.h"
#include "act_f8_avx512.h"
#include "rows32.h"
#include "rows32_float_pack.h"
#include "tile32x7.h"

enum { FLOAT_CHUNK = 256, FLOAT_GEMV_COLS = 4, FLOAT_AHEAD = 7168,
       FLOAT_SHORT = 32 /* spans up to here: totals stay in registers, 7 columns a tile */ };

/* A code as bf16. Eight bits: the seven below the sign, low and high bytes apart; six or four: whole. */
typedef struct float_table {
    uint8_t low[128], high[128];
    uint16_t whole[64];      /* 4 bits: twice 16 */
} float_table;

/* bf16 of a code without sign: `m` bits of mantissa, `bias`. */
#define FLOAT_LOG2(c) ((c) >= 4 ? 2 : (c) >= 2 ? 1 : 0)
#define FLOAT_SMALL(c, m, bias)                                                                                      \
    ((c) ? (128 - (bias) - (m) + FLOAT_LOG2(c)) << 7 | (((c) << (7 - FLOAT_LOG2(c))) & 127) : 0)
#define FLOAT_BF16(c, m, bias)                                                                                       \
    ((c) < 1 << (m) ? FLOAT_SMALL((c) & 7, m, bias) : ((c) + ((127 - (bias)) << (m))) << (7 - (m)))
#define FLOAT_E4M3(c) ((c) == 0x7f ? 0x7fc0 : FLOAT_BF16(c, 3, 7))
#define FLOAT_E5M2(c) ((c) > 0x7c ? 0x7fc0 : (c) == 0x7c ? 0x7f80 : FLOAT_BF16(c, 2, 15))
#define FLOAT_E2M3(c) (FLOAT_BF16((c) & 31, 3, 1) | ((c) & 32) << 10)
#define FLOAT_E3M2(c) (FLOAT_BF16((c) & 31, 2, 3) | ((c) & 32) << 10)
#define FLOAT_E2M1(c) (FLOAT_BF16((c) & 7, 1, 1) | ((c) & 8) << 12)
/* Integers up to 127, of either sign. */
#define FLOAT_ABS(v) ((v) < 0 ? -(v) : (v))
#define FLOAT_LOG2_7(v) \
    ((v) >= 64 ? 6 : (v) >= 32 ? 5 : (v) >= 16 ? 4 : (v) >= 8 ? 3 : (v) >= 4 ? 2 : (v) >= 2 ? 1 : 0)
#define FLOAT_INTEGER(v)                                                                                             \
    ((v) ? ((v) < 0 ? 0x8000 : 0) | (127 + FLOAT_LOG2_7(FLOAT_ABS(v))) << 7 |                                        \
               ((FLOAT_ABS(v) << (7 - FLOAT_LOG2_7(FLOAT_ABS(v)))) & 127)                                            \
         : 0)
#define FLOAT_LOW(of, c) (of(c)) & 255
#define FLOAT_HIGH(of, c) (of(c)) >> 8
#define FLOAT_WHOLE(of, c) of(c)
#define FLOAT_8(X, of, c)                                                                                            \
    X(of, (c)), X(of, (c) + 1), X(of, (c) + 2), X(of, (c) + 3), X(of, (c) + 4), X(of, (c) + 5), X(of, (c) + 6),      \
    X(of, (c) + 7)
#define FLOAT_16(X, of, c) FLOAT_8(X, of, c), FLOAT_8(X, of, (c) + 8)
#define FLOAT_64(X, of, c)                                                                                           \
    FLOAT_16(X, of, c), FLOAT_16(X, of, (c) + 16), FLOAT_16(X, of, (c) + 32), FLOAT_16(X, of, (c) + 48)
#define FLOAT_TABLE_8(of)                                                                                            \
    { .low = { FLOAT_64(FLOAT_LOW, of, 0), FLOAT_64(FLOAT_LOW, of, 64) },                                            \
      .high = { FLOAT_64(FLOAT_HIGH, of, 0), FLOAT_64(FLOAT_HIGH, of, 64) } }
#define FLOAT_TABLE_6(of) { .whole = { FLOAT_64(FLOAT_WHOLE, of, 0) } }
#define FLOAT_TABLE_4(of) { .whole = { FLOAT_16(FLOAT_WHOLE, of, 0), FLOAT_16(FLOAT_WHOLE, of, 0) } }

enum { FLOAT_ACT_PLAIN, FLOAT_ACT_ROW /* behind the row */, FLOAT_ACT_128 /* behind each span, which is 128 */ };

/* A format; the fields that are constants wherever it stands are known to the inlined functions below. */
typedef struct float_format {
    int bits;                /* 8, 6 or 4 */
    bool integer;            /* 8 bits are an integer */
    int span;                /* k that share a scale: 16, 32, 64, 128 */
    int act;                 /* FLOAT_ACT_*: scales that activations have of their own */
    size_t (*head_bytes)(const lb_quantizer *q, int64_t k); /* of a panel's scales, a multiple of 64 */
    /* Scales of span `i` for rows 0..15 (half 0) or 16..31. */
    __m512 (*scale)(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half);
} float_format;

LB_INLINE size_t float_run_bytes(const float_format f) { return float_half_bytes(f.bits); }
LB_INLINE size_t float_panel_bytes(const float_format f, const lb_quantizer *q, int64_t k) {
    return f.head_bytes(q, k) + (size_t)(lb_act_bf16_padded(k) / 32) * 2 * float_run_bytes(f);
}

/* The tables in registers. */
typedef struct float_regs { __m512i low[2], high[2], whole[2]; } float_regs;

LB_INLINE float_regs float_open(const float_format f, const float_table *t) {
    float_regs r = { 0 };
    LB_UNROLL for (int i = 0; i < 2; i++) {
        if (f.bits == 8)
            r.low[i] = _mm512_loadu_si512(t->low + 64 * i), r.high[i] = _mm512_loadu_si512(t->high + 64 * i);
        if (f.bits < 8) r.whole[i] = _mm512_loadu_si512(t->whole + (f.bits == 6 ? 32 * i : 0));
    }
    return r;
}

/* Pair vectors that come from one piece of codes, and the vectors in it. */
LB_INLINE int float_piece_pairs(const float_format f) { return f.bits == 8 ? 2 : f.bits == 6 ? 8 : 4; }
LB_INLINE int float_piece_vectors(const float_format f) { return f.bits == 6 ? 3 : 1; }

/* The pair vectors of the piece at `p`. */
LB_INLINE void float_decode(const float_format f, const float_regs *t, const uint8_t *p, __m512i *w) {
    __m512i v = _mm512_load_si512(p);
    if (f.bits == 8) {
        __m512i low = _mm512_permutex2var_epi8(t->low[0], v, t->low[1]);
        __m512i high = _mm512_permutex2var_epi8(t->high[0], v, t->high[1]);
        high = _mm512_ternarylogic_epi32(high, v, lb_bytes(0x80), 0xf8); /* high | (v & sign) */
        if (f.integer) high = _mm512_mask_mov_epi8(high, _mm512_cmpeq_epi8_mask(v, lb_bytes(0x80)), lb_bytes(0xc3));
        w[0] = _mm512_unpacklo_epi8(low, high);
        w[1] = _mm512_unpackhi_epi8(low, high);
    } else if (f.bits == 6) {
        __m512i v1 = _mm512_load_si512(p + 64), v2 = _mm512_load_si512(p + 128), code[8];
        code[0] = v;
        code[1] = _mm512_srli_epi16(v, 6);
        code[2] = _mm512_or_si512(_mm512_srli_epi16(v, 12), _mm512_slli_epi16(v1, 4));
        code[3] = _mm512_srli_epi16(v1, 2);
        code[4] = _mm512_srli_epi16(v1, 8);
        code[5] = _mm512_or_si512(_mm512_srli_epi16(v1, 14), _mm512_slli_epi16(v2, 2));
        code[6] = _mm512_srli_epi16(v2, 4);
        code[7] = _mm512_srli_epi16(v2, 10);
        LB_UNROLL for (int i = 0; i < 8; i++) /* looks at six bits of an index */
            w[i] = _mm512_permutex2var_epi16(t->whole[0], code[i], t->whole[1]);
    } else {
        LB_UNROLL for (int i = 0; i < 4; i++) /* looks at five bits of an index; the fifth is the next nibble's */
            w[i] = _mm512_permutexvar_epi16(_mm512_srli_epi16(v, (unsigned)(4 * i)), t->whole[0]);
    }
}

LB_INLINE __m512 float_dot2(__m512 acc, __m512i w, const uint16_t *a) {
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*(const lb_i32_any *)a));
    return acc;
}

/* Element k of column c. */
LB_INLINE const uint16_t *float_act(const void *act, size_t stride, int64_t k, int c) {
    return (const uint16_t *)(const void *)((const char *)act + (size_t)c * stride) + k;
}
/* The same in rows that the format's activations have. */
LB_INLINE const uint16_t *float_act_in(const float_format f, const void *act, size_t stride, int64_t k, int c) {
    return float_act(act, stride, f.act == FLOAT_ACT_128 ? k / 128 * (LB_ACT_F8_BLOCK_BYTES / 2) + k % 128 : k, c);
}

/* The scale of the span at k (128) or of the row (k the padded K). */
LB_INLINE __m512 float_act_scale(const float_format f, const void *act, size_t stride, int64_t k, int c) {
    const uint16_t *at = float_act_in(f, act, stride, k, c) + (f.act == FLOAT_ACT_128 ? 128 : 0);
    return _mm512_set1_ps(*(const float *)(const void *)at);
}

/* Asks for the `lines` lines FLOAT_AHEAD behind `p` by one instruction in a loop, whose number of rounds gcc does not
 * know: Zen 5's prefetchers seem to follow each prefetch by itself, too, and where lines are read from two places one
 * for each line, unrolled, leaves 70 % of a plain read, one in a loop 99 (tests/bench/read_order.lua). */
LB_INLINE void float_ask(const uint8_t *p, int lines) {
    const uint8_t *end = p + 64 * lines;
    __asm__("" : "+r"(end));
    _Pragma("GCC unroll 1") for (; p < end; p += 64) lb_ask(p, FLOAT_AHEAD);
}

#if !defined(__AMX_TILE__)
/* ---- few columns: every weight byte is read once, codes stay in registers ---- */

/* sum[2][cols] += the products of `pairs` pairs (at most a run) from k on. */
LB_INLINE void float_few_pairs(const float_format f, const float_regs *t, const uint8_t *from, const void *act,
                               size_t stride, int64_t k, int pairs, __m512 sum[2][FLOAT_GEMV_COLS], const int cols) {
    const int each = float_piece_pairs(f);
    LB_UNROLL for (int half = 0; half < 2; half++) {
        const uint8_t *p = from + (size_t)half * float_run_bytes(f);
        LB_UNROLL for (int i = 0; i < pairs; i += each, p += 64 * float_piece_vectors(f)) {
            __m512i w[8];
            float_decode(f, t, p, w);
            LB_UNROLL for (int j = 0; j < each; j++)
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[half][c] = float_dot2(sum[half][c], w[j], float_act_in(f, act, stride, k, c) + 2 * (i + j));
        }
    }
}

/* One span, of which there are `some` k. */
LB_INLINE void float_few_span(const float_format f, const float_regs *t, const uint8_t *codes, const void *act,
                              size_t stride, int64_t k, int64_t some, __m512 sum[2][FLOAT_GEMV_COLS], const int cols) {
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int c = 0; c < cols; c++) sum[half][c] = _mm512_setzero_ps();
    const size_t bytes = 2 * float_run_bytes(f);
    if (f.span < 32) { /* half a run */
        const uint8_t *run = codes + (size_t)(k / 32) * bytes, half = (uint8_t)(k % 32 / 16);
        float_ask(run + half * bytes / 2, (int)bytes / 128);
        float_few_pairs(f, t, run + half * bytes / 4, act, stride, k, 8, sum, cols);
        return;
    }
    for (int64_t i = k; i < k + some; i += 32) {
        const uint8_t *run = codes + (size_t)(i / 32) * bytes;
        float_ask(run, (int)bytes / 64);
        float_few_pairs(f, t, run, act, stride, i, 16, sum, cols);
    }
}

LB_INLINE void float_few(const float_format f, const float_table *table, const lb_quantizer *q, const uint8_t *panel,
                         const void *act, size_t stride, int64_t k, float *out, int64_t out_stride, const int cols) {
    const float_regs t = float_open(f, table);
    const uint8_t *codes = panel + f.head_bytes(q, k);
    int64_t padded = lb_act_bf16_padded(k);
    __m512 total[2][FLOAT_GEMV_COLS];
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[half][c] = _mm512_setzero_ps();
    for (int64_t i = 0; i * f.span < padded; i++) {
        __m512 sum[2][FLOAT_GEMV_COLS];
        int64_t at = i * f.span, some = padded - at < f.span ? padded - at : f.span;
        float_few_span(f, &t, codes, act, stride, at, some, sum, cols);
        LB_UNROLL for (int half = 0; half < 2; half++) {
            __m512 scale = f.scale(q, panel, k, i, half);
            LB_UNROLL for (int c = 0; c < cols; c++) {
                __m512 both = scale;
                if (f.act == FLOAT_ACT_128) both = _mm512_mul_ps(scale, float_act_scale(f, act, stride, at, c));
                total[half][c] = _mm512_fmadd_ps(sum[half][c], both, total[half][c]);
            }
        }
    }
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int c = 0; c < cols; c++) {
            __m512 t = total[half][c];
            if (f.act == FLOAT_ACT_ROW) t = _mm512_mul_ps(t, float_act_scale(f, act, stride, padded, c));
            _mm512_storeu_ps(out + c * out_stride + 16 * half, t);
        }
}

/* ---- many columns: 32 x 256 are expanded to bf16 in L1 once and meet all of them ---- */

/* acc[col][32] += for each span its sums times its two vectors of scales (and the activations'); a span is `steps`
 * times 8 k. A file that defines FLOAT_SPAN_SCALES has activations with FLOAT_ACT_128. */
#ifdef FLOAT_SPAN_SCALES
#define FLOAT_CLOSE(n)                                                                                               \
    T32_##n(T32_ADD_TIMES, 0) "add $64, %[a]\n\tadd $64, %[b]\n\tadd $64, %[c]\n\tadd $64, %[d]\n\t"
#else
#define FLOAT_CLOSE(n) T32_##n(T32_ADD, )
#endif
#define FLOAT_TILE(n)                                                                                                \
    static __attribute__((noinline)) void float_tile_##n(const void *w, const uint16_t *a, size_t s, int64_t spans,  \
                                                         int64_t steps, const float *scales, float *acc,             \
                                                         ptrdiff_t far) {                                            \
        const char *b = (const char *)a + 3 * s, *c = (const char *)a + 6 * s, *d = (const char *)a + 9 * s;         \
        int64_t i;                                                                                                   \
        __asm__ volatile("2:\n\t" T32_##n(T32_ZERO, ) "mov %[steps], %[i]\n\t.p2align 5\n"                           \
                         "1:\n\t" T32_ASK_##n T32_FOUR_STEPS(n, "vdpbf16ps") "dec %[i]\n\tjnz 1b\n\t"                \
                         "vmovaps (%[scales]), %%zmm30\n\tvmovaps 64(%[scales]), %%zmm31\n\t" FLOAT_CLOSE(n)         \
                         "add $128, %[scales]\n\tdec %[spans]\n\tjnz 2b\n\t"                                         \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [i] "=&r"(i),            \
                           [spans] "+r"(spans), [scales] "+r"(scales)                                                \
                         : [s] "r"(s), [steps] "rm"(steps), [acc] "r"(acc), [far] "r"(far),                          \
                           [far1] "r"(far + (ptrdiff_t)s), [far2] "r"(far + 2 * (ptrdiff_t)s)                        \
                         : T32_CLOBBERS);                                                                            \
    }
T32_EACH(FLOAT_TILE)
typedef void (*float_tile_fn)(const void *, const uint16_t *, size_t, int64_t, int64_t, const float *, float *,
                              ptrdiff_t);
static const float_tile_fn float_tiles[] = { NULL, float_tile_1, float_tile_2, float_tile_3, float_tile_4, float_tile_5,
                                             float_tile_6, float_tile_7, float_tile_8, float_tile_9, float_tile_10,
                                             float_tile_11, float_tile_12 };

#ifndef FLOAT_SPAN_SCALES
/* The same steps where scales are so frequent that adding to acc would take a tenth of the time. */
#define FLOAT_SHORT_TILE(n)                                                                                          \
    static __attribute__((noinline)) void float_short_tile_##n(const void *w, const uint16_t *a, size_t s,           \
                                                               int64_t spans, int64_t steps, const float *scales,    \
                                                               float *acc, ptrdiff_t far) {                          \
        const char *b = (const char *)a + 3 * s, *c = (const char *)a + 6 * s;                                       \
        int64_t i;                                                                                                   \
        __asm__ volatile(T7_##n(T6_OPEN, ) "2:\n\t" T7_##n(T6_ZERO, ) "mov %[steps], %[i]\n\t.p2align 5\n"           \
                         "1:\n\t" T32_ASK_##n T7_FOUR_STEPS(n, "vdpbf16ps") "dec %[i]\n\tjnz 1b\n\t"               \
                         T6_SCALES T7_##n(T6_ADD, ) "add $128, %[scales]\n\tdec %[spans]\n\tjnz 2b\n\t"            \
                         T7_##n(T6_KEEP, )                                                                           \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [i] "=&r"(i), [spans] "+r"(spans),    \
                           [scales] "+r"(scales)                                                                     \
                         : [s] "r"(s), [steps] "rm"(steps), [acc] "r"(acc), [far] "r"(far),                          \
                           [far1] "r"(far + (ptrdiff_t)s), [far2] "r"(far + 2 * (ptrdiff_t)s)                        \
                         : T32_CLOBBERS);                                                                            \
    }
T7_EACH(FLOAT_SHORT_TILE)
static const float_tile_fn float_short_tiles[] = { NULL, float_short_tile_1, float_short_tile_2, float_short_tile_3,
                                                   float_short_tile_4, float_short_tile_5, float_short_tile_6,
                                                   float_short_tile_7 };
#define FLOAT_TILES(span) ((span) <= FLOAT_SHORT ? float_short_tiles : float_tiles)
#define FLOAT_TILE_COLS(span) ((span) <= FLOAT_SHORT ? (int)TILE7_COLS : (int)TILE32_COLS)
#else
#define FLOAT_TILES(span) float_tiles
#define FLOAT_TILE_COLS(span) TILE32_COLS
#endif

/* What the tiles read: pairs of pair vectors (rows 0..15, rows 16..31), scales of spans the same. */
typedef struct float_expanded {
    __m512i w[FLOAT_CHUNK / 2][2];
    __m512 scale[FLOAT_CHUNK / 16][2];
} float_expanded;

LB_INLINE void float_expand(const float_format f, const float_regs *t, const lb_quantizer *q, const uint8_t *panel,
                            int64_t k, int64_t at, int64_t some, float_expanded *e) {
    const int each = float_piece_pairs(f);
    const uint8_t *p = panel + f.head_bytes(q, k) + (size_t)(at / 32) * 2 * float_run_bytes(f);
    for (int64_t run = 0; run < some / 32; run++)
        LB_UNROLL for (int half = 0; half < 2; half++)
            LB_UNROLL for (int i = 0; i < 16; i += each, p += 64 * float_piece_vectors(f)) {
                __m512i w[8];
                float_decode(f, t, p, w);
                LB_UNROLL for (int j = 0; j < each; j++) e->w[16 * run + i + j][half] = w[j];
            }
    for (int64_t i = 0; i * f.span < some; i++)
        LB_UNROLL for (int half = 0; half < 2; half++) e->scale[i][half] = f.scale(q, panel, k, at / f.span + i, half);
}

/* A chunk's products with `cols` columns, the first of which has its activations at `a`, and the next tile's at `next`;
 * the last span may be short. */
static inline void float_meet_at(int span, const float_expanded *e, const uint16_t *a, const uint16_t *next,
                                 size_t stride, int64_t some, int cols, float *acc) {
    int64_t whole = some / span, rest = some % span;
    const float *scales = (const float *)(const void *)e->scale;
    const ptrdiff_t far = (const char *)next - (const char *)a;
    const float_tile_fn tile = FLOAT_TILES(span)[cols];
    if (whole) tile(e->w, a, stride, whole, span / 8, scales, acc, far);
    if (rest)
        tile(e->w[whole * span / 2], a + whole * span, stride, 1, rest / 8, scales + 32 * whole, acc, far);
}
/* The same of columns [c0, c1) of `cols`, chunks of plain rows at `at`. */
static inline void float_meet(int span, const float_expanded *e, const void *act, size_t stride, int64_t at,
                              int64_t some, int c0, int c1, int cols, float *acc) {
    const uint16_t *next = c1 < cols ? float_act(act, stride, at, c1) : float_act(act, stride, at + FLOAT_CHUNK, 0);
    float_meet_at(span, e, float_act(act, stride, at, c0), next, stride, some, c1 - c0, acc + FLOAT_ROWS * c0);
}

/* Columns in tiles of equal size, so that none is left with a thin one. What is expanded next is prefetched between the
 * tiles: all at once would fill the core's miss queue and stall it. */
LB_INLINE void float_many(const float_format f, const float_table *table, const lb_quantizer *q, const uint8_t *panel,
                          const void *act, size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    const float_regs regs = float_open(f, table);
    int64_t padded = lb_act_bf16_padded(k);
    float *acc = lb_panel_sums_take(cols);
    float_expanded e;
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    int count = (cols + FLOAT_TILE_COLS(f.span) - 1) / FLOAT_TILE_COLS(f.span);
    for (int64_t at = 0; at == 0 || at < padded; at += FLOAT_CHUNK) {
        int64_t some = padded - at < FLOAT_CHUNK ? padded - at : FLOAT_CHUNK;
        float_expand(f, &regs, q, panel, k, at, some, &e);
        const char *next =
            (const char *)panel + f.head_bytes(q, k) + (size_t)((at + some) / 32) * 2 * float_run_bytes(f);
        int lines = FLOAT_CHUNK / 32 * 2 * f.bits;
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T0);
            const uint16_t *then = i + 1 < count ? float_act_in(f, act, stride, at, c1)
                                                 : float_act_in(f, act, stride, at + FLOAT_CHUNK, 0);
            if (at + some == padded) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            float_meet_at(f.span, &e, float_act_in(f, act, stride, at, c0), then, stride, some, c1 - c0,
                          acc + FLOAT_ROWS * c0);
            /* Tile by tile: misses hide behind the next one's work. */
            for (int c = c0; c < c1 && at + some == padded; c++)
                LB_UNROLL for (int half = 0; half < 2; half++) {
                    __m512 t = _mm512_load_ps(acc + FLOAT_ROWS * c + 16 * half);
                    if (f.act == FLOAT_ACT_ROW) t = _mm512_mul_ps(t, float_act_scale(f, act, stride, padded, c));
                    _mm512_storeu_ps(out + c * out_stride + 16 * half, t);
                }
        }
    }
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void float_run(const float_format f, const float_table *table, const lb_quantizer *q, const void *panel,
                         const void *act, size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: float_few(f, table, q, panel, act, stride, k, out, out_stride, 1); break;
    case 2: float_few(f, table, q, panel, act, stride, k, out, out_stride, 2); break;
    case 3: float_few(f, table, q, panel, act, stride, k, out, out_stride, 3); break;
    case 4: float_few(f, table, q, panel, act, stride, k, out, out_stride, 4); break;
    default: float_many(f, table, q, panel, act, stride, k, cols, out, out_stride);
    }
}

#endif
/* ---- scales ---- */

LB_INLINE __m512 float_row_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)i;
    return _mm512_load_ps((const float *)(const void *)panel + 16 * half);
}

/* Powers of two; 2^-127 is subnormal. */
LB_INLINE __m512 float_e8m0_scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k;
    const uint8_t *p = panel + FLOAT_ROWS * i + 16 * half;
    if (half == 0) _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
    __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)));
}

/* What is known of a file's scales, before its panel is defined: FLOAT_SCALES. Tiles of sums (AMX) cannot meet a scale
 * on their way: where they have to (gemm_tiles.h) codes are multiplied before, if the product is a bf16. */
enum { FLOAT_OF_ROW, FLOAT_EXACT /* their product with a code is a bf16 */,
       FLOAT_OF_SPAN /* any: a span's sums are stored first */ };

#if defined(LB_BF16_PANEL)
#include "rows32_float_panel.h"
#elif defined(__AMX_TILE__)
#include "tiles_float.h"
#else
/* The functions of a file from FORMAT, TABLE (of q, a pointer), unpack() and put_scales(). */
#define LB_FLOAT_FUNCTIONS                                                                                           \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        float_run(FORMAT, TABLE(q), q, panel, act, stride, k, cols, out, out_stride);                                \
    }                                                                                                                \
    LB_FLOAT_LAYOUT
#define LB_FLOAT_PANEL(prepare, bytes, kind)                                                                         \
    LB_FLOAT_FUNCTIONS                                                                                               \
    LB_ROWS32_PANEL(prepare, bytes, kind)

/* The descriptor, but for name, format, about and activations. */
#define LB_FLOAT_ARITHMETIC                                                                                          \
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI, .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16,   \
    LB_FLOAT_BOUND
#define LB_FLOAT_BOUND                                                                                               \
    .tolerance = 1e-10,                                                                                              \
    .tolerance_why = "codes are exact in bf16 and products of bf16 in f32; vdpbf16ps rounds each sum of two products " \
                     "and flushes subnormals: NMSE of about 1e-13, more where sums cancel"
#define LB_FLOAT_KERNEL LB_ROWS32_KERNEL, LB_FLOAT_ARITHMETIC
#define FLOAT_WITH(how) "vdpbf16ps with bf16 activations in " how
#endif

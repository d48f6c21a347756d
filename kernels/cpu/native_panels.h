/* native_panels.h: products of rows of quantized weights, as files have them, with rows of activations.
 *
 * Up to four rows of activations: weights are turned in registers, 16 rows side by side (native_few.h). More: 32 by 256
 * weights are opened, turned around and given to the tiles of repacked weights (native_many.h). Either way the f32
 * steps are those of repacked weights, in their order, and so are the bits of results, however many rows there are. */
#pragma once
#include "native.h"

#include "act_q8_32_avx512.h"
#include "act_q8_avx512.h"
#include "native_few.h"
#include "native_many.h"
#include "native_open.h"

enum { ROWS = LB_NATIVE_ROWS, LANES = 16 };
#define ALIGNED __attribute__((aligned(64)))

/* ---- 16 rows side by side ---- */

/* Per 128 bits, four dwords of each of four vectors: out[j] has dword j of all. */
INLINE void turn4(const __m512i in[4], __m512i out[4]) {
    __m512i a = _mm512_unpacklo_epi32(in[0], in[1]), b = _mm512_unpackhi_epi32(in[0], in[1]);
    __m512i c = _mm512_unpacklo_epi32(in[2], in[3]), d = _mm512_unpackhi_epi32(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* The place of row r among 16 bytes of each row, for which turn4() of the four vectors has row r in lane r. */
INLINE int slot(int r) { return r % 4 * 4 + r / 4; }

INLINE void turn_slots(const __m128i at[LANES], __m512i out[4]) {
    __m512i v[4];
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm512_load_si512(at + 4 * i);
    turn4(v, out);
}

/* Quarters of four vectors: out[j] has quarter j of all. */
INLINE void turn_quarters(const __m512i in[4], __m512i out[4]) {
    __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x88), b = _mm512_shuffle_i32x4(in[2], in[3], 0x88);
    __m512i c = _mm512_shuffle_i32x4(in[0], in[1], 0xdd), d = _mm512_shuffle_i32x4(in[2], in[3], 0xdd);
    out[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    out[1] = _mm512_shuffle_i32x4(c, d, 0x88);
    out[2] = _mm512_shuffle_i32x4(a, b, 0xdd);
    out[3] = _mm512_shuffle_i32x4(c, d, 0xdd);
}

/* Dword j of quarter i of 64 bytes of 16 rows, 256 bytes apart, to lane r of to[step * i + j][0]. */
INLINE void turn16(const uint8_t *from, __m512i (*to)[2], const int step) {
    __m512i t[4][4];
    UNROLL for (int k = 0; k < 4; k++) {
        __m512i in[4];
        UNROLL for (int m = 0; m < 4; m++) in[m] = _mm512_load_si512(from + 256 * (4 * k + m));
        turn4(in, t[k]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m512i out[4];
        turn_quarters((__m512i[4]){ t[0][j], t[1][j], t[2][j], t[3][j] }, out);
        UNROLL for (int i = 0; i < 4; i++) to[step * i + j][0] = out[i];
    }
}

/* The low halves of 16 dwords, or with `high` the others, as f16. */
INLINE __m512 halves_of(__m512i v, const bool high) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high ? _mm512_srli_epi32(v, 16) : v));
}

/* ---- formats whose runs of 32 or 16 have integers for scales ---- */

/* wide: runs of 32. shift: the minima's part, times 2 to this power, comes off in integers; -1: there is a dmin. fold:
 * tiles read scale * code + fold; -1: they take the scale apart. */
typedef struct scaled_kind { bool wide; int shift; int fold; } scaled_kind;

/* Scales, or minima, of 16 rows from 16 bytes each: two int16 a lane, of sub-blocks 2 i and 2 i + 1. */
INLINE void put_scales(const __m128i at[LANES], __m512i (*to)[2]) {
    __m512i v[4];
    turn_slots(at, v);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j][0] = _mm512_srai_epi32(_mm512_slli_epi32(v[j], 16), 16);
        to[2 * j + 1][0] = _mm512_srai_epi32(v[j], 16);
    }
}

typedef struct scaled_rows {
    uint8_t code[LANES][256] ALIGNED;
    __m128i scale[2][LANES] ALIGNED, min[2][LANES] ALIGNED;
    uint32_t d[LANES] ALIGNED;
} scaled_rows;

INLINE void scaled_row(scaled_rows *to, const scaled *w, const scaled_kind f, int r) {
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i v = w->code[i];
        if (f.fold >= 0) { /* two bytes at a time: neither leaves its byte in the end */
            v = _mm512_sub_epi16(v, _mm512_set1_epi16((short)(f.shift >= 0 ? 257 << f.shift : 0)));
            v = _mm512_mullo_epi16(v, spread16(w->scale, i));
            v = _mm512_add_epi16(v, _mm512_set1_epi16((short)(257 * f.fold)));
        }
        _mm512_store_si512(to->code[r] + 64 * i, v);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        to->scale[i][slot(r)] = i ? _mm256_extracti128_si256(w->scale, 1) : _mm256_castsi256_si128(w->scale);
        to->min[i][slot(r)] = i ? _mm256_extracti128_si256(w->min, 1) : _mm256_castsi256_si128(w->min);
    }
    to->d[r] = w->d;
}

/* joint: the tile takes minima that come off in integers as pairs, too. */
INLINE void scaled_spread(const scaled_rows *from, const scaled_kind f, const bool joint, int h,
                          const lb_expanded_at *to) {
    for (int i = 0; i < 4; i++) turn16(from->code[0] + 64 * i, (__m512i (*)[2])&to->w[16 * i][h], 4);
    for (int i = 0; i < (f.wide ? 1 : 2); i++) {
        if (f.fold < 0) put_scales(from->scale[i], (__m512i (*)[2])&to->scale[8 * i][h]);
        __m512i v[4];
        if (f.shift >= 0 && !joint) continue;
        turn_slots(from->min[i], v);
        UNROLL for (int j = 0; j < 4; j++) to->pair[4 * i + j][h] = v[j];
    }
    __m512i heads = _mm512_load_si512(from->d);
    to->d[h] = halves_of(heads, false);
    to->dmin[h] = halves_of(heads, true);
}

/* ---- formats whose runs of 32 have floats for scales ---- */

/* offset: what codes are more than their levels. min: there are minima. */
typedef struct grouped_kind { int offset; bool min; } grouped_kind;

/* Eight f16 of each row, to one f32 a lane, `step` vectors apart. */
INLINE void grouped_floats(const __m128i at[LANES], __m512 *to, const int step) {
    __m512i v[4];
    turn_slots(at, v);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j * step] = halves_of(v[j], false);
        to[(2 * j + 1) * step] = halves_of(v[j], true);
    }
}

typedef struct grouped_rows {
    uint8_t code[LANES][256] ALIGNED;
    __m128i d[LANES] ALIGNED, m[LANES] ALIGNED;
} grouped_rows;

/* Tiles read codes with an offset of 128, or with minima none. */
INLINE void grouped_row(grouped_rows *to, const grouped *w, const grouped_kind f, int r) {
    const __m512i lift = bytes(f.min ? 0 : 128 - f.offset);
    UNROLL for (int i = 0; i < 4; i++) _mm512_store_si512(to->code[r] + 64 * i, _mm512_add_epi8(w->code[i], lift));
    to->d[slot(r)] = w->d;
    to->m[slot(r)] = w->m;
}

INLINE void grouped_spread(const grouped_rows *from, const grouped_kind f, const bool joint, int h,
                           const lb_expanded_at *to) {
    (void)joint;
    for (int i = 0; i < 4; i++)
        turn16(from->code[0] + 64 * i, (__m512i (*)[2])&to->w[32 * (i / 2) + 4 * (i % 2)][h], 8);
    grouped_floats(from->d, to->group + h, f.min ? 4 : 2);
    if (f.min) grouped_floats(from->m, to->group + 2 + h, 4);
}

/* ---- panels ---- */

enum { FEW_DWORDS = 72 }; /* of the longest block, and some */

/* A panel of `bytes` a block (apart: turned before they are met), times `some` prepared rows, as many as `cols`: the
 * last stands for those that lack. */
LB_INLINE void few_rows(void (*block)(const few *, __m512 *, int), const size_t bytes, const size_t act_bytes,
                        const uint8_t *w, const void *act, size_t stride, int64_t blocks, int some, float *out,
                        int64_t out_stride, const bool apart, const int cols) {
    const size_t row = bytes * (size_t)blocks;
    __m512i turned[FEW_DWORDS];
    for (int r = 0; r < ROWS; r += LANES, w += LANES * row) {
        few f = { .row = { w, w + 4 * row, w + 8 * row, w + 12 * row }, .step = row, .step3 = 3 * row,
                  .ahead = w + LANES * row + FEW_FURTHER, .dword = apart ? turned : NULL,
                  .tail = turned + (bytes % 4 ? bytes / 16 * 4 : bytes / 4 - 4) };
        __m512 acc[FEW_COLS];
        EACH f.act[c] = (const int8_t *)act + (size_t)(c < some ? c : some - 1) * stride;
        EACH acc[c] = _mm512_setzero_ps();
        for (int64_t b = 0; b < blocks; b++) {
            /* so that gcc makes no pointer of its own of each place in a block, which it would keep on the stack */
            LB_UNROLL for (int i = 0; i < 4; i++) __asm__("" : "+r"(f.row[i]));
            EACH __asm__("" : "+r"(f.act[c]));
            __asm__("" : "+r"(f.ahead), "+r"(f.step), "+r"(f.step3));
            if (apart) few_turn_blocks(&f, bytes, turned);
            block(&f, acc, cols);
            LB_UNROLL for (int i = 0; i < 4; i++) f.row[i] += bytes;
            f.ahead += LANES * bytes;
            EACH f.act[c] += act_bytes;
        }
        EACH if (c < some) _mm512_storeu_ps(out + c * out_stride + r, acc[c]);
    }
}

enum { scaled_act = sizeof(lb_act_q8_256), grouped_act = 8 * FEW_RUN }; /* bytes of 256 activations */

/* expand_FORMAT: for more than FEW_COLS rows of activations; a panel of BYTES a block. APART: what was faster. */
#define FORMAT(name, kind, BYTES, APART, JOINT, ...)                                                                 \
    static void expand_##name(const uint8_t *rows, size_t row_bytes, const lb_expanded_at *to) {                     \
        const kind##_kind f = { __VA_ARGS__ };                                                                       \
        for (int h = 0; h < ROWS / LANES; h++) {                                                                     \
            kind##_rows all;                                                                                         \
            for (int r = 0; r < LANES; r++, rows += row_bytes) {                                                     \
                kind block;                                                                                          \
                open_##name(rows, &block);                                                                           \
                kind##_row(&all, &block, f, r);                                                                      \
            }                                                                                                        \
            kind##_spread(&all, f, JOINT, h, to);                                                                    \
        }                                                                                                            \
    }                                                                                                                \
    static void run_##name(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k,      \
                           int cols, float *out, int64_t out_stride) {                                               \
        (void)q;                                                                                                     \
        if (cols > FEW_COLS)                                                                                         \
            lb_native_many_##name(expand_##name, panel, act, stride, k, cols, out, out_stride);                      \
        else if (cols > 1)                                                                                           \
            few_rows(few_##name, BYTES, kind##_act, panel, act, stride, k / 256, cols, out, out_stride, APART,       \
                     FEW_COLS);                                                                                      \
        else                                                                                                         \
            few_rows(few_##name, BYTES, kind##_act, panel, act, stride, k / 256, 1, out, out_stride, APART, 1);      \
    }
FORMAT(q2_k, scaled, 84, false, false, .shift = -1, .fold = 0)
FORMAT(q3_k, scaled, 110, false, false, .shift = 2, .fold = 127)
FORMAT(q4_k, scaled, 144, false, false, .wide = true, .shift = -1, .fold = -1)
FORMAT(q5_k, scaled, 176, false, false, .wide = true, .shift = -1, .fold = -1)
FORMAT(q6_k, scaled, 210, true, false, .shift = 5, .fold = -1)
FORMAT(iq4_xs, scaled, 136, false, true, .wide = true, .fold = -1)
FORMAT(q4_0, grouped, 144, false, false, .offset = 8)
FORMAT(q4_1, grouped, 160, false, false, .min = true)
FORMAT(q5_0, grouped, 176, true, false, .offset = 16)
FORMAT(q5_1, grouped, 192, false, false, .min = true)
FORMAT(q8_0, grouped, 272, true, false, .offset = 128)
FORMAT(iq4_nl, grouped, 144, false, false, .offset = 128)

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return q->size_bytes(q, ROWS, k); }

#define PANEL(n, prepare, bytes, kind)                                                                               \
    { #n, { .rows = ROWS, .max_cols = LB_PANEL_MAX_COLS, .run = run_##n, .panel_bytes = panel_bytes,                 \
            .act_prepare = prepare, .act_bytes = bytes, .act_kind = kind } }
#define SCALED(n) PANEL(n, lb_act_q8_256_prepare, lb_act_q8_256_bytes, LB_ACT_KIND_Q8_256)
#define GROUPED(n) PANEL(n, lb_act_q8_256_prepare_32, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_256_32)
static const struct { const char *name; lb_panel panel; } formats[] = {
    SCALED(q2_k), SCALED(q3_k), SCALED(q4_k), SCALED(q5_k), SCALED(q6_k), SCALED(iq4_xs),
    GROUPED(q4_0), GROUPED(q4_1), GROUPED(q5_0), GROUPED(q5_1), GROUPED(q8_0), GROUPED(iq4_nl),
};

static const lb_panel *panel_for(const lb_quantizer *q) {
    for (size_t i = 0; q && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(q->family->name, formats[i].name)) return &formats[i].panel;
    return NULL;
}

const lb_panel *LB_NATIVE_PANEL_OF(const lb_tensor *w, const char **why) {
    const lb_panel *p = w->layout ? NULL : panel_for(w->quantizer);
    *why = "reads the blocks of GGUF's formats, but for mxfp4, as files have them";
    if (!p) return NULL;
    *why = "wants 32 rows of weights at least, and K a multiple of 256";
    return w->dims[w->rank - 1] % 256 == 0 && w->dims[w->rank - 2] >= ROWS ? p : NULL;
}

/* rows16_gemm.h: the lb_panel.run of a K-quant in panels of two times 16 rows (rows16.h); a template, included once by
 * each format's file.
 *
 * The format defines before the #include:
 *   SUBS                sub-blocks of 256 with a scale each: 8 or 16
 *   PAIRS               pairs of minima: SUBS / 2, or 0 for formats without
 *   CENTRED             1 = the codes' offset is taken out by starting sub-block s from neg32[s] of the activations
 *   JOINT               1 = minima are in units of the scales: taken off the integer sums (below 2^31), no dmin
 *   FOLDED              1 = the scale times the code fits a byte: many columns use codes that include the scale
 *   PAIRED              1 = few columns take sub-blocks of 16 in pairs, their sums as two int16
 *   FITS                LB_ACT_Q8_FITS_*: many columns take sub-blocks in pairs where activations say so; or 0
 *   STEP                sub-blocks that few columns take at a time, STEP_BYTES one set of codes behind the other
 *   SHAPE               its lb_rows16_shape
 *   ROWS16_NATIVE       the name of what native_many.h declares for it
 *   block_regs          { __m512i scale[4]; __m512 d, dmin; }: one block's scales in registers
 *   open_block(block, head, regs)
 * unless PAIRED:
 *   sub_codes(block, s, w)           the 64 / SUBS vectors of u8 codes of sub-block s
 *   sub_nibbles(block, s, w)         if NIBBLES is defined: the same, the second half of the vectors times 16
 *   sub_scale(regs, s)               its scale, one i32 a lane
 *   block_sum(sum)                   the block's integer sum from that of scale * sub-block
 * if PAIRED (then FOLDED too):
 *   pair_codes(block, i, even, odd)  codes of sub-blocks 2i and 2i + 1, still at their place in the byte, that is
 *   pair_places(i)                   times 2 to these powers
 *   pair_scales(regs, i)             two int16 a lane
 *   pair_others(regs, i)             what meets the pair's sums of activations, two int16 a lane
 *   close_block(sum, other)          from the sums of both to the block's, and to that of the minima
 * and
 *   min_pair(regs, i)                if PAIRS
 *   min_bytes(regs, i)               if PAIRS and FOLDED: the minima as bytes, four sub-blocks a lane, as lb_scale4
 *   folded_codes(block, regs, s, w)  if FOLDED; sums start at neg127 of the activations where there are no minima, else
 *                                    at 0
 *
 * Every path (below, rows16_many.h, rows16_amx.h) forms the same exact int32 sums and the same f32 steps per block of
 * 256, in the order of K, so a row's result has the same bits whatever the number of columns. */
#include "native_many.h"
#include "rows16_panel.h"
#include "rows32.h"
#include "tile32.h"
#include "tile32x6.h"

enum { SUB_VECTORS = 64 / SUBS, HALVES = LB_PANEL_HALVES, PANEL_ROWS = LB_PANEL_ROWS,
       TILE_COLS = FOLDED ? 12 : 6, /* with two vectors of rows: as many sums as the registers hold */
       FEW_MOST = SUBS == 16 ? 5 : 8, /* up to here decoding in registers is the faster way (measured) */
       STEPS = SUBS / STEP, STEP_BYTES = SCALES / STEPS, /* codes come first, then what is read once a block */
       BLOCKS_AHEAD = 2 };
#ifdef __AMX_TILE__
enum { AHEAD_BYTES = LB_PREFETCH_BYTES };
#else
enum { AHEAD_BYTES = 7168 };
#endif

#ifdef NIBBLES
enum { NIBBLES_STAY = 1 };
#else
enum { NIBBLES_STAY = 0 };
#define sub_nibbles sub_codes
#endif

/* Prefetches what is read AHEAD_BYTES after the codes of step g, i of `of` parts of it: in the order of addresses,
 * whatever the order of the loads, a few lines at a time (all of a block at once, or the scales in their turn: up to a
 * quarter of the bandwidth less). The last step's share reaches into the next block's. */
LB_INLINE void ahead(const uint8_t *block, int g, int i, int of) {
    const int lines = (int)(SHAPE.block_bytes / 64), each = (lines + STEPS - 1) / STEPS;
    const uint8_t *step = block + 64 * each * g;
    LB_UNROLL for (int l = each * i / of; l < each * (i + 1) / of; l++) lb_ask(step + 64 * l, AHEAD_BYTES);
}

/* acc + da * (d * sum - dmin * minsum), each step rounded once. */
LB_INLINE __m512 add_block(__m512 acc, __m512i sum, __m512i minsum, __m512 d, __m512 dmin, float da) {
    if (JOINT) sum = _mm512_sub_epi32(sum, minsum);
    __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), d);
    if (PAIRS && !JOINT) t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(minsum), dmin, t);
    return _mm512_fmadd_ps(t, _mm512_set1_ps(da), acc);
}

LB_INLINE const int16_t *pair_sums(const lb_act_q8_256 *a, int i) {
    return SUBS == 16 ? a->sum16 + 2 * i : a->sum32 + 2 * i;
}

LB_INLINE const lb_act_q8_256 *act_block(const void *act, size_t stride, int64_t b, int c) {
    return (const lb_act_q8_256 *)((const char *)act + (size_t)c * stride) + b;
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* A loop over the steps of a block, which stays a loop: Zen 5's prefetchers seem to follow each load instruction by
 * itself, and with a block's fifty unrolled they ask for what is of no use: 3 to 9 % of 82 GB/s
 * (tests/bench/read_order.lua). */
#define EACH_STEP _Pragma("GCC unroll 1") for (int g = 0; g < STEPS; g++)
/* A loop over the columns, unrolled: `cols` is a constant wherever it stands. */
#define EACH_FEW LB_UNROLL for (int c = 0; c < cols; c++)
#define EACH_HALF LB_UNROLL for (int h = 0; h < HALVES; h++)

#if PAIRED
/* Pair i of the step that begins at `codes` and meets the activations from `from` on. Its sums, below 2^15 each, become
 * two int16 and meet their scales in one vpdpwssd. Codes are masked, not shifted: their place in the byte is made up
 * for once a sub-block, in bringing the sums together. */
LB_INLINE void add_pair(const uint8_t *codes, int i, __m512i scales, const void *act, size_t stride, int64_t b,
                        int from, __m512i *sum, const int cols) {
    __m512i w[2][4], even[FEW_MOST], odd[FEW_MOST];
    const lb_pair_place place = pair_places(i);
    pair_codes(codes, i, w[0], w[1]);
    EACH_FEW even[c] = odd[c] = _mm512_setzero_si512();
    LB_UNROLL for (int j = 0; j < 4; j++) EACH_FEW {
        const int8_t *q = act_block(act, stride, b, c)->q + from + 32 * i + 4 * j;
        even[c] = lb_dot4(even[c], w[0][j], q);
        odd[c] = lb_dot4(odd[c], w[1][j], q + 16);
    }
    EACH_FEW {
        __m512i low = place.even ? _mm512_srli_epi32(even[c], (unsigned)place.even) : even[c];
        __m512i high = _mm512_slli_epi32(odd[c], (unsigned)(16 - place.odd));
        sum[c] = _mm512_dpwssd_epi32(sum[c], _mm512_mask_mov_epi16(low, 0xaaaaaaaa, high), scales);
    }
}
#endif

/* The integer sums of `cols` columns over one block. Scales wait in memory, for the steps are a loop. */
LB_INLINE void few_sums(const uint8_t *block, const block_regs *regs, const void *act, size_t stride, int64_t b,
                        __m512i *sum, __m512i *minsum, const int cols) {
    EACH_FEW sum[c] = minsum[c] = _mm512_setzero_si512();
#if PAIRED
    __m512i scales[SUBS / 2];
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++) scales[i] = pair_scales(regs, i);
    EACH_STEP LB_UNROLL for (int i = 0; i < STEP / 2; i++) {
        ahead(block, g, i, STEP / 2);
        add_pair(block + g * STEP_BYTES, i, scales[g * (STEP / 2) + i], act, stride, b, 256 / STEPS * g, sum, cols);
    }
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++) {
        __m512i others = pair_others(regs, i);
        EACH_FEW minsum[c] = lb_dot2(minsum[c], others, pair_sums(act_block(act, stride, b, c), i));
    }
    EACH_FEW close_block(&sum[c], &minsum[c]);
#else
    __m512i scales[SUBS];
    LB_UNROLL for (int s = 0; s < SUBS; s++) scales[s] = sub_scale(regs, s);
    EACH_STEP LB_UNROLL for (int i = 0; i < STEP; i++) {
        const int s = g * STEP + i;
        __m512i w[SUB_VECTORS], sub[FEW_MOST];
        ahead(block, g, i, STEP);
        const bool above = NIBBLES_STAY && cols == 1; /* a shift of the sum in the place of one for each vector */
        __m512i high = _mm512_setzero_si512();
        if (above) sub_nibbles(block + g * STEP_BYTES, i, w);
        else sub_codes(block + g * STEP_BYTES, i, w);
        EACH_FEW sub[c] = CENTRED ? lb_spread(&act_block(act, stride, b, c)->neg32[s]) : _mm512_setzero_si512();
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) EACH_FEW {
            __m512i *to = above && j >= SUB_VECTORS / 2 ? &high : &sub[c];
            *to = lb_dot4(*to, w[j], act_block(act, stride, b, c)->q + 4 * (s * SUB_VECTORS + j));
        }
        if (above) sub[0] = _mm512_add_epi32(sub[0], _mm512_srai_epi32(high, 4));
        EACH_FEW sum[c] = _mm512_add_epi32(sum[c], _mm512_mullo_epi32(sub[c], scales[s]));
    }
    EACH_FEW sum[c] = block_sum(sum[c]);
#if PAIRS
    LB_UNROLL for (int i = 0; i < PAIRS; i++) {
        __m512i pair = min_pair(regs, i);
        EACH_FEW minsum[c] = lb_dot2(minsum[c], pair, pair_sums(act_block(act, stride, b, c), i));
    }
#endif
#endif
}

/* The same of the bytes before `later`, as many as a half's head has: where blocks of one half go on in the next, what
 * is asked for so far ahead would leave them out. */
LB_INLINE void ahead_of_head(const uint8_t *later, int64_t k) {
    for (const char *p = (const char *)later - lb_rows16_head_bytes(SHAPE, k); p < (const char *)later; p += 64)
        _mm_prefetch(p, _MM_HINT_T0);
}

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    for (int h = 0; h < HALVES; h++) {
        const uint8_t *block = panel + lb_rows32_block_at(SHAPE, k, 0, h);
        const uint8_t *head = panel + lb_rows32_head_at(SHAPE, k, 0, h);
        __m512 acc[FEW_MOST];
        EACH_FEW acc[c] = _mm512_setzero_ps();
        ahead_of_head(block + AHEAD_BYTES, k);
        for (int64_t b = 0; b < k / 256; b++, block += SHAPE.block_bytes, head += 32) {
            block_regs regs;
            open_block(block, head, &regs);
            __m512i sum[FEW_MOST], minsum[FEW_MOST];
            few_sums(block, &regs, act, stride, b, sum, minsum, cols);
            EACH_FEW {
                float da = act_block(act, stride, b, c)->d;
                acc[c] = add_block(acc[c], sum[c], minsum[c], regs.d, regs.dmin, da);
            }
        }
        EACH_FEW _mm512_storeu_ps(out + c * out_stride + 16 * h, acc[c]);
    }
}

#include "rows16_many.h"
#if defined(__AMX_INT8__)
#include "rows16_amx.h"
#else
#define ROWS16_MANY many_panels
#define ROWS16_ABOUT(text) text
#define ROWS16_APART LB_BLOCKS_APART
#define ROWS16_PREPARE lb_act_q8_256_prepare
#define ROWS16_ACT_KIND LB_ACT_KIND_Q8_256
#define ROWS16_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI)
#endif

/* Kept apart, so that a launch has one of them in the instruction cache. */
#define FEW(n)                                                                                                       \
    static __attribute__((noinline)) void few_##n(const uint8_t *panel, const void *act, size_t stride, int64_t k,   \
                                                  float *out, int64_t out_stride) {                                  \
        few(panel, act, stride, k, out, out_stride, n);                                                              \
    }
FEW(1) FEW(2) FEW(3) FEW(4) FEW(5)
#if SUBS == 8
FEW(6) FEW(7) FEW(8)
#endif
typedef void (*few_fn)(const uint8_t *, const void *, size_t, int64_t, float *, int64_t);
static const few_fn fews[FEW_MOST + 1] = { NULL, few_1, few_2, few_3, few_4, few_5,
#if SUBS == 8
                                           few_6, few_7, few_8
#endif
};

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)q;
    if (cols <= FEW_MOST) fews[cols](panel, act, stride, k, out, out_stride);
    else ROWS16_MANY(panel, 1, act, stride, sizeof(lb_act_q8_256), k, cols, out, out_stride);
}

static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,
                       size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    const char *at = panels;
    if (cols > FEW_MOST) {
        ROWS16_MANY(panels, count, act, stride, step, k, cols, out, out_stride);
        return;
    }
    for (int p = 0; p < count; p++, at += lb_rows32_panel_bytes(SHAPE, k), out += PANEL_ROWS)
        run(q, at, act, stride, k, cols, out, out_stride);
}

static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels, .act_block = sizeof(lb_act_q8_256),
                                      .act_apart = ROWS16_APART };

ROWS16_PANEL(ROWS16_PREPARE, lb_act_q8_256_bytes, ROWS16_ACT_KIND, &panels_ops)

/* The descriptor, but for name, format and about. */
#define ROWS16_KERNEL ROWS16_ARITHMETIC, .isa = ROWS16_ISA, .priority = LB_ROWS32_PRIORITY

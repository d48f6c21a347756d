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
 *   folded_codes(block, regs, s, w)  if FOLDED; sums start at neg127 of the activations where there are no minima, else at 0
 *
 * Every path forms the same exact int32 sums and the same f32 steps per block of 256, in the order of K, so a
 * row's result has the same bits whatever the number of columns. */
#include "native_many.h"
#include "rows16.h"
#include "rows16_panel.h"
#include "tile32.h"
#include "tile32x6.h"

enum { SUB_VECTORS = 64 / SUBS, HALVES = LB_PANEL_HALVES, PANEL_ROWS = LB_PANEL_ROWS,
       TILE_COLS = FOLDED ? 12 : 6, /* with two vectors of rows: as many sums as the registers hold */
       FEW_MOST = SUBS == 16 ? 5 : 8, /* up to here decoding in registers is the faster way (measured) */
       STEPS = SUBS / STEP, STEP_BYTES = SCALES / STEPS, /* codes come first, then what is read once a block */
       AHEAD_BYTES = 7168, BLOCKS_AHEAD = 2 };

/* Prefetches what is read AHEAD_BYTES after the codes of step g, i of `of` parts of it: in the order of addresses,
 * whatever the order of the loads, a few lines at a time (all of a block at once, or the scales in their turn: up to a
 * quarter of the bandwidth less). The last step's share reaches into the next block's. */
LB_INLINE void ahead(const uint8_t *block, int g, int i, int of) {
    const int lines = (int)(SHAPE.block_bytes / 64), each = (lines + STEPS - 1) / STEPS;
    const char *later = (const char *)block + AHEAD_BYTES + 64 * each * g;
    LB_UNROLL for (int l = each * i / of; l < each * (i + 1) / of; l++) _mm_prefetch(later + 64 * l, _MM_HINT_T0);
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
 * two int16 and meet their scales in one vpdpwssd. Codes are masked, not shifted: their place in the byte is made up for
 * once a sub-block, in bringing the sums together. */
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
        sub_codes(block + g * STEP_BYTES, i, w);
        EACH_FEW sub[c] = CENTRED ? lb_spread(&act_block(act, stride, b, c)->neg32[s]) : _mm512_setzero_si512();
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++)
            EACH_FEW sub[c] = lb_dot4(sub[c], w[j], act_block(act, stride, b, c)->q + 4 * (s * SUB_VECTORS + j));
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

/* The same of the bytes before `later`, as many as a half's head has: where blocks of one half go on in the next, what is
 * asked for so far ahead would leave them out. */
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

/* ---- many columns: 32 x 256 are expanded to bytes in L1 once and meet all of them ----
 *
 * A tile is two vectors of rows times 6 or 12 columns, in assembly (tile32x6.h, tile32.h): an activation is broadcast to a
 * register once for both, which leaves the load ports idle enough for the multipliers to be the limit. */

typedef struct expanded {
    __m512i w[64][HALVES];
    __m512i scale[SUBS][HALVES];
    __m512i pair[PAIRS ? PAIRS : 1][HALVES];
    __m512 d[HALVES], dmin[HALVES]; /* the tiles find dmin behind d */
#if FITS
    __m512i waiting[6][HALVES];       /* a tile's sums of the first of two sub-blocks: behind d and dmin too */
    __m512i joined[SUBS / 2][HALVES]; /* two int16 a lane: the scales of sub-blocks 2i + 1 (low) and 2i */
#endif
} expanded;

/* Rows 16 h .. 16 h + 15. */
LB_INLINE void expand(const uint8_t *block, const uint8_t *head, int h, expanded *e) {
    block_regs regs;
    open_block(block, head, &regs);
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m512i w[SUB_VECTORS];
#if FOLDED
        folded_codes(block, &regs, s, w);
#else
        sub_codes(block, s, w);
        e->scale[s][h] = sub_scale(&regs, s);
#endif
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) e->w[s * SUB_VECTORS + j][h] = w[j];
    }
#if PAIRS
    LB_UNROLL for (int i = 0; i < PAIRS; i++) e->pair[i][h] = min_pair(&regs, i);
#endif
    e->d[h] = regs.d;
    e->dmin[h] = regs.dmin;
}

/* What tiles read of a block of activations: sums of 16 or 32 and d, from the end of its codes on. */
_Static_assert(offsetof(lb_act_q8_256, neg32) == 256 && offsetof(lb_act_q8_256, sum16) == 256 + 64 &&
               offsetof(lb_act_q8_256, sum32) == 256 + 96 && offsetof(lb_act_q8_256, d) == 256 + 112 &&
               offsetof(lb_act_q8_256, neg127) == 256 + 116 && sizeof(lb_act_q8_256) == 384, "as the tiles have it");
#define K_VECTORS(of, i) "vmovdqa64 128*" #i "(%[" #of "]), %%zmm30\n\tvmovdqa64 64+128*" #i "(%[" #of "]), %%zmm31\n\t"

#if FOLDED
/* A tile has twelve columns, whose sums take all registers: those of the minima are formed first and kept in memory. */
#if PAIRS
#define K_MIN(n, i) K_VECTORS(pair, i) T32_##n(T32_DOT, "vpdpwssd", 256+64+4*i)
#define K_MINIMA(n)                                                                                                  \
    T32_##n(T32_ZERO, ) K_MIN(n, 0) K_MIN(n, 1) K_MIN(n, 2) K_MIN(n, 3) K_MIN(n, 4) K_MIN(n, 5) K_MIN(n, 6) K_MIN(n, 7) \
    T32_##n(K_STORE, ) T32_##n(T32_ZERO, )
#define K_LESS_MINIMA(n) K_VECTORS(times, 1) T32_##n(K_LESS, )
_Static_assert(PAIRS == 8 && !JOINT, "as K_MINIMA has it");
#else
#define K_MINIMA(n) T32_##n(K_START, 256+116)
#define K_LESS_MINIMA(n)
#endif
#define K_START(low, high, temp, other, address, at, from)                                                           \
    "vpbroadcastd " #from address ", %%zmm" #low "\n\tvmovdqa64 %%zmm" #low ", %%zmm" #high "\n\t"
#define K_STORE(low, high, temp, other, address, at, ...)                                                            \
    "vmovdqa64 %%zmm" #low ", " #at "(%[kept])\n\tvmovdqa64 %%zmm" #high ", 64+" #at "(%[kept])\n\t"
/* Sums as floats times d (zmm30, zmm31); less those of the minima times dmin; acc += that times the activations' d. */
#define K_TIMES(low, high, temp, other, address, at, ...)                                                            \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                         \
    "vmulps %%zmm" #low ", %%zmm30, %%zmm" #low "\n\tvmulps %%zmm" #high ", %%zmm31, %%zmm" #high "\n\t"
#define K_LESS(low, high, temp, other, address, at, ...)                                                             \
    "vcvtdq2ps " #at "(%[kept]), %%zmm" #temp "\n\tvcvtdq2ps 64+" #at "(%[kept]), %%zmm" #other "\n\t"                \
    "vfnmadd231ps %%zmm" #temp ", %%zmm30, %%zmm" #low "\n\tvfnmadd231ps %%zmm" #other ", %%zmm31, %%zmm" #high "\n\t"
#define K_ADD(low, high, temp, other, address, at, from)                                                             \
    "vbroadcastss " #from address ", %%zmm" #temp "\n\t"                                                             \
    "vfmadd213ps " #at "(%[acc]), %%zmm" #temp ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"       \
    "vfmadd213ps 64+" #at "(%[acc]), %%zmm" #temp ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"

/* Adds one block's products of n columns to acc[c][32]; asks for what is read after it, from `next` on. */
#define K_TILE(n)                                                                                                    \
    static __attribute__((noinline)) void tile_##n(const expanded *e, const lb_act_q8_256 *act, size_t s, float *acc, \
                                                   const void *next) {                                               \
        const char *a = (const char *)act, *b = a + 3 * s, *c = b + 3 * s, *d = c + 3 * s;                           \
        const void *w = e->w;                                                                                        \
        float kept[PAIRS ? PANEL_ROWS * TILE_COLS : 1] __attribute__((aligned(64)));                                 \
        int64_t fours = 16, far = (const char *)next - a, far1 = far + (int64_t)s, far2 = far1 + (int64_t)s;         \
        __asm__ volatile(K_MINIMA(n) ".p2align 6\n1:\n\t" T32_ASK_##n T32_FOUR_STEPS(n, "vpdpbusd")                  \
                         "dec %[fours]\n\tjnz 1b\n\t" T32_ASK_##n                                                    \
                         "add $64, %[far]\n\tadd $64, %[far1]\n\tadd $64, %[far2]\n\t" T32_ASK_##n                   \
                         K_VECTORS(times, 0) T32_##n(K_TIMES, ) K_LESS_MINIMA(n) T32_##n(K_ADD, 112)                 \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [fours] "+r"(fours),     \
                           [far] "+r"(far), [far1] "+r"(far1), [far2] "+r"(far2)                                     \
                         : [s] "r"(s), [acc] "r"(acc), [kept] "r"(kept), [times] "r"(e->d), [pair] "r"(e->pair)      \
                         : T32_CLOBBERS);                                                                            \
    }
#define K_EACH T32_EACH
#else
/* A tile has six columns, whose totals stay in registers beside the sums of the sub-block in hand. */
#if SUBS == 8
#define K_STEPS(n) T6_FOUR_STEPS(n, "vpdpbusd") T6_FOUR_STEPS(n, "vpdpbusd")
#define K_ASK_ON T6_ASK_ON(48)
#define K_FAR_ON "sub $32-4, %[far]\n\t"
#else
#define K_STEPS(n) T6_FOUR_STEPS(n, "vpdpbusd")
#define K_ASK_ON T6_ASK_ON(24)
#define K_FAR_ON "sub $16-4, %[far]\n\t"
#endif
/* Sums start at nothing, or at the neg32 of the sub-block, which is `far` from its codes. */
#if CENTRED
#define K_START(n)                                                                                                   \
    "add %[far], %[a]\n\tadd %[far], %[b]\n\t" T6_##n(T6_START, ) "sub %[far], %[a]\n\tsub %[far], %[b]\n\t" K_FAR_ON
#else
#define K_START(n) T6_##n(T6_ZERO, )
#endif
/* Totals += sums times the scales in zmm30 and zmm31, in integers. */
#define K_SCALE(low, high, tlow, thigh, temp, other, address, at, ...)                                               \
    "vpmulld %%zmm" #low ", %%zmm30, %%zmm" #low "\n\tvpmulld %%zmm" #high ", %%zmm31, %%zmm" #high "\n\t"           \
    "vpaddd %%zmm" #low ", %%zmm" #tlow ", %%zmm" #tlow "\n\tvpaddd %%zmm" #high ", %%zmm" #thigh ", %%zmm" #thigh "\n\t"
/* Totals as floats times d; less the sums of the minima as floats times dmin, or before that as integers. */
#define K_TIMES(low, high, tlow, thigh, temp, other, address, at, ...)                                               \
    "vcvtdq2ps %%zmm" #tlow ", %%zmm" #tlow "\n\tvcvtdq2ps %%zmm" #thigh ", %%zmm" #thigh "\n\t"                     \
    "vmulps %%zmm" #tlow ", %%zmm30, %%zmm" #tlow "\n\tvmulps %%zmm" #thigh ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_LESS(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                         \
    "vfnmadd231ps %%zmm" #low ", %%zmm30, %%zmm" #tlow "\n\tvfnmadd231ps %%zmm" #high ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_LESS_JOINT(low, high, tlow, thigh, temp, other, address, at, ...)                                          \
    "vpsubd %%zmm" #low ", %%zmm" #tlow ", %%zmm" #tlow "\n\tvpsubd %%zmm" #high ", %%zmm" #thigh ", %%zmm" #thigh "\n\t"
#define K_MIN(n, i) K_VECTORS(pair, i) T6_##n(T6_DOT, "vpdpwssd", 96+4*i)
#define K_MINIMA(n) T6_##n(T6_ZERO, ) K_MIN(n, 0) K_MIN(n, 1) K_MIN(n, 2) K_MIN(n, 3)
_Static_assert(PAIRS == 0 || PAIRS == 4, "as K_MINIMA has it");
#if !PAIRS
#define K_CLOSE(n) K_VECTORS(times, 0) T6_##n(K_TIMES, )
#elif JOINT
#define K_CLOSE(n) K_MINIMA(n) T6_##n(K_LESS_JOINT, ) K_VECTORS(times, 0) T6_##n(K_TIMES, )
#else
#define K_CLOSE(n) K_MINIMA(n) K_VECTORS(times, 0) T6_##n(K_TIMES, ) K_VECTORS(times, 1) T6_##n(K_LESS, )
#endif

#define K_SUB_BLOCK(n) K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_SCALES T6_##n(K_SCALE, )

#define K_TILE_OF(name, n, LOOP, count, from)                                                                        \
    static __attribute__((noinline)) void name(const expanded *e, const lb_act_q8_256 *act, size_t s, float *acc,    \
                                               const void *next) {                                                   \
        const char *a = (const char *)act, *b = a + 3 * s, *after = (const char *)next + 3 * s;                      \
        const void *w = e->w, *scales = from;                                                                        \
        int64_t left = count, far = offsetof(lb_act_q8_256, neg32);                                                  \
        __asm__ volatile(T6_##n(T6_OPEN_ZERO, ) ".p2align 6\n1:\n\t" LOOP(n)                                         \
                         "add $128, %[scales]\n\tdec %[left]\n\tjnz 1b\n\t" K_CLOSE(n) T6_##n(T6_KEEP_TIMES, 112)   \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [left] "+r"(left), [scales] "+r"(scales),          \
                           [next] "+r"(next), [after] "+r"(after), [far] "+r"(far)                                   \
                         : [s] "r"(s), [acc] "r"(acc), [times] "r"(e->d), [pair] "r"(e->pair)                        \
                         : T6_CLOBBERS);                                                                             \
    }
#define K_TILE(n) K_TILE_OF(tile_##n, n, K_SUB_BLOCK, SUBS, e->scale)
#define K_EACH T6_EACH

#if FITS
/* Two sub-blocks whose sums are int16 meet both scales in one vpdpwssd, as two words of a dword; the first's wait in memory,
 * as words of all 32 rows. Packs and unpacks leave the multipliers alone; shifts would take half a slot of theirs each. */
#define K_MEET(low, high, tlow, thigh)                                                                               \
    "vpdpwssd %%zmm" #low ", %%zmm30, %%zmm" #tlow "\n\tvpdpwssd %%zmm" #high ", %%zmm31, %%zmm" #thigh "\n\t"
#define K_WAIT(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vpackssdw %%zmm" #high ", %%zmm" #low ", %%zmm" #temp "\n\tvmovdqa64 %%zmm" #temp ", 256+" #at "(%[times])\n\t"
#define K_BOTH(low, high, tlow, thigh, temp, other, address, at, ...)                                                \
    "vpackssdw %%zmm" #high ", %%zmm" #low ", %%zmm" #temp "\n\t"                                                    \
    "vpunpcklwd 256+" #at "(%[times]), %%zmm" #temp ", %%zmm" #low "\n\t"                                            \
    "vpunpckhwd 256+" #at "(%[times]), %%zmm" #temp ", %%zmm" #high "\n\t" K_MEET(low, high, tlow, thigh)
#define K_TWO_SUB_BLOCKS(n)                                                                                          \
    K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_##n(K_WAIT, )                                                       \
    K_START(n) T6_ASK_##n K_STEPS(n) K_ASK_ON T6_SCALES T6_##n(K_BOTH, )
#define K_JOINED_TILE(n) K_TILE_OF(joined_##n, n, K_TWO_SUB_BLOCKS, SUBS / 2, e->joined)
K_EACH(K_JOINED_TILE)
#endif
#endif

K_EACH(K_TILE)
typedef void (*tile_fn)(const expanded *, const lb_act_q8_256 *, size_t, float *, const void *);
static const tile_fn tiles[TILE_COLS + 1] = { NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if FOLDED
                                              tile_7, tile_8, tile_9, tile_10, tile_11, tile_12
#endif
};
#if FITS
static const tile_fn joined_tiles[TILE_COLS + 1] = { NULL, joined_1, joined_2, joined_3, joined_4, joined_5, joined_6 };
#endif

/* The tile for these columns of a block: the same sums either way. */
LB_INLINE tile_fn tile_for(const void *act, size_t stride, int cols) {
#if FITS
    int32_t fits = FITS;
    for (int c = 0; c < cols; c++) fits &= act_block(act, stride, 0, c)->fits;
    if (fits) return joined_tiles[cols];
#endif
    (void)act, (void)stride;
    return tiles[cols];
}

/* Tile by tile, so that the misses of lines far apart are hidden behind the next tile's work. */
static inline void write_out(const float *acc, int c0, int c1, float *out, int64_t out_stride) {
    for (int c = c0; c < c1; c++)
        EACH_HALF _mm512_storeu_ps(out + c * out_stride + 16 * h, _mm512_load_ps(acc + PANEL_ROWS * c + 16 * h));
}

/* The blocks of both halves that are read BLOCKS_AHEAD blocks after b (of more than two panels, which follow one
 * another with each block: the next); near the end, those of the panel after the `panels` that go together. */
typedef struct later_blocks { const char *half[HALVES], *end; } later_blocks;

LB_INLINE later_blocks later_than(const uint8_t *panel, int64_t k, int64_t b, int panels) {
    int64_t blocks = k / 256, at = b + (panels > 2 ? 1 : BLOCKS_AHEAD);
    const char *p = (const char *)panel + (size_t)(at / blocks * panels) * lb_rows32_panel_bytes(SHAPE, k)
                    + lb_rows32_block_at(SHAPE, k, at % blocks, 0);
    return (later_blocks){ { p, p + lb_rows16_half_bytes(SHAPE, k) }, p + SHAPE.block_bytes };
}

/* Prefetches `lines` more lines of each. Between the tiles: expanding a block and multiplying it take turns, and all
 * lines at once, while one expands, would fill the queue of misses and leave the memory idle for the rest. */
LB_INLINE void ahead_many(later_blocks *x, int lines) {
    for (int l = 0; l < lines && x->half[0] < x->end; l++) {
        EACH_HALF _mm_prefetch(x->half[h], _MM_HINT_T0);
        EACH_HALF x->half[h] += 64;
    }
}

/* Where a panel's blocks are: repacked (expand NULL), or 32 rows as files have them. */
typedef struct source { const uint8_t *panel; lb_native_expand expand; size_t row_bytes; } source;

LB_INLINE void expand_block(source from, int64_t k, int64_t b, expanded *e) {
    lb_expanded_at to = { .w = e->w, .scale = e->scale, .pair = e->pair, .d = e->d, .dmin = e->dmin };
    if (from.expand) from.expand(from.panel + (size_t)b * SHAPE.native_bytes, from.row_bytes, &to);
    for (int h = 0; h < HALVES && !from.expand; h++)
        expand(from.panel + lb_rows32_block_at(SHAPE, k, b, h), from.panel + lb_rows32_head_at(SHAPE, k, b, h), h, e);
#if FITS
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++)
        EACH_HALF e->joined[i][h] = _mm512_mask_mov_epi16(e->scale[2 * i + 1][h], 0xaaaaaaaa,
                                                          _mm512_slli_epi32(e->scale[2 * i][h], 16));
#endif
}

/* What all blocks and panels of a product have in common. */
typedef struct columns {
    const char *act;
    size_t stride, step; /* to the next column, and to its next block */
    int64_t k;
    int cols;
    float *out;
    int64_t out_stride;
} columns;
LB_INLINE const lb_act_q8_256 *column(const columns *x, int64_t b, int c) {
    return (const lb_act_q8_256 *)(const void *)(x->act + (size_t)c * x->stride + (size_t)b * x->step);
}

/* Adds the products of block b of panels `first` and, if there is one, first + 1 of `panels` to acc. */
static inline void meet_pair(source from, int first, int panels, int64_t b, const columns *x,
                             float *const *acc) {
    const int some = panels - first < 2 ? 1 : 2, count = (x->cols + TILE_COLS - 1) / TILE_COLS;
    const int share = ((int)(SHAPE.block_bytes / 64) + count - 1) / count;
    const bool last = b == x->k / 256 - 1;
    expanded e[2];
    later_blocks later[2];
    for (int p = 0; p < some; p++) {
        source at = from;
        at.panel += (size_t)(first + p) * lb_rows32_panel_bytes(SHAPE, x->k);
        expand_block(at, x->k, b, &e[p]);
        later[p] = later_than(at.panel, x->k, b, panels);
    }
    const uint8_t *rows = from.panel + (size_t)(b + 1) * SHAPE.native_bytes;
    const void *after = column(x, first + 2 < panels ? b : b + 1, 0);
    for (int t = 0; t < count; t++) {
        int c0 = x->cols * t / count, c1 = x->cols * (t + 1) / count;
        const void *next = t + 1 < count ? column(x, b, c1) : after;
        const tile_fn tile = tile_for(column(x, b, c0), x->stride, c1 - c0);
        for (int p = 0; p < some; p++) {
            float *to = x->out + PANEL_ROWS * (first + p);
            if (!from.expand) ahead_many(&later[p], share);
            else
                lb_native_ahead(rows, from.row_bytes, SHAPE.native_bytes, PANEL_ROWS * t / count,
                                PANEL_ROWS * (t + 1) / count);
            if (last) t32_results_soon(to + c0 * x->out_stride, x->out_stride, c1 - c0);
            tile(&e[p], column(x, b, c0), x->stride, acc[p] + PANEL_ROWS * c0, next);
            if (last) write_out(acc[p], c0, c1, to, x->out_stride);
        }
    }
}

/* Columns in tiles of equal size, so that none is left with a thin one. Of several panels (repacked ones) two take
 * turns at the tiles, so that a tile's activations come from L2 once for both, and pair after pair meets a block of
 * 256 of all columns before the next comes, from L3 once for all. */
static void many(source from, int panels, const void *act, size_t stride, size_t step, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    const columns x = { act, stride, step, k, cols, out, out_stride };
    float *acc[LB_PANELS_MOST];
    for (int p = 0; p < panels; p++)
        memset(acc[p] = lb_panel_sums_take(cols), 0, (size_t)cols * PANEL_ROWS * sizeof **acc);
    for (int p = 0; p < panels && k == 0; p++) write_out(acc[p], 0, cols, out + PANEL_ROWS * p, out_stride);
    for (int64_t b = 0; b < k / 256; b++)
        for (int first = 0; first < panels; first += 2)
            meet_pair(from, first, panels, b, &x, acc + first);
    for (int p = panels; p-- > 0;) lb_panel_sums_give(acc[p], cols);
}

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
    else many((source){ panel, NULL, 0 }, 1, act, stride, sizeof(lb_act_q8_256), k, cols, out, out_stride);
}

void ROWS16_NATIVE(lb_native_expand expand_rows, const void *rows, const void *act, size_t stride, int64_t k, int cols,
                   float *out, int64_t out_stride) {
    const source from = { rows, expand_rows, (size_t)(k / 256) * SHAPE.native_bytes };
    many(from, 1, act, stride, sizeof(lb_act_q8_256), k, cols, out, out_stride);
}

static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,
                       size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    const char *at = panels;
    if (cols > FEW_MOST) {
        many((source){ panels, NULL, 0 }, count, act, stride, step, k, cols, out, out_stride);
        return;
    }
    for (int p = 0; p < count; p++, at += lb_rows32_panel_bytes(SHAPE, k), out += PANEL_ROWS)
        run(q, at, act, stride, k, cols, out, out_stride);
}

static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels, .act_block = sizeof(lb_act_q8_256) };

ROWS16_PANEL(lb_act_q8_256_prepare, lb_act_q8_256_bytes, LB_ACT_KIND_Q8_256, &panels_ops)

/* The descriptor, but for name, format and about. */
#define ROWS16_KERNEL ROWS16_ARITHMETIC, .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .priority = 20

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
 *   SHAPE               its lb_rows16_shape
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
 *   folded_codes(block, regs, s, w), folded_start(act)    if FOLDED
 *
 * Every path forms the same exact int32 sums and the same f32 steps per block of 256, in the order of K, so a
 * row's result has the same bits whatever the number of columns. */
#include "rows16.h"
#include "rows16_panel.h"

enum { SUB_VECTORS = 64 / SUBS, HALVES = LB_PANEL_HALVES, PANEL_ROWS = LB_PANEL_ROWS,
       TILE_COLS = FOLDED ? 12 : 6, /* with two vectors of rows: as many sums as the registers hold */
       FEW_MOST = SUBS == 16 ? 5 : 8, /* up to here decoding in registers is the faster way (measured) */
       AHEAD_BYTES = 8192, AGAIN_BYTES = 2048, BLOCKS_AHEAD = 2 };

/* Prefetches step i of `steps` of a block that is needed later: in the order of addresses, whatever the order of the
 * loads, and five to a dozen lines at a time. Bursts keep the hardware's prefetchers running: single lines between the
 * work cost 6 to 9 % of the bandwidth, a whole block at once 10 % (measured, as is AHEAD_BYTES). A line that finds no
 * room among the misses in flight is forgotten, so each is asked for once more a while later: 3 to 9 % for q2_k and q3_k. */
LB_INLINE void ahead(const uint8_t *later, int i, int steps) {
    const int lines = (int)(SHAPE.block_bytes / 64), burst = steps > 8 ? 4 : 2;
    if (i % burst) return;
    for (int l = lines * i / steps; l < lines * (i + burst) / steps; l++) {
        _mm_prefetch((const char *)later + 64 * l, _MM_HINT_T0);
        _mm_prefetch((const char *)later + 64 * l - AGAIN_BYTES, _MM_HINT_T0);
    }
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

/* A loop over the columns, unrolled: `cols` is a constant wherever it stands. */
#define EACH_FEW LB_UNROLL for (int c = 0; c < cols; c++)
#define EACH_HALF LB_UNROLL for (int h = 0; h < HALVES; h++)

#if PAIRED
/* A pair's sums, below 2^15 each, become two int16 and meet their scales in one vpdpwssd. Codes are masked, not
 * shifted: their place in the byte is made up for once a sub-block, in bringing the sums together. */
LB_INLINE void add_pair(const uint8_t *block, const block_regs *regs, int i, const void *act, size_t stride, int64_t b,
                        __m512i *sum, const int cols) {
    __m512i w[2][4], even[FEW_MOST], odd[FEW_MOST];
    const lb_pair_place place = pair_places(i);
    ahead(block + AHEAD_BYTES, i, SUBS / 2);
    pair_codes(block, i, w[0], w[1]);
    EACH_FEW even[c] = odd[c] = _mm512_setzero_si512();
    LB_UNROLL for (int j = 0; j < 4; j++) EACH_FEW {
        const int8_t *q = act_block(act, stride, b, c)->q + 32 * i + 4 * j;
        even[c] = lb_dot4(even[c], w[0][j], q);
        odd[c] = lb_dot4(odd[c], w[1][j], q + 16);
    }
    __m512i scales = pair_scales(regs, i);
    EACH_FEW {
        __m512i low = place.even ? _mm512_srli_epi32(even[c], (unsigned)place.even) : even[c];
        __m512i high = _mm512_slli_epi32(odd[c], (unsigned)(16 - place.odd));
        sum[c] = _mm512_dpwssd_epi32(sum[c], _mm512_mask_mov_epi16(low, 0xaaaaaaaa, high), scales);
    }
}
#endif

/* The integer sums of `cols` columns over one block. */
LB_INLINE void few_sums(const uint8_t *block, const block_regs *regs, const void *act, size_t stride, int64_t b,
                        __m512i *sum, __m512i *minsum, const int cols) {
    EACH_FEW sum[c] = minsum[c] = _mm512_setzero_si512();
#if PAIRED
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++) add_pair(block, regs, i, act, stride, b, sum, cols);
    LB_UNROLL for (int i = 0; i < SUBS / 2; i++) {
        __m512i others = pair_others(regs, i);
        EACH_FEW minsum[c] = lb_dot2(minsum[c], others, pair_sums(act_block(act, stride, b, c), i));
    }
    EACH_FEW close_block(&sum[c], &minsum[c]);
#else
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m512i w[SUB_VECTORS], sub[FEW_MOST];
        ahead(block + AHEAD_BYTES, s, SUBS);
        sub_codes(block, s, w);
        EACH_FEW sub[c] = CENTRED ? lb_spread(&act_block(act, stride, b, c)->neg32[s]) : _mm512_setzero_si512();
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++)
            EACH_FEW sub[c] = lb_dot4(sub[c], w[j], act_block(act, stride, b, c)->q + 4 * (s * SUB_VECTORS + j));
        __m512i scale = sub_scale(regs, s);
        EACH_FEW sum[c] = _mm512_add_epi32(sum[c], _mm512_mullo_epi32(sub[c], scale));
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

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    for (int h = 0; h < HALVES; h++) {
        const uint8_t *block = panel + lb_rows32_block_at(SHAPE, k, 0, h);
        const uint8_t *head = panel + lb_rows32_head_at(SHAPE, k, 0, h);
        __m512 acc[FEW_MOST];
        EACH_FEW acc[c] = _mm512_setzero_ps();
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
 * A tile is two vectors of rows times 6 or 12 columns: an activation is broadcast to a register once for both, which
 * leaves the load ports idle enough for the multipliers to be the limit. */

typedef struct expanded {
    __m512i w[64][HALVES];
    __m512i scale[SUBS][HALVES];
    __m512i pair[PAIRS ? PAIRS : 1][HALVES];
    __m512 d[HALVES], dmin[HALVES];
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

#define EACH_COLUMN LB_UNROLL for (int c = 0; c < cols; c++)

/* Every third column has a pointer of its own; the two behind it are reached with the stride as an index. */
enum { COLUMN_POINTERS = (TILE_COLS + 2) / 3 };
LB_INLINE __m512i column(const char *const p[], size_t stride, int c, int offset) {
    return lb_broadcast(p[c / 3] + (size_t)(c % 3) * stride + offset);
}
LB_INLINE void advance(const char *p[], ptrdiff_t bytes, const int cols) {
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++) p[i] += bytes;
}

/* sum += `vectors` vectors of weights times 4 activations each, from p on; p moves behind them. */
LB_INLINE void dot_vectors(const __m512i (*w)[HALVES], int vectors, const char *p[], size_t stride,
                           __m512i sum[][HALVES], const int cols) {
    LB_UNROLL for (int j = 0; j < vectors; j++) {
        __m512i v[HALVES];
        EACH_HALF v[h] = _mm512_load_si512(&w[j][h]);
        EACH_COLUMN {
            __m512i a = column(p, stride, c, 4 * j);
            EACH_HALF sum[c][h] = lb_dot4_regs(sum[c][h], v[h], a);
        }
    }
    advance(p, 4 * vectors, cols);
}

/* The integer sums of `cols` columns over one block; p is left at the end of the codes. */
LB_INLINE void tile_sums(const expanded *e, const lb_act_q8_256 *act, const char *p[], size_t stride,
                         __m512i sum[][HALVES], const int cols) {
#if FOLDED
    EACH_COLUMN EACH_HALF sum[c][h] = folded_start(act_block(act, stride, 0, c));
    for (int g = 0; g < 64; g += 4) dot_vectors(e->w + g, 4, p, stride, sum, cols);
#else
    EACH_COLUMN EACH_HALF sum[c][h] = _mm512_setzero_si512();
    for (int s = 0; s < SUBS; s++) {
        __m512i sub[TILE_COLS][HALVES];
        EACH_COLUMN {
            __m512i start = _mm512_setzero_si512();
            if (CENTRED) start = lb_broadcast(&act_block(act, stride, 0, c)->neg32[s]);
            EACH_HALF sub[c][h] = start;
        }
        dot_vectors(e->w + s * SUB_VECTORS, SUB_VECTORS, p, stride, sub, cols);
        EACH_HALF {
            __m512i scale = e->scale[s][h];
            EACH_COLUMN sum[c][h] = _mm512_add_epi32(sum[c][h], _mm512_mullo_epi32(sub[c][h], scale));
        }
    }
    EACH_COLUMN EACH_HALF sum[c][h] = block_sum(sum[c][h]);
#endif
    (void)act;
}

/* The sums of minima times sums of activations of `cols` columns over one block. */
LB_INLINE void tile_minsums(const expanded *e, const lb_act_q8_256 *act, size_t stride, __m512i minsum[][HALVES],
                            const int cols) {
    const char *p[COLUMN_POINTERS];
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++)
        p[i] = (const char *)pair_sums(act, 0) + 3 * (size_t)i * stride;
    EACH_COLUMN EACH_HALF minsum[c][h] = _mm512_setzero_si512();
    LB_UNROLL for (int i = 0; i < PAIRS; i++) {
        __m512i v[HALVES];
        EACH_HALF v[h] = _mm512_load_si512(&e->pair[i][h]);
        EACH_COLUMN {
            __m512i a = column(p, stride, c, 4 * i);
            EACH_HALF minsum[c][h] = lb_dot2_regs(minsum[c][h], v[h], a);
        }
    }
}

/* Adds one block's products of `cols` columns to acc[c][32]. */
LB_INLINE void tile(const expanded *e, const lb_act_q8_256 *act, size_t stride, float *acc, const int cols) {
    __m512i sum[TILE_COLS][HALVES], minsum[TILE_COLS][HALVES];
    __m512i kept[TILE_COLS][HALVES]; /* in memory: the sums below need the registers */
    const char *p[COLUMN_POINTERS];
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++) p[i] = (const char *)act + 3 * (size_t)i * stride;
    if (PAIRS) {
        tile_minsums(e, act, stride, minsum, cols);
        EACH_COLUMN EACH_HALF _mm512_store_si512(&kept[c][h], minsum[c][h]);
        __asm__ volatile("" ::: "memory");
    }
    tile_sums(e, act, p, stride, sum, cols);
    EACH_COLUMN {
        float da = act_block(act, stride, 0, c)->d;
        EACH_HALF {
            float *to = acc + PANEL_ROWS * c + 16 * h;
            __m512i m = PAIRS ? _mm512_load_si512(&kept[c][h]) : _mm512_setzero_si512();
            _mm512_store_ps(to, add_block(_mm512_load_ps(to), sum[c][h], m, e->d[h], e->dmin[h], da));
        }
    }
}

#define TILE(n)                                                                                                      \
    static __attribute__((noinline)) void tile_##n(const expanded *e, const lb_act_q8_256 *act, size_t stride,       \
                                                   float *acc) {                                                     \
        tile(e, act, stride, acc, n);                                                                                \
    }
typedef void (*tile_fn)(const expanded *, const lb_act_q8_256 *, size_t, float *);
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if FOLDED
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)
#endif

static const tile_fn tiles[TILE_COLS + 1] = { NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if FOLDED
                                              tile_7, tile_8, tile_9, tile_10, tile_11, tile_12
#endif
};

/* Tile by tile, so that the misses of lines far apart are hidden behind the next tile's work. */
static inline void write_out(const float *acc, int c0, int c1, float *out, int64_t out_stride) {
    for (int c = c0; c < c1; c++)
        EACH_HALF _mm512_storeu_ps(out + c * out_stride + 16 * h, _mm512_load_ps(acc + PANEL_ROWS * c + 16 * h));
}

/* The blocks of both halves that are read BLOCKS_AHEAD blocks after b; near the end, the next panel's. */
typedef struct later_blocks { const char *half[HALVES], *end; } later_blocks;

LB_INLINE later_blocks later_than(const uint8_t *panel, int64_t k, int64_t b) {
    int64_t blocks = k / 256, at = b + BLOCKS_AHEAD;
    const char *p = (const char *)panel + (size_t)(at / blocks) * lb_rows32_panel_bytes(SHAPE, k)
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

/* Columns in tiles of equal size, so that none is left with a thin one. */
static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    float acc[PANEL_ROWS * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    memset(acc, 0, (size_t)cols * PANEL_ROWS * sizeof(float));
    int count = (cols + TILE_COLS - 1) / TILE_COLS, share = ((int)(SHAPE.block_bytes / 64) + count - 1) / count;
    if (k == 0) write_out(acc, 0, cols, out, out_stride);
    for (int64_t b = 0; b < k / 256; b++) {
        expanded e;
        for (int h = 0; h < HALVES; h++)
            expand(panel + lb_rows32_block_at(SHAPE, k, b, h), panel + lb_rows32_head_at(SHAPE, k, b, h), h, &e);
        later_blocks later = later_than(panel, k, b);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            ahead_many(&later, share);
            tiles[c1 - c0](&e, act_block(act, stride, b, c0), stride, acc + PANEL_ROWS * c0);
            if (b == k / 256 - 1) write_out(acc, c0, c1, out, out_stride);
        }
    }
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
    else many(panel, act, stride, k, cols, out, out_stride);
}

ROWS16_PANEL(lb_act_q8_256_prepare, lb_act_q8_256_bytes, LB_ACT_KIND_Q8_256)

/* The descriptor, but for name, format and about. */
#define ROWS16_KERNEL ROWS16_ARITHMETIC, .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .priority = 20

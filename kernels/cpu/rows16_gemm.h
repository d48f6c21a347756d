/* rows16_gemm.h: the lb_panel.run of a K-quant in the rows16 layout; a template, included once by each format's file.
 *
 * The format defines before the #include:
 *   SUBS                sub-blocks of 256 with a scale each: 8 or 16
 *   PAIRS               pairs of minima: SUBS / 2, or 0 for formats without
 *   CENTRED             1 = the codes' offset is taken out by starting sub-block s from neg32[s] of the activations
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
#include "gemm_panel.h"
#include "rows16.h"

enum { SUB_VECTORS = 64 / SUBS, MOST_COLS = 16, TILE_COLS = FOLDED ? 16 : 12,
       FEW_MOST = 8, /* up to here decoding in registers is the faster way (measured) */
       AHEAD_BYTES = 8192 };

/* Prefetches step i of `steps` of what stands AHEAD_BYTES behind the block: in the order of addresses, whatever
 * the order of the loads, which is what the memory and its hardware prefetchers are fastest with. */
LB_INLINE void ahead(const uint8_t *block, int i, int steps) {
    const int lines = (int)(SHAPE.block_bytes / 64);
    for (int l = lines * i / steps; l < lines * (i + 1) / steps; l++)
        _mm_prefetch((const char *)block + AHEAD_BYTES + 64 * l, _MM_HINT_T0);
}

/* acc + da * (d * sum - dmin * minsum), each step rounded once. */
LB_INLINE __m512 add_block(__m512 acc, __m512i sum, __m512i minsum, __m512 d, __m512 dmin, float da) {
    __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), d);
    if (PAIRS) t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(minsum), dmin, t);
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

#if PAIRED
/* A pair's sums, below 2^15 each, become two int16 and meet their scales in one vpdpwssd. Codes are masked, not
 * shifted: their place in the byte is made up for once a sub-block, in bringing the sums together. */
LB_INLINE void add_pair(const uint8_t *block, const block_regs *regs, int i, const void *act, size_t stride, int64_t b,
                        __m512i *sum, const int cols) {
    __m512i w[2][4], even[FEW_MOST], odd[FEW_MOST];
    const lb_pair_place place = pair_places(i);
    ahead(block, i, SUBS / 2);
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
        ahead(block, s, SUBS);
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
    const uint8_t *block = panel + lb_rows16_head_bytes(SHAPE, k);
    __m512 acc[FEW_MOST];
    EACH_FEW acc[c] = _mm512_setzero_ps();
    for (int64_t b = 0; b < k / 256; b++, block += SHAPE.block_bytes) {
        block_regs regs;
        open_block(block, panel + 32 * b, &regs);
        __m512i sum[FEW_MOST], minsum[FEW_MOST];
        few_sums(block, &regs, act, stride, b, sum, minsum, cols);
        EACH_FEW acc[c] = add_block(acc[c], sum[c], minsum[c], regs.d, regs.dmin, act_block(act, stride, b, c)->d);
    }
    EACH_FEW _mm512_storeu_ps(out + c * out_stride, acc[c]);
}

/* ---- many columns: a block of 16 x 256 is expanded to bytes in L1 once and meets all of them ---- */

typedef struct expanded {
    __m512i w[64];
    __m512i scale[SUBS];
    __m512i pair[PAIRS ? PAIRS : 1];
    __m512 d, dmin;
} expanded;

static inline void expand(const uint8_t *block, const uint8_t *head, expanded *e) {
    block_regs regs;
    open_block(block, head, &regs);
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m512i w[SUB_VECTORS];
        ahead(block, s, SUBS);
#if FOLDED
        folded_codes(block, &regs, s, w);
#else
        sub_codes(block, s, w);
        e->scale[s] = sub_scale(&regs, s);
#endif
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) e->w[s * SUB_VECTORS + j] = w[j];
    }
#if PAIRS
    LB_UNROLL for (int i = 0; i < PAIRS; i++) e->pair[i] = min_pair(&regs, i);
#endif
    e->d = regs.d;
    e->dmin = regs.dmin;
}

/* Twelve or sixteen columns have more addresses than there are registers, and gcc spills them into the load ports
 * that the inner loop lives on. So every third column has a pointer, the two after it are reached by the stride as an
 * index, and the instructions are written with that address. `off` is a literal. */
#define AT_0(off) #off "(%2)"
#define AT_1(off) #off "(%2,%3)"
#define AT_2(off) #off "(%2,%3,2)"
#define COLUMN_OP(op, acc, w, p, address)                                                                            \
    __asm__(op " " address "%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "r"(p), "r"(stride), "m"(*(const char (*)[])(p)))
/* acc = the broadcast dword: an addition, because vpbroadcastd takes a slot of the multipliers on Zen 5. */
#define COLUMN_LOAD(acc, p, address)                                                                                 \
    __asm__("vpaddd " address "%{1to16%}, %1, %0"                                                                    \
            : "=v"(acc) : "v"(_mm512_setzero_si512()), "r"(p), "r"(stride), "m"(*(const char (*)[])(p)))
/* X(column, pointer, address macro, ...) for the first `cols` columns. */
#define EACH_COLUMN(X, ...)                                                                                          \
    X(0, p[0], AT_0, __VA_ARGS__) X(1, p[0], AT_1, __VA_ARGS__) X(2, p[0], AT_2, __VA_ARGS__)                        \
    X(3, p[1], AT_0, __VA_ARGS__) X(4, p[1], AT_1, __VA_ARGS__) X(5, p[1], AT_2, __VA_ARGS__)                        \
    X(6, p[2], AT_0, __VA_ARGS__) X(7, p[2], AT_1, __VA_ARGS__) X(8, p[2], AT_2, __VA_ARGS__)                        \
    X(9, p[3], AT_0, __VA_ARGS__) X(10, p[3], AT_1, __VA_ARGS__) X(11, p[3], AT_2, __VA_ARGS__)                      \
    X(12, p[4], AT_0, __VA_ARGS__) X(13, p[4], AT_1, __VA_ARGS__) X(14, p[4], AT_2, __VA_ARGS__)                     \
    X(15, p[5], AT_0, __VA_ARGS__)
#define DOT4(c, p, at, off) if (c < cols) COLUMN_OP("vpdpbusd", sub[c], w, p, at(off));
#define START(c, p, at, off) if (c < cols) COLUMN_LOAD(sub[c], p, at(off));
#define DOT2(c, p, at, off) if (c < cols) COLUMN_OP("vpdpwssd", minsum[c], w, p, at(off));
/* Four vectors of weights, 16 bytes of every column's activations. */
#define VECTOR(off) { __m512i w = _mm512_load_si512((const char *)from + 16 * off); EACH_COLUMN(DOT4, off) }
#define FOUR_VECTORS VECTOR(0) VECTOR(4) VECTOR(8) VECTOR(12)

enum { COLUMN_POINTERS = (MOST_COLS + 2) / 3 };

LB_INLINE void advance(const char *p[], ptrdiff_t bytes, const int cols) {
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++) p[i] += bytes;
}

#if CENTRED && !FOLDED
/* neg32[s] of every column; p stands at the codes of sub-block s. */
LB_INLINE void start_columns(const char *codes[], int s, size_t stride, __m512i *sub, const int cols) {
    const char *p[COLUMN_POINTERS];
    ptrdiff_t to_sums = (ptrdiff_t)offsetof(lb_act_q8_256, neg32) + 4 * s - 256 / SUBS * s;
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++) p[i] = codes[i] + to_sums;
    EACH_COLUMN(START, 0)
}
#endif

/* The integer sums of `cols` columns over one block; p is left at the end of the codes. */
LB_INLINE void tile_sums(const expanded *e, const lb_act_q8_256 *act, const char *p[], size_t stride,
                         __m512i *sum, const int cols) {
    const __m512i *from = e->w;
    (void)act;
#if FOLDED
    __m512i *sub = sum;
    LB_UNROLL for (int c = 0; c < cols; c++) sub[c] = folded_start(act_block(act, stride, 0, c));
    for (int g = 0; g < 16; g++, from += 4, advance(p, 16, cols)) { FOUR_VECTORS }
#else
    LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_setzero_si512();
    for (int s = 0; s < SUBS; s++) {
        __m512i sub[MOST_COLS];
#if CENTRED
        start_columns(p, s, stride, sub, cols);
#else
        LB_UNROLL for (int c = 0; c < cols; c++) sub[c] = _mm512_setzero_si512();
#endif
        FOUR_VECTORS
        from += 4;
        advance(p, 16, cols);
#if SUBS == 8
        FOUR_VECTORS
        from += 4;
        advance(p, 16, cols);
#endif
        __m512i scale = e->scale[s];
        LB_UNROLL for (int c = 0; c < cols; c++)
            sum[c] = _mm512_add_epi32(sum[c], _mm512_mullo_epi32(sub[c], scale));
    }
    LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = block_sum(sum[c]);
#endif
}

/* Adds one block's products of `cols` columns to acc[c][16]. */
LB_INLINE void tile(const expanded *e, const lb_act_q8_256 *act, size_t stride, float *acc, const int cols) {
    __m512i sum[MOST_COLS], minsum[MOST_COLS];
    const char *p[COLUMN_POINTERS];
    LB_UNROLL for (int i = 0; i < (cols + 2) / 3; i++) p[i] = (const char *)act + 3 * (size_t)i * stride;
    tile_sums(e, act, p, stride, sum, cols);
    LB_UNROLL for (int c = 0; c < cols; c++) minsum[c] = _mm512_setzero_si512();
#if PAIRS
    /* behind the 256 codes: see lb_act_q8_256 */
    if (SUBS == 8) advance(p, (ptrdiff_t)offsetof(lb_act_q8_256, sum32) - 256, cols);
    else advance(p, (ptrdiff_t)offsetof(lb_act_q8_256, sum16) - 256, cols);
    for (int i = 0; i < PAIRS; i++, advance(p, 4, cols)) {
        __m512i w = e->pair[i];
        EACH_COLUMN(DOT2, 0)
    }
#endif
    LB_UNROLL for (int c = 0; c < cols; c++) {
        __m512 sofar = _mm512_load_ps(acc + 16 * c);
        float da = act_block(act, stride, 0, c)->d;
        _mm512_store_ps(acc + 16 * c, add_block(sofar, sum[c], minsum[c], e->d, e->dmin, da));
    }
}

#define TILE(n)                                                                                                      \
    static __attribute__((noinline)) void tile_##n(const expanded *e, const lb_act_q8_256 *act, size_t stride,       \
                                                   float *acc) {                                                     \
        tile(e, act, stride, acc, n);                                                                                \
    }
typedef void (*tile_fn)(const expanded *, const lb_act_q8_256 *, size_t, float *);
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)
#if FOLDED
TILE(13) TILE(14) TILE(15) TILE(16)
#endif

static const tile_fn tiles[] = { NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10,
                                 tile_11, tile_12,
#if FOLDED
                                 tile_13, tile_14, tile_15, tile_16
#endif
};

/* Columns in tiles of equal size, so that none is left with a thin one. */
static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    const uint8_t *block = panel + lb_rows16_head_bytes(SHAPE, k);
    float acc[16 * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    memset(acc, 0, (size_t)cols * 64);
    int count = (cols + TILE_COLS - 1) / TILE_COLS;
    for (int64_t b = 0; b < k / 256; b++, block += SHAPE.block_bytes) {
        expanded e;
        expand(block, panel + 32 * b, &e);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            tiles[c1 - c0](&e, act_block(act, stride, b, c0), stride, acc + 16 * c0);
        }
    }
    for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride, _mm512_load_ps(acc + 16 * c));
}

/* Kept apart, so that a launch has one of them in the instruction cache. */
#define FEW(n)                                                                                                       \
    static __attribute__((noinline)) void few_##n(const uint8_t *panel, const void *act, size_t stride, int64_t k,   \
                                                  float *out, int64_t out_stride) {                                  \
        few(panel, act, stride, k, out, out_stride, n);                                                              \
    }
FEW(1) FEW(2) FEW(3) FEW(4) FEW(5) FEW(6) FEW(7) FEW(8)
typedef void (*few_fn)(const uint8_t *, const void *, size_t, int64_t, float *, int64_t);
static const few_fn fews[FEW_MOST + 1] = { NULL, few_1, few_2, few_3, few_4, few_5, few_6, few_7, few_8 };

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)q;
    if (cols <= FEW_MOST) fews[cols](panel, act, stride, k, out, out_stride);
    else many(panel, act, stride, k, cols, out, out_stride);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return lb_rows16_panel_bytes(SHAPE, k);
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return (size_t)((n + 15) / 16) * panel_bytes(q, k);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    lb_rows16_repack(SHAPE, pack_row, native, n, k, row0, row1, dst);
}

static const lb_layout layout = { .name = "rows16", .size_bytes = size_bytes, .repack = repack, .row_multiple = 16 };
static const lb_panel panel_ops = {
    .rows = 16,
    .max_cols = LB_PANEL_MAX_COLS,
    .run = run,
    .panel_bytes = panel_bytes,
    .act_prepare = lb_act_q8_256_prepare,
    .act_bytes = lb_act_q8_256_bytes,
    .act_kind = LB_ACT_KIND_Q8_256,
};
LB_GEMM_PANEL(panel_ops)

/* The descriptor, but for name, format and about. */
#define ROWS16_KERNEL                                                                                                \
    .op = "gemm", .device = "cpu", .source = "luabench",                                                             \
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .layout = &layout, .act = LB_ACT_Q8_256, .acc = LB_ACC_I32_F32,       \
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-10,                                                                  \
    .tolerance_why = "sums of 256 are exact in int32; K / 256 f32 steps of three roundings each: about 1e-14, "      \
                     "more where scales and minima cancel",                                                          \
    .priority = 20, .panel = &panel_ops, .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes,         \
    .launch = launch

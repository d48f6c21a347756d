/* rows32_blocks.h: gemm over block-sparse weights in panels of 32 rows, which keep the same blocks of 64 columns: what
 * is multiplied is dense, and blocks that are not there are not visited. */
#pragma once
#include "rows32_blocks_pack.h"
#define TILES_STEPS_OF .steps = steps, /* with AMX: below */
#include "rows32_float.h"

/* Some blocks' codes through the tables to pairs. */
LB_INLINE void blocks_decode(const float_format f, const float_regs *t, const uint8_t *block, int64_t some,
                             __m512i (*to)[2]) {
    for (int64_t run = 0; run < some * BLOCK_K / 32; run++)
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int i = 0; i < 16; i += 2, block += 64) {
                __m512i w[8];
                float_decode(f, t, block, w);
                LB_UNROLL for (int j = 0; j < 2; j++) to[16 * run + i + j][h] = w[j];
            }
}

#if defined(LB_BF16_PANEL)
/* ---- tiles of bf16, any number of columns (bf16_panel_amx.h) ---- */

/* pairs_format.place: each block is two runs. */
LB_INLINE int64_t blocks_place(const uint8_t *panel, int64_t i) {
    return BLOCK_K * (int64_t)blocks_columns(panel)[i / 2] + i % 2 * 32;
}

LB_INLINE void blocks_panels(const float_format f, const pairs_format pairs, const float_table *table,
                             const void *panels, int count, const void *act, size_t stride, int64_t k, int cols,
                             float *out, int64_t out_stride) {
    const float_of of = { .k = k, .regs = float_open(f, table) };
    pairs_run_panels(pairs, (pairs_problem){
        .of = &of, .panels = panels, .codes = (const uint8_t *)panels + blocks_head(k),
        .panel_bytes = blocks_panel_bytes(f.bits / 8, k), .count = count, .act = act, .stride = stride,
        .padded = lb_act_bf16_padded(k), .kept = BLOCK_K * blocks_kept(k), .cols = cols, .out = out,
        .out_stride = out_stride });
}

/* The functions of a file of codes of eight bits from FORMAT and TABLE. */
#define LB_BLOCKS_FLOAT(prepare, bytes, kind)                                                                        \
    LB_INLINE const uint8_t *open_row(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,             \
                                      pairs_head *to) {                                                              \
        (void)of, (void)i;                                                                                           \
        for (int h = 0; h < 2; h++) to->s[h] = _mm512_load_ps((const float *)(const void *)panel + 16 * h);          \
        return p;                                                                                                    \
    }                                                                                                                \
    LB_INLINE const uint8_t *expand(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,               \
                                    pairs_run *to) {                                                                 \
        (void)panel, (void)i;                                                                                        \
        return float_panel_expand(FORMAT, of, p, to);                                                                \
    }                                                                                                                \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)q, (void)step;                                                                                         \
        const pairs_format f = { .of_row = true, .open = open_row, .expand = expand, .place = blocks_place,          \
                                 .act_apart = 256, .act_scaled = FORMAT.act == FLOAT_ACT_ROW };                      \
        blocks_panels(FORMAT, f, TABLE, panels, count, act, stride, k, cols, out, out_stride);                       \
    }                                                                                                                \
    LB_PAIRS_RUN                                                                                                     \
    LB_BLOCKS_LAYOUT(FORMAT.bits / 8, false)                                                                         \
    LB_ROWS32_PANELS(prepare, bytes, kind, &panels_ops)
#define BLOCKS_WITH "tdpbf16ps on tiles, the sum of all blocks"
#elif defined(__AMX_TILE__)
/* ---- tiles ---- */

/* The first kept block from column `first` of blocks on. */
LB_INLINE int64_t blocks_from(const int32_t *columns, int64_t kept, int64_t first) {
    int64_t b = 0;
    while (b < kept && columns[b] < first) b++;
    return b;
}

/* tiles_format.steps: each block is two. */
static int steps(const uint8_t *panel, int64_t k, int64_t at, int64_t some, uint8_t places[TILES_STEPS]) {
    const int32_t *columns = blocks_columns(panel);
    const int64_t first = at / BLOCK_K, kept = blocks_kept(k);
    int count = 0;
    for (int64_t b = blocks_from(columns, kept, first); b < kept && columns[b] < first + some / BLOCK_K; b++)
        for (int half = 0; half < 2; half++) places[count++] = (uint8_t)(2 * (columns[b] - first) + half);
    return count;
}

/* tiles_format.expand: the kept blocks of these k, one behind the other. */
LB_INLINE const void *blocks_pairs(const float_format f, const float_table *table, const uint8_t *panel, int64_t k,
                                   int64_t at, int64_t some, tiles_pairs *to) {
    const float_regs t = float_open(f, table);
    const int32_t *columns = blocks_columns(panel);
    const int64_t first = at / BLOCK_K, kept = blocks_kept(k);
    int64_t b = blocks_from(columns, kept, first), p = 0;
    const uint8_t *from = panel + blocks_head(k) + (size_t)b * block_bytes(f.bits / 8);
    for (; b < kept && columns[b] < first + some / BLOCK_K; b++, from += block_bytes(f.bits / 8), p += BLOCK_K / 2) {
        if (f.bits == 16) memcpy(to->w[p], from, block_bytes(2));
        else blocks_decode(f, &t, from, 1, &to->w[p]);
    }
    return from;
}

/* The functions of a file of floats from FORMAT and TABLE. */
#define FLOAT_SCALES FLOAT_OF_ROW
#define LB_BLOCKS_FLOAT(prepare, bytes, kind)                                                                        \
    static const void *expand(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,      \
                              int64_t some, tiles_pairs *to) {                                                       \
        (void)q, (void)rows;                                                                                         \
        return blocks_pairs(FORMAT, TABLE, panel, k, at, some, to);                                                  \
    }                                                                                                                \
    LB_TILES_ROW_SCALES                                                                                              \
    LB_BLOCKS_LAYOUT(FORMAT.bits / 8, false)                                                                         \
    LB_ROWS32_PANEL(prepare, bytes, kind)
#define BLOCKS_WITH "tdpbf16ps on tiles, sums of 32 x 32"
#else
enum { BLOCKS_SUM = 4 /* that floats are added up over */ };

/* The row's scale, and the token's if activations have one. */
LB_INLINE __m512 blocks_scaled(const float_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k,
                               int c, int h, __m512 total) {
    total = _mm512_mul_ps(total, _mm512_load_ps((const float *)(const void *)panel + 16 * h));
    return f.act == FLOAT_ACT_ROW ? _mm512_mul_ps(total, float_act_scale(f, act, stride, k, c)) : total;
}

/* sum += a block's products; k is where its activations stand. */
LB_INLINE void blocks_few_one(const float_format f, const float_regs *t, const uint8_t *block, const void *act,
                              size_t stride, int64_t k, __m512 sum[2][FLOAT_GEMV_COLS], const int cols) {
    for (int64_t i = 0; i < BLOCK_K; i += 32) {
        if (f.bits == 8) {
            const uint8_t *run = block + (size_t)(i / 32) * 2 * float_half_bytes(8);
            float_ask(run, 16);
            float_few_pairs(f, t, run, act, stride, k + i, 16, sum, cols);
            continue;
        }
        LB_UNROLL for (int j = 0; j < 16; j++)
            LB_UNROLL for (int h = 0; h < 2; h++) {
                __m512i w = lb_load_ahead(block + 64 * i + 128 * j + 64 * h);
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[h][c] = float_dot2(sum[h][c], w, float_act(act, stride, k + i + 2 * j, c));
            }
    }
}

LB_INLINE void blocks_few(const float_format f, const float_table *table, const uint8_t *panel, const void *act,
                          size_t stride, int64_t k, float *out, int64_t out_stride, const int cols) {
    const float_regs t = float_open(f, table);
    const int32_t *column = blocks_columns(panel);
    const uint8_t *block = panel + blocks_head(k);
    __m512 total[2][FLOAT_GEMV_COLS];
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks_kept(k); b += BLOCKS_SUM) {
        __m512 sum[2][FLOAT_GEMV_COLS];
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) sum[h][c] = _mm512_setzero_ps();
        for (int64_t i = b; i < blocks_kept(k) && i < b + BLOCKS_SUM; i++, block += block_bytes(f.bits / 8))
            blocks_few_one(f, &t, block, act, stride, BLOCK_K * (int64_t)column[i], sum, cols);
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_add_ps(total[h][c], sum[h][c]);
    }
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++)
            _mm512_storeu_ps(out + c * out_stride + 16 * h, blocks_scaled(f, panel, act, stride, k, c, h, total[h][c]));
}

/* How far each of some blocks' activations are behind the end of those before, in bytes. */
LB_INLINE void blocks_hops(const int32_t *columns, int64_t some, int bytes, int64_t *hops) {
    for (int64_t i = 0; i < some; i++)
        hops[i] = (int64_t)bytes * BLOCK_K * ((int64_t)columns[i] - (i ? (int64_t)columns[i - 1] + 1 : 0));
}
#define BLOCKS_HOP                                                                                                   \
    "mov (%[hops]), %[i]\n\tadd %[i], %[a]\n\tadd %[i], %[b]\n\tadd %[i], %[c]\n\tadd %[i], %[d]\n\tadd $8, %[hops]\n\t"
#define BLOCKS_ADD(low, high, temp, other, address, at, ...)                                                         \
    "vaddps " #at "(%[acc]), %%zmm" #low ", %%zmm" #low "\n\tvmovaps %%zmm" #low ", " #at "(%[acc])\n\t"             \
    "vaddps 64+" #at "(%[acc]), %%zmm" #high ", %%zmm" #high "\n\tvmovaps %%zmm" #high ", 64+" #at "(%[acc])\n\t"
/* acc[col][32] += the products of `blocks` blocks, each `steps` times FOUR_STEPS; `far` bytes behind a column's
 * activations are those of the next tile. */
#define BLOCKS_TILE(name, n, open, op, steps, close)                                                                 \
    static __attribute__((noinline)) void name##_##n(const void *w, const void *act, size_t s, const int64_t *hops,  \
                                                     int64_t blocks, void *acc, ptrdiff_t far) {                     \
        const char *a = act, *b = a + 3 * s, *c = a + 6 * s, *d = a + 9 * s;                                         \
        int64_t i;                                                                                                   \
        __asm__ volatile(T32_##n(open, ) "2:\n\t" BLOCKS_HOP "mov $" #steps ", %[i]\n\t.p2align 5\n"                \
                         "1:\n\t" T32_ASK_##n T32_FOUR_STEPS(n, op)                                                  \
                         "dec %[i]\n\tjnz 1b\n\tdec %[blocks]\n\tjnz 2b\n\t"                                     \
                         T32_##n(close, )                                                                            \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [i] "=&r"(i),            \
                           [blocks] "+r"(blocks), [hops] "+r"(hops)                                                  \
                         : [s] "r"(s), [acc] "r"(acc), [far] "r"(far), [far1] "r"(far + (ptrdiff_t)s),               \
                           [far2] "r"(far + 2 * (ptrdiff_t)s)                                                        \
                         : T32_CLOBBERS);                                                                            \
    }
typedef void (*blocks_tile_fn)(const void *, const void *, size_t, const int64_t *, int64_t, void *, ptrdiff_t);
/* From the activations of a tile's columns [c0, c1) to what is read after it: those of the columns that follow, or
 * after the last the first ones of the blocks from `later` on. */
LB_INLINE ptrdiff_t blocks_far(const int32_t *now, const int32_t *later, int bytes, size_t stride, int c0, int c1,
                               int cols) {
    return c1 < cols ? (ptrdiff_t)stride * (c1 - c0)
                     : (ptrdiff_t)bytes * BLOCK_K * ((ptrdiff_t)*later - *now) - (ptrdiff_t)stride * c0;
}
#define BLOCKS_TILES(name)                                                                                           \
    static const blocks_tile_fn name[] = { NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6,         \
                                           name##_7, name##_8, name##_9, name##_10, name##_11, name##_12 };

#define BLOCKS_FLOAT_TILE(n) BLOCKS_TILE(blocks_float, n, T32_ZERO, "vdpbf16ps", 8, BLOCKS_ADD)
T32_EACH(BLOCKS_FLOAT_TILE)
BLOCKS_TILES(blocks_float)

/* Some blocks as the tiles read them: where they lie (bf16), or through the tables. */
LB_INLINE const void *blocks_expanded(const float_format f, const float_regs *t, const uint8_t *block, int64_t some,
                                      __m512i e[BLOCKS_SUM * BLOCK_K / 2][2]) {
    if (f.bits == 16) return block;
    blocks_decode(f, t, block, some, e);
    return e;
}

LB_INLINE void blocks_many(const float_format f, const float_table *table, const uint8_t *panel, const void *act,
                           size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    const float_regs regs = float_open(f, table);
    const int lines = (int)(BLOCKS_SUM * block_bytes(f.bits / 8) / 64);
    float *acc = lb_panel_sums_take(cols);
    __m512i e[BLOCKS_SUM * BLOCK_K / 2][2];
    int64_t hops[BLOCKS_SUM], kept = blocks_kept(k);
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int64_t b = 0; b < kept; b += BLOCKS_SUM) {
        int64_t some = kept - b < BLOCKS_SUM ? kept - b : BLOCKS_SUM;
        const uint8_t *block = panel + blocks_head(k) + (size_t)b * block_bytes(f.bits / 8);
        const void *w = blocks_expanded(f, &regs, block, some, e);
        const int32_t *now = blocks_columns(panel) + b, *later = b + some < kept ? now + some : blocks_columns(panel);
        blocks_hops(now, some, 2, hops);
        for (int i = 0; i < count; i++) { /* the next blocks come between the tiles */
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++)
                _mm_prefetch((const char *)block + 64 * (lines + l), _MM_HINT_T0);
            if (b + some == kept) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            blocks_float[c1 - c0](w, float_act(act, stride, 0, c0), stride, hops, some, acc + FLOAT_ROWS * c0,
                                  blocks_far(now, later, 2, stride, c0, c1, cols));
            for (int c = c0; c < c1 && b + some == kept; c++) /* tile by tile: misses hide behind the next one's work */
                LB_UNROLL for (int h = 0; h < 2; h++) {
                    __m512 total = _mm512_load_ps(acc + FLOAT_ROWS * c + 16 * h);
                    _mm512_storeu_ps(out + c * out_stride + 16 * h,
                                     blocks_scaled(f, panel, act, stride, k, c, h, total));
                }
        }
    }
    for (int c = 0; c < cols && kept == 0; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + c * out_stride + 16 * h, _mm512_setzero_ps());
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void blocks_run(const float_format f, const float_table *table, const void *panel, const void *act,
                          size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: blocks_few(f, table, panel, act, stride, k, out, out_stride, 1); break;
    case 2: blocks_few(f, table, panel, act, stride, k, out, out_stride, 2); break;
    case 3: blocks_few(f, table, panel, act, stride, k, out, out_stride, 3); break;
    case 4: blocks_few(f, table, panel, act, stride, k, out, out_stride, 4); break;
    default: blocks_many(f, table, panel, act, stride, k, cols, out, out_stride);
    }
}

/* The functions of a file of floats from FORMAT and TABLE. */
#define LB_BLOCKS_FLOAT(prepare, bytes, kind)                                                                        \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        blocks_run(FORMAT, TABLE, panel, act, stride, k, cols, out, out_stride);                                     \
    }                                                                                                                \
    LB_BLOCKS_LAYOUT(FORMAT.bits / 8, false)                                                                         \
    LB_ROWS32_PANEL(prepare, bytes, kind)
#define BLOCKS_WITH "vdpbf16ps, sums of four onto the total in f32"
#endif

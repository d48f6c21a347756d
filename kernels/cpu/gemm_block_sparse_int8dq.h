/* gemm_block_sparse_int8dq.h: gemm over block-sparse-int8dq weights in panels of 32 rows: int8 blocks of 64 columns
 * times int8, scales of row and token last. Sums are exact in int32. For AVX-512 and AMX. */
#pragma once
#define I8_SPARSE
#include "rows32_i8.h"
#if defined(__AMX_INT8__)
#include "rows32_blocks_pack.h"
#else
#include "rows32_blocks.h"
#endif

/* Activations: a row of int8dq's, then the sums of its blocks of 64 codes up to a whole line. */
static size_t act_bytes(const lb_quantizer *q, int64_t k) {
    return lb_act_i8_token_bytes(q, k) + float_plane_at((size_t)(k / BLOCK_K) * 4);
}

LB_INLINE const int32_t *block_sums(const lb_act_i8_token *a, int64_t k) {
    return (const int32_t *)(const void *)((const char *)a + lb_act_i8_token_bytes(NULL, k));
}

static void act_prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    lb_act_i8_token_prepare(q, x, k, act);
    int32_t *sums = (int32_t *)(uintptr_t)block_sums(act, k);
    for (int64_t b = 0; b < k / BLOCK_K; b++) {
        __m512i codes = _mm512_loadu_si512(((lb_act_i8_token *)act)->q + BLOCK_K * b);
        sums[b] = _mm512_reduce_add_epi32(lb_dot4_regs(_mm512_setzero_si512(), lb_bytes(1), codes));
    }
}

/* -128 times the sum of the activations that the panel's blocks meet. */
LB_INLINE __m512i start_of(const int32_t *columns, int64_t k, const lb_act_i8_token *a) {
    const int32_t *sums = block_sums(a, k);
    int32_t sum = 0;
    for (int64_t b = 0; b < blocks_kept(k); b++) sum += sums[columns[b]];
    return _mm512_set1_epi32(-128 * sum);
}

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    const int32_t *columns = blocks_columns(panel);
    const uint8_t *w = panel + blocks_head(k);
    __m512i sum[I8_GEMV_COLS][2][2];
    LB_UNROLL for (int c = 0; c < cols; c++) {
        __m512i start = start_of(columns, k, i8_act(act, stride, c));
        LB_UNROLL for (int h = 0; h < 2; h++) sum[c][0][h] = start, sum[c][1][h] = _mm512_setzero_si512();
    }
    for (int64_t b = 0; b < blocks_kept(k); b++) {
        const int8_t *a = i8_act(act, stride, 0)->q + BLOCK_K * (int64_t)columns[b];
        for (int i = 0; i < BLOCK_K; i += 8, w += 256)
            i8_few_step((i8_format){ .bits = 8 }, w, a + i, stride, sum, cols);
    }
    LB_UNROLL for (int c = 0; c < cols; c++)
        i8_finish(panel, i8_act(act, stride, c), _mm512_add_epi32(sum[c][0][0], sum[c][1][0]),
                  _mm512_add_epi32(sum[c][0][1], sum[c][1][1]), out + c * out_stride);
}

LB_BLOCKS_LAYOUT(1, true)

#if defined(__AMX_INT8__)
#include "sparse_i8_amx.h"

/* Codes lose their offset, so that no sum of the columns' blocks is needed. */
static void expand(const uint8_t *panel, int64_t k, int64_t at, int64_t some, sparse_blocks *to) {
    const int32_t *columns = blocks_columns(panel);
    const int64_t first = at / BLOCK_K, kept = blocks_kept(k);
    int64_t b = 0;
    while (b < kept && columns[b] < first) b++;
    const uint8_t *from = panel + blocks_head(k) + (size_t)b * block_bytes(1);
    for (to->count = 0; b < kept && columns[b] < first + some / BLOCK_K; b++) {
        uint8_t *block = to->codes + (size_t)to->count * block_bytes(1);
        to->place[to->count++] = (int)(columns[b] - first);
        for (const uint8_t *end = from + block_bytes(1); from < end; from += 64, block += 64)
            _mm512_store_si512(block, _mm512_xor_si512(_mm512_load_si512(from), lb_bytes(0x80)));
    }
    to->next = from;
    to->next_bytes = (size_t)to->count * block_bytes(1);
}

LB_SPARSE_I8_PANELS(act_prepare, act_bytes, "i8_token/sums64")
#define MANY_WITH "tdpbssd"
#else
#define BLOCKS_INT_TILE(n) BLOCKS_TILE(blocks_int, n, I8_LOAD, "vpdpbusd", 4, I8_STORE)
T32_EACH(BLOCKS_INT_TILE)
BLOCKS_TILES(blocks_int)

static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    enum { TOGETHER = 16 }; /* 32 KiB of weights */
    const int32_t *columns = blocks_columns(panel);
    int32_t *acc = lb_panel_sums_take(cols);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int c = 0; c < cols; c++) {
        __m512i start = start_of(columns, k, i8_act(act, stride, c));
        _mm512_store_si512(acc + 32 * c, start);
        _mm512_store_si512(acc + 32 * c + 16, start);
    }
    for (int64_t b = 0; b < blocks_kept(k); b += TOGETHER) {
        int64_t some = blocks_kept(k) - b < TOGETHER ? blocks_kept(k) - b : TOGETHER, hops[TOGETHER];
        const uint8_t *w = panel + blocks_head(k) + (size_t)b * block_bytes(1);
        const int32_t *now = columns + b, *later = b + some < blocks_kept(k) ? now + some : columns;
        const int lines = (int)(TOGETHER * block_bytes(1) / 64);
        blocks_hops(now, some, 1, hops);
        for (int t = 0; t < count; t++) { /* the next blocks come between the tiles */
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            for (int l = lines * t / count; l < lines * (t + 1) / count; l++)
                _mm_prefetch((const char *)w + 64 * (lines + l), _MM_HINT_T1);
            if (b + some == blocks_kept(k)) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            blocks_int[c1 - c0](w, i8_act(act, stride, c0)->q, stride, hops, some, acc + 32 * c0,
                                blocks_far(now, later, 1, stride, c0, c1, cols));
            for (int c = c0; c < c1 && b + some == blocks_kept(k);
                 c++) /* tile by tile: misses hide behind the next one's */
                i8_finish(panel, i8_act(act, stride, c), _mm512_load_si512(acc + 32 * c),
                          _mm512_load_si512(acc + 32 * c + 16), out + c * out_stride);
        }
    }
    for (int c = 0; c < cols && blocks_kept(k) == 0; c++)
        i8_finish(panel, i8_act(act, stride, c), _mm512_setzero_si512(), _mm512_setzero_si512(), out + c * out_stride);
    lb_panel_sums_give(acc, cols);
}

LB_ROWS32_RUN
LB_ROWS32_PANEL(act_prepare, act_bytes, "i8_token/sums64")
#define MANY_WITH "vpdpbusd"
#endif

const lb_kernel LB_ROWS32_SYMBOL(gemm_block_sparse_int8dq) = {
    .name = "gemm.block-sparse-int8dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other, vpdpbusd, of more than four columns "
             MANY_WITH "; scales of token and row at the end",
    .format = "block-sparse-int8dq",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};

/* gemm_block_sparse_int8dq_avx2.c: gemm over block-sparse-int8dq weights in panels of 32 rows with AVX2: int8 blocks of
 * 64 columns times int8, scales of row and token last. Sums are exact in int32. */
#include "rows32.h"

#include "rows32_blocks_pack.h"
#include "rows32_i8_avx2.h"

#define FORMAT (i8_format){ .bits = 8 }

/* -128 times the sum of the activations that the panel's blocks meet. */
LB_INLINE int32_t start_of(const uint8_t *panel, int64_t k, const void *act, size_t stride, int c) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (int64_t b = 0; b < blocks_kept(k); b++) {
        const int8_t *q = i8_at(FORMAT, act, stride, BLOCK_K * (int64_t)blocks_columns(panel)[b], c);
        for (int i = 0; i < 2 * BLOCK_K; i += 32)
            sum = x2_wide(sum, _mm256_loadu_si256((const __m256i *)(const void *)(q + i)), one);
    }
    int32_t lanes[8], total = 0;
    _mm256_storeu_si256((__m256i *)(void *)lanes, sum);
    for (int i = 0; i < 8; i++) total += lanes[i];
    return -i8_offset(FORMAT) * total;
}

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    const uint8_t *w = panel + blocks_head(k);
    __m256i sum[I8_PARTS][X2_FEW];
    LB_UNROLL for (int c = 0; c < cols; c++) {
        __m256i start = _mm256_set1_epi32(start_of(panel, k, act, stride, c));
        LB_UNROLL for (int part = 0; part < I8_PARTS; part++) sum[part][c] = start;
    }
    for (int64_t b = 0; b < blocks_kept(k); b++) {
        int64_t at = BLOCK_K * (int64_t)blocks_columns(panel)[b];
        for (int64_t i = 0; i < BLOCK_K; i += 32, w += i8_codes_bytes(FORMAT, 32))
            LB_UNROLL for (int part = 0; part < I8_PARTS; part++)
                i8_few_step(FORMAT, w, act, stride, at + i, part, sum[part], cols);
    }
    I8_EACH i8_finish(panel, part, i8_act(act, stride, c), sum[part][c], out + c * out_stride + 8 * part);
}

static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    i8_expanded e;
    int32_t *acc = lb_panel_sums_take(cols);
    const uint8_t *w = panel + blocks_head(k);
    for (int c = 0; c < cols; c++) {
        int32_t start = start_of(panel, k, act, stride, c);
        for (int r = 0; r < I8_ROWS; r++) acc[I8_ROWS * c + r] = start;
    }
    for (int64_t b = 0; b < blocks_kept(k); b++, w += block_bytes(1)) {
        int64_t at = BLOCK_K * (int64_t)blocks_columns(panel)[b];
        i8_expand(FORMAT, w, BLOCK_K, e);
        for (int c = 0; c < cols; c += X2_COLS) {
            _mm_prefetch((const char *)w + block_bytes(1) + 16 * c, _MM_HINT_T0);
            i8_meet(FORMAT, e, (const char *)act + (size_t)c * stride, stride, at, BLOCK_K,
                    cols - c < X2_COLS ? cols - c : X2_COLS, acc + I8_ROWS * c);
        }
    }
    i8_finish_all(panel, act, stride, acc, cols, out, out_stride);
    lb_panel_sums_give(acc, cols);
}

LB_ROWS32_RUN

LB_BLOCKS_LAYOUT(1, true)
LB_ROWS32_I8_PANEL(I8_ACT_8)

const lb_kernel lb_kernel_gemm_block_sparse_int8dq_avx2 = {
    .name = "gemm.block-sparse-int8dq.avx2",
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other, vpmaddwd; scales of token and row "
             "at the end",
    .format = "block-sparse-int8dq",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};

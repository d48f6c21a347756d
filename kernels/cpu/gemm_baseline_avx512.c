/* gemm_baseline_avx512.c: gemm over baseline (bf16) weights in panels of 32 rows. */
#include "rows32_baseline.h"
#include "rows32_float.h"

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    int64_t padded = lb_act_bf16_padded(k);
    __m512 total[2][FLOAT_GEMV_COLS];
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_setzero_ps();
    for (int64_t at = 0; at < padded; at += FLOAT_CHUNK) {
        int64_t end = padded - at < FLOAT_CHUNK ? padded : at + FLOAT_CHUNK;
        __m512 sum[2][FLOAT_GEMV_COLS];
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) sum[h][c] = _mm512_setzero_ps();
        for (int64_t i = at; i < end; i += 8, panel += 512)
            LB_UNROLL for (int j = 0; j < 4; j++)
                LB_UNROLL for (int h = 0; h < 2; h++) {
                    __m512i w = lb_load_ahead(panel + 128 * j + 64 * h);
                    LB_UNROLL for (int c = 0; c < cols; c++)
                        sum[h][c] = float_dot2(sum[h][c], w, float_act(act, stride, i + 2 * j, c));
                }
        LB_UNROLL for (int h = 0; h < 2; h++)
            LB_UNROLL for (int c = 0; c < cols; c++) total[h][c] = _mm512_add_ps(total[h][c], sum[h][c]);
    }
    LB_UNROLL for (int h = 0; h < 2; h++)
        LB_UNROLL for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride + 16 * h, total[h][c]);
}

static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    static const float ones[FLOAT_ROWS] __attribute__((aligned(64))) = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
    };
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    int64_t padded = lb_act_bf16_padded(k);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int64_t at = 0; at < padded; at += FLOAT_CHUNK) {
        int64_t some = padded - at < FLOAT_CHUNK ? padded - at : FLOAT_CHUNK;
        const char *next = (const char *)panel + some * FLOAT_ROWS * 2;
        int lines = (int)(some * FLOAT_ROWS * 2 / 64);
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T1);
            const uint16_t *a = float_act(act, stride, at, c0);
            const uint16_t *then = i + 1 < count ? float_act(act, stride, at, c1)
                                                 : float_act(act, stride, at + FLOAT_CHUNK, 0);
            if (at + some == padded) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            float_tiles[c1 - c0](panel, a, stride, 1, some / 8, ones, acc + FLOAT_ROWS * c0,
                                 (const char *)then - (const char *)a);
            for (int c = c0; c < c1 && at + some == padded; c++)
                memcpy(out + c * out_stride, acc + FLOAT_ROWS * c, FLOAT_ROWS * sizeof *out);
        }
        panel += some * FLOAT_ROWS * 2;
    }
    for (int c = 0; c < cols && padded == 0; c++) memset(out + c * out_stride, 0, FLOAT_ROWS * sizeof *out);
    lb_panel_sums_give(acc, cols);
}

LB_ROWS32_RUN

LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_baseline_avx512 = {
    .name = "gemm.baseline.avx512",
    .about = "panels of 32 rows; vdpbf16ps in tiles of 32 rows x 12 columns, sums of 256 onto the total in f32",
    .format = "baseline",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};

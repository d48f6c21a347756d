/* gemm_nvfp4_many_avx512.c: gemm over nvfp4 weights for several rows of x: bf16 holds q * b exactly (two times four
 * bits of significand, exponents of -10 to 12), so that what is expanded for all columns has its scale in it already,
 * and only the matrix's is left for the sums of 256. (One row at a time the products with b would take longer than
 * memory.) */
#include "rows32_nvfp4.h"

#define FORMAT (float_format){ .bits = 4, .span = 16, .head_bytes = head_bytes, .scale = block_scale }

/* The even and the odd words are apart as f32; the products' low halves are zero. */
LB_INLINE __m512i times(__m512i w, __m512 b) {
    __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
    __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000u)));
    return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(_mm512_mul_ps(even, b)), 16),
                           _mm512_castps_si512(_mm512_mul_ps(odd, b)));
}

static void expand(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at, int64_t some,
                   float_expanded *e) {
    const float_regs regs = float_open(FORMAT, TABLE(q));
    float_expand(FORMAT, &regs, q, panel, k, at, some, e);
    for (int64_t i = 0; i * SUB < some; i++)
        for (int half = 0; half < 2; half++) {
            const __m512 b = e->scale[i][half];
            LB_UNROLL for (int j = 0; j < SUB / 2; j++)
                e->w[i * SUB / 2 + j][half] = times(e->w[i * SUB / 2 + j][half], b);
        }
    for (int half = 0; half < 2; half++) e->scale[0][half] = tensor_scale(panel);
}

/* As float_many. */
static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    int64_t padded = lb_act_bf16_padded(k);
    float *acc = lb_panel_sums_take(cols);
    float_expanded e;
    memset(acc, 0, (size_t)cols * FLOAT_ROWS * sizeof *acc);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int64_t at = 0; at == 0 || at < padded; at += FLOAT_CHUNK) {
        int64_t some = padded - at < FLOAT_CHUNK ? padded - at : FLOAT_CHUNK;
        expand(q, panel, k, at, some, &e);
        const char *next =
            (const char *)panel + head_bytes(q, k) + (size_t)((at + some) / 32) * 2 * float_run_bytes(FORMAT);
        int lines = FLOAT_CHUNK / 32 * 2 * FORMAT.bits;
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T0);
            if (at + some == padded) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            float_meet(FLOAT_CHUNK, &e, act, stride, at, some, c0, c1, cols, acc);
            for (int c = c0; c < c1 && at + some == padded; c++)
                memcpy(out + c * out_stride, acc + FLOAT_ROWS * c, FLOAT_ROWS * sizeof *out);
        }
    }
    lb_panel_sums_give(acc, cols);
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return float_panel_bytes(FORMAT, q, k); }
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(FORMAT.bits, FORMAT.head_bytes(q, k), unpack, put_scales, q, native, n, k, row0, row1, dst);
}

LB_ROWS32_PANEL(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

static bool supports(const lb_args *a, const char **why) {
    *why = "few rows of activations are for gemm.nvfp4.avx512";
    return lb_arg(a, LB_GEMM_X)->dims[0] > LB_GEMM_PANEL_GEMV_ROWS;
}

const lb_kernel lb_kernel_gemm_nvfp4_many_avx512 = {
    .name = "gemm.nvfp4.many_avx512",
    .op = "gemm", .device = "cpu", .source = "luabench",
    .about = "for several rows of activations: e2m1 by a table of 16, times its scale, exact in bf16; vdpbf16ps in "
             "sums of 256, which the matrix's scale is for",
    .format = "nvfp4",
    .layout = &layout, .priority = 25, .supports = supports,
    .act = LB_ACT_BF16,
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch,
    LB_FLOAT_ARITHMETIC,
};

/* gemm_int8_dynamic_activation_intx_weight_avx512.c: gemm over intx weights in panels of 16 rows: w = q * s, 2 to 8 bits,
 * times int8 activations with a scale and a zero a token. */
#include "act_i8_token_avx512.h"
#include "rows16_g32.h"

/* A scale for each 32, as rows16_g32.h wants it, whatever the group. */
#define FORMAT(b) (g32){ .bits = b, .bias = 128 - (1 << (b - 1)), .wide = true }
enum { HEAD = 64 }; /* before a panel: the rows' sums of w, f32, that meet the activations' zero */

G32_TILES(tiles, false)

#define RUN(b)                                                                                                       \
    static __attribute__((noinline)) void run_##b(const void *panel, const void *act, size_t stride, int64_t k,      \
                                                  int cols, float *out, int64_t out_stride) {                        \
        g32_run(FORMAT(b), tiles, panel, act, stride, k, cols, out, out_stride);                                     \
    }
RUN(2) RUN(3) RUN(4) RUN(5) RUN(6) RUN(7) RUN(8)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    static void (*const runs[])(const void *, const void *, size_t, int64_t, int, float *, int64_t) = {
        NULL, NULL, run_2, run_3, run_4, run_5, run_6, run_7, run_8
    };
    runs[q->bits]((const char *)panel + HEAD, act, stride, k, cols, out, out_stride);
    __m512 sums = _mm512_load_ps(panel);
    for (int c = 0; c < cols; c++) {
        float shift; /* scale times zero: behind the row's blocks */
        memcpy(&shift, (const char *)act + (size_t)c * stride + lb_act_q8_32_bytes(q, k), sizeof shift);
        __m512 total = _mm512_loadu_ps(out + c * out_stride);
        _mm512_storeu_ps(out + c * out_stride, _mm512_fnmadd_ps(sums, _mm512_set1_ps(shift), total));
    }
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return HEAD + g32_panel_bytes(FORMAT(q->bits), k); }

/* Codes of b bits, a row's as one stream, the first in the lowest bits; then f32 scales [N][K/g]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    const g32 f = FORMAT(q->bits);
    const float *scales = (const float *)(const void *)((const char *)native + ((size_t)(n * k * q->bits / 8) + 63) / 64 * 64);
    for (int64_t row = row0; row < row1; row += 16) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 16) * panel_bytes(q, k);
        memset(panel, 0, panel_bytes(q, k));
        for (int r = 0; r < 16 && row + r < n; r++) {
            double sum = 0;
            for (int64_t g = 0; g < k / 32; g++) {
                uint8_t codes[32];
                const uint8_t *from = (const uint8_t *)native + ((row + r) * k + 32 * g) * q->bits / 8;
                float s = scales[(row + r) * (k / q->group) + 32 * g / q->group];
                for (int i = 0; i < 32; i++) {
                    int bit = i * q->bits;
                    uint32_t two = from[bit / 8] | (bit % 8 + q->bits > 8 ? (uint32_t)from[bit / 8 + 1] << 8 : 0);
                    codes[i] = (uint8_t)(two >> bit % 8 & ((1u << q->bits) - 1));
                    sum += (double)s * (codes[i] - (1 << (q->bits - 1)));
                }
                memcpy(panel + HEAD + g32_scales_at(f, g) + 4 * (size_t)r, &s, 4);
                g32_pack_codes(f, codes, r, panel + HEAD + g32_codes_at(f, g));
            }
            ((float *)(void *)panel)[r] = (float)sum;
        }
    }
}

LB_ROWS16_PANEL(lb_act_i8_asym_prepare, lb_act_i8_asym_bytes, LB_ACT_KIND_I8_ASYM)

const lb_kernel lb_kernel_gemm_int8_dynamic_activation_intx_weight_avx512 = {
    .name = "gemm.int8_dynamic_activation_intx_weight.avx512",
    .about = "rows16 panels with the codes as bit fields and a scale for each 32; vpdpbusd, f32 once per 32; the token's zero "
             "meets the rows' sums at the end",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI,
    .format = "int8_dynamic_activation_intx_weight",
    .act = LB_ACT_I8_TOKEN_ASYM,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    G32_TOLERANCE,
    LB_ROWS16_KERNEL,
};

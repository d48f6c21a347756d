/* gemm_int8_dynamic_activation_intx_weight.h: gemm over intx weights in panels of 32 rows: w = q * s, 2 to 8 bits,
 * times int8 activations with a scale and a zero a token. */
#define H32_SHARED 1
#define H32_WIDE_ACT 1
#define H32_NARROW_BITS 4 /* activations may be -128 */
#include "rows32_g32_any.h"

/* A scale for each 32, as rows32_g32.h wants it, whatever the group. */
#define FORMAT(b) (h32){ .bits = b, .offset = 1 << (b - 1), .scales = H32_F32 }
enum { HEAD = 128 }; /* before a panel: the rows' sums of w, f32, that meet the activations' zero */

#define RUN(b)                                                                                                       \
    static __attribute__((noinline)) void run_##b(const void *panel, const void *act, size_t stride, int64_t k,      \
                                                  int cols, float *out, int64_t out_stride) {                        \
        H32_RUN(FORMAT(b), panel, act, stride, k, cols, out, out_stride);                                 \
    }
RUN(2) RUN(3) RUN(4) RUN(5) RUN(6) RUN(7) RUN(8)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    static void (*const runs[])(const void *, const void *, size_t, int64_t, int, float *, int64_t) = {
        NULL, NULL, run_2, run_3, run_4, run_5, run_6, run_7, run_8
    };
    runs[q->bits]((const char *)panel + HEAD, act, stride, k, cols, out, out_stride);
    const float *sums = panel;
    size_t at = H32_ASYM_BYTES(q, k) - sizeof(float);
    for (int c = 0; c < cols; c++) {
        float shift, *to = out + c * out_stride; /* scale times zero: behind the row's blocks */
        memcpy(&shift, (const char *)act + (size_t)c * stride + at, sizeof shift);
        for (int r = 0; r < 32; r++) to[r] = __builtin_fmaf(-sums[r], shift, to[r]);
    }
}

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return HEAD + h32_panel_bytes(FORMAT(q->bits), k); }

/* Row r of a panel; returns its sum. Codes of b bits, a row's as one stream, the first in the lowest bits. */
static float pack_row(const lb_quantizer *q, const uint8_t *native, const float *scales, int64_t k, int r,
                      uint8_t *panel) {
    const h32 f = FORMAT(q->bits);
    double sum = 0;
    for (int64_t g = 0; g < k / 32; g++) {
        uint8_t codes[32];
        float s = scales[32 * g / q->group];
        h32_stream_codes(f.bits, native + 32 * g * f.bits / 8, codes);
        for (int i = 0; i < 32; i++) sum += (double)s * (codes[i] - f.offset);
        memcpy(panel + h32_scales_at(f, g) + 4 * (size_t)r, &s, 4);
        h32_pack_codes(f, codes, r % 16, panel + h32_codes_at(f, g) + (size_t)(r / 16) * h32_half_bytes(f));
    }
    return (float)sum;
}

/* The codes, then at a multiple of 64 bytes f32 scales [N][K/g]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    const uint8_t *codes = native;
    const float *scales = (const float *)(const void *)(codes + ((size_t)(n * k * q->bits / 8) + 63) / 64 * 64);
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * panel_bytes(q, k);
        memset(panel, 0, panel_bytes(q, k));
        for (int r = 0; r < 32 && row + r < n; r++)
            ((float *)(void *)panel)[r] = pack_row(q, codes + (row + r) * k * q->bits / 8,
                                                   scales + (row + r) * (k / q->group), k, r, panel + HEAD);
    }
}

H32_PANEL(H32_ASYM)

const lb_kernel LB_ROWS32_SYMBOL(gemm_int8_dynamic_activation_intx_weight) = {
    .name = "gemm.int8_dynamic_activation_intx_weight." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows with the codes as bit fields and a scale for each 32; " H32_WITH ", f32 once per 32; "
             "the token's zero meets the rows' sums at the end",
    .format = "int8_dynamic_activation_intx_weight",
    .act = LB_ACT_I8_TOKEN_ASYM,
    LB_H32_ARITHMETIC,
};

/* gemm_int4wo.h: gemm over int4wo weights in panels of 32 rows: w = (q - 8) * s + z, groups of 32 to 256. */
#define INT_CENTRED
#include "rows32_int_any.h"

#define HEAD INT_BF16
INT_RUN(4, HEAD)
static const int_run_fn runs[] = { NULL, NULL, NULL, NULL, run_4 };

/* Nibbles [N][K/2], even k high. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_nibbles(native, k, row, at, codes);
}

/* At a multiple of 64 bytes bf16 [N][K/g][2]. */
static void scale_of(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                     float *scale, float *zero) {
    uint16_t pair[2];
    memcpy(pair, (const char *)native + float_plane_at((size_t)(n * (k / 2))) + (row * (k / q->group) + group) * 4, 4);
    *scale = lb_bf16_to_f32(pair[0]);
    *zero = lb_bf16_to_f32(pair[1]);
}

LB_INT_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_int4wo) = {
    .name = "gemm.int4wo." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; nibbles; " INT_WITH("sums of a group, each times "
             "its scale in f32; zeros times the activations' sums"),
    .format = "int4wo",
    LB_INT_KERNEL,
};

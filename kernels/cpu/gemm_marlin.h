/* gemm_marlin.h: gemm over marlin weights in panels of 32 rows: w = (q - 8) * s, groups of 128. */
#define INT_CENTRED
#include "rows32_int_any.h"

#define HEAD INT_F16
INT_RUN(4, HEAD)
static const int_run_fn runs[] = { NULL, NULL, NULL, NULL, run_4 };

/* Codes in tiles of 16 k x 64 rows: see kernels/quant/marlin.c. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)k;
    int64_t wide = (n + 63) / 64, c = row % 64;
    for (int i = 0; i < 32; i++) {
        const uint8_t *tile = (const uint8_t *)native + ((at + i) / 16 * wide + row / 64) * 512;
        int r = i % 8;
        uint8_t two = tile[((c % 8 * 4 + r / 2) * 4 + c / 16) * 4 + c / 8 % 2 + r % 2 * 2];
        codes[i] = (uint8_t)(i % 16 < 8 ? two & 15 : two >> 4);
    }
}

/* f16 [K/128][N'], of 64 rows the one i + 8 j at 8 i + j. */
static void scale_of(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                     float *scale, float *zero) {
    (void)q;
    int64_t wide = (n + 63) / 64;
    size_t at = (size_t)(k / 16 * wide * 512 + ((group * wide + row / 64) * 64 + row % 8 * 8 + row % 64 / 8) * 2);
    uint16_t h;
    memcpy(&h, (const char *)native + at, 2);
    *scale = lb_f16_to_f32(h);
    *zero = 8.0f;
}

LB_INT_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_marlin) = {
    .name = "gemm.marlin." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; nibbles; " INT_WITH("sums of 128, each times its "
             "scale in f32"),
    .format = "marlin",
    LB_INT_KERNEL,
};

/* gemm_awq.h: gemm over awq weights in panels of 32 rows: w = (q - z) * s, 4 bits. */
#include "rows32_int_any.h"

#define HEAD INT_F16
INT_RUN(4, HEAD)
static const int_run_fn runs[] = { NULL, NULL, NULL, NULL, run_4 };

/* The nibble of row 8 c + i in word c. */
static int shift_of(int64_t row) {
    static const int nibble[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    return 4 * nibble[row % 8];
}

/* qweight i32 [K][N/8]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)k;
    const uint32_t *words = (const uint32_t *)native + at * ((n + 7) / 8) + row / 8;
    for (int i = 0; i < 32; i++) codes[i] = (uint8_t)(words[i * ((n + 7) / 8)] >> shift_of(row) & 15);
}

/* qzeros i32 [K/g][N/8] in the same order; scales f16 [K/g][N]. */
static void scale_of(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t group,
                     float *scale, float *zero) {
    size_t words = (size_t)(n + 7) / 8, zeros = float_plane_at((size_t)k * words * 4);
    size_t scales = float_plane_at(zeros + (size_t)(k / q->group) * words * 4);
    uint32_t word;
    uint16_t h;
    memcpy(&word, (const char *)native + zeros + ((size_t)group * words + (size_t)(row / 8)) * 4, 4);
    memcpy(&h, (const char *)native + scales + (size_t)(group * n + row) * 2, 2);
    *scale = lb_f16_to_f32(h);
    *zero = (float)(word >> shift_of(row) & 15);
}

LB_INT_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_awq) = {
    .name = "gemm.awq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; nibbles; " INT_WITH("sums of a group, each times "
             "its scale in f32; zeros times the activations' sums"),
    .format = "awq",
    LB_INT_KERNEL,
};

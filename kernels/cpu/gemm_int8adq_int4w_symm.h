/* gemm_int8adq_int4w_symm.h: gemm over int8adq-int4w-symm weights in panels of 32 rows: int8 times int4, scales of
 * row and token last. */
#include "rows32_i8_any.h"

#define FORMAT (i8_format){ .bits = 4 }

/* Nibbles [N][(K + 1) / 2], then at a multiple of 64 bytes the f32 scales [N]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    const uint8_t *codes = native;
    size_t plane = ((size_t)(n * ((k + 1) / 2)) + 63) / 64 * 64;
    i8_repack(FORMAT, codes, (const float *)(const void *)(codes + plane), n, k, row0, row1, dst);
}

LB_I8_PANEL(I8_ACT_4)

const lb_kernel LB_ROWS32_SYMBOL(gemm_int8adq_int4w_symm) = {
    .name = "gemm.int8adq-int4w-symm." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; " I8_WITH " over all of K; nibbles with an offset of 8 "
             "that the sum of the activations takes back; scales of token and row at the end",
    .format = "int8adq-int4w-symm",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};

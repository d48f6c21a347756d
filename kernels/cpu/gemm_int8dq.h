/* gemm_int8dq.h: gemm over int8dq weights in panels of 32 rows: int8 times int8, scales of row and token last. */
#include "rows32_i8_any.h"

#define FORMAT (i8_format){ .bits = 8 }

/* The int8 plane [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    (void)q;
    const uint8_t *codes = native;
    i8_repack(FORMAT, codes, (const float *)(const void *)(codes + ((size_t)(n * k) + 63) / 64 * 64), n, k, row0, row1,
              dst);
}

LB_I8_PANEL(I8_ACT_8)

const lb_kernel LB_ROWS32_SYMBOL(gemm_int8dq) = {
    .name = "gemm.int8dq." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; " I8_WITH " over all of K, codes with an offset of "
             "128 that the sum of the activations takes back; scales of token and row at the end",
    .format = "int8dq",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};

/* gemm_mxfp4.h: gemm over mxfp4 weights in panels of 32 rows: w = 2^(e - 127) * q, q e2m1, whose doubles are
 * integers. */
#define H32_SMALL_LEVELS 1
#define H32_STORED 0
#include "rows32_g32_any.h"

/* 2 q + 128 */
static const uint8_t levels[16] = { 128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116 };
#define FORMAT (h32){ .bits = 4, .offset = 128, .levels = levels, .scales = H32_E8M0 }
/* e, then byte j holds elements j (low nibble) and j + 16: so do lanes. */
enum { BLOCK_BYTES = 17 };

LB_H32_PANEL

const lb_kernel LB_ROWS32_SYMBOL(gemm_mxfp4) = {
    .name = "gemm.mxfp4." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; twice the values by vpshufb, " H32_WITH ", their offset of 128 taken back by sums of "
             "activations, f32 once per 32",
    .format = "mxfp4",
    LB_H32_KERNEL,
};

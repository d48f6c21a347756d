/* gemm_q4_1.h: gemm over q4_1 weights in panels of 32 rows: w = d * q + m, 4-bit q. */
#define H32_MIN
#define H32_SHARED 1
#define H32_STORED 0
#include "rows32_g32_any.h"

#define FORMAT (h32){ .bits = 4, .min = true }
/* Scale and minimum (f16), then byte j holds elements j (low nibble) and j + 16: so do lanes. */
enum { BLOCK_BYTES = 20 };

LB_H32_PANEL
LB_H32_NATIVE(q4_1)

const lb_kernel LB_ROWS32_SYMBOL(gemm_q4_1) = {
    .name = "gemm.q4_1." LB_ROWS32_ISA_TEXT,
    .about = "panels of 32 rows; " H32_WITH " over codes, minima times sums of activations, f32 once per 32",
    .format = "q4_1",
    LB_H32_KERNEL,
};

/* gemm_q4_0.h: gemm over q4_0 weights in panels of 32 rows: w = d * (q - 8), 4-bit q. */
#define H32_SHARED 1
#define H32_STORED 0
#include "rows32_g32_any.h"

#define FORMAT (h32){ .bits = 4, .offset = 8 }
/* The scale (f16), then byte j holds elements j (low nibble) and j + 16: so do lanes. */
enum { BLOCK_BYTES = 18 };

LB_H32_PANEL
LB_H32_NATIVE(q4_0)

const lb_kernel LB_ROWS32_SYMBOL(gemm_q4_0) = {
    .name = "gemm.q4_0." LB_ROWS32_ISA_TEXT,
    .about = H32_ABOUT("panels of 32 rows; " H32_WITH " over nibbles, whose offset of 8 sums of activations take back, "
                       "f32 once per 32"),
    .format = "q4_0",
    LB_H32_KERNEL,
};

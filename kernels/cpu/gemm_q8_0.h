/* gemm_q8_0.h: gemm over q8_0 weights in panels of 32 rows: w = d * q, int8 q. */
#define H32_SHARED 1
#define H32_WIDE_ACT 1
#define H32_STORED 0x80808080u
#include "rows32_g32_any.h"

#define FORMAT (h32){ .bits = 8, .offset = 128 }
/* The scale (f16), then 32 int8; they are kept as q + 128, which vpdpbusd takes. */
enum { BLOCK_BYTES = 34 };

LB_H32_PANEL
LB_H32_NATIVE(q8_0)

const lb_kernel LB_ROWS32_SYMBOL(gemm_q8_0) = {
    .name = "gemm.q8_0." LB_ROWS32_ISA_TEXT,
    .about = H32_ABOUT("panels of 32 rows; " H32_WITH " over codes with an offset of 128 that sums of activations take "
                       "back, f32 once per 32"),
    .format = "q8_0",
    LB_H32_KERNEL,
};

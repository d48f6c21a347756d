/* gemm_iq4_nl.h: gemm over iq4_nl weights in panels of 32 rows: w = d * T[q], 4-bit q. */
#define H32_SHARED 1
#define H32_WIDE_ACT 1
#define H32_STORED 0
#include "rows32_g32_any.h"

/* T + 128 */
static const uint8_t levels[16] = { 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241 };
#define FORMAT (h32){ .bits = 4, .offset = 128, .levels = levels }
/* The scale (f16), then byte j holds elements j (low nibble) and j + 16: so do lanes. */
enum { BLOCK_BYTES = 18 };

LB_H32_PANEL
LB_H32_NATIVE(iq4_nl)

const lb_kernel LB_ROWS32_SYMBOL(gemm_iq4_nl) = {
    .name = "gemm.iq4_nl." LB_ROWS32_ISA_TEXT,
    .about = H32_ABOUT("panels of 32 rows; levels by vpshufb, " H32_WITH ", their offset of 128 taken back by sums of "
                       "activations, f32 once per 32"),
    .format = "iq4_nl",
    LB_H32_KERNEL,
};

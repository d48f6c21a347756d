/* gemm_q5_0.h: gemm over q5_0 weights in panels of 32 rows: w = d * (q - 16), 5-bit q. */
#define H32_SHARED 1
#include "rows32_g32_any.h"

#define FORMAT (h32){ .bits = 5, .offset = 16 }
enum { BLOCK_BYTES = 22 };

/* The scale (f16), fifth bits, then byte j holds the low bits of elements j (low nibble) and j + 16. */
static void unpack(const h32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale, uint8_t *min) {
    (void)f;
    uint32_t high;
    (void)min;
    memcpy(scale, block, 2);
    memcpy(&high, block + 2, 4);
    for (int i = 0; i < 16; i++) {
        codes[i] = (uint8_t)((block[6 + i] & 15) | (high >> i & 1) << 4);
        codes[i + 16] = (uint8_t)(block[6 + i] >> 4 | (high >> (i + 16) & 1) << 4);
    }
}

LB_H32_PANEL
LB_H32_NATIVE(q5_0)

const lb_kernel LB_ROWS32_SYMBOL(gemm_q5_0) = {
    .name = "gemm.q5_0." LB_ROWS32_ISA_TEXT,
    .about = H32_ABOUT("panels of 32 rows; " H32_WITH " over codes, whose offset sums of activations take back, f32 "
                       "once per 32"),
    .format = "q5_0",
    LB_H32_KERNEL,
};

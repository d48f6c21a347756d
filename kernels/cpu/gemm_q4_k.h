/* gemm_q4_k.h: gemm over q4_k weights in panels of 32 rows (rows16_q4_k.h). For AVX-512 and AMX. */
#include "rows32.h"
#include "rows16_q4_k.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

/* scale[0..1] sc of sub-blocks 0..3 and 4..7; scale[2..3] the minima. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    (void)head;
    lb_unpack6(block + SCALES, regs->scale);
    regs->d = lb_load_f16x16(block + D);
    regs->dmin = lb_load_f16x16(block + D + 32);
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_load_si512(block + 64 * (4 * s + j));
        w[j] = lb_field(x, 0, 0x0f);
        w[4 + j] = lb_field(x, 4, 0x0f);
    }
}

LB_INLINE void sub_nibbles(const uint8_t *block, int s, __m512i *w) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_load_si512(block + 64 * (4 * s + j));
        w[j] = lb_field(x, 0, 0x0f);
        w[4 + j] = lb_field(x, 0, 0xf0);
    }
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    return _mm512_and_si512(_mm512_srli_epi32(regs->scale[s / 4], (unsigned)lb_scale_shift(s)),
                            _mm512_set1_epi32(0xff));
}

LB_INLINE __m512i block_sum(__m512i sum) { return sum; }

LB_INLINE __m512i min_pair(const block_regs *regs, int i) {
    return _mm512_and_si512(_mm512_srli_epi32(regs->scale[2 + i / 2], i % 2 ? 8 : 0), _mm512_set1_epi32(0x00ff00ff));
}

#define SUBS 8
#define PAIRS 4
#define CENTRED 0
#define JOINT 0
#define FOLDED 0
#define PAIRED 0
#define NIBBLES
#define FITS LB_ACT_Q8_FITS_4
#define STEP 2
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_q4_k
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_q4_k) = {
    .name = "gemm.q4_k." LB_ROWS32_ISA_TEXT,
    .format = "q4_k",
    .about = ROWS16_ABOUT("panels of 32 rows; vpdpbusd per sub-block of 32, its 6-bit scale applied in integers, "
                          "minima by vpdpwssd with sums of activations, f32 once per 256"),
    ROWS16_KERNEL,
};

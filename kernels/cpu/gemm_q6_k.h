/* gemm_q6_k.h: gemm over q6_k weights in panels of 32 rows (rows16_q6_k.h). For AVX-512 and AMX. */
#include "rows32.h"
#include "rows16_q6_k.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = _mm512_load_si512(block + SCALES + 64 * i);
    regs->d = lb_load_f16x16(head);
    regs->dmin = _mm512_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    lb_unpack6(block + 192 * s, w);
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    return _mm512_srai_epi32(_mm512_slli_epi32(regs->scale[s / 4], (unsigned)(24 - lb_scale_shift(s))), 24);
}

LB_INLINE __m512i block_sum(__m512i sum) { return sum; }

#define SUBS 16
#define PAIRS 0
#define CENTRED 1
#define JOINT 0
#define FOLDED 0
#define PAIRED 0
#define FITS LB_ACT_Q8_FITS_6
#define STEP 2
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_q6_k
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_q6_k) = {
    .name = "gemm.q6_k." LB_ROWS32_ISA_TEXT,
    .format = "q6_k",
    .about = ROWS16_ABOUT("panels of 32 rows; vpdpbusd per sub-block of 16, its int8 scale applied in integers, f32 "
                          "once per 256"),
    ROWS16_KERNEL,
};

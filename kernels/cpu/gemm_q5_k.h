/* gemm_q5_k.h: gemm over q5_k weights in panels of 32 rows (rows16_q5_k.h). For AVX-512 and AMX. */
#include "rows32.h"
#include "rows16_q5_k.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

/* scale[0..1] sc of sub-blocks 0..3 and 4..7; scale[2..3] the minima. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    (void)head;
    lb_unpack6(block + SCALES, regs->scale);
    regs->d = lb_load_f16x16(block + D);
    regs->dmin = lb_load_f16x16(block + D + 32);
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    __m512i v[5];
    LB_UNROLL for (int j = 0; j < 5; j++) v[j] = _mm512_load_si512(block + 64 * (5 * s + j));
    LB_UNROLL for (int j = 0; j < 5; j++) w[j] = lb_field(v[j], 0, 0x1f);
    LB_UNROLL for (int j = 0; j < 2; j++) w[5 + j] = lb_merge(lb_field(v[j], 5, 0x07), v[3 + j], 3, 0x18);
    w[7] = lb_merge(lb_merge(lb_field(v[2], 5, 0x07), v[3], 2, 0x08), v[4], 1, 0x10);
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
#define FITS 0 /* with codes to 31 sums often leave int16: choosing by tiles was slower than never */
#define STEP 1
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_q5_k
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_q5_k) = {
    .name = "gemm.q5_k." LB_ROWS32_ISA_TEXT,
    .format = "q5_k",
    .about = ROWS16_ABOUT("panels of 32 rows; vpdpbusd per sub-block of 32, its 6-bit scale applied in int32, minima "
                          "by vpdpwssd with sums of activations, f32 once per 256"),
    ROWS16_KERNEL,
};

/* gemm_q4_k_avx2.c: gemm over q4_k weights in panels of 32 rows (rows16_q4_k.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_q4_k.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

/* scale[0..1] sc of sub-blocks 0..3 and 4..7; scale[2..3] the minima. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    x2_unpack6(block + SCALES, regs->scale);
    regs->d = x2_f16(f16s + D);
    regs->dmin = x2_f16(f16s + D + 32);
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m256i x = x2_load_ahead(block + 64 * (4 * s + j));
        w[j] = x2_field(x, 0, 0x0f);
        w[4 + j] = x2_field(x, 4, 0x0f);
    }
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return x2_twice_u8(regs->scale[s / 4], lb_scale_shift(s) / 8);
}

LB_INLINE __m256i min_pair(const block_regs *regs, int i) {
    return x2_even(_mm256_srli_epi32(regs->scale[2 + i / 2], i % 2 * 8));
}

#define SUBS 8
#define PAIRS 4
#define WIDE 0
#define START -1
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_q4_k_avx2 = {
    .name = "gemm.q4_k.avx2",
    .format = "q4_k",
    .about = "panels of 32 rows; vpmaddubsw over nibbles; scales of 32 by vpmaddwd, minima with sums of activations; "
             "f32 once per 256",
    ROWS16_KERNEL,
};

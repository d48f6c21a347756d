/* gemm_q2_k_avx2.c: gemm over q2_k weights in panels of 32 rows (rows16_q2_k.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_q2_k.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = x2_load(block + SCALES + 64 * i);
    regs->d = x2_f16(f16s + D);
    regs->dmin = x2_f16(f16s + D + 32);
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        const uint8_t *p = block + 64 * (4 * (s / 4) + j);
        w[j] = x2_field(s % 4 ? x2_load(p) : x2_load_ahead(p), 2 * (s % 4), 0x03);
    }
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return x2_twice_u8(_mm256_and_si256(regs->scale[s / 4], x2_bytes(15)), lb_scale_shift(s) / 8);
}

LB_INLINE __m256i min_pair(const block_regs *regs, int i) {
    return _mm256_and_si256(_mm256_srli_epi32(regs->scale[i / 2], i % 2 ? 12 : 4), _mm256_set1_epi32(0x000f000f));
}

#define SUBS 16
#define PAIRS 8
#define WIDE 0
#define START -1
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_q2_k_avx2 = {
    .name = "gemm.q2_k.avx2",
    .format = "q2_k",
    .about = "panels of 32 rows; vpmaddubsw over 2-bit codes; scales of 16 by vpmaddwd, minima with sums of "
             "activations; f32 once per 256",
    ROWS16_KERNEL,
};

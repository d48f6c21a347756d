/* gemm_q3_k_avx2.c: gemm over q3_k weights in panels of 32 rows (rows16_q3_k.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_q3_k.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    x2_unpack6(block + SCALES, regs->scale);
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = _mm256_sub_epi8(regs->scale[i], x2_bytes(32));
    regs->d = x2_f16(f16s);
    regs->dmin = _mm256_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    const bool lowest = third_bit(s) < two_bits(s);
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m256i x = x2_load_ahead(block + 64 * two_vector(s, j)), h = x2_load(block + 64 * third_vector(s, j));
        if (j % 2) h = _mm256_or_si256(_mm256_srli_epi32(h, 2), _mm256_slli_epi32(h, 30));
        w[j] = x2_merge(_mm256_setzero_si256(), x, (lowest ? 1 : 0) - two_bits(s), lowest ? 0x06 : 0x03);
        w[j] = x2_merge(w[j], h, (lowest ? 0 : 2) - third_bit(s), lowest ? 0x01 : 0x04);
    }
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return x2_twice_s8(regs->scale[s / 4], lb_scale_shift(s) / 8);
}

#define SUBS 16
#define PAIRS 0
#define WIDE 0
#define START 2
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_q3_k_avx2 = {
    .name = "gemm.q3_k.avx2",
    .format = "q3_k",
    .about = "panels of 32 rows; vpmaddubsw over 3-bit codes; scales of 16 by vpmaddwd; f32 once per 256",
    ROWS16_KERNEL,
};

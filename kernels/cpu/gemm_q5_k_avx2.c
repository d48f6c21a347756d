/* gemm_q5_k_avx2.c: gemm over q5_k weights in panels of 32 rows (rows16_q5_k.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_q5_k.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

/* scale[0..1] sc of sub-blocks 0..3 and 4..7; scale[2..3] the minima. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    x2_unpack6(block + SCALES, regs->scale);
    regs->d = x2_f16(f16s + D);
    regs->dmin = x2_f16(f16s + D + 32);
}

/* Half a sub-block of 32, whose sums fit int16; both halves have its scale. */
LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    const uint8_t *five = block + 64 * 5 * (s / 2);
    __m256i v[4];
    LB_UNROLL for (int j = 0; j < 4; j++) v[j] = s % 2 ? x2_load(five + 64 * j) : x2_load_ahead(five + 64 * j);
    if (s % 2 == 0) {
        LB_UNROLL for (int j = 0; j < 4; j++) w[j] = x2_field(v[j], 0, 0x1f);
        return;
    }
    __m256i last = x2_load_ahead(five + 64 * 4);
    w[0] = x2_field(last, 0, 0x1f);
    w[1] = x2_merge(x2_field(v[0], 5, 0x07), v[3], -3, 0x18);
    w[2] = x2_merge(x2_field(v[1], 5, 0x07), last, -3, 0x18);
    w[3] = x2_merge(x2_merge(x2_field(v[2], 5, 0x07), v[3], -2, 0x08), last, -1, 0x10);
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return x2_twice_u8(regs->scale[s / 8], lb_scale_shift(s / 2) / 8);
}

LB_INLINE __m256i min_pair(const block_regs *regs, int i) {
    return x2_even(_mm256_srli_epi32(regs->scale[2 + i / 2], i % 2 * 8));
}

#define SUBS 16
#define PAIRS 4
#define WIDE 0
#define START -1
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_q5_k_avx2 = {
    .name = "gemm.q5_k.avx2",
    .format = "q5_k",
    .about = "panels of 32 rows; vpmaddubsw over 5-bit codes; scales of 32 by vpmaddwd, minima with sums of "
             "activations; f32 once per 256",
    ROWS16_KERNEL,
};

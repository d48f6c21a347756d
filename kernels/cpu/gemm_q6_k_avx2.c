/* gemm_q6_k_avx2.c: gemm over q6_k weights in panels of 32 rows (rows16_q6_k.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_q6_k.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = x2_load(block + SCALES + 64 * i);
    regs->d = x2_f16(f16s);
    regs->dmin = _mm256_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    LB_UNROLL for (int i = 0; i < 3; i++)
        _mm_prefetch((const char *)block + 192 * s + 64 * i + X2_AHEAD, _MM_HINT_T0);
    x2_unpack6(block + 192 * s, w);
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return x2_twice_s8(regs->scale[s / 4], lb_scale_shift(s) / 8);
}

#define SUBS 16
#define PAIRS 0
#define WIDE 0
#define START 5
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_q6_k_avx2 = {
    .name = "gemm.q6_k.avx2",
    .format = "q6_k",
    .about = "panels of 32 rows; vpmaddubsw over 6-bit codes; int8 scales of 16 by vpmaddwd; f32 once per 256",
    ROWS16_KERNEL,
};

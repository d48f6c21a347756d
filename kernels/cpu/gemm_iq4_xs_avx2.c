/* gemm_iq4_xs_avx2.c: gemm over iq4_xs weights in panels of 32 rows (rows16_iq4_xs.h) without AVX-512. */
#include "rows16_avx2.h"
#include "rows16_iq4_xs.h"

typedef struct block_regs { __m256i scale[4]; __m256 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *f16s, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 2; i++) regs->scale[i] = x2_load(block + SCALES + 64 * i);
    regs->d = x2_f16(f16s);
    regs->dmin = _mm256_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m256i *w) {
    const __m256i t = x2_table(levels);
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m256i x = x2_load_ahead(block + 64 * (4 * s + j));
        w[j] = _mm256_shuffle_epi8(t, x2_field(x, 0, 0x0f));
        w[4 + j] = _mm256_shuffle_epi8(t, x2_field(x, 4, 0x0f));
    }
}

LB_INLINE __m256i sub_scale(const block_regs *regs, int s) {
    return _mm256_srai_epi32(_mm256_slli_epi32(regs->scale[s / 4], 24 - lb_scale_shift(s)), 24);
}

#define SUBS 8
#define PAIRS 0
#define WIDE 1
#define START 7
#define SHAPE shape
#include "rows16_gemm_avx2.h"

const lb_kernel lb_kernel_gemm_iq4_xs_avx2 = {
    .name = "gemm.iq4_xs.avx2",
    .format = "iq4_xs",
    .about = "panels of 32 rows; levels by vpshufb, vpmaddwd; the scale of each 32 applied in int32; f32 once per 256",
    ROWS16_KERNEL,
};

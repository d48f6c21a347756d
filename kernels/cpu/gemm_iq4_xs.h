/* gemm_iq4_xs.h: gemm over iq4_xs weights in panels of 32 rows (rows16_iq4_xs.h). The levels are
 * multiplied as T + 128; the 128 times the scale is taken off like a minimum (with AMX's tiles when the scale is folded
 * in), in integers: below 2^31, because 256 * 32 * 255 * 127 is. */
#include "rows32.h"
#include "rows16_iq4_xs.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

/* scale[0..1]: of sub-blocks 0..3 and 4..7. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 2; i++) regs->scale[i] = _mm512_load_si512(block + SCALES + 64 * i);
    regs->d = lb_load_f16x16(head);
    regs->dmin = _mm512_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)levels));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_load_si512(block + 64 * (4 * s + j));
        w[j] = _mm512_shuffle_epi8(t, lb_field(x, 0, 0x0f));
        w[4 + j] = _mm512_shuffle_epi8(t, lb_field(x, 4, 0x0f));
    }
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    return _mm512_srai_epi32(_mm512_slli_epi32(regs->scale[s / 4], (unsigned)(24 - lb_scale_shift(s))), 24);
}

LB_INLINE __m512i block_sum(__m512i sum) { return sum; }

/* 128 times two scales as int16: sub-blocks (0, 1) are bytes 0 and 2 of a dword, (2, 3) bytes 1 and 3. */
LB_INLINE __m512i min_pair(const block_regs *regs, int i) {
    __m512i high = i % 2 ? regs->scale[i / 2] : _mm512_slli_epi16(regs->scale[i / 2], 8);
    return _mm512_srai_epi16(_mm512_and_si512(high, _mm512_set1_epi16((short)0xff00)), 1);
}

#define SUBS 8
#define PAIRS 4
#define CENTRED 0
#define JOINT 1
#define FOLDED 0
#define PAIRED 0
#define FITS 0
#define STEP 2
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_iq4_xs
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_iq4_xs) = {
    .name = "gemm.iq4_xs." LB_ROWS32_ISA_TEXT,
    .format = "iq4_xs",
    .about = ROWS16_ABOUT("panels of 32 rows; levels by vpshufb, vpdpbusd per sub-block of 32, its scale applied in "
                          "int32, their offset of 128 taken off by vpdpwssd with sums of activations, f32 once per "
                          "256"),
    ROWS16_KERNEL,
};

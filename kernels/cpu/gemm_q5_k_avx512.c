/* gemm_q5_k_avx512.c: gemm over q5_k weights in panels of 32 rows: w = d * sc * q - dmin * m, 5-bit q, sub-blocks
 * of 32.
 *
 * A block of 16 x 256 (2816 bytes, as native): 32 vectors of low bits, vector 4s + j holding groups 8s + j (low
 * nibble) and 8s + 4 + j (high) of sub-block s; 8 vectors of fifth bits, bit b of vector s for group 8s + b; 3 vectors
 * of 6-bit scales and minima; d and dmin, 16 f16 each. */
#include "rows16.h"

enum { HIGH = 32 * 64, SCALES = 40 * 64, D = 43 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 176, .block_bytes = 176 * 16 };

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

/* scale[0..1] sc of sub-blocks 0..3 and 4..7; scale[2..3] the minima. */
LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    (void)head;
    lb_unpack6(block + SCALES, regs->scale);
    regs->d = lb_load_f16x16(block + D);
    regs->dmin = lb_load_f16x16(block + D + 32);
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    __m512i h = _mm512_load_si512(block + HIGH + 64 * s), fifth = lb_bytes(0x10);
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_load_si512(block + 64 * (4 * s + j));
        __m512i low = _mm512_slli_epi32(h, (unsigned)(4 - j)), high = _mm512_srli_epi32(h, (unsigned)j);
        w[j] = _mm512_ternarylogic_epi32(lb_field(x, 0, 0x0f), low, fifth, 0xf8); /* a | (b & c) */
        w[4 + j] = _mm512_ternarylogic_epi32(lb_field(x, 4, 0x0f), high, fifth, 0xf8);
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

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    (void)head;
    uint8_t codes[256], fifth[256], sc[8], m[8];
    for (int s = 0; s < 8; s++)
        for (int i = 0; i < 32; i++) {
            codes[32 * s + i] = (uint8_t)(native[48 + 32 * (s / 2) + i] >> (s % 2 * 4) & 15);
            fifth[32 * s + i] = (uint8_t)(native[16 + i] >> s & 1);
        }
    for (int s = 0; s < 8; s++) {
        uint32_t high = 0;
        for (int j = 0; j < 4; j++)
            *lb_lane(block, 4 * s + j, r) = lb_code4(codes, 8 * s + j) | lb_code4(codes, 8 * s + 4 + j) << 4;
        for (int b = 0; b < 8; b++) high |= lb_code4(fifth, 8 * s + b) << b;
        *lb_lane(block + HIGH, s, r) = high;
    }
    lb_scales12(native + 4, sc, m);
    lb_pack6(block + SCALES, r, (uint32_t[4]){ lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(m), lb_scale4(m + 4) });
    memcpy(block + D + 2 * r, native, 2);
    memcpy(block + D + 32 + 2 * r, native + 2, 2);
}

#define SUBS 8
#define PAIRS 4
#define CENTRED 0
#define JOINT 0
#define FOLDED 0
#define PAIRED 0
#define SHAPE shape
#include "rows16_gemm.h"

const lb_kernel lb_kernel_gemm_q5_k_avx512 = {
    .name = "gemm.q5_k.avx512",
    .format = "q5_k",
    .about = "panels of 32 rows; vpdpbusd per sub-block of 32, its 6-bit scale applied in int32, minima by vpdpwssd "
             "with sums of activations, f32 once per 256",
    ROWS16_KERNEL,
};

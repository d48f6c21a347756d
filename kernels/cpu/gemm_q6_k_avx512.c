/* gemm_q6_k_avx512.c: gemm over q6_k weights in panels of 32 rows: w = d * sc * (q - 32), 6-bit q, int8 sc, sub-blocks
 * of 16.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (3328 bytes; with its d as large as native): 3 vectors a
 * sub-block s, in the order of their use: 2 of low bits, vector j holding groups 4s + j (low nibble) and 4s + 2 + j
 * (high), and one of high bits, bits 2j for group 4s + j; then 4 vectors of scales. */
#include "rows16.h"

enum { SCALES = 48 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 210, .block_bytes = 208 * 16, .head = true };

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = _mm512_load_si512(block + SCALES + 64 * i);
    regs->d = lb_load_f16x16(head);
    regs->dmin = _mm512_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    __m512i x0 = _mm512_load_si512(block + 192 * s), x1 = _mm512_load_si512(block + 192 * s + 64), top = lb_bytes(0x30);
    __m512i h = _mm512_load_si512(block + 192 * s + 128);
    w[0] = _mm512_ternarylogic_epi32(lb_field(x0, 0, 0x0f), _mm512_slli_epi32(h, 4), top, 0xf8); /* a | (b & c) */
    w[1] = _mm512_ternarylogic_epi32(lb_field(x1, 0, 0x0f), _mm512_slli_epi32(h, 2), top, 0xf8);
    w[2] = _mm512_ternarylogic_epi32(lb_field(x0, 4, 0x0f), h, top, 0xf8);
    w[3] = _mm512_ternarylogic_epi32(lb_field(x1, 4, 0x0f), _mm512_srli_epi32(h, 2), top, 0xf8);
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    return _mm512_srai_epi32(_mm512_slli_epi32(regs->scale[s / 4], (unsigned)(24 - lb_scale_shift(s))), 24);
}

LB_INLINE __m512i block_sum(__m512i sum) { return sum; }

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    uint8_t low[256], high[256];
    for (int e = 0; e < 256; e++) {
        int h = e / 128, g = e % 128 / 32, l = e % 32;
        low[e] = (uint8_t)(native[64 * h + 32 * (g & 1) + l] >> (g / 2 * 4) & 15);
        high[e] = (uint8_t)(native[128 + 32 * h + l] >> (2 * g) & 3);
    }
    for (int s = 0; s < 16; s++) {
        uint32_t v = 0;
        for (int j = 0; j < 2; j++)
            *lb_lane(block, 3 * s + j, r) = lb_code4(low, 4 * s + j) | lb_code4(low, 4 * s + 2 + j) << 4;
        for (int j = 0; j < 4; j++) v |= lb_code4(high, 4 * s + j) << (2 * j);
        *lb_lane(block, 3 * s + 2, r) = v;
    }
    for (int i = 0; i < 4; i++) *lb_lane(block + SCALES, i, r) = lb_scale4(native + 192 + 4 * i);
    memcpy(head + 2 * r, native + 208, 2);
}

#define SUBS 16
#define PAIRS 0
#define CENTRED 1
#define JOINT 0
#define FOLDED 0
#define PAIRED 0
#define SHAPE shape
#include "rows16_gemm.h"

const lb_kernel lb_kernel_gemm_q6_k_avx512 = {
    .name = "gemm.q6_k.avx512",
    .format = "q6_k",
    .about = "panels of 32 rows; vpdpbusd per sub-block of 16, its int8 scale applied in int32, f32 once per 256",
    ROWS16_KERNEL,
};

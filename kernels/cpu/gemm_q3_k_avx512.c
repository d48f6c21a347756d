/* gemm_q3_k_avx512.c: gemm over q3_k weights in rows16 panels: w = d * (sc - 32) * (q - 4), 3-bit q, 6-bit sc,
 * sub-blocks of 16.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (1728 bytes; with its d as large as native): 16 vectors
 * of low bits, bits 2j of vector s holding group 4s + j; 8 vectors of third bits, bit 4(s % 2) + j of vector s / 2;
 * 3 vectors of 6-bit scales.
 *
 * Few columns: the codes stand times 8 in their bytes, because their bits need fewer shifts there, and start from
 * -32 * sum; the block's sum is shifted back. Many: (sc - 32) * (q - 4) + 127 lies in [3, 255], so the codes are
 * looked up in that form (tables of 4 rows x 4 in each 128-bit lane; the third bit selects between two) and one start
 * value of -127 * sum makes up for it: sub-blocks cost nothing inside. */
#include "rows16.h"

enum { HIGH = 16 * 64, SCALES = 24 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 110, .block_bytes = 108 * 16, .head = true };

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    lb_unpack6(block + SCALES, regs->scale);
    regs->d = lb_load_f16x16(head);
    regs->dmin = _mm512_setzero_ps();
}

LB_INLINE void sub_codes(const uint8_t *block, int s, __m512i *w) {
    __m512i x = lb_load_ahead(block + 64 * s), third = lb_bytes(0x20);
    __m512i h = s % 2 ? _mm512_load_si512(block + HIGH + 64 * (s / 2)) : lb_load_ahead(block + HIGH + 64 * (s / 2));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        int from = 4 * (s % 2) + j;
        __m512i low = j < 2 ? _mm512_slli_epi32(x, (unsigned)(3 - 2 * j)) : _mm512_srli_epi32(x, (unsigned)(2 * j - 3));
        __m512i high = from < 5 ? _mm512_slli_epi32(h, (unsigned)(5 - from))
                                : _mm512_srli_epi32(h, (unsigned)(from - 5));
        w[j] = _mm512_ternarylogic_epi32(_mm512_and_si512(low, lb_bytes(0x18)), high, third, 0xf8); /* a | (b & c) */
    }
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    __m512i v = _mm512_srli_epi32(regs->scale[s / 4], (unsigned)lb_scale_shift(s));
    return _mm512_sub_epi32(_mm512_and_si512(v, _mm512_set1_epi32(63)), _mm512_set1_epi32(32));
}

LB_INLINE __m512i block_sum(__m512i sum) { return _mm512_srai_epi32(sum, 3); }

/* Row bytes (v + 127) for v = scale * (q - 4): q = 0..3 in `low`, 4..7 in `high`. All lie in [3, 255], so that a
 * dword of four is formed by one multiplication of the signed scale, carries and all. */
LB_INLINE void folded_codes(const uint8_t *block, const block_regs *regs, int s, __m512i *w) {
    __m512i scale = sub_scale(regs, s), base = lb_bytes(127);
    const int digits = (int)(0x03020100u - 4u * 0x01010101u);
    __m512i low = _mm512_add_epi32(base, _mm512_mullo_epi32(scale, _mm512_set1_epi32(digits)));
    __m512i high = _mm512_add_epi32(base, _mm512_mullo_epi32(scale, _mm512_set1_epi32(0x03020100)));
    __m512i x = lb_load_ahead(block + 64 * s), h = _mm512_load_si512(block + HIGH + 64 * (s / 2));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i at = lb_table_index(x, 2 * j);
        __mmask64 third = _mm512_test_epi8_mask(h, lb_bytes(1u << (4 * (s % 2) + j)));
        w[j] = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(low, at), third, high, at);
    }
}

LB_INLINE __m512i folded_start(const lb_act_q8_256 *a) { return _mm512_set1_epi32(a->neg127); }

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    uint8_t codes[256], third[256], sc[16];
    for (int e = 0; e < 256; e++) {
        codes[e] = (uint8_t)(native[32 + 32 * (e / 128) + e % 32] >> (e % 128 / 32 * 2) & 3);
        third[e] = (uint8_t)(native[e % 32] >> (e / 32) & 1);
    }
    for (int s = 0; s < 16; s++) {
        uint32_t v = 0, h = 0;
        for (int j = 0; j < 4; j++) {
            v |= lb_code4(codes, 4 * s + j) << (2 * j);
            h |= lb_code4(third, 4 * s + j) << (4 * (s % 2) + j);
        }
        *lb_lane(block, s, r) = v;
        *lb_lane(block + HIGH, s / 2, r) |= h;
    }
    for (int j = 0; j < 16; j++)
        sc[j] = (uint8_t)((native[96 + j % 8] >> (j / 8 * 4) & 15) | (native[104 + j % 4] >> (j / 4 * 2) & 3) << 4);
    const uint32_t fields[4] = { lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(sc + 8), lb_scale4(sc + 12) };
    lb_pack6(block + SCALES, r, fields);
    memcpy(head + 2 * r, native + 108, 2);
}

#define SUBS 16
#define PAIRS 0
#define CENTRED 1
#define FOLDED 1
#define SHAPE shape
#include "rows16_gemm.h"

const lb_kernel lb_kernel_gemm_q3_k_avx512 = {
    .name = "gemm.q3_k.avx512",
    .format = "q3_k",
    .about = "rows16 panels; vpdpbusd; scales applied in int32, from 5 columns on folded into byte codes; f32 once per "
             "256",
    ROWS16_KERNEL,
};

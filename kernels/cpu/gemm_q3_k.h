/* gemm_q3_k.h: gemm over q3_k weights in panels of 32 rows (rows16_q3_k.h).
 *
 * Few columns: codes stay at their places (see rows16_gemm.h), and (sc - 32) * 4 * sum comes off at the end of the
 * block. Many: (sc - 32) * (q - 4) + 127 lies in [3, 255], so the codes are looked up in that form (tables of 4 rows x
 * 4 in each 128-bit lane; the third bit selects between two) and one start value of -127 * sum makes up for it:
 * sub-blocks cost nothing inside. */
#include "rows32.h"
#include "rows16_q3_k.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    lb_unpack6(block + SCALES, regs->scale);
    regs->d = lb_load_f16x16(head);
    regs->dmin = _mm512_setzero_ps();
}

LB_INLINE __m512i load_two(const uint8_t *block, int s, int j) {
    return _mm512_load_si512(block + 64 * two_vector(s, j));
}

LB_INLINE __m512i load_third(const uint8_t *block, int s, int j) {
    __m512i h = _mm512_load_si512(block + 64 * third_vector(s, j));
    return j % 2 ? _mm512_ror_epi32(h, 2) : h;
}

LB_INLINE int place_of(int s) { return third_bit(s) < two_bits(s) ? third_bit(s) : two_bits(s); }

LB_INLINE lb_pair_place pair_places(int i) { return (lb_pair_place){ place_of(2 * i), place_of(2 * i + 1) }; }

LB_INLINE void pair_codes(const uint8_t *block, int i, __m512i *even, __m512i *odd) {
    const __m512i third = lb_bytes(1u << third_bit(2 * i) | 1u << third_bit(2 * i + 1));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i h = load_third(block, 2 * i, j), x = load_two(block, 2 * i, j);
        __m512i v = _mm512_ternarylogic_epi32(third, h, x, 0xca); /* a ? b : c */
        even[j] = lb_field(v, 0, 7u << place_of(2 * i));
        odd[j] = lb_field(v, 0, 7u << place_of(2 * i + 1));
    }
}

LB_INLINE __m512i pair_scales(const block_regs *regs, int i) {
    __m512i v = regs->scale[i / 2];
    v = i % 2 ? _mm512_srli_epi16(v, 8) : _mm512_and_si512(v, _mm512_set1_epi32(0x00ff00ff));
    return _mm512_sub_epi16(v, _mm512_set1_epi16(32));
}

LB_INLINE __m512i pair_others(const block_regs *regs, int i) { return pair_scales(regs, i); }

LB_INLINE void close_block(__m512i *sum, __m512i *other) {
    *sum = _mm512_sub_epi32(*sum, _mm512_slli_epi32(*other, 2));
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    __m512i v = _mm512_srli_epi32(regs->scale[s / 4], (unsigned)lb_scale_shift(s));
    return _mm512_sub_epi32(_mm512_and_si512(v, _mm512_set1_epi32(63)), _mm512_set1_epi32(32));
}

/* Row bytes (v + 127) for v = scale * (q - 4): with the third bit clear in `clear`, set in `set`. All lie in [3, 255],
 * so that a dword of four is formed by one multiplication of the signed scale, carries and all. */
LB_INLINE void folded_codes(const uint8_t *block, const block_regs *regs, int s, __m512i *w) {
    const bool lowest = third_bit(s) < two_bits(s);
    const uint32_t digits = (lowest ? 0x06040200u : 0x03020100u) - 4u * 0x01010101u;
    const uint32_t step = lowest ? 0x01010101u : 4u * 0x01010101u;
    __m512i scale = sub_scale(regs, s), base = lb_bytes(127);
    __m512i clear = _mm512_add_epi32(base, _mm512_mullo_epi32(scale, _mm512_set1_epi32((int)digits)));
    __m512i set = _mm512_add_epi32(base, _mm512_mullo_epi32(scale, _mm512_set1_epi32((int)(digits + step))));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i at = lb_table_index(load_two(block, s, j), two_bits(s));
        __mmask64 third = _mm512_test_epi8_mask(load_third(block, s, j), lb_bytes(1u << third_bit(s)));
        w[j] = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(clear, at), third, set, at);
    }
}

#define SUBS 16
#define PAIRS 0
#define CENTRED 0
#define JOINT 0
#define FOLDED 1
#define PAIRED 1
#define FITS 0
#define STEP 4
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_q3_k
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_q3_k) = {
    .name = "gemm.q3_k." LB_ROWS32_ISA_TEXT,
    .format = "q3_k",
    .about = ROWS16_ABOUT("panels of 32 rows; vpdpbusd; scales applied in int32, from 6 columns on folded into byte "
                          "codes; f32 once per 256"),
    ROWS16_KERNEL,
};

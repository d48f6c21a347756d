/* gemm_q2_k.h: gemm over q2_k weights in panels of 32 rows (rows16_q2_k.h).
 *
 * sc * q <= 45 fits a byte: for many columns the codes are looked up as sc * q (vpshufb: 4 rows of 4 products make
 * a table of 16 in each 128-bit lane), so that sub-blocks cost nothing inside. */
#include "rows32.h"
#include "rows16_q2_k.h"

typedef struct block_regs { __m512i scale[4]; __m512 d, dmin; } block_regs;

LB_INLINE void open_block(const uint8_t *block, const uint8_t *head, block_regs *regs) {
    (void)head;
    LB_UNROLL for (int i = 0; i < 4; i++) regs->scale[i] = _mm512_load_si512(block + SCALES + 64 * i);
    regs->d = lb_load_f16x16(block + D);
    regs->dmin = lb_load_f16x16(block + D + 32);
}

LB_INLINE void pair_codes(const uint8_t *block, int i, __m512i *even, __m512i *odd) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        const uint8_t *p = block + 64 * (4 * (i / 2) + j);
        __m512i x = i % 2 ? _mm512_load_si512(p) : _mm512_load_si512(p);
        even[j] = lb_field(x, 0, i % 2 ? 0x30 : 0x03);
        odd[j] = lb_field(x, 0, i % 2 ? 0xc0 : 0x0c);
    }
}

LB_INLINE lb_pair_place pair_places(int i) { return i % 2 ? (lb_pair_place){ 4, 6 } : (lb_pair_place){ 0, 2 }; }

LB_INLINE __m512i pair_scales(const block_regs *regs, int i) {
    __m512i v = regs->scale[i / 2];
    return _mm512_and_si512(i % 2 ? _mm512_srli_epi32(v, 8) : v, _mm512_set1_epi32(0x000f000f));
}

/* The minima, times 16. */
LB_INLINE __m512i pair_others(const block_regs *regs, int i) {
    __m512i v = regs->scale[i / 2];
    return _mm512_and_si512(i % 2 ? _mm512_srli_epi32(v, 8) : v, _mm512_set1_epi32(0x00f000f0));
}

LB_INLINE void close_block(__m512i *sum, __m512i *other) {
    (void)sum;
    *other = _mm512_srai_epi32(*other, 4);
}

LB_INLINE __m512i sub_scale(const block_regs *regs, int s) {
    return _mm512_and_si512(_mm512_srli_epi32(regs->scale[s / 4], (unsigned)lb_scale_shift(s)),
                            _mm512_set1_epi32(15));
}

LB_INLINE __m512i min_pair(const block_regs *regs, int i) {
    return _mm512_and_si512(_mm512_srli_epi32(regs->scale[i / 2], i % 2 ? 12 : 4), _mm512_set1_epi32(0x000f000f));
}

LB_INLINE __m512i min_bytes(const block_regs *regs, int i) { return lb_field(regs->scale[i], 4, 0x0f); }

LB_INLINE void folded_codes(const uint8_t *block, const block_regs *regs, int s, __m512i *w) {
    __m512i table = _mm512_mullo_epi32(sub_scale(regs, s), _mm512_set1_epi32(0x03020100));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        const uint8_t *p = block + 64 * (4 * (s / 4) + j);
        __m512i x = s % 4 ? _mm512_load_si512(p) : _mm512_load_si512(p);
        w[j] = _mm512_shuffle_epi8(table, lb_table_index(x, 2 * (s % 4)));
    }
}

#define SUBS 16
#define PAIRS 8
#define CENTRED 0
#define JOINT 0
#define FOLDED 1
#define PAIRED 1
#define FITS 0
#define STEP 4
#define SHAPE shape
#define ROWS16_NATIVE lb_native_many_q2_k
#include "rows16_gemm.h"

const lb_kernel LB_ROWS32_SYMBOL(gemm_q2_k) = {
    .name = "gemm.q2_k." LB_ROWS32_ISA_TEXT,
    .format = "q2_k",
    .about = ROWS16_ABOUT("panels of 32 rows; vpdpbusd; scales applied in int32, from 6 columns on folded into byte "
                          "codes; minima by vpdpwssd with sums of activations; f32 once per 256"),
    ROWS16_KERNEL,
};

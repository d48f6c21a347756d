/* rows32_i8.h: what the kernels of formats with one scale a weight row and one an activation row share: int8 dot
 * products over the whole of K, no scale in the inner loop.
 *
 * The offset is taken out by starting each sum at -offset times the sum of the activations' codes. Sums are exact in
 * int32 whatever the order (K below 2^17: supports() asks), so a row's result has the same bits in every batch. */
#pragma once
#include "act_i8_token_avx512.h"
#include "rows32.h"
#include "rows32_i8_pack.h"

enum { I8_GEMV_COLS = 4, I8_BLOCK_K = 512 };

LB_INLINE const lb_act_i8_token *i8_act(const void *act, size_t stride, int c) {
    return (const lb_act_i8_token *)(const void *)((const char *)act + (size_t)c * stride);
}

/* (sum * activation's scale) * weights' scale, in this order. */
LB_INLINE void i8_finish(const uint8_t *panel, const lb_act_i8_token *a, __m512i low, __m512i high, float *out) {
    const float *scales = (const float *)(const void *)panel;
    __m512 d = _mm512_set1_ps(a->d);
    _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(low), d), _mm512_load_ps(scales)));
    _mm512_storeu_ps(out + 16, _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(high), d), _mm512_load_ps(scales + 16)));
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* 8 or 16 k: what two loads (8 bits: four) bring. Sums of alternate steps are apart, for shorter chains. */
LB_INLINE void i8_few_step(const i8_format f, const uint8_t *w, const int8_t *a, size_t stride,
                           __m512i sum[I8_GEMV_COLS][2][2], const int cols) {
    LB_UNROLL for (int i = 0; i < 2; i++) {
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512i v = lb_load_ahead(w + 128 * i + 64 * h);
            LB_UNROLL for (int c = 0; c < cols; c++) {
                const int8_t *at = a + (size_t)c * stride;
                if (f.bits == 8) {
                    sum[c][i][h] = lb_dot4(sum[c][i][h], v, at + 4 * i);
                } else {
                    sum[c][0][h] = lb_dot4(sum[c][0][h], lb_field(v, 0, 0x0f), at + 8 * i);
                    sum[c][1][h] = lb_dot4(sum[c][1][h], lb_field(v, 4, 0x0f), at + 8 * i + 4);
                }
            }
        }
    }
}

LB_INLINE void i8_few(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                      int64_t out_stride, const int cols) {
    enum { STEP_BYTES = 256 };
    const uint8_t *w = panel + I8_HEAD, *end = w + i8_codes_bytes(f, lb_act_i8_token_padded(k));
    const int8_t *a = i8_act(act, stride, 0)->q;
    __m512i sum[I8_GEMV_COLS][2][2];
    LB_UNROLL for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            sum[c][0][h] = _mm512_set1_epi32(-i8_offset(f) * i8_act(act, stride, c)->sum);
            sum[c][1][h] = _mm512_setzero_si512();
        }
    for (; w < end; w += STEP_BYTES, a += f.bits == 8 ? 8 : 16) i8_few_step(f, w, a, stride, sum, cols);
    LB_UNROLL for (int c = 0; c < cols; c++)
        i8_finish(panel, i8_act(act, stride, c), _mm512_add_epi32(sum[c][0][0], sum[c][1][0]),
                  _mm512_add_epi32(sum[c][0][1], sum[c][1][1]), out + c * out_stride);
}

/* ---- many columns: 32 rows x I8_BLOCK_K meet all of them out of the L1 and L2 caches ---- */

#define I8_LOAD(low, high, temp, other, address, at, ...)                                                            \
    "vmovdqa64 " #at "(%[acc]), %%zmm" #low "\n\tvmovdqa64 64+" #at "(%[acc]), %%zmm" #high "\n\t"
#define I8_STORE(low, high, temp, other, address, at, ...)                                                           \
    "vmovdqa64 %%zmm" #low ", " #at "(%[acc])\n\tvmovdqa64 %%zmm" #high ", 64+" #at "(%[acc])\n\t"

/* acc[col][32] += the products of `steps` times 16 k; w has 512 bytes for each, a column of a 16. `far` bytes behind a
 * column's activations are those of the next tile; each step asks for I8_ASKED bytes at `later`, which moves by
 * `piece`. */
#define I8_TILE(n)                                                                                                   \
    static __attribute__((noinline)) void i8_tile_##n(const uint8_t *w, const int8_t *a, size_t s, int64_t steps,    \
                                                      int32_t *acc, ptrdiff_t far, const uint8_t *later,             \
                                                      size_t piece) {                                                \
        const int8_t *b = a + 3 * s, *c = a + 6 * s, *d = a + 9 * s;                                                 \
        __asm__ volatile(T32_##n(I8_LOAD, ) ".p2align 6\n"                                                           \
                         "1:\n\t" T32_ASK_##n "prefetcht0 (%[later])\n\tprefetcht0 64(%[later])\n\t"                \
                         "prefetcht0 128(%[later])\n\tprefetcht0 192(%[later])\n\tadd %[piece], %[later]\n\t"       \
                         T32_FOUR_STEPS(n, "vpdpbusd") "dec %[steps]\n\tjnz 1b\n\t" T32_##n(I8_STORE, )              \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [steps] "+r"(steps),     \
                           [later] "+r"(later)                                                                       \
                         : [s] "r"(s), [acc] "r"(acc), [far] "r"(far), [far1] "r"(far + (ptrdiff_t)s),               \
                           [far2] "r"(far + 2 * (ptrdiff_t)s), [piece] "r"(piece)                                    \
                         : T32_CLOBBERS);                                                                            \
    }
T32_EACH(I8_TILE)
enum { I8_ASKED = 256 };
/* How far each of `steps` goes, so that all tiles of a block have asked for `bytes`: a line or less where tiles are
 * many; of few tiles, whose steps are as few, one line each would leave most to be waited for. */
LB_INLINE size_t i8_piece(size_t bytes, size_t steps) {
    const size_t even = steps ? (bytes + steps - 1) / steps : 0;
    return even < I8_ASKED ? even : I8_ASKED;
}
typedef void (*i8_tile_fn)(const uint8_t *, const int8_t *, size_t, int64_t, int32_t *, ptrdiff_t, const uint8_t *,
                           size_t);
static const i8_tile_fn i8_tiles[] = { NULL,      i8_tile_1, i8_tile_2, i8_tile_3,  i8_tile_4,  i8_tile_5, i8_tile_6,
                                       i8_tile_7, i8_tile_8, i8_tile_9, i8_tile_10, i8_tile_11, i8_tile_12 };

/* `k` columns' nibbles to bytes. */
LB_INLINE void i8_expand(const uint8_t *from, int64_t k, uint8_t *to) {
    for (int64_t i = 0; i < k; i += 8, from += 128, to += 256)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512i v = _mm512_load_si512(from + 64 * h);
            _mm512_store_si512(to + 64 * h, lb_field(v, 0, 0x0f));
            _mm512_store_si512(to + 128 + 64 * h, lb_field(v, 4, 0x0f));
        }
}

LB_INLINE void i8_many(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                       float *out, int64_t out_stride) {
    uint8_t bytes[I8_ROWS * I8_BLOCK_K] __attribute__((aligned(64)));
    int32_t *acc = lb_panel_sums_take(cols);
    int64_t padded = lb_act_i8_token_padded(k);
    int count = (cols + TILE32_COLS - 1) / TILE32_COLS;
    for (int c = 0; c < cols; c++) {
        __m512i start = _mm512_set1_epi32(-i8_offset(f) * i8_act(act, stride, c)->sum);
        _mm512_store_si512(acc + 32 * c, start);
        _mm512_store_si512(acc + 32 * c + 16, start);
    }
    for (int64_t at = 0; at == 0 || at < padded; at += I8_BLOCK_K) {
        int64_t some = padded - at < I8_BLOCK_K ? padded - at : I8_BLOCK_K;
        const uint8_t *w = panel + I8_HEAD + i8_codes_bytes(f, at), *next = w + i8_codes_bytes(f, some);
        const bool last = at + some >= padded;
        const size_t piece = i8_piece(i8_codes_bytes(f, I8_BLOCK_K), (size_t)(count * (some / 16)));
        if (f.bits == 4) i8_expand(w, some, bytes);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            ptrdiff_t far =
                t + 1 < count ? (ptrdiff_t)stride * (c1 - c0) : (ptrdiff_t)I8_BLOCK_K - (ptrdiff_t)stride * c0;
            if (last) t32_results_soon(out + c0 * out_stride, out_stride, c1 - c0);
            if (some)
                i8_tiles[c1 - c0](f.bits == 4 ? bytes : w, i8_act(act, stride, c0)->q + at, stride, some / 16,
                                  acc + 32 * c0, far, next + (size_t)(t * some / 16) * piece, piece);
            for (int c = c0; last && c < c1; c++)
                i8_finish(panel, i8_act(act, stride, c), _mm512_load_si512(acc + 32 * c),
                          _mm512_load_si512(acc + 32 * c + 16), out + c * out_stride);
        }
    }
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void i8_run(const i8_format f, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                      float *out, int64_t out_stride) {
    switch (cols) {
    case 1: i8_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: i8_few(f, panel, act, stride, k, out, out_stride, 2); break;
    case 3: i8_few(f, panel, act, stride, k, out, out_stride, 3); break;
    case 4: i8_few(f, panel, act, stride, k, out, out_stride, 4); break;
    default: i8_many(f, panel, act, stride, k, cols, out, out_stride);
    }
}

#define I8_WITH "vpdpbusd"
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI)
#define I8_ACT_8 lb_act_i8_token_prepare, lb_act_i8_token_bytes, LB_ACT_KIND_I8_TOKEN
#define I8_ACT_4 I8_ACT_8

/* rows32_i8_many.h: rows32_i8.h's products of many columns without tiles: vpdpbusd. */
#pragma once
/* 32 rows x I8_BLOCK_K meet all columns out of the L1 and L2 caches. */
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

#define I8_WITH "vpdpbusd"
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI)

/* rows32_g32.h: what the kernels of 4- and 5-bit formats with a scale for each 32 weights share: integer dot products with
 * LB_ACT_Q8_32 activations, panels of 32 rows.
 *
 * A panel is one stream: before each group of 32 k (with 8-bit scales: before each two) a vector of the rows' scales, then
 * one of their minima where the format has them, then `bits` vectors of codes of rows 0..15 and as many of rows 16..31.
 * Lane r of a vector belongs to row r; vector j (0..7) of the eight that vpdpbusd multiplies has elements 4j..4j+3, and
 * stands with j + 4 in vector j % 4 of the stored ones, low nibble first; a fifth vector holds the fifth bits, bit j for j.
 *
 * Products are of bytes 0..255: codes, or the levels that they name, plus an offset that sums of the activations take back.
 * Every path forms the same exact int32 sums of a group and the same f32 steps a group, in order of K, so a row's result has
 * the same bits whatever the number of columns. */
#pragma once
#include "act_q8_32_avx512.h"
#include "rows32.h"
#include "tile32x6.h"

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct h32 {
    int bits;                 /* 4 or 5 */
    int offset;               /* what a byte is more than its level */
    int lift;                 /* 128 - offset: tiles want 128, except with minima, where both are 0 */
    const uint8_t *levels;    /* 16 bytes that 4-bit codes are indexes of, offset 128; NULL = codes are levels */
    bool min;                 /* w = d * level + m, else d * level */
    bool e8m0;                /* d is half of 2^(e - 127); else f16 */
} h32;

enum { H32_GEMV_COLS = 4, H32_SUPER = 8 /* groups expanded together */ };

LB_INLINE size_t h32_half_bytes(const h32 f) { return (size_t)f.bits * 64; }
LB_INLINE size_t h32_head_bytes(const h32 f) { return f.min ? 128 : 64; }
LB_INLINE size_t h32_scales_at(const h32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.e8m0 ? g / 2 * (64 + 4 * h32_half_bytes(f)) + g % 2 * 32 : g * (h32_head_bytes(f) + 2 * h32_half_bytes(f));
}
LB_INLINE size_t h32_codes_at(const h32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.e8m0 ? g / 2 * (64 + 4 * h32_half_bytes(f)) + 64 + g % 2 * 2 * h32_half_bytes(f)
                  : h32_scales_at(f, group) + h32_head_bytes(f);
}
LB_INLINE size_t h32_panel_bytes(const h32 f, int64_t k) {
    size_t groups = (size_t)(k / 32), heads = f.e8m0 ? (groups + 1) / 2 : groups;
    return heads * h32_head_bytes(f) + groups * 2 * h32_half_bytes(f);
}

/* d (or with `what` 1 the minima) of rows 0..15 (half 0) or 16..31. */
LB_INLINE __m512 h32_scale(const h32 f, const uint8_t *panel, int64_t group, int half, int what) {
    const uint8_t *p = panel + h32_scales_at(f, group) + 64 * what;
    if (!f.e8m0) return lb_load_f16x16(p + 32 * half);
    __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)(p + 16 * half)));
    e = _mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)); /* 2^-127 is subnormal */
    return _mm512_mul_ps(_mm512_castsi512_ps(e), _mm512_set1_ps(0.5f));
}

/* The eight vectors of bytes of 16 rows at `p`. */
LB_INLINE void h32_codes(const h32 f, const uint8_t *p, __m512i w[8], const bool ahead) {
    LB_UNROLL for (int j = 0; j < 4; j++) {
        __m512i x = ahead ? lb_load_ahead(p + 64 * j) : _mm512_load_si512(p + 64 * j);
        w[j] = lb_field(x, 0, 0x0f);
        w[j + 4] = lb_field(x, 4, 0x0f);
    }
    if (f.levels) {
        const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)f.levels));
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = _mm512_shuffle_epi8(t, w[j]);
    }
    if (f.bits == 5) {
        __m512i top = ahead ? lb_load_ahead(p + 256) : _mm512_load_si512(p + 256), bit = lb_bytes(0x10);
        LB_UNROLL for (int j = 0; j < 8; j++) {
            __m512i at = j > 4 ? _mm512_srli_epi32(top, (unsigned)(j - 4)) : _mm512_slli_epi32(top, (unsigned)(4 - j));
            w[j] = _mm512_ternarylogic_epi32(w[j], at, bit, 0xf8); /* w | (at & bit) */
        }
    }
}

LB_INLINE const lb_act_q8_32 *h32_act(const void *act, size_t stride, int64_t group, int c) {
    return (const lb_act_q8_32 *)((const char *)act + (size_t)c * stride) + group;
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* acc += one group's products, of half the rows. */
LB_INLINE void h32_few_half(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t g, int half,
                            __m512 *acc, const int cols) {
    __m512i w[8], sum[H32_GEMV_COLS];
    h32_codes(f, panel + h32_codes_at(f, g) + (size_t)half * h32_half_bytes(f), w, true);
    __m512 d = h32_scale(f, panel, g, half, 0), m = f.min ? h32_scale(f, panel, g, half, 1) : _mm512_setzero_ps();
    LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_setzero_si512();
    LB_UNROLL for (int j = 0; j < 8; j++)
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = lb_dot4(sum[c], w[j], h32_act(act, stride, g, c)->q + 4 * j);
    LB_UNROLL for (int c = 0; c < cols; c++) {
        const lb_act_q8_32 *a = h32_act(act, stride, g, c);
        __m512 t = _mm512_cvtepi32_ps(sum[c]);
        /* below 2^21: the offset's part is taken off exactly */
        if (f.offset) t = _mm512_fnmadd_ps(_mm512_set1_ps(a->sum), _mm512_set1_ps((float)f.offset), t);
        if (f.min) {
            t = _mm512_fmadd_ps(t, d, _mm512_mul_ps(m, _mm512_set1_ps(a->sum)));
            acc[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(a->d), acc[c]);
        } else {
            acc[c] = _mm512_fmadd_ps(t, _mm512_mul_ps(d, _mm512_set1_ps(a->d)), acc[c]);
        }
    }
}

LB_INLINE void h32_few(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                       int64_t out_stride, const int cols) {
    __m512 acc[2][H32_GEMV_COLS];
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int c = 0; c < cols; c++) acc[half][c] = _mm512_setzero_ps();
    for (int64_t g = 0; g < k / 32; g++) {
        _mm_prefetch((const char *)panel + h32_scales_at(f, g) + LB_PREFETCH_BYTES, _MM_HINT_T0);
        if (f.min) _mm_prefetch((const char *)panel + h32_scales_at(f, g) + LB_PREFETCH_BYTES + 64, _MM_HINT_T0);
        LB_UNROLL for (int half = 0; half < 2; half++) h32_few_half(f, panel, act, stride, g, half, acc[half], cols);
    }
    LB_UNROLL for (int half = 0; half < 2; half++)
        LB_UNROLL for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride + 16 * half, acc[half][c]);
}

/* ---- many columns: 32 x 256 are expanded to bytes in L1 once and meet all of them ---- */

/* acc[col][32] += the products of `groups` groups; a stands at a column's first of them. */
#ifdef H32_MIN
#define H32_OPEN(n) T6_##n(T6_ZERO, )
#define H32_CLOSE(n) T6_##n(T6_ADD_MIN, 0, 8) "add $256, %[scales]\n\t"
enum { H32_SCALE_VECTORS = 4 };
#else
#define H32_OPEN(n) T6_##n(T6_START, 36)
#define H32_CLOSE(n) T6_##n(T6_ADD_TIMES, 0) "add $128, %[scales]\n\t"
enum { H32_SCALE_VECTORS = 2 };
#endif
_Static_assert(offsetof(lb_act_q8_32, d) == 32 && offsetof(lb_act_q8_32, start) == 36 &&
               offsetof(lb_act_q8_32, sum) == 40 && sizeof(lb_act_q8_32) == 48, "as H32_TILE has it");
#define H32_TILE(n)                                                                                                  \
    static __attribute__((noinline)) void h32_tile_##n(const void *w, const void *a, size_t s, int64_t groups,       \
                                                       const float *scales, float *acc) {                            \
        const char *b = (const char *)a + 3 * s;                                                                     \
        __asm__ volatile(T6_##n(T6_OPEN, ) ".p2align 6\n1:\n\t" H32_OPEN(n)                                        \
                         T6_FOUR_STEPS(n, "vpdpbusd") T6_FOUR_STEPS(n, "vpdpbusd")                                 \
                         T6_##n(T6_TO_FLOAT, ) T6_SCALES H32_CLOSE(n) T6_ON(16)                                  \
                         "dec %[groups]\n\tjnz 1b\n\t" T6_##n(T6_KEEP, )                                          \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [groups] "+r"(groups), [scales] "+r"(scales)       \
                         : [s] "r"(s), [acc] "r"(acc)                                                                \
                         : T6_CLOBBERS);                                                                            \
    }
T6_EACH(H32_TILE)
typedef void (*h32_tile_fn)(const void *, const void *, size_t, int64_t, const float *, float *);
static const h32_tile_fn h32_tiles[] = { NULL, h32_tile_1, h32_tile_2, h32_tile_3, h32_tile_4, h32_tile_5, h32_tile_6 };

/* What the tiles read: pairs of vectors of bytes (rows 0..15, rows 16..31); d and minima the same. */
typedef struct h32_expanded {
    __m512i w[8 * H32_SUPER][2];
    __m512 scale[H32_SUPER][H32_SCALE_VECTORS];
} h32_expanded;

LB_INLINE void h32_expand(const h32 f, const uint8_t *panel, int64_t first, int groups, h32_expanded *e) {
    for (int g = 0; g < groups; g++)
        LB_UNROLL for (int half = 0; half < 2; half++) {
            __m512i w[8];
            h32_codes(f, panel + h32_codes_at(f, first + g) + (size_t)half * h32_half_bytes(f), w, false);
            LB_UNROLL for (int j = 0; j < 8; j++)
                e->w[8 * g + j][half] = f.lift ? _mm512_add_epi8(w[j], _mm512_set1_epi8((char)f.lift)) : w[j];
            e->scale[g][half] = h32_scale(f, panel, first + g, half, 0);
            if (f.min) e->scale[g][2 + half] = h32_scale(f, panel, first + g, half, 1);
        }
}

/* Columns in tiles of equal size, so that none is left with a thin one. What is expanded next is prefetched between the
 * tiles: all at once would fill the core's miss queue and stall it. */
LB_INLINE void h32_many(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                        int64_t out_stride) {
    float acc[32 * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    h32_expanded e;
    memset(acc, 0, (size_t)cols * 32 * sizeof *acc);
    int count = (cols + TILE6_COLS - 1) / TILE6_COLS;
    for (int64_t g = 0; g < k / 32; g += H32_SUPER) {
        int groups = (int)(k / 32 - g < H32_SUPER ? k / 32 - g : H32_SUPER);
        h32_expand(f, panel, g, groups, &e);
        const char *next = (const char *)panel + h32_scales_at(f, g + groups);
        int lines = (int)(h32_scales_at(f, H32_SUPER) / 64);
        for (int i = 0; i < count; i++) {
            int c0 = cols * i / count, c1 = cols * (i + 1) / count;
            for (int l = lines * i / count; l < lines * (i + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T0);
            h32_tiles[c1 - c0](e.w, h32_act(act, stride, g, c0), stride, groups, (const float *)(const void *)e.scale,
                               acc + 32 * c0);
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + 32 * c, 32 * sizeof *out);
}

LB_INLINE void h32_run(const h32 f, const void *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                       int64_t out_stride) {
    switch (cols) {
    case 1: h32_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: h32_few(f, panel, act, stride, k, out, out_stride, 2); break;
    case 3: h32_few(f, panel, act, stride, k, out, out_stride, 3); break;
    case 4: h32_few(f, panel, act, stride, k, out, out_stride, 4); break;
    default: h32_many(f, panel, act, stride, k, cols, out, out_stride);
    }
}

/* ---- packing ---- */

/* Splits one native block of 32 into codes and the bytes of its scale (2, or 1 with e8m0) and minimum (2). */
typedef void (*h32_unpack)(const uint8_t *block, uint8_t codes[32], uint8_t *scale, uint8_t *min);

static inline void h32_pack_codes(const h32 f, const uint8_t codes[32], int r, uint8_t *half) {
    uint32_t top = 0;
    for (int j = 0; j < 8; j++) {
        uint32_t four = lb_code4(codes, j);
        *lb_lane(half, j % 4, r) |= (four & 0x0f0f0f0fu) << (j / 4 * 4);
        top |= (four >> 4 & 0x01010101u) << j;
    }
    if (f.bits == 5) *lb_lane(half, 4, r) = top;
}

/* Rows [row0, row1) of a native matrix whose blocks of `block_bytes` stand row after row. Missing rows are zero. */
static inline void h32_repack(const h32 f, h32_unpack unpack, size_t block_bytes, const void *native, int64_t n, int64_t k,
                              int64_t row0, int64_t row1, void *dst) {
    size_t bytes = h32_panel_bytes(f, k), scale = f.e8m0 ? 1 : 2;
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 32 && row + r < n; r++)
            for (int64_t g = 0; g < k / 32; g++) {
                uint8_t codes[32], *scales = panel + h32_scales_at(f, g) + (size_t)r * scale;
                unpack((const uint8_t *)native + (size_t)((row + r) * (k / 32) + g) * block_bytes, codes, scales, scales + 64);
                h32_pack_codes(f, codes, r % 16, panel + h32_codes_at(f, g) + (size_t)(r / 16) * h32_half_bytes(f));
            }
    }
}

/* The functions of a file from FORMAT, BLOCK_BYTES and unpack(). */
#define LB_H32_PANEL                                                                                                 \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        h32_run(FORMAT, panel, act, stride, k, cols, out, out_stride);                                               \
    }                                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return h32_panel_bytes(FORMAT, k);                                                                           \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        (void)q;                                                                                                     \
        h32_repack(FORMAT, unpack, BLOCK_BYTES, native, n, k, row0, row1, dst);                                      \
    }                                                                                                                \
    LB_ROWS32_PANEL(lb_act_q8_32_prepare, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_32)

/* The descriptor, but for name, format and about. */
#define LB_H32_KERNEL                                                                                                \
    LB_ROWS32_KERNEL, .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI, .act = LB_ACT_Q8_32, .acc = LB_ACC_I32_F32,         \
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-10,                                                                  \
    .tolerance_why = "sums of 32 are exact in int32 and f32; K / 32 f32 steps of two or three roundings each: about " \
                     "1e-14, more where groups or minima cancel"

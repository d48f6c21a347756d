/* rows32_g32_avx2.h: what the AVX2 kernels of integer formats with a scale for each 32 weights share: the panels of
 * rows32_g32_pack.h, products as rows16_avx2.h has them.
 *
 * The file says which members are narrow: codes of up to H32_NARROW_BITS bits, and levels if H32_SMALL_LEVELS (they lie
 * within 16 of zero). Every path forms the same exact int32 sums of a group and the same f32 steps a group, in order of
 * K, so a row's result has the same bits whatever the number of columns. */
#pragma once
#include "act_q8_avx2.h"
#include "rows16_avx2.h"
#include "rows32_g32_pack.h"

#ifndef H32_NARROW_BITS
#define H32_NARROW_BITS 5 /* 16 times 127 times 16 fits int16 */
#endif
#ifndef H32_SMALL_LEVELS
#define H32_SMALL_LEVELS 0
#endif
/* Forms of activations: the file's members may be of either kind, then all read the wide one. */
#ifndef H32_WIDE_ACT
#define H32_WIDE_ACT 0
#endif

enum { H32_SUPER = 8 /* groups of a piece of activations */, H32_PARTS = 4 /* of 8 rows */ };

LB_INLINE bool h32_narrow(const h32 f) { return f.levels ? H32_SMALL_LEVELS : f.bits <= H32_NARROW_BITS; }
/* Sums start at minus 2^this times the sum of activations; -1 = at zero. */
LB_INLINE int h32_start(const h32 f) {
    return f.levels ? (h32_narrow(f) ? 4 : 7) : f.min ? (f.bits == 5 ? 4 : -1) : f.bits - 1;
}
/* What levels are more than codes minus that. */
LB_INLINE float h32_lift(const h32 f) { return f.half ? 0.5f : f.min && f.bits == 5 ? 16.0f : 0.0f; }

/* d (or with `what` 1 the minima) of 8 rows. */
LB_INLINE __m256 h32_scale(const h32 f, const uint8_t *panel, int64_t group, int part, int what) {
    const uint8_t *p = panel + h32_scales_at(f, group) + 64 * what;
    if (f.scales == H32_F32) return _mm256_load_ps((const float *)(const void *)p + 8 * part);
    if (f.scales == H32_F16) return x2_f16(p + 16 * part);
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * part)));
    e = _mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(0x00400000)); /* 2^-127 is subnormal */
    return _mm256_mul_ps(_mm256_castsi256_ps(e), _mm256_set1_ps(0.5f));
}

/* The eight vectors of bytes of 8 rows at `p`. */
LB_INLINE void h32_codes(const h32 f, const uint8_t *p, __m256i w[8]) {
    const int low = f.bits == 8 ? 8 : f.bits & 6; /* bits that do not stand in the last vector */
    if (low == 8) {
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = x2_load_ahead(p + 64 * j);
    } else if (low == 6) {
        LB_UNROLL for (int i = 0; i < 2; i++) x2_unpack6(p + 192 * i, w + 4 * i);
    } else if (low == 4) {
        LB_UNROLL for (int j = 0; j < 4; j++) {
            __m256i x = x2_load_ahead(p + 64 * j);
            w[j] = x2_field(x, 0, 0x0f);
            w[j + 4] = x2_field(x, 4, 0x0f);
        }
    } else {
        LB_UNROLL for (int j = 0; j < 2; j++) {
            __m256i x = x2_load_ahead(p + 64 * j);
            LB_UNROLL for (int i = 0; i < 4; i++) w[j + 2 * i] = x2_field(x, 2 * i, 0x03);
        }
    }
    if (f.levels) {
        __m256i t = x2_table(f.levels);
        if (h32_narrow(f)) t = _mm256_sub_epi8(t, x2_bytes(128 - 16));
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = _mm256_shuffle_epi8(t, w[j]);
    }
    if (f.bits & 1) {
        __m256i top = x2_load_ahead(p + 64 * low);
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = x2_merge(w[j], top, low - j, 1u << low);
    }
}

/* ---- activations ---- */

#if H32_WIDE_ACT
typedef lb_act_q8x2_wide h32_act_piece;
#define H32_NARROW_ACT(a) (&(a)->narrow)
#define H32_WIDE_CODES(a) ((a)->q)
#else
typedef lb_act_q8x2 h32_act_piece;
#define H32_NARROW_ACT(a) (a)
#define H32_WIDE_CODES(a) ((const int16_t *)NULL)
#endif

LB_INLINE const h32_act_piece *h32_piece(const void *act, size_t stride, int64_t piece, int c) {
    return (const h32_act_piece *)(const void *)((const char *)act + (size_t)c * stride) + piece;
}

/* Where the sums of block g of a piece begin. */
LB_INLINE __m256i h32_first(const h32 f, const bool narrow, const h32_act_piece *a, int g) {
    const lb_act_q8x2 *n = H32_NARROW_ACT(a);
    if (h32_start(f) < 0) return _mm256_setzero_si256();
    return narrow ? _mm256_slli_epi16(x2_spread(n->minus32[g]), h32_start(f))
                  : _mm256_slli_epi32(x2_spread(&n->minus[g]), h32_start(f));
}

/* The products of dword j (0..7) of block g with a vector of bytes. */
LB_INLINE __m256i h32_dot(const h32 f, __m256i sum, __m256i bytes, const h32_act_piece *a, int g, int j) {
    if (h32_narrow(f)) return x2_narrow(sum, bytes, x2_spread(H32_NARROW_ACT(a)->q + 32 * g + 4 * j));
    const int16_t *q = H32_WIDE_CODES(a) + 32 * g + 4 * j;
    return x2_wide(x2_wide(sum, x2_even(bytes), x2_spread(q)), x2_odd(bytes), x2_spread(q + 2));
}

/* total + a block's part, from its sums; with H32_SHARED without the activations' scale. */
LB_INLINE __m256 h32_add(const h32 f, const bool narrow, __m256 total, __m256i sums, const h32_act_piece *a, int g,
                         __m256 d, __m256 m) {
    const lb_act_q8x2 *n = H32_NARROW_ACT(a);
    if (narrow) sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    __m256 t = _mm256_cvtepi32_ps(sums), all = _mm256_broadcast_ss(&n->sum[g]);
    /* multiples of 1/2 below 2^22: exact */
    if (h32_lift(f) > 0) t = _mm256_fmadd_ps(all, _mm256_set1_ps(h32_lift(f)), t);
    if (f.min) total = _mm256_fmadd_ps(m, all, total);
    if (!H32_SHARED) d = _mm256_mul_ps(d, _mm256_broadcast_ss(&n->d[g]));
    return _mm256_fmadd_ps(t, d, total);
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

LB_INLINE void h32_few_group(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t g,
                             __m256 total[H32_PARTS][X2_FEW], const int cols) {
    const uint8_t *codes = panel + h32_codes_at(f, g);
    const int block = (int)(g % H32_SUPER);
    for (size_t i = 0; i < h32_head_bytes(f); i += 64)
        _mm_prefetch((const char *)panel + h32_scales_at(f, g) + X2_AHEAD + i, _MM_HINT_T0);
    LB_UNROLL for (int part = 0; part < H32_PARTS; part++) {
        __m256i w[8], sum[X2_FEW];
        h32_codes(f, codes + (size_t)(part / 2) * h32_half_bytes(f) + 32 * (part % 2), w);
        LB_UNROLL for (int c = 0; c < cols; c++)
            sum[c] = h32_first(f, h32_narrow(f), h32_piece(act, stride, g / H32_SUPER, c), block);
        LB_UNROLL for (int j = 0; j < 8; j++)
            LB_UNROLL for (int c = 0; c < cols; c++)
                sum[c] = h32_dot(f, sum[c], w[j], h32_piece(act, stride, g / H32_SUPER, c), block, j);
        __m256 d = h32_scale(f, panel, g, part, 0), m = f.min ? h32_scale(f, panel, g, part, 1) : _mm256_setzero_ps();
        LB_UNROLL for (int c = 0; c < cols; c++) total[part][c] =
            h32_add(f, h32_narrow(f), total[part][c], sum[c], h32_piece(act, stride, g / H32_SUPER, c), block, d, m);
    }
}

#define H32_EACH LB_UNROLL for (int part = 0; part < H32_PARTS; part++) LB_UNROLL for (int c = 0; c < cols; c++)

LB_INLINE void h32_few(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                       int64_t out_stride, const int cols) {
    __m256 acc[H32_PARTS][X2_FEW];
    const int64_t groups = k / 32;
    H32_EACH acc[part][c] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups;) {
        __m256 total[H32_PARTS][X2_FEW];
        int64_t end = groups - g < H32_SUPER ? groups : g + H32_SUPER, piece = g / H32_SUPER;
        H32_EACH total[part][c] = H32_SHARED ? _mm256_setzero_ps() : acc[part][c];
        for (; g < end; g++) h32_few_group(f, panel, act, stride, g, total, cols);
        H32_EACH acc[part][c] = !H32_SHARED ? total[part][c]
            : _mm256_fmadd_ps(total[part][c],
                              _mm256_broadcast_ss(H32_NARROW_ACT(h32_piece(act, stride, piece, c))->d), acc[part][c]);
    }
    H32_EACH _mm256_storeu_ps(out + c * out_stride + 8 * part, acc[part][c]);
}

/* ---- many columns: 32 x 256 are expanded in L1 once and meet all of them ---- */

/* A half panel: 16 rows of up to eight groups; wide ones as even and odd bytes. */
typedef struct h32_expanded {
    __m256i w[16 * H32_SUPER][2];
    __m256 d[H32_SUPER][2], m[H32_SUPER][2];
} h32_expanded;

LB_INLINE void h32_expand(const h32 f, const uint8_t *panel, int64_t first, int groups, int half, h32_expanded *e) {
    for (int g = 0; g < groups; g++)
        LB_UNROLL for (int i = 0; i < 2; i++) {
            __m256i w[8];
            h32_codes(f, panel + h32_codes_at(f, first + g) + (size_t)half * h32_half_bytes(f) + 32 * i, w);
            LB_UNROLL for (int j = 0; j < 8; j++) {
                if (h32_narrow(f)) {
                    e->w[8 * g + j][i] = w[j];
                } else {
                    e->w[16 * g + 2 * j][i] = x2_even(w[j]);
                    e->w[16 * g + 2 * j + 1][i] = x2_odd(w[j]);
                }
            }
            e->d[g][i] = h32_scale(f, panel, first + g, 2 * half + i, 0);
            if (f.min) e->m[g][i] = h32_scale(f, panel, first + g, 2 * half + i, 1);
        }
}

#define H32_TILE_EACH LB_UNROLL for (int c = 0; c < cols; c++) LB_UNROLL for (int i = 0; i < 2; i++)

/* The sums of one group. */
LB_INLINE void h32_tile_group(const h32 f, const bool narrow, const __m256i (*w)[2],
                              const h32_act_piece *const a[X2_COLS], int g, __m256i sum[X2_COLS][2], const int cols) {
    LB_UNROLL for (int c = 0; c < cols; c++) sum[c][0] = sum[c][1] = h32_first(f, narrow, a[c], g);
    const int steps = narrow ? 8 : 16;
    LB_UNROLL for (int j = 0; j < steps; j++) {
        __m256i w0 = w[j][0], w1 = w[j][1];
        LB_UNROLL for (int c = 0; c < cols; c++) {
            if (narrow) {
                __m256i v = x2_spread(H32_NARROW_ACT(a[c])->q + 32 * g + 4 * j);
                sum[c][0] = x2_narrow(sum[c][0], w0, v);
                sum[c][1] = x2_narrow(sum[c][1], w1, v);
            } else {
                __m256i v = x2_spread(H32_WIDE_CODES(a[c]) + 32 * g + 2 * j);
                sum[c][0] = x2_wide(sum[c][0], w0, v);
                sum[c][1] = x2_wide(sum[c][1], w1, v);
            }
        }
    }
}

/* acc[c][32] += the products of `groups` groups and 16 rows. */
LB_INLINE void h32_tile(const h32 f, const bool narrow, const h32_expanded *e, const void *act, size_t stride,
                        int64_t piece, int groups, float *acc, const int cols) {
    const h32_act_piece *a[X2_COLS];
    __m256 total[X2_COLS][2];
    LB_UNROLL for (int c = 0; c < cols; c++) a[c] = h32_piece(act, stride, piece, c);
    H32_TILE_EACH total[c][i] = H32_SHARED ? _mm256_setzero_ps() : _mm256_load_ps(acc + 32 * c + 8 * i);
    for (int g = 0; g < groups; g++) {
        __m256i sum[X2_COLS][2];
        h32_tile_group(f, narrow, e->w + (narrow ? 8 : 16) * g, a, g, sum, cols);
        H32_TILE_EACH total[c][i] = h32_add(f, narrow, total[c][i], sum[c][i], a[c], g, e->d[g][i], e->m[g][i]);
    }
    H32_TILE_EACH {
        float *to = acc + 32 * c + 8 * i;
        __m256 d = _mm256_broadcast_ss(H32_NARROW_ACT(a[c])->d);
        _mm256_store_ps(to, H32_SHARED ? _mm256_fmadd_ps(total[c][i], d, _mm256_load_ps(to)) : total[c][i]);
    }
}

/* Once for all members of a family; where there is one, its constants go in. */
#define H32_TILE(form, narrow, n)                                                                                    \
    static __attribute__((noinline, unused)) void h32_##form##_##n(const h32 f, const h32_expanded *e,               \
                                                                   const void *act, size_t stride, int64_t piece,    \
                                                                   int groups, float *acc) {                         \
        h32_tile(f, narrow, e, act, stride, piece, groups, acc, n);                                                  \
    }
H32_TILE(narrow, true, 1) H32_TILE(narrow, true, 2) H32_TILE(narrow, true, 3) H32_TILE(narrow, true, 4)
#if H32_WIDE_ACT
H32_TILE(wide, false, 1) H32_TILE(wide, false, 2) H32_TILE(wide, false, 3) H32_TILE(wide, false, 4)
#define H32_CALL(f, n, ...) (h32_narrow(f) ? h32_narrow_##n(f, __VA_ARGS__) : h32_wide_##n(f, __VA_ARGS__))
#else
#define H32_CALL(f, n, ...) h32_narrow_##n(f, __VA_ARGS__)
#endif

/* `cols` columns, at most X2_COLS. */
LB_INLINE void h32_tiles(const h32 f, const h32_expanded *e, const void *act, size_t stride, int64_t piece, int groups,
                         float *acc, int cols) {
    switch (cols) {
    case 1: H32_CALL(f, 1, e, act, stride, piece, groups, acc); break;
    case 2: H32_CALL(f, 2, e, act, stride, piece, groups, acc); break;
    case 3: H32_CALL(f, 3, e, act, stride, piece, groups, acc); break;
    default: H32_CALL(f, 4, e, act, stride, piece, groups, acc);
    }
}

/* Columns in tiles of equal size; what is expanded next is prefetched between them. */
LB_INLINE void h32_many(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                        float *out, int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    h32_expanded e[2];
    memset(acc, 0, (size_t)cols * 32 * sizeof *acc);
    int count = (cols + X2_COLS - 1) / X2_COLS;
    for (int64_t g = 0; g < k / 32; g += H32_SUPER) {
        int groups = (int)(k / 32 - g < H32_SUPER ? k / 32 - g : H32_SUPER);
        for (int half = 0; half < 2; half++) h32_expand(f, panel, g, groups, half, &e[half]);
        const char *next = (const char *)panel + h32_scales_at(f, g + groups);
        int lines = (int)(h32_scales_at(f, H32_SUPER) / 64);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            for (int l = lines * t / count; l < lines * (t + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T0);
            for (int half = 0; half < 2; half++)
                h32_tiles(f, &e[half], (const char *)act + (size_t)c0 * stride, stride, g / H32_SUPER, groups,
                          acc + 32 * c0 + 16 * half, c1 - c0);
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + 32 * c, 32 * sizeof *out);
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void h32_run(const h32 f, const void *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                       int64_t out_stride) {
    switch (cols) {
    case 1: h32_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: h32_few(f, panel, act, stride, k, out, out_stride, 2); break;
    default: h32_many(f, panel, act, stride, k, cols, out, out_stride);
    }
}
#define H32_RUN h32_run

#define H32_PANEL(...) LB_ROWS32_PANEL(__VA_ARGS__)
#define H32_PANELS H32_PANEL
#if H32_SHARED && H32_WIDE_ACT
#define H32_ACT lb_act_q8x2_prepare_256_wide, lb_act_q8x2_wide_bytes, LB_ACT_KIND_Q8_256_X2_WIDE
#elif H32_SHARED
#define H32_ACT lb_act_q8x2_prepare_256, lb_act_q8x2_bytes, LB_ACT_KIND_Q8_256_X2
#elif H32_WIDE_ACT
#define H32_ACT lb_act_q8x2_prepare_32_wide, lb_act_q8x2_wide_bytes, LB_ACT_KIND_Q8_32_X2_WIDE
#else
#define H32_ACT lb_act_q8x2_prepare_32, lb_act_q8x2_bytes, LB_ACT_KIND_Q8_32_X2
#endif
#define H32_ISA LB_ISA_AVX2
#define H32_ASYM lb_act_i8_asym_x2_prepare, lb_act_i8_asym_x2_bytes, LB_ACT_KIND_I8_ASYM_X2
#define H32_ASYM_BYTES lb_act_i8_asym_x2_bytes

/* Panels that read files' own layout have AVX-512 only. */
#define LB_H32_NATIVE(name)

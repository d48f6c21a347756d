/* rows32_g32.h: what the kernels of integer formats with a scale for each 32 weights share: integer dot products with
 * activations in blocks of 32 (lb_act_q8_32), panels of 32 rows.
 *
 * Products are of bytes 0..255: codes, or the levels that they name, plus an offset that sums of the activations take
 * back. Every path forms the same exact int32 sums of a group and the same f32 steps a group, in order of K, so a row's
 * result has the same bits whatever the number of columns. */
#pragma once
#include "act_q8_32_avx512.h"
#include "native_many.h"
#include "rows32_g32_codes.h"
#include "tile32x6.h"

/* Tiles read bytes with an offset of 128 (with minima none), so that all formats' sums start at the same numbers. Codes
 * with half an offset are doubled and their scales halved; where doubled codes fit no byte, the half is added to the
 * sums. */
#define H32_DOUBLED(f) ((f).half && (f).bits < 8)

enum { H32_GEMV_COLS = 4, H32_SUPER = 8 /* groups expanded together */,
       H32_BLOCK = H32_SUPER * sizeof(lb_act_q8_32) /* what they meet of a column */ };

/* What makes a byte of a tile of one of a panel. */
LB_INLINE int h32_lift(const h32 f) {
    return f.min ? 0 : H32_DOUBLED(f) ? 127 - 2 * f.offset : 128 - f.offset - (f.half ? 1 : 0);
}

LB_INLINE const lb_act_q8_32 *h32_act(const void *act, size_t stride, int64_t group, int c) {
    return (const lb_act_q8_32 *)((const char *)act + (size_t)c * stride) + group;
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* total += one group's products, of half the rows; with H32_SHARED without the activations' scales. */
LB_INLINE void h32_few_half(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t g, int half,
                            __m512 *total, const int cols) {
    const float offset = (float)f.offset + (f.half ? 0.5f : 0.0f);
    const bool started = f.offset == 128 && !f.half; /* sums begin without the offset's part */
    __m512i w[8], sum[H32_GEMV_COLS];
    h32_codes(f, panel + h32_codes_at(f, g) + (size_t)half * h32_half_bytes(f), w, true);
    __m512 d = h32_scale(f, panel, g, half, 0), m = f.min ? h32_scale(f, panel, g, half, 1) : _mm512_setzero_ps();
    LB_UNROLL for (int c = 0; c < cols; c++)
        sum[c] = started ? lb_spread(&h32_act(act, stride, g, c)->start) : _mm512_setzero_si512();
    LB_UNROLL for (int j = 0; j < 8; j++)
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = lb_dot4(sum[c], w[j], h32_act(act, stride, g, c)->q + 4 * j);
    LB_UNROLL for (int c = 0; c < cols; c++) {
        const lb_act_q8_32 *a = h32_act(act, stride, g, c);
        __m512 t = _mm512_cvtepi32_ps(sum[c]);
        /* below 2^21 and a multiple of 1/2: the offset's part is taken off exactly */
        if (f.offset && !started) t = _mm512_fnmadd_ps(_mm512_set1_ps(a->sum), _mm512_set1_ps(offset), t);
        if (H32_SHARED) {
            total[c] = _mm512_fmadd_ps(t, d, total[c]);
            if (f.min) total[c] = _mm512_fmadd_ps(m, _mm512_set1_ps(a->sum), total[c]);
        } else if (f.min) {
            t = _mm512_fmadd_ps(t, d, _mm512_mul_ps(m, _mm512_set1_ps(a->sum)));
            total[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(a->d), total[c]);
        } else {
            total[c] = _mm512_fmadd_ps(t, _mm512_mul_ps(d, _mm512_set1_ps(a->d)), total[c]);
        }
    }
}

LB_INLINE void h32_few_group(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t g,
                             __m512 total[2][H32_GEMV_COLS], const int cols) {
    for (size_t i = 0; i < h32_head_bytes(f); i += 64)
        lb_ask(panel + h32_scales_at(f, g) + i, LB_PREFETCH_BYTES);
    LB_UNROLL for (int half = 0; half < 2; half++) h32_few_half(f, panel, act, stride, g, half, total[half], cols);
}

#define H32_EACH LB_UNROLL for (int half = 0; half < 2; half++) LB_UNROLL for (int c = 0; c < cols; c++)

LB_INLINE void h32_few(const h32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                       int64_t out_stride, const int cols) {
    __m512 acc[2][H32_GEMV_COLS];
    const int64_t groups = k / 32, step = H32_SHARED ? H32_SUPER : groups;
    H32_EACH acc[half][c] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups;) {
        __m512 total[2][H32_GEMV_COLS];
        int64_t end = groups - g < step ? groups : g + step;
        H32_EACH total[half][c] = _mm512_setzero_ps();
        for (; g < end; g++) h32_few_group(f, panel, act, stride, g, H32_SHARED ? total : acc, cols);
        if (H32_SHARED)
            H32_EACH acc[half][c] = _mm512_fmadd_ps(total[half][c],
                                                    _mm512_set1_ps(h32_act(act, stride, end - 1, c)->d), acc[half][c]);
    }
    H32_EACH _mm512_storeu_ps(out + c * out_stride + 16 * half, acc[half][c]);
}

/* ---- many columns: 32 x 256 are expanded to bytes in L1 once and meet all of them ---- */

/* acc[col][32] += the products of `groups` groups; a stands at a column's first of them, `next` at what is read after
 * this tile, which is asked for on the way: few columns' activations come from L2. */
#define H32_OPEN(n) T6_##n(H32_TOTALS, )
#define H32_END(n) T6_##n(H32_KEEP, -16)
#if H32_SHARED
#define H32_TOTALS T6_OPEN_ZERO
#define H32_KEEP T6_KEEP_TIMES
#else
#define H32_TOTALS T6_OPEN
#define H32_KEEP T6_KEEP
#endif
#ifdef H32_MIN
#define H32_START(n) T6_##n(T6_ZERO, )
#if H32_SHARED
#define H32_CLOSE(n) T6_##n(T6_ADD, ) T6_MINIMA T6_##n(T6_ADD_SUM, 8) "add $256, %[scales]\n\t"
#else
#define H32_CLOSE(n) T6_##n(T6_ADD_MIN, 0, 8) "add $256, %[scales]\n\t"
#endif
enum { H32_SCALE_VECTORS = 4 };
#else
#define H32_START(n) T6_##n(T6_START, 36)
#if H32_SHARED
#define H32_CLOSE(n) T6_##n(T6_ADD, ) "add $128, %[scales]\n\t"
#else
#define H32_CLOSE(n) T6_##n(T6_ADD_TIMES, 0) "add $128, %[scales]\n\t"
#endif
enum { H32_SCALE_VECTORS = 2 };
#endif
_Static_assert(offsetof(lb_act_q8_32, d) == 32 && offsetof(lb_act_q8_32, start) == 36 &&
               offsetof(lb_act_q8_32, sum) == 40 && offsetof(lb_act_q8_32, half) == 44 && sizeof(lb_act_q8_32) == 48,
               "as H32_TILE_OF has it");
/* HALF: what the sums lack as floats, or nothing. */
#define H32_TILE_OF(name, n, HALF)                                                                                   \
    static __attribute__((noinline)) void name(const void *w, const void *a, size_t s, int64_t groups,               \
                                               const float *scales, float *acc, const void *next) {                  \
        const char *b = (const char *)a + 3 * s, *after = (const char *)next + 3 * s;                                \
        __asm__ volatile(H32_OPEN(n) ".p2align 6\n1:\n\t" H32_START(n) T6_ASK_##n                                    \
                         T6_FOUR_STEPS(n, "vpdpbusd") T6_FOUR_STEPS(n, "vpdpbusd")                                   \
                         T6_##n(T6_TO_FLOAT, ) HALF T6_SCALES H32_CLOSE(n) T6_ON(16) T6_ASK_ON(56)                   \
                         "dec %[groups]\n\tjnz 1b\n\t" H32_END(n)                                                   \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [groups] "+r"(groups), [scales] "+r"(scales),      \
                           [next] "+r"(next), [after] "+r"(after)                                                    \
                         : [s] "r"(s), [acc] "r"(acc)                                                                \
                         : T6_CLOBBERS);                                                                             \
    }
#define H32_TILE(n) H32_TILE_OF(h32_tile_##n, n, )
T6_EACH(H32_TILE)
typedef void (*h32_tile_fn)(const void *, const void *, size_t, int64_t, const float *, float *, const void *);
static const h32_tile_fn h32_tiles[] = { NULL, h32_tile_1, h32_tile_2, h32_tile_3, h32_tile_4, h32_tile_5, h32_tile_6 };
/* Tiles for 8 bits with half an offset. */
#define H32_HALF_TILE(n) H32_TILE_OF(h32_half_tile_##n, n, T6_##n(T6_PLUS, 12))
#define H32_HALF_TILES                                                                                               \
    T6_EACH(H32_HALF_TILE)                                                                                           \
    static const h32_tile_fn h32_half_tiles[] = { NULL, h32_half_tile_1, h32_half_tile_2, h32_half_tile_3,           \
                                                  h32_half_tile_4, h32_half_tile_5, h32_half_tile_6 };

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
            LB_UNROLL for (int j = 0; j < 8; j++) {
                if (H32_DOUBLED(f)) w[j] = _mm512_add_epi8(w[j], w[j]);
                e->w[8 * g + j][half] = h32_lift(f) ? _mm512_add_epi8(w[j], _mm512_set1_epi8((char)h32_lift(f))) : w[j];
            }
            __m512 d = h32_scale(f, panel, first + g, half, 0);
            e->scale[g][half] = H32_DOUBLED(f) ? _mm512_mul_ps(d, _mm512_set1_ps(0.5f)) : d;
            if (f.min) e->scale[g][2 + half] = h32_scale(f, panel, first + g, half, 1);
        }
}

/* Where a panel's groups are: repacked (expand NULL), or 32 rows as files have them, in blocks of 32 weights. */
typedef struct h32_source { const uint8_t *panel; lb_native_expand expand; size_t row_bytes, block_bytes; } h32_source;

/* What all groups and panels of a product have in common. */
typedef struct h32_columns {
    const char *act;
    size_t stride, step; /* to the next column, and to its next 256 k */
    int64_t k;
    int cols;
    float *out;
    int64_t out_stride;
} h32_columns;
LB_INLINE const void *h32_column(const h32_columns *x, int64_t g, int c) {
    return x->act + (size_t)c * x->stride + (size_t)(g / H32_SUPER) * x->step;
}

/* Adds the products of up to H32_SUPER groups from g on of panels `first` and, if there is one, first + 1 of `panels`
 * to acc. */
LB_INLINE void h32_pair(const h32 f, const h32_tile_fn *tiles, const h32_source from, const int first, const int panels,
                        int64_t g, const h32_columns *x, float *const *acc) {
    const size_t each = h32_panel_bytes(f, x->k);
    const int some = panels - first < 2 ? 1 : 2, groups = (int)(x->k / 32 - g < H32_SUPER ? x->k / 32 - g : H32_SUPER);
    const int count = (x->cols + TILE6_COLS - 1) / TILE6_COLS, lines = (int)(h32_scales_at(f, H32_SUPER) / 64);
    const bool last = g + groups == x->k / 32;
    h32_expanded e[2];
    for (int p = 0; p < some && groups; p++) {
        if (from.expand)
            from.expand(from.panel + (size_t)g * from.block_bytes, from.row_bytes,
                        &(lb_expanded_at){ .w = e[p].w, .group = e[p].scale[0] });
        else h32_expand(f, from.panel + (size_t)(first + p) * each, g, groups, &e[p]);
    }
    const char *soon = (const char *)from.panel + (size_t)first * each + h32_scales_at(f, g + groups);
    const uint8_t *then_rows = from.panel + (size_t)(g + groups) * from.block_bytes;
    const void *after = h32_column(x, first + 2 < panels ? g : g + H32_SUPER, 0);
    if (last) soon += (size_t)(panels - 1) * each;
    for (int i = 0; i < count; i++) {
        int c0 = x->cols * i / count, c1 = x->cols * (i + 1) / count;
        if (from.expand)
            lb_native_ahead(then_rows, from.row_bytes, H32_SUPER * from.block_bytes, 32 * i / count,
                            32 * (i + 1) / count);
        const void *then = i + 1 < count ? h32_column(x, g, c1) : after;
        for (int p = 0; p < some; p++) {
            float *to = x->out + c0 * x->out_stride + 32 * (first + p);
            for (int l = lines * i / count; l < lines * (i + 1) / count && !from.expand; l++)
                _mm_prefetch(soon + (size_t)p * each + 64 * l, _MM_HINT_T0);
            if (last) t32_results_soon(to, x->out_stride, c1 - c0);
            if (groups)
                tiles[c1 - c0](e[p].w, h32_column(x, g, c0), x->stride, groups,
                               (const float *)(const void *)e[p].scale, acc[p] + 32 * c0, then);
            for (int c = c0; c < c1 && last; c++)
                memcpy(to + (c - c0) * x->out_stride, acc[p] + 32 * c, 32 * sizeof *x->out);
        }
    }
}

/* Columns in tiles of equal size, so that none is left with a thin one. What is expanded next is prefetched between
 * the tiles: all at once would fill the core's miss queue and stall it. Results leave tile by tile, so that the misses
 * of lines far apart are hidden behind the next tile's work. Of several panels (repacked ones that stand one behind
 * the other) two take turns at the tiles, so that a tile's activations come from L2 once for both, and pair after pair
 * meets 256 k of all columns before the next come, from L3 once for all. */
LB_INLINE void h32_many(const h32 f, const h32_tile_fn *tiles, const h32_source from, const int panels, const void *act,
                        size_t stride, size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    const h32_columns x = { act, stride, step, k, cols, out, out_stride };
    float *acc[LB_PANELS_MOST];
    for (int p = 0; p < panels; p++) memset(acc[p] = lb_panel_sums_take(cols), 0, (size_t)cols * 32 * sizeof **acc);
    for (int64_t g = 0; g == 0 || g < k / 32; g += H32_SUPER)
        for (int first = 0; first < panels; first += 2)
            h32_pair(f, tiles, from, first, panels, g, &x, acc + first);
    for (int p = panels; p-- > 0;) lb_panel_sums_give(acc[p], cols);
}

LB_INLINE void h32_run(const h32 f, const h32_tile_fn *tiles, const void *panel, const void *act, size_t stride,
                       int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: h32_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: h32_few(f, panel, act, stride, k, out, out_stride, 2); break;
    case 3: h32_few(f, panel, act, stride, k, out, out_stride, 3); break;
    case 4: h32_few(f, panel, act, stride, k, out, out_stride, 4); break;
    default: h32_many(f, tiles, (h32_source){ .panel = panel }, 1, act, stride, H32_BLOCK, k, cols, out, out_stride);
    }
}

LB_INLINE void h32_run_panels(const h32 f, const h32_tile_fn *tiles, const void *panels, int count, const void *act,
                              size_t stride, size_t step, int64_t k, int cols, float *out, int64_t out_stride) {
    if (cols > H32_GEMV_COLS) {
        h32_many(f, tiles, (h32_source){ .panel = panels }, count, act, stride, step, k, cols, out, out_stride);
        return;
    }
    const char *at = panels;
    for (int p = 0; p < count; p++, at += h32_panel_bytes(f, k), out += 32)
        h32_run(f, tiles, at, act, stride, k, cols, out, out_stride);
}

#define H32_RUN(f, ...) h32_run(f, h32_tiles, __VA_ARGS__)

/* Behind LB_H32_PANEL, where files have the format: lb_native_many_NAME(), which AVX-512's file has. */
#ifdef __AMX_TILE__
#define LB_H32_NATIVE(name)
#else
#define LB_H32_NATIVE(name)                                                                                          \
    void lb_native_many_##name(lb_native_expand expand, const void *rows, const void *act, size_t stride, int64_t k, \
                               int cols, float *out, int64_t out_stride) {                                           \
        const h32_source from = { rows, expand, (size_t)(k / 32) * BLOCK_BYTES, BLOCK_BYTES };                       \
        h32_many(FORMAT, h32_tiles, from, 1, act, stride, H32_BLOCK, k, cols, out, out_stride);                      \
    }
#endif

#define H32_PANEL(...) LB_ROWS32_PANEL(__VA_ARGS__)
/* Of a file whose format is FORMAT. */
#define H32_PANELS(...)                                                                                              \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)q;                                                                                                     \
        h32_run_panels(FORMAT, h32_tiles, panels, count, act, stride, step, k, cols, out, out_stride);               \
    }                                                                                                                \
    static const lb_panels panels_ops = { .most = LB_PANELS_MOST, .run = run_panels, .act_block = H32_BLOCK,         \
                                          .act_apart = LB_BLOCKS_APART };                                            \
    LB_ROWS32_PANELS_OF(__VA_ARGS__, &panels_ops)
#if H32_SHARED
#define H32_ACT lb_act_q8_256_prepare_32, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_256_32
#else
#define H32_ACT lb_act_q8_32_prepare, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_32
#endif
#ifdef __AMX_TILE__
#define H32_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI | LB_ISA_AMX_INT8)
#else
#define H32_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI)
#endif
#define H32_ASYM lb_act_i8_asym_prepare, lb_act_i8_asym_bytes, LB_ACT_KIND_I8_ASYM
#define H32_ASYM_BYTES lb_act_i8_asym_bytes

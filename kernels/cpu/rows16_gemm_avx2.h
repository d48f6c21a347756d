/* rows16_gemm_avx2.h: the lb_panel.run of a K-quant in panels of two times 16 rows without AVX-512; a template,
 * included once by each format's file. Products as rows16_avx2.h has them.
 *
 * The format defines before the #include:
 *   SUBS                sub-blocks of 256: 8 (of 32) or 16
 *   PAIRS               pairs of minima: SUBS / 2, or 0 for formats without
 *   WIDE                1 = codes need the wide form
 *   START               codes are more than what they mean by 2^START; -1 = by nothing
 *   SHAPE               its lb_rows16_shape
 *   block_regs          { __m256i scale[4]; __m256 d, dmin; }: 8 rows' scales of a block in registers
 *   open_block(block, f16s, regs)    of the rows whose first lane is at block; f16s stands as many rows on in the
 * panel's head, or where it has none in the block sub_codes(block, s, w)           the 64 / SUBS vectors of codes of
 * sub-block s sub_scale(regs, s)               its scale: both int16 of a lane, or (WIDE) its int32 min_pair(regs, i)
 * if PAIRS: two int16 a lane
 *
 * Every path forms the same exact int32 sums and the same f32 steps per block of 256, in the order of K, so a row's
 * result has the same bits whatever the number of columns. */
#include "rows16_avx2.h"
#include "rows16_panel.h"

enum { SUB_VECTORS = 64 / SUBS, PANEL_ROWS = LB_PANEL_ROWS };

#if WIDE
typedef lb_act_q8x2_wide act_piece;
#define NARROW(a) (&(a)->narrow)
#else
typedef lb_act_q8x2 act_piece;
#define NARROW(a) (a)
#endif

LB_INLINE const act_piece *act_of(const void *act, size_t stride, int64_t b, int c) {
    return (const act_piece *)(const void *)((const char *)act + (size_t)c * stride) + b;
}

LB_INLINE const int16_t *pair_sums(const act_piece *a, int i) {
    return PAIRS == 8 ? NARROW(a)->sum16 + 2 * i : NARROW(a)->sum32 + 2 * i;
}

/* Where the sums of sub-block s begin. */
LB_INLINE __m256i first_of(const act_piece *a, int s) {
#if START < 0
    (void)a, (void)s;
    return _mm256_setzero_si256();
#elif WIDE
    return _mm256_slli_epi32(x2_spread(&a->narrow.minus[s]), START);
#else
    return _mm256_slli_epi16(x2_spread(SUBS == 16 ? a->minus16[s] : a->minus32[s]), START);
#endif
}

/* A sub-block's sums times its scale. */
LB_INLINE __m256i scaled(__m256i sub, __m256i scale) {
    return WIDE ? _mm256_mullo_epi32(sub, scale) : _mm256_madd_epi16(sub, scale);
}

/* acc + da * (d * sum - dmin * minsum), each step rounded once. */
LB_INLINE __m256 add_block(__m256 acc, __m256i sum, __m256i minsum, __m256 d, __m256 dmin, const act_piece *a) {
    __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), d);
    if (PAIRS) t = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(minsum), dmin, t);
    return _mm256_fmadd_ps(t, _mm256_broadcast_ss(NARROW(a)->d), acc);
}

#define EACH_COLUMN LB_UNROLL for (int c = 0; c < cols; c++)

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* The products of dword v (0..63) of a block. */
LB_INLINE __m256i dot(__m256i sub, __m256i w, const act_piece *a, int v) {
#if WIDE
    return x2_wide(x2_wide(sub, x2_even(w), x2_spread(a->q + 4 * v)), x2_odd(w), x2_spread(a->q + 4 * v + 2));
#else
    return x2_narrow(sub, w, x2_spread(a->q + 4 * v));
#endif
}

/* acc += the products of 8 rows of a block. */
LB_INLINE void few_block(const uint8_t *block, const uint8_t *f16s, const void *act, size_t stride, int64_t b,
                         __m256 acc[X2_FEW], const int cols) {
    block_regs regs;
    __m256i sum[X2_FEW], minsum[X2_FEW];
    open_block(block, f16s, &regs);
    EACH_COLUMN sum[c] = minsum[c] = _mm256_setzero_si256();
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m256i w[SUB_VECTORS], sub[X2_FEW], scale = sub_scale(&regs, s);
        sub_codes(block, s, w);
        EACH_COLUMN sub[c] = first_of(act_of(act, stride, b, c), s);
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++)
            EACH_COLUMN sub[c] = dot(sub[c], w[j], act_of(act, stride, b, c), s * SUB_VECTORS + j);
        EACH_COLUMN sum[c] = _mm256_add_epi32(sum[c], scaled(sub[c], scale));
    }
#if PAIRS
    LB_UNROLL for (int i = 0; i < PAIRS; i++) {
        __m256i pair = min_pair(&regs, i);
        EACH_COLUMN minsum[c] = x2_wide(minsum[c], pair, x2_spread(pair_sums(act_of(act, stride, b, c), i)));
    }
#endif
    EACH_COLUMN acc[c] = add_block(acc[c], sum[c], minsum[c], regs.d, regs.dmin, act_of(act, stride, b, c));
}

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    for (int half = 0; half < LB_PANEL_HALVES; half++) {
        const uint8_t *block = panel + lb_rows32_block_at(SHAPE, k, 0, half);
        const uint8_t *head = panel + lb_rows32_head_at(SHAPE, k, 0, half);
        __m256 low[X2_FEW], high[X2_FEW];
        EACH_COLUMN low[c] = high[c] = _mm256_setzero_ps();
        for (int64_t b = 0; b < k / 256; b++, block += SHAPE.block_bytes, head += 32) {
            const uint8_t *f16s = SHAPE.head ? head : block;
            few_block(block, f16s, act, stride, b, low, cols);
            few_block(block + 32, f16s + 16, act, stride, b, high, cols);
        }
        EACH_COLUMN {
            _mm256_storeu_ps(out + c * out_stride + 16 * half, low[c]);
            _mm256_storeu_ps(out + c * out_stride + 16 * half + 8, high[c]);
        }
    }
}

/* ---- many columns: 16 x 256 are expanded in L1 once and meet all of them ---- */

typedef struct expanded {
    __m256i w[WIDE ? 128 : 64][2];
    __m256i scale[SUBS][2], pair[PAIRS ? PAIRS : 1][2];
    __m256 d[2], dmin[2];
} expanded;

/* 8 rows. */
LB_INLINE void expand(const uint8_t *block, const uint8_t *f16s, int i, expanded *e) {
    block_regs regs;
    open_block(block, f16s, &regs);
    LB_UNROLL for (int s = 0; s < SUBS; s++) {
        __m256i w[SUB_VECTORS];
        sub_codes(block, s, w);
        e->scale[s][i] = sub_scale(&regs, s);
        LB_UNROLL for (int j = 0; j < SUB_VECTORS; j++) {
            if (!WIDE) {
                e->w[s * SUB_VECTORS + j][i] = w[j];
            } else {
                e->w[2 * (s * SUB_VECTORS + j)][i] = x2_even(w[j]);
                e->w[2 * (s * SUB_VECTORS + j) + 1][i] = x2_odd(w[j]);
            }
        }
    }
#if PAIRS
    LB_UNROLL for (int p = 0; p < PAIRS; p++) e->pair[p][i] = min_pair(&regs, p);
#endif
    e->d[i] = regs.d;
    e->dmin[i] = regs.dmin;
}

#define EACH_SUM EACH_COLUMN LB_UNROLL for (int i = 0; i < 2; i++)

/* The sums of sub-block s of `cols` columns and 16 rows. */
LB_INLINE void tile_sub(const expanded *e, const act_piece *const a[X2_COLS], int s, __m256i sub[X2_COLS][2],
                        const int cols) {
    EACH_COLUMN sub[c][0] = sub[c][1] = first_of(a[c], s);
    LB_UNROLL for (int j = 0; j < (WIDE + 1) * SUB_VECTORS; j++) {
        int v = s * (WIDE + 1) * SUB_VECTORS + j;
        __m256i w0 = e->w[v][0], w1 = e->w[v][1];
        EACH_COLUMN {
#if WIDE
            __m256i x = x2_spread(a[c]->q + 2 * v);
            sub[c][0] = x2_wide(sub[c][0], w0, x);
            sub[c][1] = x2_wide(sub[c][1], w1, x);
#else
            __m256i x = x2_spread(a[c]->q + 4 * v);
            sub[c][0] = x2_narrow(sub[c][0], w0, x);
            sub[c][1] = x2_narrow(sub[c][1], w1, x);
#endif
        }
    }
}

/* Adds one block's products of `cols` columns to acc[c][32], 16 rows. */
LB_INLINE void tile(const expanded *e, const void *act, size_t stride, int64_t b, float *acc, const int cols) {
    const act_piece *a[X2_COLS];
    __m256i sum[X2_COLS][2], minsum[X2_COLS][2];
    EACH_COLUMN a[c] = act_of(act, stride, b, c);
    EACH_SUM sum[c][i] = minsum[c][i] = _mm256_setzero_si256();
    for (int s = 0; s < SUBS; s++) {
        __m256i sub[X2_COLS][2];
        tile_sub(e, a, s, sub, cols);
        EACH_SUM sum[c][i] = _mm256_add_epi32(sum[c][i], scaled(sub[c][i], e->scale[s][i]));
    }
#if PAIRS
    LB_UNROLL for (int p = 0; p < PAIRS; p++) EACH_COLUMN {
        __m256i x = x2_spread(pair_sums(a[c], p));
        LB_UNROLL for (int i = 0; i < 2; i++) minsum[c][i] = x2_wide(minsum[c][i], e->pair[p][i], x);
    }
#endif
    EACH_SUM {
        float *to = acc + PANEL_ROWS * c + 8 * i;
        _mm256_store_ps(to, add_block(_mm256_load_ps(to), sum[c][i], minsum[c][i], e->d[i], e->dmin[i], a[c]));
    }
}

#define TILE(n)                                                                                                      \
    static __attribute__((noinline)) void tile_##n(const expanded *e, const void *act, size_t stride, int64_t b,     \
                                                   float *acc) {                                                     \
        tile(e, act, stride, b, acc, n);                                                                             \
    }
TILE(1) TILE(2) TILE(3) TILE(4)
static void (*const tiles[])(const expanded *, const void *, size_t, int64_t, float *) = { NULL, tile_1, tile_2, tile_3,
                                                                                          tile_4 };

/* Columns in tiles of equal size; what is expanded next is prefetched between them. */
static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    expanded e[LB_PANEL_HALVES];
    memset(acc, 0, (size_t)cols * PANEL_ROWS * sizeof(float));
    int count = (cols + X2_COLS - 1) / X2_COLS, lines = (int)(SHAPE.block_bytes / 64);
    for (int64_t b = 0; b < k / 256; b++) {
        for (int h = 0; h < LB_PANEL_HALVES; h++) {
            const uint8_t *block = panel + lb_rows32_block_at(SHAPE, k, b, h);
            const uint8_t *f16s = SHAPE.head ? panel + lb_rows32_head_at(SHAPE, k, b, h) : block;
            for (int i = 0; i < 2; i++) expand(block + 32 * i, f16s + 16 * i, i, &e[h]);
        }
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            for (int h = 0; h < LB_PANEL_HALVES; h++) {
                const char *next = (const char *)panel + lb_rows32_block_at(SHAPE, k, b + 1, h);
                for (int l = lines * t / count; l < lines * (t + 1) / count; l++)
                    _mm_prefetch(next + 64 * l, _MM_HINT_T0);
                tiles[c1 - c0](&e[h], (const char *)act + (size_t)c0 * stride, stride, b,
                               acc + PANEL_ROWS * c0 + 16 * h);
            }
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + PANEL_ROWS * c, PANEL_ROWS * sizeof *out);
    lb_panel_sums_give(acc, cols);
}

/* Kept apart, so that a launch has one of them in the instruction cache. */
#define FEW(n)                                                                                                       \
    static __attribute__((noinline)) void few_##n(const uint8_t *panel, const void *act, size_t stride, int64_t k,   \
                                                  float *out, int64_t out_stride) {                                  \
        few(panel, act, stride, k, out, out_stride, n);                                                              \
    }
FEW(1) FEW(2)
static void (*const fews[])(const uint8_t *, const void *, size_t, int64_t, float *, int64_t) = { NULL, few_1, few_2 };

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)q;
    if (cols <= X2_FEW) fews[cols](panel, act, stride, k, out, out_stride);
    else many(panel, act, stride, k, cols, out, out_stride);
}

#if WIDE
#define ROWS16_ACT lb_act_q8x2_prepare_256_wide, lb_act_q8x2_wide_bytes, LB_ACT_KIND_Q8_256_X2_WIDE
#else
#define ROWS16_ACT lb_act_q8x2_prepare_256, lb_act_q8x2_bytes, LB_ACT_KIND_Q8_256_X2
#endif
ROWS16_PANEL_OF(ROWS16_ACT, NULL)

#define ROWS16_KERNEL ROWS16_ARITHMETIC, .isa = LB_ISA_AVX2, .priority = 10

/* rows32_f32_avx2.h: the lb_panel.run of formats whose products are taken in f32, over panels of 32 rows with AVX2; a
 * template, included once by each family's header or format's file.
 *
 * Defined before the #include, of a format f (a constant of type F32_TYPE):
 *   f32_span(f, q)                          k that share a scale: 32 to 256; 16 where it is a constant
 *   f32_scales(f, q, panel, k, at, part, s, z)    scales and zeros of 8 rows (part of 4) for the span at k = `at`
 *   f32_run_at(f, q, panel, k, at)          the codes of 32 k from `at` on
 *   f32_piece(f)                            how many k a piece of these has: 4 to 32
 *   f32_decode(f, codes, piece, part, w)    a piece's levels: w[i] of 8 rows, for f32_piece(f) consecutive k
 *   F32_ZEROS                               1 = w = level * s + z, 0 = w = level * s
 *
 * Sums start at zero for every span and are then scaled onto the total, in the order of K; zeros meet the sums of the
 * activations. No step depends on the number of columns, so a row's result has the same bits in every batch. */
#include <immintrin.h>
#include <string.h>

#include "f32_tile_avx2.h"
#include "rows16_avx2.h"

enum { F32_PARTS = 4, F32_FEW = 2 };

/* ---- few columns: every weight byte is read once, codes stay in registers ---- */

#define F32_EACH LB_UNROLL for (int part = 0; part < F32_PARTS; part++) LB_UNROLL for (int c = 0; c < cols; c++)

/* Pieces [p0, p1) of the 32 k from `at` on. */
LB_INLINE void f32_few_run(const F32_TYPE f, const uint8_t *codes, const void *act, size_t stride, int64_t at,
                           __m256 sum[F32_PARTS][F32_FEW], const int p0, const int p1, const int cols) {
    LB_UNROLL for (int piece = p0; piece < p1; piece++)
        LB_UNROLL for (int part = 0; part < F32_PARTS; part++) {
            __m256 w[32];
            f32_decode(f, codes, piece, part, w);
            LB_UNROLL for (int i = 0; i < f32_piece(f); i++) LB_UNROLL for (int c = 0; c < cols; c++) sum[part][c] =
                _mm256_fmadd_ps(w[i], _mm256_broadcast_ss(f32_act(act, stride, at + f32_piece(f) * piece + i, c)),
                                sum[part][c]);
        }
}

/* total += the sums of k [at, end) times their scales. */
LB_INLINE void f32_few_onto(const F32_TYPE f, const lb_quantizer *q, const uint8_t *panel, const void *act,
                            size_t stride, int64_t k, int64_t at, int64_t end, __m256 sum[F32_PARTS][F32_FEW],
                            __m256 total[F32_PARTS][F32_FEW], const int cols) {
    LB_UNROLL for (int part = 0; part < F32_PARTS; part++) {
        __m256 s, z = _mm256_setzero_ps();
        f32_scales(f, q, panel, k, at, part, &s, &z);
        LB_UNROLL for (int c = 0; c < cols; c++)
            total[part][c] = f32_onto(total[part][c], sum[part][c], s, z,
                                      F32_ZEROS ? f32_sum(act, stride, k, at, end, f32_span(f, q), c) : 0);
    }
}

LB_INLINE void f32_few(const F32_TYPE f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                       int64_t k, float *out, int64_t out_stride, const int cols) {
    __m256 total[F32_PARTS][F32_FEW];
    const int64_t padded = lb_act_f32_padded(k), span = f32_span(f, q);
    F32_EACH total[part][c] = _mm256_setzero_ps();
    for (int64_t at = 0; at < padded && span >= 32; at += span) {
        int64_t end = padded - at < span ? padded : at + span;
        __m256 sum[F32_PARTS][F32_FEW];
        F32_EACH sum[part][c] = _mm256_setzero_ps();
        for (int64_t run = at; run < end; run += 32)
            f32_few_run(f, f32_run_at(f, q, panel, k, run), act, stride, run, sum, 0, 32 / f32_piece(f), cols);
        f32_few_onto(f, q, panel, act, stride, k, at, end, sum, total, cols);
    }
    for (int64_t at = 0; at < padded && span == 16; at += 32)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m256 sum[F32_PARTS][F32_FEW];
            const int pieces = 16 / f32_piece(f);
            F32_EACH sum[part][c] = _mm256_setzero_ps();
            f32_few_run(f, f32_run_at(f, q, panel, k, at), act, stride, at, sum, pieces * h, pieces * (h + 1), cols);
            f32_few_onto(f, q, panel, act, stride, k, at + 16 * h, at + 16 * h + 16, sum, total, cols);
        }
    F32_EACH _mm256_storeu_ps(out + c * out_stride + 8 * part, total[part][c]);
}

/* ---- many columns: 16 x 256 are expanded in L1 once and meet all of them ---- */

LB_INLINE void f32_expand(const F32_TYPE f, const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t at,
                          int64_t some, int half, f32_expanded *e) {
    for (int64_t run = 0; run < some; run += 32) {
        const uint8_t *codes = f32_run_at(f, q, panel, k, at + run);
        LB_UNROLL for (int piece = 0; piece < 32 / f32_piece(f); piece++)
            LB_UNROLL for (int i = 0; i < 2; i++) {
                __m256 w[32];
                f32_decode(f, codes, piece, 2 * half + i, w);
                LB_UNROLL for (int j = 0; j < f32_piece(f); j++) e->w[run + f32_piece(f) * piece + j][i] = w[j];
            }
    }
    int64_t span = f32_span(f, q);
    for (int64_t i = 0; i * span < some; i++)
        for (int p = 0; p < 2; p++) f32_scales(f, q, panel, k, at + i * span, 2 * half + p, &e->s[i][p], &e->z[i][p]);
}

/* Columns in tiles of equal size; what is expanded next is prefetched between them. */
LB_INLINE void f32_many(const F32_TYPE f, const lb_quantizer *q, const uint8_t *panel, const void *act, size_t stride,
                        int64_t k, int cols, float *out, int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    f32_expanded e;
    memset(acc, 0, (size_t)cols * F32_ROWS * sizeof *acc);
    int64_t padded = lb_act_f32_padded(k), span = f32_span(f, q);
    int count = (cols + F32_COLS - 1) / F32_COLS;
    for (int64_t at = 0; at < padded; at += F32_CHUNK) {
        int64_t some = padded - at < F32_CHUNK ? padded - at : F32_CHUNK;
        const char *next = (const char *)f32_run_at(f, q, panel, k, at + some);
        int lines = (int)((next - (const char *)f32_run_at(f, q, panel, k, at)) / 128);
        for (int half = 0; half < 2; half++) {
            f32_expand(f, q, panel, k, at, some, half, &e);
            for (int t = 0; t < count; t++) {
                int c0 = cols * t / count, c1 = cols * (t + 1) / count;
                for (int l = lines * t / count; l < lines * (t + 1) / count; l++)
                    _mm_prefetch(next + 64 * (l + half * lines), _MM_HINT_T0);
                f32_tiles[c1 - c0](&e, (const char *)act + (size_t)c0 * stride, stride, k, at, some, span,
                                   acc + F32_ROWS * c0 + 16 * half);
            }
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + F32_ROWS * c, F32_ROWS * sizeof *out);
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void f32_run(const F32_TYPE f, const lb_quantizer *q, const void *panel, const void *act, size_t stride,
                       int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: f32_few(f, q, panel, act, stride, k, out, out_stride, 1); break;
    case 2: f32_few(f, q, panel, act, stride, k, out, out_stride, 2); break;
    default: f32_many(f, q, panel, act, stride, k, cols, out, out_stride);
    }
}

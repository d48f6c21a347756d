/* gemm_sparse24_int8dq_avx2.c: gemm over sparse24-int8dq weights in panels of 32 rows with AVX2: two int8 of every
 * four, times int8, scales of row and token last. Sums are exact in int32. */
#include "rows32.h"

#include "rows32_i8_avx2.h"
#include "rows32_sparse24_pack.h"

#define FORMAT (i8_format){ .bits = 8 }

/* Four k of 8 rows as bytes: the two kept at bits 16 half of `kept`, where bits 8 s + 4 half of `places` say. */
LB_INLINE __m256i spread_out(__m256i kept, __m256i places, const int s, const int half) {
    const __m256i byte = _mm256_set1_epi32(0xff), eights = _mm256_set1_epi32(0x18);
    __m256i v[2];
    LB_UNROLL for (int i = 0; i < 2; i++) {
        const int at = 8 * s + 4 * half + 2 * i; /* of the place, which is wanted times 8 */
        __m256i by = at >= 3 ? _mm256_srli_epi32(places, at - 3) : _mm256_slli_epi32(places, 3 - at);
        __m256i value = _mm256_and_si256(_mm256_srli_epi32(kept, 16 * half + 8 * i), byte);
        v[i] = _mm256_sllv_epi32(value, _mm256_and_si256(by, eights));
    }
    return _mm256_or_si256(v[0], v[1]);
}

/* Signed bytes as the wide products read them. */
LB_INLINE __m256i even_of(__m256i v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
LB_INLINE __m256i odd_of(__m256i v) { return _mm256_srai_epi16(v, 8); }

LB_INLINE void few(const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out, int64_t out_stride,
                   const int cols) {
    const uint8_t *run = panel + S24_HEAD;
    __m256i sum[I8_PARTS][X2_FEW];
    I8_EACH sum[part][c] = _mm256_setzero_si256();
    for (int64_t at = 0; at < k; at += 32, run += s24_run_bytes(1))
        for (int part = 0; part < I8_PARTS; part++) {
            __m256i places = x2_load_ahead(run + 32 * part);
            LB_UNROLL for (int s = 0; s < 4; s++) {
                __m256i kept = x2_load_ahead(run + S24_PLACES + 128 * s + 32 * part);
                LB_UNROLL for (int half = 0; half < 2; half++) {
                    __m256i v = spread_out(kept, places, s, half), even = even_of(v), odd = odd_of(v);
                    LB_UNROLL for (int c = 0; c < cols; c++) {
                        const int8_t *q = i8_at(FORMAT, act, stride, at + 8 * s + 4 * half, c);
                        sum[part][c] = x2_wide(x2_wide(sum[part][c], even, x2_spread(q)), odd, x2_spread(q + 4));
                    }
                }
            }
        }
    I8_EACH i8_finish(panel, part, i8_act(act, stride, c), sum[part][c], out + c * out_stride + 8 * part);
}

LB_INLINE void expand(const uint8_t *run, int64_t some, i8_expanded e) {
    for (int64_t i = 0; i < some / 32; i++, run += s24_run_bytes(1))
        for (int part = 0; part < I8_PARTS; part++) {
            __m256i places = x2_load(run + 32 * part);
            LB_UNROLL for (int s = 0; s < 4; s++) {
                __m256i kept = x2_load(run + S24_PLACES + 128 * s + 32 * part);
                LB_UNROLL for (int half = 0; half < 2; half++) {
                    __m256i *to = &e[part / 2][16 * i + 4 * s + 2 * half][part % 2];
                    __m256i v = spread_out(kept, places, s, half);
                    to[0] = even_of(v);
                    to[2] = odd_of(v);
                }
            }
        }
}

static void many(const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols, float *out,
                 int64_t out_stride) {
    i8_expanded e;
    int32_t *acc = lb_panel_sums_take(cols);
    int64_t padded = (k + 31) / 32 * 32;
    memset(acc, 0, (size_t)cols * I8_ROWS * sizeof *acc);
    for (int64_t at = 0; at < padded; at += I8_CHUNK) {
        int64_t some = padded - at < I8_CHUNK ? padded - at : I8_CHUNK;
        expand(panel + S24_HEAD + (size_t)(at / 32) * s24_run_bytes(1), some, e);
        for (int c = 0; c < cols; c += X2_COLS)
            i8_meet(FORMAT, e, (const char *)act + (size_t)c * stride, stride, at, some,
                    cols - c < X2_COLS ? cols - c : X2_COLS, acc + I8_ROWS * c);
    }
    i8_finish_all(panel, act, stride, acc, cols, out, out_stride);
    lb_panel_sums_give(acc, cols);
}

LB_ROWS32_RUN

LB_S24_LAYOUT(1, true)
LB_ROWS32_I8_PANEL(I8_ACT_8)

const lb_kernel lb_kernel_gemm_sparse24_int8dq_avx2 = {
    .name = "gemm.sparse24-int8dq.avx2",
    .about = "panels of 32 rows; kept bytes spread out by vpsllvd, vpmaddwd; scales of token and row at the end",
    .format = "sparse24-int8dq",
    .supports = i8_supports,
    LB_ROWS32_I8_KERNEL,
};

/* native_many.h: what native_panels.h and the kernels of GGUF's formats share: products of many rows of activations
 * with weights as files have them. The tiles are those of repacked weights; only what expands 32 rows by 256 for them
 * differs, so that the results are the same bits. */
#pragma once
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Where 32 rows by 256 weights go: lane r of [..][h] is row 16 h + r. */
typedef struct lb_expanded_at {
    __m512i (*w)[2];       /* 64: four bytes of each row, as the tile multiplies them */
    __m512i (*scale)[2];   /* K-quants: an i32 a sub-block, unless it is in the bytes */
    __m512i (*pair)[2];    /* two int16 of sub-blocks 2 i and 2 i + 1, if the format has minima */
    __m512 *d, *dmin;      /* [2] */
    __m512 *group;         /* others: for each run of 32 scales of both halves, then minima if the format has them */
} lb_expanded_at;

/* `rows`: the first of the block's bytes of the first row. */
typedef void (*lb_native_expand)(const uint8_t *rows, size_t row_bytes, const lb_expanded_at *to);

/* lb_panel.run() over 32 rows as files have them, k a multiple of 256. */
typedef void lb_native_many(lb_native_expand expand, const void *rows, const void *act, size_t act_stride, int64_t k,
                            int cols, float *out, int64_t out_stride);
extern lb_native_many lb_native_many_q2_k, lb_native_many_q3_k, lb_native_many_q4_k, lb_native_many_q5_k,
    lb_native_many_q6_k, lb_native_many_q4_0, lb_native_many_q4_1, lb_native_many_q5_0, lb_native_many_q5_1,
    lb_native_many_q8_0, lb_native_many_iq4_nl, lb_native_many_iq4_xs;

/* Prefetches `block` bytes of each of rows [begin, end). */
static inline __attribute__((always_inline)) void lb_native_ahead(const uint8_t *rows, size_t row_bytes, size_t block,
                                                                  int begin, int end) {
    for (int r = begin; r < end; r++)
        for (size_t i = 0; i < block; i += 64)
            _mm_prefetch((const char *)rows + (size_t)r * row_bytes + i, _MM_HINT_T0);
}

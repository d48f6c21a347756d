/* gemm_f32_avx512.c: f32 weights as they are; tiles of dot products with 16 lanes along K.
 *
 * out[m][n] is a sum over chunks of 1024 k, in order; a chunk is 16 lane sums, fused multiply-adds in order of k, that
 * are added by a fixed tree. Nothing of this depends on the tile that an output falls into, so a row has the same bits
 * in every batch. Dot products need no repacked weights, so that a GEMV reads memory once and in order. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* 4 x 6 sums, 4 weights and an activation are 29 registers: 24 multiply-adds for 10 loads. A chunk of the tile is
 * 40 KiB, within an L1 of 48; 64 rows of it are a quarter of an L2 of 1 MiB. */
enum { TILE_N = 4, TILE_M = 6, CHUNK = 1024, BLOCK_N = 64, GEMV_M = 6 };

#define UNROLL _Pragma("GCC unroll 8") /* without it gcc keeps the sums in memory */

typedef struct problem {
    const float *x, *w;
    float *out;
    int64_t m, n, k;
} problem;

/* The lane sums of four outputs, each by the same tree. */
static inline __m128 reduce_4(const __m512 *s) {
    __m256 h[4];
    UNROLL for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_ps(_mm512_castps512_ps256(s[i]), _mm512_extractf32x8_ps(s[i], 1));
    __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(h[0], h[1]), _mm256_hadd_ps(h[2], h[3]));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

/* Adds k0 .. k0 + len of `cols` x 4 outputs at (m, n). Rows past N read row N - 1 and are not stored. `ahead`: floats
 * from a weight to the one to prefetch into L2; 0 = none. */
static inline __attribute__((always_inline)) void tile(const problem *p, int64_t m, int64_t n, int64_t k0, int64_t len,
                                                       int cols, int64_t ahead) {
    const float *w[TILE_N], *x = p->x + m * p->k + k0;
    UNROLL for (int r = 0; r < TILE_N; r++) w[r] = p->w + (n + r < p->n ? n + r : p->n - 1) * p->k + k0;
    __m512 sum[TILE_M][TILE_N];
    UNROLL for (int c = 0; c < cols; c++)
        UNROLL for (int r = 0; r < TILE_N; r++) sum[c][r] = _mm512_setzero_ps();
    for (int64_t i = 0; i < len; i += 16) {
        __mmask16 some = (__mmask16)(len - i >= 16 ? 0xffffu : (1u << (len - i)) - 1);
        __m512 v[TILE_N];
        if (ahead) UNROLL for (int r = 0; r < TILE_N; r++) _mm_prefetch((const char *)(w[r] + ahead + i), _MM_HINT_T1);
        UNROLL for (int r = 0; r < TILE_N; r++) v[r] = _mm512_maskz_loadu_ps(some, w[r] + i);
        UNROLL for (int c = 0; c < cols; c++) {
            __m512 y = _mm512_maskz_loadu_ps(some, x + c * p->k + i);
            UNROLL for (int r = 0; r < TILE_N; r++) sum[c][r] = _mm512_fmadd_ps(v[r], y, sum[c][r]);
        }
    }
    __mmask8 rows = (__mmask8)(p->n - n >= TILE_N ? 15 : (1 << (p->n - n)) - 1);
    UNROLL for (int c = 0; c < cols; c++) {
        float *out = p->out + (m + c) * p->n + n;
        __m128 s = reduce_4(sum[c]);
        if (k0) s = _mm_add_ps(_mm_maskz_loadu_ps(rows, out), s);
        _mm_mask_storeu_ps(out, rows, s);
    }
}

static inline __attribute__((always_inline)) void tile_any(const problem *p, int64_t m, int64_t n, int64_t k0,
                                                           int64_t len, int64_t cols, int64_t ahead) {
    switch (cols) {
    case 1: tile(p, m, n, k0, len, 1, ahead); return;
    case 2: tile(p, m, n, k0, len, 2, ahead); return;
    case 3: tile(p, m, n, k0, len, 3, ahead); return;
    case 4: tile(p, m, n, k0, len, 4, ahead); return;
    case 5: tile(p, m, n, k0, len, 5, ahead); return;
    default: tile(p, m, n, k0, len, 6, ahead); return;
    }
}

static int64_t chunk_at(const problem *p, int64_t k0) { return p->k - k0 < CHUNK ? p->k - k0 : CHUNK; }

/* Each weight is read once, its rows' chunks in order: memory sees four forward streams. */
static void gemv(const problem *p, int64_t n0, int64_t n1) {
    for (int64_t n = n0; n < n1; n += TILE_N)
        for (int64_t k0 = 0; k0 < p->k; k0 += CHUNK) tile_any(p, 0, n, k0, chunk_at(p, k0), p->m, TILE_N * p->k);
}

/* A chunk of the block's weights stays in L2 while all rows of x pass. */
static void block(const problem *p, int64_t n0, int64_t n1) {
    for (int64_t k0 = 0; k0 < p->k; k0 += CHUNK)
        for (int64_t m = 0; m < p->m; m += TILE_M) {
            int64_t cols = p->m - m < TILE_M ? p->m - m : TILE_M;
            for (int64_t n = n0; n < n1; n += TILE_N)
                tile_any(p, m, n, k0, chunk_at(p, k0), cols, m ? 0 : TILE_N * p->k);
        }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    const problem p = { .x = lb_tensor_f32(x), .w = lb_tensor_f32(w), .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
                        .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    int64_t begin, end;
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) {
        lb_split(p.m * p.n, 16, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) p.out[i] = 0;
        return;
    }
    if (p.m <= GEMV_M) {
        lb_split(p.n, TILE_N, l->part, l->parts, &begin, &end);
        gemv(&p, begin, end);
        return;
    }
    int64_t rows = p.n / (4 * l->parts) / TILE_N * TILE_N; /* about four blocks a part, where N allows */
    rows = rows < TILE_N ? TILE_N : rows > BLOCK_N ? BLOCK_N : rows;
    while ((begin = (int64_t)atomic_fetch_add(l->ticket, 1) * rows) < p.n)
        block(&p, begin, begin + rows < p.n ? begin + rows : p.n);
}

const lb_kernel lb_kernel_gemm_f32_avx512 = {
    .name = "gemm.f32.avx512",
    .op = "gemm",
    .device = "cpu",
    .about = "4 x 6 dot products of 16 lanes over chunks of 1024 k; weights in their native layout; up to four rows of "
             "x stream the weights once, more keep 64 rows of them in L2",
    .source = "luabench",
    .isa = LB_ISA_AVX512,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 sums of K / 16 terms in each lane: NMSE of about 1e-14 to 1e-13 at K of 2048",
    .priority = 20,
    .launch = launch,
};

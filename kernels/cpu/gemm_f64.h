/* gemm_f64.h: gemm of f64: x, weights, sums and results; written once, compiled for each instruction set.
 *
 * Up to four rows of x: dot products along K of four rows of weights, which are read once, in order. More: items of
 * (ROWS rows of weights, up to BLOCK rows of x) are handed out; of an item CHUNK of K at a time stand in L1, transposed
 * so that a lane is a row of weights, and the rows of x come by as broadcast values. A result's sum has the same order
 * whatever the number of parts; not whatever M, of which few go by dot products. */
#include "vec.h"

typedef double VD __attribute__((vector_size(sizeof(VF)), may_alias));
typedef VD VDU __attribute__((aligned(8), may_alias));

#if defined(__AVX512F__)
enum { WIDE = 3, COLS = 8 }; /* 24 sums, three vectors of weights, a broadcast value: 28 of 32 registers */
static inline VD vd_fma(VD a, VD b, VD c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__AVX2__)
enum { WIDE = 3, COLS = 4 }; /* 12 sums: 16 of 16 */
static inline VD vd_fma(VD a, VD b, VD c) { return _mm256_fmadd_pd(a, b, c); }
#else
enum { WIDE = 2, COLS = 4 };
static inline VD vd_fma(VD a, VD b, VD c) { return a * b + c; }
#endif

enum { PER = sizeof(VD) / sizeof(double), ROWS = WIDE * PER, CHUNK = 128, BLOCK = 512, FEW = 4 };
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef struct problem { const double *x, *w; double *out; int64_t m, n, k; } problem;
/* A part's own: CHUNK of K of the weights, and what the item's results are so far. */
typedef struct space { VD w[CHUNK][WIDE], sums[BLOCK][WIDE]; } space;

INLINE VD vd_all(double v) { return v - (VD){ 0 }; }

/* ---- few rows of x ---- */

static double vd_sum(VD v) {
    double s[PER];
    memcpy(s, &v, sizeof v);
    for (int n = PER / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
}

/* Results n .. n + 3 of `cols` rows of x; those past N read row N - 1 and are not stored. */
INLINE void few_of(const problem *p, int64_t n, const int cols) {
    VD sum[FEW][FEW] = { { { 0 } } };
    const double *w[FEW];
    UNROLL for (int r = 0; r < FEW; r++) w[r] = p->w + (n + r < p->n ? n + r : p->n - 1) * p->k;
    int64_t whole = p->k / PER * PER;
    for (int64_t i = 0; i < whole; i += PER)
        UNROLL for (int r = 0; r < FEW; r++) {
            VD v = *(const VDU *)(w[r] + i);
            UNROLL for (int c = 0; c < cols; c++) sum[c][r] = vd_fma(v, *(const VDU *)(p->x + c * p->k + i), sum[c][r]);
        }
    for (int r = 0; r < FEW && n + r < p->n; r++)
        for (int c = 0; c < cols; c++) {
            double total = vd_sum(sum[c][r]);
            for (int64_t i = whole; i < p->k; i++) total += w[r][i] * p->x[c * p->k + i];
            p->out[c * p->n + n + r] = total;
        }
}

static void few(const problem *p, const lb_launch *l) {
    int64_t begin, end;
    lb_split(p->n, FEW, l->part, l->parts, &begin, &end);
    for (int64_t n = begin; n < end; n += FEW)
        switch (p->m) {
        case 1: few_of(p, n, 1); break;
        case 2: few_of(p, n, 2); break;
        case 3: few_of(p, n, 3); break;
        default: few_of(p, n, 4);
        }
}

/* ---- many ---- */

/* sums[c] += w times row c of x, of `cols`, over `count` of K. */
INLINE void tile_of(const space *s, const double *x, int64_t k, int64_t count, const int cols, VD (*sums)[WIDE]) {
    VD sum[COLS][WIDE];
    UNROLL for (int c = 0; c < cols; c++) UNROLL for (int v = 0; v < WIDE; v++) sum[c][v] = sums[c][v];
    for (int64_t i = 0; i < count; i++) {
        VD w[WIDE];
        UNROLL for (int v = 0; v < WIDE; v++) w[v] = s->w[i][v];
        UNROLL for (int c = 0; c < cols; c++) {
            VD b = vd_all(x[c * k + i]);
            UNROLL for (int v = 0; v < WIDE; v++) sum[c][v] = vd_fma(w[v], b, sum[c][v]);
        }
    }
    UNROLL for (int c = 0; c < cols; c++) UNROLL for (int v = 0; v < WIDE; v++) sums[c][v] = sum[c][v];
}

static void tile(const space *s, const double *x, int64_t k, int64_t count, int64_t cols, VD (*sums)[WIDE]) {
    if (cols >= COLS) {
        tile_of(s, x, k, count, COLS, sums);
        return;
    }
    for (int64_t c = 0; c < cols; c++) tile_of(s, x + c * k, k, count, 1, sums + c);
}

/* CHUNK of K from `at` on of the rows from row0 on; rows past N are zeros, whose results nobody stores. */
static void transpose(const problem *p, int64_t row0, int64_t at, int64_t count, space *s) {
    double *to = (double *)s->w;
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < count; i++) to[i * ROWS + r] = row0 + r < p->n ? p->w[(row0 + r) * p->k + at + i] : 0;
}

/* ROWS rows of weights from row0 on times `cols` rows of x from c0 on. */
static void item(const problem *p, int64_t row0, int64_t c0, int64_t cols, space *s) {
    memset(s->sums, 0, (size_t)cols * sizeof *s->sums);
    for (int64_t at = 0; at < p->k; at += CHUNK) {
        int64_t count = p->k - at < CHUNK ? p->k - at : CHUNK;
        transpose(p, row0, at, count, s);
        for (int64_t c = 0; c < cols; c += COLS)
            tile(s, p->x + (c0 + c) * p->k + at, p->k, count, cols - c, s->sums + c);
    }
    int64_t rows = p->n - row0 < ROWS ? p->n - row0 : ROWS;
    for (int64_t c = 0; c < cols; c++)
        memcpy(p->out + (c0 + c) * p->n + row0, s->sums[c], (size_t)rows * sizeof *p->out);
}

/* ---- the kernel ---- */

static size_t workspace_bytes(const lb_args *a, int parts) {
    return lb_arg(a, LB_GEMM_X)->dims[0] > FEW ? sizeof(space) * (size_t)parts : 0;
}

static bool supports(const lb_args *a, const char **why) {
    *why = "takes f64 activations";
    return lb_arg(a, LB_GEMM_X)->dtype == LB_F64;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    problem p = { .x = lb_tensor_data(x), .w = lb_tensor_data(w), .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
                  .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    if (p.m <= FEW) {
        if (p.m > 0) few(&p, l);
        return;
    }
    int64_t down = (p.n + ROWS - 1) / ROWS, across = (p.m + BLOCK - 1) / BLOCK;
    for (int64_t i; (i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < down * across;) {
        int64_t c = i / down, c0 = p.m * c / across, c1 = p.m * (c + 1) / across;
        item(&p, i % down * ROWS, c0, c1 - c0, (space *)l->workspace + l->part);
    }
}

const lb_kernel KERNEL_SYMBOL(gemm_f64) = {
    .name = "gemm.f64." ISA_TEXT, .op = "gemm", .device = "cpu",
    .about = "all in f64; up to four rows of x: dot products, the weights streamed once; more: 128 of K of some rows "
             "of weights transposed into L1, tiles of sums in registers",
    .source = "luabench", .isa = ISA_BITS, .format = "f64", .act = LB_ACT_F32, .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64, .tolerance = 1e-26,
    .tolerance_why = "f64 sums over K, as the oracle's, in an order of their own: NMSE of about 1e-30 at K of 4096",
    .priority = ISA_PRIORITY, .supports = supports, .workspace_bytes = workspace_bytes, .launch = launch,
};

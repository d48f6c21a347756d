/* attention_bf16_flash_amx.c: attention of many rows by tiles of AMX (tdpbf16ps), over caches of bf16 and f8e4m3: the
 * template of flash.h, blocks in an order of their own.
 *
 * A job is 32 rows against 64 positions: scores (32 x 64 of f32), their softmax so far, and what the probabilities, as
 * bf16, add to the rows' outputs. Positions are packed in runs of RUN blocks; each group of 32 rows meets all of a run,
 * so that its outputs stay in L1 and the run in L2.
 *
 * Products and exponentials take about as long, and in different units. So three jobs are under way at a time: the
 * scores of one, the softmax of the one before and the outputs of the one before that go in small steps, by turns:
 * after each product a row of the softmax, or a part of the rows. (Two rows after four products: 7 to 28 % slower.) */
#include "amx.h"
#include "vec.h"

/* Pairs of values of neighbouring dimensions (keys) or positions (values) are the 32-bit elements here; a row of q is
 * whole rows of tiles. */
#define RUN 8
#define STEPS_D(d) (((int64_t)(d) + 31) / 32)
#define Q_BYTES(d) ((size_t)STEPS_D(d) * 64)
#define KEY_BLOCK(d) ((size_t)STEPS_D(d) * 16 * 64 * 4)
#define VALUE_BLOCK(v) ((size_t)(v) * 64 * 2)
#define KEY_BYTES(d) (RUN * KEY_BLOCK(d))
#define VALUE_BYTES(v) (RUN * VALUE_BLOCK(v))
#define P_BYTES(v) (0 * (size_t)(v)) /* a row's take the place of its scores */
#define ROWS_TOGETHER 32
#define GROUPS_KEPT 2
#define OWN_BLOCKS
#define ROWS_MOST 1024
#define ROWS_LEAST 128
#define OUT_FLOATS 131072
#include "flash.h"
#include "attention_bf16_pack.h"
#include "exp2_bf16.h"

static void pack_row(const float *x, int64_t dim, void *out) {
    uint16_t *h = out;
    memset(h, 0, Q_BYTES(dim));
    for (int64_t i = 0; i < dim; i++) h[i] = f32_to_bf16(x[i]);
}

/* What the rows of a group see: all of them positions [most_lo, least_hi), any of them [least_lo, most_hi). */
typedef struct sight { int64_t least_lo, most_lo, least_hi, most_hi; } sight;

/* `rows` rows from row r0 of the item on against positions [from, from + 64), which are packed at k and v. */
typedef struct job {
    int64_t r0, rows, from;
    const char *k, *v;
    float *scores;      /* [32][64]; a row's probabilities, bf16, take the first half of its place */
    bool all;           /* no row has a position masked */
    bool rescaled;      /* some factor is not 1 */
    float factors[MR];  /* of what was summed before */
} job;

/* ---- softmax ---- */

/* What a row's scores v become relative to `top`: those of `bits` count, the others give 0. */
static inline __attribute__((always_inline)) void powers(__m512 *v, uint64_t bits, bool all, float scale, float top) {
    const __m512 f = _mm512_set1_ps(scale), shift = _mm512_set1_ps(top);
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = exp2_bf16(_mm512_fmsub_ps(v[i], f, shift));
        if (!all) v[i] = _mm512_maskz_mov_ps((__mmask16)(bits >> (16 * i)), v[i]);
    }
}

static inline __attribute__((always_inline)) void store_p(const __m512 *v, float *s) {
    _mm512_store_si512(s, (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
    _mm512_store_si512(s + 16, (__m512i)_mm512_cvtne2ps_pbh(v[3], v[2]));
}

static inline __m512 sum4(const __m512 *v) {
    return _mm512_add_ps(_mm512_add_ps(v[0], v[1]), _mm512_add_ps(v[2], v[3]));
}

/* soften_row() where the top may have to move: to the largest score if that is over it. */
static __attribute__((noinline)) float soften_anew(float *s, uint64_t bits, float scale, float *top, float *sums) {
    __m512 v[4], most = _mm512_set1_ps(-INFINITY), total = _mm512_load_ps(sums);
    float factor = 1;
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm512_load_ps(s + 16 * i);
    UNROLL for (int i = 0; i < 4; i++) most = _mm512_mask_max_ps(most, (__mmask16)(bits >> (16 * i)), v[i], most);
    float m = _mm512_reduce_max_ps(most) * scale;
    if (m > *top) {
        factor = *top == -INFINITY ? 0.0f : exp2f(*top - m);
        total = _mm512_mul_ps(total, _mm512_set1_ps(factor));
        *top = m;
    }
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm512_mul_ps(v[i], _mm512_set1_ps(scale)); /* as the top was rounded */
    powers(v, bits, false, 1, *top == -INFINITY ? 0 : *top); /* -Inf less -Inf would be NaN, not 0 */
    store_p(v, s);
    _mm512_store_ps(sums, _mm512_add_ps(total, sum4(v)));
    return factor;
}

/* Scores of a row and a block become probabilities relative to `top`, and bf16. Those of `bits` count, the others give
 * 0. Nobody looks for the largest: that the top has to move is seen by what comes of it, sums over 2^8 (or NaN, or the
 * infinity that a top of -Inf makes of all). Returns the factor of what was summed before. */
static inline __attribute__((always_inline)) float soften_row(float *s, uint64_t bits, bool all, float scale,
                                                              float *top, float *sums) {
    __m512 v[4];
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm512_load_ps(s + 16 * i);
    powers(v, bits, all, scale, *top);
    __m512 sum = sum4(v);
    if (__builtin_expect(_mm512_cmp_ps_mask(sum, _mm512_set1_ps(256), _CMP_NLE_UQ) || fabsf(*top) >= EXACT_TOP, 0))
        return soften_anew(s, all ? ~0ull : bits, scale, top, sums);
    store_p(v, s);
    _mm512_store_ps(sums, _mm512_add_ps(_mm512_load_ps(sums), sum));
    return 1;
}

/* Positions lo .. hi of the block at `from`, as bits. */
static inline uint64_t bits_of(int64_t lo, int64_t hi, int64_t from) {
    lo = lb_clamp(lo - from, 0, BLOCK), hi = lb_clamp(hi - from, 0, BLOCK);
    return hi <= lo ? 0 : (hi == BLOCK ? ~0ull : (1ull << hi) - 1) & ~((1ull << lo) - 1);
}

/* Rows [a, b) of the job. */
static inline void soft_step(const task *t, const space *s, job *j, int64_t a, int64_t b) {
    for (int64_t i = a; i < b; i++) {
        int64_t r = j->r0 + i;
        float *scores = j->scores + i * BLOCK, *sums = s->sums + r * LANES;
        if (j->all) j->factors[i] = soften_row(scores, 0, true, t->scale, &s->tops[r], sums);
        else j->factors[i] = soften_row(scores, bits_of(s->lo[r], s->hi[r], j->from), false, t->scale, &s->tops[r],
                                        sums);
        if (j->factors[i] != 1) j->rescaled = true;
    }
}

/* The softmax of job j (NULL: none) beside products: after each of them `each` / 65536 rows, so that neither unit waits
 * for the other's instructions to be out of the way. */
typedef struct beside { job *j; int64_t rows, done, at, each; } beside;

static inline void soft_some(const task *t, const space *s, beside *b) {
    int64_t until = (b->at += b->each) >> 16;
    soft_step(t, s, b->j, b->done, until);
    b->done = until;
}

/* ---- products, in steps of four ---- */

/* Step i of the scores: dimensions 32 * (i % n) on of 32 positions; n = STEPS_D. */
static inline void score_step(const task *t, const space *s, const job *j, int64_t i, beside *b) {
    int64_t n = STEPS_D(t->dim), half = i >= n, d = i - half * n;
    int64_t stride = n * 64;
    const char *q = s->q + j->r0 * stride + d * 64, *k = j->k + d * 16 * BLOCK * 4 + half * 128;
    if (d == 0) {
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
        LB_TILE_ZERO(2);
        LB_TILE_ZERO(3);
    }
    LB_TILE_LOAD(4, q, stride);
    LB_TILE_LOAD_ONCE(6, k, BLOCK * 4);
    LB_TILE_BF16(0, 4, 6);
    soft_some(t, s, b);
    LB_TILE_LOAD(5, q + 16 * stride, stride);
    LB_TILE_BF16(2, 5, 6);
    soft_some(t, s, b);
    LB_TILE_LOAD_ONCE(7, k + 64, BLOCK * 4);
    LB_TILE_BF16(1, 4, 7);
    soft_some(t, s, b);
    LB_TILE_BF16(3, 5, 7);
    soft_some(t, s, b);
    if (d < n - 1) return;
    float *to = j->scores + half * 32;
    LB_TILE_STORE(0, to, BLOCK * 4);
    LB_TILE_STORE(1, to + 16, BLOCK * 4);
    LB_TILE_STORE(2, to + 16 * BLOCK, BLOCK * 4);
    LB_TILE_STORE(3, to + 16 * BLOCK + 16, BLOCK * 4);
}

/* The probabilities of a job stay in tiles 4 .. 7. */
static inline void load_p(const job *j) {
    LB_TILE_LOAD(4, j->scores, BLOCK * 4);
    LB_TILE_LOAD(5, j->scores + 16 * BLOCK, BLOCK * 4);
    LB_TILE_LOAD(6, j->scores + 16, BLOCK * 4);
    LB_TILE_LOAD(7, j->scores + 16 * BLOCK + 16, BLOCK * 4);
}

/* Step i of the outputs: values 16 i on. */
static inline void value_step(const task *t, const space *s, const job *j, int64_t i, beside *b) {
    int64_t stride = t->vpad * 4;
    float *out = s->out + j->r0 * t->vpad + i * 16;
    const char *v = j->v + i * 64;
    LB_TILE_LOAD(0, out, stride);
    LB_TILE_LOAD_ONCE(2, v, stride);
    LB_TILE_BF16(0, 4, 2);
    soft_some(t, s, b);
    LB_TILE_LOAD(1, out + 16 * t->vpad, stride);
    LB_TILE_BF16(1, 5, 2);
    soft_some(t, s, b);
    LB_TILE_LOAD_ONCE(3, v + 16 * stride, stride);
    LB_TILE_BF16(0, 6, 3);
    soft_some(t, s, b);
    LB_TILE_BF16(1, 7, 3);
    soft_some(t, s, b);
    LB_TILE_STORE(0, out, stride);
    LB_TILE_STORE(1, out + 16 * t->vpad, stride);
}

static void rescale(const task *t, const space *s, const job *j) {
    for (int64_t i = 0; i < j->rows; i++) {
        float *out = s->out + (j->r0 + i) * t->vpad;
        if (j->factors[i] == 1) continue;
        for (int64_t c = 0; c < t->vpad; c += LANES) vf_store(out + c, vf_load(out + c) * vf_set(j->factors[i]));
    }
}

/* ---- jobs ---- */

/* The outputs of `weigh` and the scores of `score`, and among them the softmax of `soft`; each may be NULL. */
static void step_jobs(const task *t, const space *s, const job *weigh, job *soft, const job *score) {
    int64_t values = weigh ? t->vpad / 16 : 0, scores = score ? 2 * STEPS_D(t->dim) : 0, steps = values + scores;
    beside b = { .j = soft, .rows = soft ? soft->rows : 0 };
    b.each = steps ? b.rows * 65536 / (4 * steps) : 0;
    if (weigh && weigh->rescaled) rescale(t, s, weigh);
    if (weigh) load_p(weigh);
    for (int64_t i = 0; i < steps; i++) {
        if (i < values) value_step(t, s, weigh, i, &b);
        else score_step(t, s, score, i - values, &b);
    }
    soft_step(t, s, soft, b.done, b.rows);
}

/* The last jobs: of at[i % 3] the scores are to come, or under way. */
typedef struct line { job at[3]; int64_t count; } line;

static void step_line(const task *t, const space *s, line *l, bool scores) {
    int64_t n = l->count++;
    step_jobs(t, s, n >= 2 && l->at[(n + 1) % 3].rows ? &l->at[(n + 1) % 3] : NULL,
              n >= 1 && l->at[(n + 2) % 3].rows ? &l->at[(n + 2) % 3] : NULL, scores ? &l->at[n % 3] : NULL);
}

/* The next job's place. */
static job *next_job(const space *s, line *l) {
    job *j = &l->at[l->count % 3];
    j->scores = s->scores + l->count % GROUPS_KEPT * MR * BLOCK;
    j->rescaled = false;
    return j;
}

/* Two steps without new scores; then the line is empty. */
static void end_line(const task *t, const space *s, line *l) {
    for (int i = 0; i < 2; i++) {
        l->at[l->count % 3].rows = 0;
        step_line(t, s, l, false);
    }
    l->count = 0;
}

static sight sight_of(const space *s, int64_t r0, int64_t rows) {
    sight g = { INT64_MAX, 0, INT64_MAX, 0 };
    for (int64_t r = r0; r < r0 + rows; r++) {
        int64_t lo = s->lo[r], hi = s->hi[r];
        g.most_lo = lo > g.most_lo ? lo : g.most_lo;
        g.least_hi = hi < g.least_hi ? hi : g.least_hi;
        if (hi <= lo) continue;
        g.least_lo = lo < g.least_lo ? lo : g.least_lo;
        g.most_hi = hi > g.most_hi ? hi : g.most_hi;
    }
    return g;
}

/* The run of blocks [from, end): packed once, and met by all groups of 32 rows. */
static void pass_run(const task *t, const item *it, space *s, const sight *groups, int64_t from, int64_t end) {
    line l;
    l.count = 0; /* jobs are filled in as they come */
    for (int64_t at = from; at < end; at += BLOCK) {
        find_block(t, it, at, s->now);
        pack_keys(t, s->now->k, s->k + (at - from) / BLOCK * (int64_t)KEY_BLOCK(t->dim));
        pack_values(t, s->now->v, s->v + (at - from) / BLOCK * (int64_t)VALUE_BLOCK(t->vpad));
    }
    for (int64_t r0 = 0; r0 < it->count; r0 += MR) {
        const sight *g = &groups[r0 / MR];
        for (int64_t at = from; at < end; at += BLOCK) {
            if (g->least_lo >= at + BLOCK || g->most_hi <= at) continue;
            job *j = next_job(s, &l);
            j->r0 = r0, j->rows = lb_clamp(it->count - r0, 0, MR), j->from = at;
            j->k = s->k + (at - from) / BLOCK * (int64_t)KEY_BLOCK(t->dim);
            j->v = s->v + (at - from) / BLOCK * (int64_t)VALUE_BLOCK(t->vpad);
            j->all = g->most_lo <= at && g->least_hi >= at + BLOCK;
            step_line(t, s, &l, true);
        }
    }
    end_line(t, s, &l);
}

static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end) {
    sight groups[ROWS_MOST / MR];
    for (int64_t r0 = 0; r0 < it->count; r0 += MR)
        groups[r0 / MR] = sight_of(s, r0, lb_clamp(it->count - r0, 0, MR));
    for (; from < end; from += RUN * BLOCK)
        pass_run(t, it, s, groups, from, from + RUN * BLOCK < end ? from + RUN * BLOCK : end);
}

/* Tiles of 32 rows, of which few would be padding: attention.bf16.flash_avx512 is the faster with 2 (3 times), this one
 * with 24 (2 to 3 times). */
enum { ROWS_WANTED = 8 };

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *k = lb_arg(a, LB_ATTENTION_K);
    const lb_tensor *pages = lb_arg(a, LB_ATTENTION_PAGES);
    const int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1];
    const int64_t rows = heads > 0 ? q->dims[0] * q->dims[1] / heads : 0; /* of all sequences */
    *why = "takes 8 rows of q and more for a cache head, of a value and more";
    return q->dims[2] > 0 && rows >= ROWS_WANTED * sequences && caches_exact(a, why);
}

static void launch_tiles(const lb_args *a, const lb_launch *l) {
    lb_tiles_open(&lb_tiles_whole);
    launch(a, l);
    lb_tiles_close();
}

const lb_kernel lb_kernel_attention_bf16_flash_amx = {
    .name = "attention.bf16.flash_amx", .op = "attention", .device = "cpu",
    .about = "groups of 32 rows against blocks of 64 positions, products by tdpbf16ps, a running softmax in f32 beside "
             "the products of other blocks; f8e4m3 by tables; with few rows the positions are split over the parts "
             "and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_BF16, .act = LB_ACT_BF16,
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 (2^-18 / 3 = 1.3e-6 in the "
                     "mean square), more where values cancel; the instruction takes subnormals for 0",
    .priority = 25, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes,
    .launch = launch_tiles,
};

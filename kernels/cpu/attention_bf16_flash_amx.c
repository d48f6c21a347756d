/* attention_bf16_flash_amx.c: attention of many rows by tiles of AMX (tdpbf16ps), over caches of bf16 and f8e4m3: the
 * template of flash.h, blocks in an order of their own.
 *
 * A job is 32 rows against 128 positions, or 64: scores (f32), their softmax so far, and what the probabilities, as
 * bf16, add to the rows' outputs. Positions are packed in runs of RUN blocks of 64; each group of 32 rows meets all of
 * a run, so that its outputs stay in L1 and the run in L2. All that tiles load and store lies in pieces of a tile.
 *
 * Products and exponentials take about as long, and in different units. So three jobs are under way at a time: the
 * scores of one, the softmax of the one before and the outputs of the one before that go in small steps, by turns:
 * after every other product a row of the softmax, or a part of the rows. (Calls of a function there that did nothing
 * cost products alone an eighth to a fifth of their time.) */
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
#define GROUPS_KEPT 4 /* two jobs of two blocks */
#define OWN_BLOCKS
#define PACKED_BY_TILES
#define ROWS_MOST 1024
#define ROWS_LEAST 128
#define OUT_FLOATS 131072
#define ROWS_AHEAD 6
/* Tiles of 16 rows. */
#define Q_AT(r, dim) ((size_t)((r) / 16 * 16) * Q_BYTES(dim) + (size_t)((r) % 16 * 64))
#define OUT_AT(r, i, vpad) ((r) / 16 * 16 * (vpad) + (i) * 16 + (r) % 16 * 16)
#define OUT_ROWS(n) (((n) + 15) / 16 * 16)
#include "flash.h"
#include "attention_bf16_pack.h"
#include "exp2_bf16.h"

/* Floats of a tile; of 16 rows' scores. */
enum { TILE = 256, ROW_TILE = 2 * BLOCK / 16 * TILE };

/* The top of a row that has none yet: scores are taken relative to 0. A top is never -0 otherwise. */
#define NO_TOP (-0.0f)

/* Tops are looked at as integers: nothing waits for a vector then. */
static inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline bool no_top(float top) { return bits_of_float(top) == 0x80000000; }
/* Of EXACT_TOP and more. */
static inline bool too_large(float top) { return (bits_of_float(top) & 0x7fffffff) >= 0x4b800000; }

static void pack_row(const float *x, int64_t dim, void *out) {
    char *to = out;
    for (int64_t i = 0; i < dim; i += 32, to += 1024) {
        __mmask32 some = first32(dim - i);
        __m512 low = _mm512_maskz_loadu_ps((__mmask16)some, x + i);
        __m512 high = _mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + i + 16);
        _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

/* What the rows of a group see: all of them positions [most_lo, least_hi), any of them [least_lo, most_hi). */
typedef struct sight { int64_t least_lo, most_lo, least_hi, most_hi; } sight;

/* `rows` rows from row r0 of the item on against positions [from, from + 64 * blocks), which are packed at k and v. */
typedef struct job {
    int64_t r0, rows, from;
    const char *k, *v;
    float *scores;      /* [2][8] tiles; probabilities, bf16, take the place of the first four of eight */
    bool wide;          /* two blocks, not one */
    bool all;           /* no row has a position masked */
    bool rescaled;      /* some factor is not 1 */
    float factors[MR];  /* of what was summed before */
} job;

/* ---- softmax ---- */

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* What a row's scores v become relative to `top`: those of `bits` count, the others give 0. */
static ALWAYS_INLINE void powers(__m512 *v, int n, const uint64_t *bits, bool all, float scale, float top) {
    const __m512 f = _mm512_set1_ps(scale), shift = _mm512_set1_ps(top);
    UNROLL for (int i = 0; i < n; i++) {
        v[i] = exp2_bf16(_mm512_fmsub_ps(v[i], f, shift));
        if (!all) v[i] = _mm512_maskz_mov_ps((__mmask16)(bits[i / 4] >> (i % 4 * 16)), v[i]);
    }
}

static ALWAYS_INLINE void store_p(const __m512 *v, int n, float *s) {
    UNROLL for (int i = 0; i < n; i += 2)
        _mm512_store_si512(s + i / 2 * TILE, (__m512i)_mm512_cvtne2ps_pbh(v[i + 1], v[i]));
}

static ALWAYS_INLINE __m512 sum_of(const __m512 *v, int n) {
    __m512 sum[2] = { v[0], v[1] };
    UNROLL for (int i = 2; i < n; i++) sum[i % 2] = _mm512_add_ps(sum[i % 2], v[i]);
    return _mm512_add_ps(sum[0], sum[1]);
}

/* soften_row() where the top may have to move: to the largest score if that is over it. */
static __attribute__((noinline)) float soften_anew(float *s, int n, const uint64_t *bits, float scale, float *top,
                                                   float *sums) {
    __m512 v[8], most = _mm512_set1_ps(-INFINITY), total = _mm512_load_ps(sums);
    float factor = 1;
    for (int i = 0; i < n; i++) v[i] = _mm512_load_ps(s + i * TILE);
    for (int i = 0; i < n; i++) most = _mm512_mask_max_ps(most, (__mmask16)(bits[i / 4] >> (i % 4 * 16)), v[i], most);
    float m = _mm512_reduce_max_ps(most) * scale;
    float before = no_top(*top) ? -INFINITY : *top;
    if (m > before) {
        factor = before == -INFINITY ? 0.0f : exp2f(before - m);
        total = _mm512_mul_ps(total, _mm512_set1_ps(factor));
        *top = m + 0.0f;
    }
    for (int i = 0; i < n; i++) v[i] = _mm512_mul_ps(v[i], _mm512_set1_ps(scale)); /* as the top was rounded */
    powers(v, n, bits, false, 1, *top);
    store_p(v, n, s);
    _mm512_store_ps(sums, _mm512_add_ps(total, sum_of(v, n)));
    return factor;
}

/* Scores of a row become probabilities relative to `top`, and bf16. Those of `bits` count, the others give 0. Nobody
 * looks for the largest: that the top has to move is seen by what comes of it, sums over 2^8 (or NaN). A row without a
 * top gets 0, if that is not far from its scores and no position is masked: of few positions the largest has to be the
 * top, whose probability bf16 holds exactly. Returns the factor of what was summed before. */
static ALWAYS_INLINE float soften_row(float *s, int n, const uint64_t *bits, bool all, float scale, float *top,
                                      float *sums) {
    static const uint64_t every[2] = { ~0ull, ~0ull };
    __m512 v[8];
    UNROLL for (int i = 0; i < n; i++) v[i] = _mm512_load_ps(s + i * TILE);
    powers(v, n, bits, all, scale, *top);
    __m512 sum = sum_of(v, n);
    bool anew = _mm512_cmp_ps_mask(sum, _mm512_set1_ps(256), _CMP_NLE_UQ) || too_large(*top);
    if (__builtin_expect(no_top(*top), 0)) {
        if (!all || !(_mm512_reduce_add_ps(sum) > 0x1p-8f)) anew = true;
        else if (!anew) *top = 0;
    }
    if (__builtin_expect(anew, 0)) return soften_anew(s, n, all ? every : bits, scale, top, sums);
    store_p(v, n, s);
    _mm512_store_ps(sums, _mm512_add_ps(_mm512_load_ps(sums), sum));
    return 1;
}

/* Positions lo .. hi of the block at `from`, as bits. */
static inline uint64_t bits_of(int64_t lo, int64_t hi, int64_t from) {
    lo = lb_clamp(lo - from, 0, BLOCK), hi = lb_clamp(hi - from, 0, BLOCK);
    return hi <= lo ? 0 : (hi == BLOCK ? ~0ull : (1ull << hi) - 1) & ~((1ull << lo) - 1);
}

static inline float *row_of(const job *j, int64_t i) { return j->scores + i / 16 * ROW_TILE + i % 16 * 16; }

/* What was summed of row i before this job is to be multiplied by `factor`. */
static inline void note_factor(job *j, int64_t i, float factor) {
    if (__builtin_expect(factor == 1, 1)) return;
    for (int64_t r = 0; r < MR && !j->rescaled; r++) j->factors[r] = 1;
    j->rescaled = true;
    j->factors[i] = factor;
}

/* Rows [a, b) of any job. */
static __attribute__((noinline)) void soften_rows(const task *t, const space *s, job *j, int64_t a, int64_t b) {
    for (int64_t i = a; i < b; i++) {
        int64_t r = j->r0 + i;
        float *scores = row_of(j, i), *sums = s->sums + r * LANES, *top = s->tops + r;
        uint64_t bits[2] = { bits_of(s->lo[r], s->hi[r], j->from), bits_of(s->lo[r], s->hi[r], j->from + BLOCK) };
        if (j->all && j->wide) note_factor(j, i, soften_row(scores, 8, bits, true, t->scale, top, sums));
        else if (j->wide) note_factor(j, i, soften_row(scores, 8, bits, false, t->scale, top, sums));
        else note_factor(j, i, soften_row(scores, 4, bits, false, t->scale, top, sums));
    }
}

/* The softmax of job j (NULL: none) beside products: after every other of them `each` / 65536 rows, so that neither
 * unit waits for the other's instructions to be out of the way. Begins four products late: until then the last scores
 * leave their tiles. `plain`: two blocks, nothing masked. */
typedef struct beside { job *j; int64_t rows, done, at, each; bool plain; } beside;

static ALWAYS_INLINE void soft_some(const task *t, const space *s, beside *b) {
    int64_t until = (b->at += b->each) >> 16;
    if (__builtin_expect(!b->plain, 0)) {
        if (until > b->done) soften_rows(t, s, b->j, b->done, until), b->done = until;
        return;
    }
    for (; b->done < until; b->done++) {
        int64_t r = b->j->r0 + b->done;
        note_factor(b->j, b->done, soften_row(row_of(b->j, b->done), 8, NULL, true, t->scale, s->tops + r,
                                              s->sums + r * LANES));
    }
}

/* ---- products ---- */

/* Where the sums of 32 x 32 in tiles 0 .. 3 (0 and 2: `narrow`) belong, 16 rows `apart` floats; NULL: nowhere. Each
 * leaves its tile just before the next sum begins there: a store takes the place of 80 instructions in the queue of
 * what waits for the products before it. */
typedef struct sums { float *to; int64_t apart; bool narrow; } sums;

#define LEAVE(c, w)                                                                                                  \
    do {                                                                                                             \
        if ((w)->to && ((c) % 2 == 0 || !(w)->narrow))                                                               \
            LB_TILE_STORE(c, (w)->to + (c) / 2 * (w)->apart + (c) % 2 * TILE, 64);                                   \
    } while (0)

static inline void leave_all(sums *w) {
    LEAVE(0, w);
    LEAVE(1, w);
    LEAVE(2, w);
    LEAVE(3, w);
    w->to = NULL;
}

/* 32 positions' scores, of 4 or 2 times 32. */
static ALWAYS_INLINE void score_block(const task *t, const space *s, const job *j, int64_t quarter, beside *b,
                                      sums *w) {
    int64_t n = STEPS_D(t->dim);
    const char *q = s->q + j->r0 * n * 64;
    const char *k = j->k + quarter / 2 * (int64_t)KEY_BLOCK(t->dim) + quarter % 2 * 2048;
#define BEGIN(c)                                                                                                     \
    LEAVE(c, w);                                                                                                     \
    LB_TILE_ZERO(c)
    for (int64_t d = 0; d < n; d++, q += 1024, k += 4096) {
        LB_TILE_LOAD(4, q, 64);
        LB_TILE_LOAD_ONCE(6, k, 64);
        if (d == 0) { BEGIN(0); }
        LB_TILE_BF16(0, 4, 6);
        LB_TILE_LOAD(5, q + n * 1024, 64);
        if (d == 0) { BEGIN(2); }
        LB_TILE_BF16(2, 5, 6);
        soft_some(t, s, b);
        LB_TILE_LOAD_ONCE(7, k + 1024, 64);
        if (d == 0) { BEGIN(1); }
        LB_TILE_BF16(1, 4, 7);
        if (d == 0) { BEGIN(3); }
        LB_TILE_BF16(3, 5, 7);
        soft_some(t, s, b);
    }
    *w = (sums){ j->scores + quarter * 2 * TILE, ROW_TILE, false };
}

/* What a job adds to 32 values of the outputs, or to the last 16. */
static ALWAYS_INLINE void value_block(const task *t, const space *s, const job *j, int64_t first, beside *b, sums *w) {
    float *out = s->out + j->r0 * t->vpad + first * 16;
    const char *v = j->v + first * 64, *p = (const char *)j->scores;
    bool narrow = first + 16 == t->vpad;
#define FETCH(c)                                                                                                     \
    LEAVE(c, w);                                                                                                     \
    LB_TILE_LOAD(c, out + (c) / 2 * 16 * t->vpad + (c) % 2 * TILE, 64)
    if (narrow) leave_all(w);
    for (int64_t i = 0; i < (j->wide ? 4 : 2); i++, p += 1024, v += 64 * t->vpad) {
        LB_TILE_LOAD(4, p, 64);
        LB_TILE_LOAD_ONCE(6, v, 64);
        if (i == 0) { FETCH(0); }
        LB_TILE_BF16(0, 4, 6);
        LB_TILE_LOAD(5, p + ROW_TILE * 4, 64);
        if (i == 0) { FETCH(2); }
        LB_TILE_BF16(2, 5, 6);
        soft_some(t, s, b);
        if (narrow) continue;
        LB_TILE_LOAD_ONCE(7, v + 1024, 64);
        if (i == 0) { FETCH(1); }
        LB_TILE_BF16(1, 4, 7);
        if (i == 0) { FETCH(3); }
        LB_TILE_BF16(3, 5, 7);
        soft_some(t, s, b);
    }
    *w = (sums){ out, 16 * t->vpad, narrow };
}

static void rescale(const task *t, const space *s, const job *j) {
    for (int64_t i = 0; i < j->rows; i++) {
        float *out = s->out + (j->r0 + i) / 16 * 16 * t->vpad + i % 16 * 16;
        if (j->factors[i] == 1) continue;
        for (int64_t c = 0; c < t->vpad / 16; c++)
            vf_store(out + c * TILE, vf_load(out + c * TILE) * vf_set(j->factors[i]));
    }
}

/* ---- jobs ---- */

/* The outputs of `weigh` and the scores of `score`, and among them the softmax of `soft`; each may be NULL. */
static void step_jobs(const task *t, const space *s, const job *weigh, job *soft, const job *score, sums *w) {
    int64_t values = weigh ? t->vpad / 16 * (weigh->wide ? 8 : 4) : 0;
    int64_t scores = score ? STEPS_D(t->dim) * (score->wide ? 16 : 8) : 0, products = values + scores - 4;
    beside b = { .j = soft, .rows = soft ? soft->rows : 0, .plain = soft && soft->all && soft->wide };
    b.each = products > 0 ? b.rows * 2 * 65536 / products : 0;
    b.at = -2 * b.each;
    if (weigh && weigh->rescaled) rescale(t, s, weigh);
    for (int64_t i = 0; weigh && i < t->vpad; i += 32) value_block(t, s, weigh, i, &b, w);
    for (int64_t i = 0; score && i < (score->wide ? 4 : 2); i++) score_block(t, s, score, i, &b, w);
    if (!score || !weigh) leave_all(w);
    soften_rows(t, s, soft, b.done, b.rows);
}

/* The last jobs: of at[i % 3] the scores are to come, or under way. */
typedef struct line { job at[3]; int64_t count; sums sums; } line;

static void step_line(const task *t, const space *s, line *l, bool scores) {
    int64_t n = l->count++;
    step_jobs(t, s, n >= 2 && l->at[(n + 1) % 3].rows ? &l->at[(n + 1) % 3] : NULL,
              n >= 1 && l->at[(n + 2) % 3].rows ? &l->at[(n + 2) % 3] : NULL, scores ? &l->at[n % 3] : NULL, &l->sums);
}

/* The next job's place. */
static job *next_job(const space *s, line *l) {
    job *j = &l->at[l->count % 3];
    j->scores = s->scores + l->count % 2 * 2 * ROW_TILE;
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
    l.count = 0, l.sums.to = NULL; /* jobs are filled in as they come */
    for (int64_t at = from; at < end; at += BLOCK) {
        find_block(t, it, at, s->now);
        pack_keys(t, s->now->k, s->k + (at - from) / BLOCK * (int64_t)KEY_BLOCK(t->dim));
        pack_values(t, s->now->v, s->v + (at - from) / BLOCK * (int64_t)VALUE_BLOCK(t->vpad));
    }
    for (int64_t r0 = 0; r0 < it->count; r0 += MR) {
        const sight *g = &groups[r0 / MR];
        int64_t at = from;
        if (g->least_lo > from) at += (g->least_lo - from) / BLOCK * BLOCK;
        int64_t until = g->most_hi < end ? g->most_hi : end;
        while (at < until) {
            job *j = next_job(s, &l);
            j->r0 = r0, j->rows = lb_clamp(it->count - r0, 0, MR), j->from = at;
            j->k = s->k + (at - from) / BLOCK * (int64_t)KEY_BLOCK(t->dim);
            j->v = s->v + (at - from) / BLOCK * (int64_t)VALUE_BLOCK(t->vpad);
            j->wide = at + BLOCK < until;
            int64_t past = at + (j->wide ? 2 * BLOCK : BLOCK);
            j->all = g->most_lo <= at && g->least_hi >= past;
            at = past;
            step_line(t, s, &l, true);
        }
    }
    end_line(t, s, &l);
}

static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end) {
    sight groups[ROWS_MOST / MR];
    for (int64_t r0 = 0; r0 < it->count; r0 += MR)
        groups[r0 / MR] = sight_of(s, r0, lb_clamp(it->count - r0, 0, MR));
    for (int64_t r = 0; r < it->count; r++) s->tops[r] = s->tops[r] == -INFINITY ? NO_TOP : s->tops[r] + 0.0f;
    for (; from < end; from += RUN * BLOCK)
        pass_run(t, it, s, groups, from, from + RUN * BLOCK < end ? from + RUN * BLOCK : end);
    for (int64_t r = 0; r < it->count; r++) s->tops[r] = no_top(s->tops[r]) ? -INFINITY : s->tops[r];
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

/* flash.h: attention by tiles with a running softmax; a template.
 *
 * An item is a run of rows (tokens and the query heads that share a cache head) against a run of positions. Its
 * positions
 * pass by in blocks of 64, which are brought into the forms that the two products want once for all rows of the item:
 * keys by position, so that a register holds 16 positions, values by position too, so that one holds 16 values. Rows
 * pass
 * in groups of at most MR: scores of a group and a block, the softmax so far, the weighted values added to the
 * output so
 * far. Where there are fewer items than threads (decoding), positions are split among several items, whose outputs a
 * second phase adds up.
 *
 * The file that includes it says before it how many bytes a packed row of q (Q_BYTES(dim)), a block's packed keys and
 * values (KEY_BYTES(dim), VALUE_BYTES(vpad)) and a row's probabilities in the form that meets the values
 * (P_BYTES(vpad))
 * take, how often the products call reach() for a group of rows (REACHES), and after it defines the functions
 * declared below under "the products". */
#include "cells.h"

#ifndef ROWS_TOGETHER
#define ROWS_TOGETHER 6
#endif
enum { BLOCK = 64, MR = ROWS_TOGETHER, CHUNK_LEAST = 256 };

/* Rows of an item: as many as make its outputs a good part of an L2, so that packing a block costs little beside
 * using it. Down to ROWS_LEAST where parts would have none. */
#ifndef ROWS_MOST
#define ROWS_MOST 384
#define ROWS_LEAST 384
#define OUT_FLOATS 40000
#endif
/* Groups of rows whose scores and probabilities are kept at a time. */
#ifndef GROUPS_KEPT
#define GROUPS_KEPT 1
#endif

/* Where row r of q, and from value i on, a multiple of 16, of the outputs stands. */
#ifndef Q_AT
#define Q_AT(r, dim) ((size_t)(r) * Q_BYTES(dim))
#define OUT_AT(r, i, vpad) ((r) * (vpad) + (i))
#define OUT_ROWS(n) (n) /* that n rows take the place of */
#endif
/* How many rows before they are read or written q and what becomes of it are asked for. */
#ifndef ROWS_AHEAD
#define ROWS_AHEAD 0
#endif

typedef struct task {
    const lb_args *a;
    lb_kv k, v;
    lb_batch batch;
    const lb_tensor *q;
    const float *sinks;
    float *out;
    int64_t heads, group, dim, values, vpad, rows_most, chunks, blocks_q, items;
    int64_t row_bytes;       /* of a cache row, the longer of keys and values */
    float scale;             /* times log2(e): exponentials are powers of two */
} task;

/* Rows of the cache that the next block reads, asked for while this one is at work: memory never rests. */
typedef struct ahead { const char **row; int at, end, rows; int64_t bytes, off, step; } ahead;

/* Where the rows of a block of keys and of values are, and how many bytes they lie apart (0: pages decide, or there are
 * fewer of them). */
typedef struct block {
    const char *k[BLOCK], *v[BLOCK];
    int64_t k_step, v_step;
} __attribute__((aligned(64))) block;

/* Of one part. `sums` and `tops`: a row's sums of exponentials, by lane, and the score (scaled) that they are
 * relative to:
 * at most 2^8 below the largest so far. */
typedef struct space {
    char *q, *k, *v, *p;
    float *scores, *out, *tops, *sums;
    int32_t *lo, *hi;
    block *now, *next;
} space;

/* What positions that are not there hold. */
enum { ROW_BYTES_MOST = 16384 };
static const char zeros[ROW_BYTES_MOST] __attribute__((aligned(64)));

static int64_t value_dim(const lb_args *a) { return lb_arg(a, LB_ATTENTION_OUT)->dims[2]; }

static int64_t rows_least(int64_t n, int64_t by) { return (n + by - 1) / by * by; }

static int64_t row_bytes_of(const lb_tensor *c) { return c->dims[3] * (int64_t)lb_dtype_size(c->dtype); }

static bool rows_fit(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V);
    if (row_bytes_of(k) <= ROW_BYTES_MOST && (!v || row_bytes_of(v) <= ROW_BYTES_MOST)) return true;
    *why = "takes cache rows of at most 16 KiB";
    return false;
}

/* Whether a cache head has at most `most` rows of q: of each sequence, or on average where they begin anywhere. */
static __attribute__((unused)) bool few_rows(const lb_args *a, int64_t most) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *q = lb_arg(a, LB_ATTENTION_Q);
    const lb_tensor *starts = lb_arg(a, LB_ATTENTION_STARTS), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1];
    int64_t rows = sequences > 0 && heads > 0 ? q->dims[0] * q->dims[1] / heads : 0;
    if (!starts && sequences > 0) rows /= sequences;
    return rows <= most * (starts ? sequences : 1);
}

/* How the work is cut, from shapes alone: every part must come to the same. */
static task task_of(const lb_args *a, int parts) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *v = lb_arg(a, LB_ATTENTION_V), *pages =
        lb_arg(a, LB_ATTENTION_PAGES);
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *sinks = lb_arg(a, LB_ATTENTION_SINKS);
    int packed = (int)a->p[LB_ATTENTION_P_PACKED];
    task t = { .a = a, .q = q, .sinks = sinks ? lb_tensor_f32(sinks) : NULL, .heads = q->dims[1], .dim = q->dims[2],
               .out = lb_tensor_data(lb_arg(a, LB_ATTENTION_OUT)) };
    t.k = lb_kv_of(k, pages, packed);
    t.v = lb_kv_of(v ? v : k, pages, packed);
    t.batch = lb_batch_of(q->dims[0], pages ? pages->dims[0] : k->dims[0], lb_arg(a, LB_ATTENTION_STARTS),
                          lb_arg(a, LB_ATTENTION_LENGTHS));
    t.group = t.heads / t.k.heads;
    t.values = value_dim(a);
    t.row_bytes = row_bytes_of(k);
    if (v && row_bytes_of(v) > t.row_bytes) t.row_bytes = row_bytes_of(v);
    t.vpad = rows_least(t.values, LANES);
    double scale = a->p[LB_ATTENTION_P_SCALE];
    t.scale = (float)((scale > 0 ? scale : 1 / sqrt((double)t.dim)) * 1.4426950408889634);
    t.rows_most = lb_clamp(OUT_FLOATS / (t.vpad > 0 ? t.vpad : 1), MR, ROWS_MOST) / MR * MR;
    /* the longest sequence of rows decides how many runs of rows a (sequence, cache head) has */
    int64_t tokens = t.batch.starts ? t.batch.rows : t.batch.sequences ? t.batch.rows / t.batch.sequences : 0;
    int64_t rows = tokens * t.group, heads = t.batch.sequences * t.k.heads;
    while (t.rows_most / 2 >= ROWS_LEAST && (rows + t.rows_most - 1) / t.rows_most * heads < 4 * parts)
        t.rows_most = t.rows_most / 2 / MR * MR;
    t.blocks_q = (rows + t.rows_most - 1) / t.rows_most;
    int64_t whole = t.batch.sequences * t.k.heads * (t.blocks_q > 0 ? t.blocks_q : 1);
    int64_t most = t.k.capacity / CHUNK_LEAST, want = whole > 0 ? (4 * parts + whole - 1) / whole : 1;
    t.chunks = whole >= 4 * parts || parts == 1 || t.blocks_q > 1 ? 1 : lb_clamp(want, 1, most > 1 ? most : 1);
    t.items = t.batch.sequences * t.k.heads * t.blocks_q * t.chunks;
    return t;
}

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t space_bytes(const task *t, space *s, char *base) {
    size_t at = 0, rows = (size_t)t->rows_most;
#define TAKE(field, bytes) (s->field = (void *)(base + at), at += round_up(bytes))
    TAKE(q, rows * Q_BYTES(t->dim));
    TAKE(k, KEY_BYTES(t->dim));
    TAKE(v, VALUE_BYTES(t->vpad));
    TAKE(p, GROUPS_KEPT * MR * P_BYTES(t->vpad));
    TAKE(scores, GROUPS_KEPT * MR * BLOCK * sizeof(float));
    TAKE(out, rows * (size_t)t->vpad * sizeof(float));
    TAKE(tops, rows * sizeof(float));
    TAKE(sums, rows * sizeof(VF));
    TAKE(lo, rows * sizeof(int32_t));
    TAKE(hi, rows * sizeof(int32_t));
    TAKE(now, sizeof(block));
    TAKE(next, sizeof(block));
#undef TAKE
    return at;
}

/* Partial results of split items: [item][row] of vpad outputs, top, sum, whether it saw any position. */
static size_t partial_floats(const task *t) {
    int64_t all = t->group * t->batch.rows;
    return (size_t)(t->rows_most < all ? t->rows_most : all) * (size_t)(t->vpad + LANES);
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    task t = task_of(a, parts);
    space s;
    size_t partial = t.chunks > 1 ? (size_t)t.items * partial_floats(&t) * sizeof(float) : 0;
    return space_bytes(&t, &s, NULL) * (size_t)parts + round_up(partial);
}

static int phases(const lb_args *a) { return (void)a, 2; }

/* ---- the products: what the including file defines ---- */

typedef struct item { int64_t b, g, begin, end, first, count, lo, hi, index; } item;

/* One row of q. */
static void pack_row(const float *x, int64_t dim, void *out);
#ifdef OWN_BLOCKS
/* In the place of packing, scores, the softmax and weigh, whoever passes blocks in another order: an item's rows are
 * packed; all positions [from, end) that they see, from a multiple of 64. */
static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end);
#else
/* 64 rows of the cache. */
static void pack_keys(const task *t, const char *const *row, void *out);
static void pack_values(const task *t, const char *const *row, void *out);
#endif
#ifdef OWN_ROWS
/* In the place of scores, the softmax and weigh, whoever has them in another form: rows [r0, r0 + rows) of the item and
 * positions [from, from + n). */
static void own_rows(const task *t, space *s, int64_t r0, int rows, int64_t from, int64_t n, ahead *h);
/* An item's rows are packed: its groups are the same for all blocks. */
static void rows_ready(const task *t, const item *it, space *s);
#elif !defined(OWN_BLOCKS)
/* s[row][position] = q[row] . k[position]; rows <= MR. `h`: to be asked for on the way; NULL = nothing. */
static void scores(const task *t, const char *q, const char *k, int rows, float *s, ahead *h);
/* out[row] = out[row] * factor[row] + sum over positions of p[row][position] * v[position]; rows of vpad. */
static void weigh(const task *t, const float *p, const char *v, char *scratch, const float *factor, int rows,
                  float *out,
                  ahead *h);
#endif

/* Asks for the next few lines. Spread over the products' loops: a burst would find no room among the misses in
 * flight. */
static inline __attribute__((always_inline)) void reach(ahead *h) {
    for (int i = 0; i < h->rows && h->at < h->end; i++) {
        const char *p = h->row[h->at] + h->off;
        for (int64_t j = 0; j < h->step; j += 64) __builtin_prefetch(p + j, 0, 3);
        h->off += h->step;
        if (h->off < h->bytes) return;
        h->off = 0;
        h->at++;
    }
}

/* The same for tiles that go through rows in step with what they ask for: a line at a time, in the order of addresses
 * (another order was a tenth slower), `each` at every step. */
typedef struct soon { const char *at, *end, *const *row; int64_t bytes, rows; int each; } soon;

/* The share of part `i` of `parts` of a block's rows, over `steps`; row NULL: nothing. */
static inline soon soon_of(const char *const *row, int64_t bytes, int64_t i, int64_t parts, int64_t steps) {
    int64_t from = BLOCK * i / parts, rows = BLOCK * (i + 1) / parts - from;
    if (!row || rows == 0) return (soon){ 0 };
    row += from;
    if (row[rows - 1] - *row == (rows - 1) * bytes) bytes *= rows, rows = 1; /* one behind the other: as one */
    return (soon){ *row, *row + bytes, row, bytes, rows, (int)(((bytes + 63) / 64 * rows + steps - 1) / steps) };
}
static inline __attribute__((always_inline)) void ask(soon *s) {
    for (int i = 0; i < s->each; i++) {
        __builtin_prefetch(s->at, 0, 3);
        if ((s->at += 64) < s->end) continue;
        if (--s->rows <= 0) s->each = 0;
        else s->at = *++s->row, s->end = s->at + s->bytes;
    }
}

/* What is asked for on the way: 64 rows, few lines at a time, because what finds no room among the misses in flight is
 * forgotten (34 lines at once instead of one a step took half of the speed). */
typedef struct asked { const char *const *row, *at; int64_t bytes; bool in_step; } asked;

static inline asked asked_of(const char *const *row, int64_t bytes) {
    bool in_step = row && row[BLOCK - 1] - row[0] == (BLOCK - 1) * bytes; /* one behind the other */
    return (asked){ row, in_step ? row[0] : zeros, bytes, in_step };
}
/* Rows that do not lie one behind the other: piece `i` of `n`. */
static inline __attribute__((always_inline)) void ask_rows(const asked *a, int i, int n) {
    if (!a->row || a->in_step) return;
    for (int r = BLOCK * i / n; r < BLOCK * (i + 1) / n; r++)
        for (int64_t at = 0; at < a->bytes + 63; at += 64)
            __builtin_prefetch(a->row[r] + lb_clamp(at, 0, a->bytes - 1), 0, 3);
}
/* Otherwise the next `bytes`; what tiles ask for, they go on by themselves. */
static inline const char *ask_on(asked *a, int64_t bytes, bool tile) {
    const char *from = a->at;
    if (!a->in_step) return from;
    for (a->at += bytes; !tile && from < a->at; from += 64) __builtin_prefetch(from, 0, 3);
    return from;
}

/* Asks for a line, and once more for one that was asked for before and may have been forgotten. */
static inline __attribute__((always_inline)) void ask_twice(const char *p) {
    __builtin_prefetch(p, 0, 3);
    __builtin_prefetch((const char *)((uintptr_t)p - 2048), 0, 3);
}

/* ---- the softmax so far ---- */

/* Above it the top is rounded as its scores are before they are subtracted: fused, a score less itself as rounded would
 * be up to half of an ulp, which is 64 at 2^31, and its power Inf. */
#define EXACT_TOP 0x1p24f

/* Scores of a row and a block become probabilities relative to `top`: s[lo .. hi) count, the others give 0. `top` moves
 * only when a score is 2^8 times over it, so that little is rescaled. Returns the factor of what was summed before. */
#if defined(__AVX512F__)
static inline __m512 exp2_16(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x); /* of -Inf 0, of NaN NaN */
    __m512 n = _mm512_roundscale_ps(x, 8), r = _mm512_sub_ps(x, n);
#ifdef EXP2_COARSE /* what is rounded to bf16 anyway: within 4e-5 */
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(9.6181291e-3f), r, _mm512_set1_ps(5.5504109e-2f));
#else /* 2^r by Taylor, |r| <= 1/2: within 1.3e-7 */
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(1.5403530e-4f), r, _mm512_set1_ps(1.3333558e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5504109e-2f));
#endif
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

static inline float soften(float *restrict s, int64_t lo, int64_t hi, float scale, float *top, float *sums) {
    uint64_t bits = hi <= lo ? 0 : (hi >= 64 ? ~0ull : (1ull << hi) - 1) & ~((1ull << lo) - 1);
    __m512 v[4], most = _mm512_set1_ps(-INFINITY), f = _mm512_set1_ps(scale), total = _mm512_load_ps(sums);
    float factor = 1;
    for (int i = 0; i < 4; i++) v[i] = _mm512_load_ps(s + 16 * i);
    for (int i = 0; i < 4; i++) most = _mm512_mask_max_ps(most, (__mmask16)(bits >> (16 * i)), v[i], most);
    if (_mm512_cmp_ps_mask(_mm512_mul_ps(most, f), _mm512_set1_ps(*top + 8), _CMP_GT_OQ)) {
        float m = _mm512_reduce_max_ps(most) * scale;
        factor = *top == -INFINITY ? 0.0f : exp2f(*top - m);
        total = _mm512_mul_ps(total, _mm512_set1_ps(factor));
        *top = m;
    }
    __m512 shift = _mm512_set1_ps(*top == -INFINITY ? 0 : *top); /* -Inf less -Inf would be NaN, not 0 */
    if (__builtin_expect(fabsf(*top) >= EXACT_TOP, 0)) {
        for (int i = 0; i < 4; i++) v[i] = _mm512_mul_ps(v[i], f);
        f = _mm512_set1_ps(1);
    }
    for (int i = 0; i < 4; i++) {
        __m512 p = _mm512_maskz_mov_ps((__mmask16)(bits >> (16 * i)), exp2_16(_mm512_fmsub_ps(v[i], f, shift)));
        total = _mm512_add_ps(total, p);
        _mm512_store_ps(s + 16 * i, p);
    }
    _mm512_store_ps(sums, total);
    return factor;
}
#else
static inline float soften(float *restrict s, int64_t lo, int64_t hi, float scale, float *top, float *sums) {
    float factor = 1;
    for (int i = 0; i < BLOCK; i++) s[i] = i >= lo && i < hi ? s[i] * scale : -INFINITY;
    float m = row_max(s, BLOCK);
    if (m > *top + 8) {
        factor = *top == -INFINITY ? 0.0f : exp2f(*top - m);
        for (int i = 0; i < LANES; i++) sums[i] *= factor;
        *top = m;
    }
    float shift = *top == -INFINITY ? 0 : *top; /* -Inf less -Inf would be NaN */
    for (int i = 0; i < BLOCK; i++)
        s[i] = i >= lo && i < hi && s[i] != -INFINITY ? vexp((s[i] - shift) * 0.69314718f) : 0;
    VF total = vf_load(sums);
    for (int i = 0; i < BLOCK; i += LANES) total += vf_load(s + i);
    vf_store(sums, total);
    return factor;
}
#endif

/* ---- one item ---- */

/* Rows of an item: row r of it is head g * group + (first + r) % group of token begin + (first + r) / group. */
static int64_t token_of(const task *t, const item *it, int64_t r) { return it->begin + (it->first + r) / t->group; }
static int64_t head_of(const task *t, const item *it,
                       int64_t r) { return it->g * t->group + (it->first + r) % t->group; }

static float *out_row(const task *t, const item *it, int64_t r) {
    return t->out + (token_of(t, it, r) * t->heads + head_of(t, it, r)) * t->values;
}

/* False: nothing to do. The costliest of causal work, the last rows, come first. */
static bool item_at(const task *t, int64_t index, item *it) {
    int64_t i = index, chunk = i % t->chunks;
    i /= t->chunks;
    it->index = index;
    it->g = i % t->k.heads;
    i /= t->k.heads;
    it->b = i % t->batch.sequences;
    int64_t block = t->blocks_q - 1 - i / t->batch.sequences;
    lb_batch_rows(&t->batch, it->b, &it->begin, &it->end);
    it->first = block * t->rows_most;
    it->count = lb_clamp((it->end - it->begin) * t->group - it->first, 0, t->rows_most);
    if (it->count == 0) return false;
    int64_t raw = t->batch.lengths ? t->batch.lengths[it->b] : t->k.capacity, n = lb_kv_length(&t->k, it->b, raw);
    /* chunks of whole blocks */
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
    it->lo = blocks * chunk / t->chunks * BLOCK;
    it->hi = lb_clamp(blocks * (chunk + 1) / t->chunks * BLOCK, 0, n);
    return true;
}

static void start_rows(const task *t, const item *it, space *s, bool first_chunk) {
    int64_t raw = t->batch.lengths ? t->batch.lengths[it->b] : t->k.capacity, n = lb_kv_length(&t->k, it->b, raw);
    for (int64_t r = 0; r < it->count; r++) {
        int64_t token = token_of(t, it, r), h = head_of(t, it, r), lo, hi;
        lb_attention_span(t->a, raw - (it->end - token), n, &lo, &hi);
        if (ROWS_AHEAD && r + ROWS_AHEAD < it->count) {
            const float *next = lb_row_f32(t->q, token_of(t, it, r + ROWS_AHEAD) * t->heads +
                                                     head_of(t, it, r + ROWS_AHEAD));
            for (int64_t i = 0; i < t->dim; i += 16) __builtin_prefetch(next + i, 0, 3);
        }
        bool sink = t->sinks && first_chunk && hi > lo && t->sinks[h] != -INFINITY;
        s->lo[r] = (int32_t)lb_clamp(lo, it->lo, it->hi);
        s->hi[r] = (int32_t)lb_clamp(hi, it->lo, it->hi);
        s->tops[r] = sink ? t->sinks[h] * 1.44269504f : -INFINITY;
        float one = sink ? 1 + (t->sinks[h] - t->sinks[h]) : 0; /* NaN for Inf */
        for (int i = 0; i < LANES; i++) s->sums[r * LANES + i] = i == 0 ? one : 0;
        pack_row(lb_row_f32(t->q, token * t->heads + h), t->dim, s->q + Q_AT(r, t->dim));
    }
    memset(s->out, 0, (size_t)(OUT_ROWS(it->count) * t->vpad) * sizeof *s->out);
#ifdef OWN_ROWS
    rows_ready(t, it, s);
#endif
}

/* The rows of positions [from, from + 64); zeros where there are none. Returns what they lie apart. */
static int64_t find_rows(const lb_kv *c, const item *it, int64_t from, const char **row) {
    int64_t n = lb_clamp(it->hi - from, 0, BLOCK), step = 0;
    for (int64_t i = 0; i < n;) {
        const char *p = lb_kv_row(c, it->b, it->g, from + i);
        int64_t count = lb_clamp(lb_kv_run(c, from + i), 0, n - i), stride = c->stride_s;
        for (int64_t j = 0; j < count; j++) row[i + j] = p + j * stride; /* counted, so that it becomes vectors */
        if (count == BLOCK) step = stride;
        i += count;
    }
    for (int64_t i = n; i < BLOCK; i++) row[i] = zeros;
    return step;
}

static void find_block(const task *t, const item *it, int64_t from, block *b) {
    b->k_step = find_rows(&t->k, it, from, b->k);
    b->v_step = find_rows(&t->v, it, from, b->v);
}

#ifndef OWN_BLOCKS
/* Positions [from, from + 64) for the rows' groups of near-equal size. */
static void pass_block(const task *t, const item *it, space *s, int64_t from, ahead *h) {
    int64_t groups = (it->count + MR - 1) / MR, n = it->hi - from < BLOCK ? it->hi - from : BLOCK;
    bool packed = false;
    for (int64_t i = 0; i < groups; i++) {
        int64_t r0 = it->count * i / groups, rows = it->count * (i + 1) / groups - r0;
        int64_t lo = INT64_MAX, hi = 0;
        for (int64_t r = r0; r < r0 + rows; r++) {
            if (s->hi[r] <= s->lo[r]) continue;
            lo = s->lo[r] < lo ? s->lo[r] : lo;
            hi = s->hi[r] > hi ? s->hi[r] : hi;
        }
        if (lo >= from + n || hi <= from) continue;
        if (!packed) {
            pack_keys(t, s->now->k, s->k);
            pack_values(t, s->now->v, s->v);
            packed = true;
        }
#ifdef OWN_ROWS
        own_rows(t, s, r0, (int)rows, from, n, h);
#else
        float factors[MR];
        scores(t, s->q + (size_t)r0 * Q_BYTES(t->dim), s->k, (int)rows, s->scores, h);
        for (int64_t r = 0; r < rows; r++) {
            int64_t a = lb_clamp(s->lo[r0 + r] - from, 0, n), b = lb_clamp(s->hi[r0 + r] - from, 0, n);
            factors[r] = soften(s->scores + r * BLOCK, a, b, t->scale, &s->tops[r0 + r], s->sums + (r0 + r) * LANES);
        }
        weigh(t, s->scores, s->v, s->p, factors, (int)rows, s->out + r0 * t->vpad, h);
#endif
    }
}

/* With few rows memory is what takes the time: then the next block is asked for while this one is at work. */
static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end) {
    bool few = it->count <= 4 * MR;
    /* each of a block's calls of reach() asks for a part of a row, or for some rows */
    int64_t calls = (it->count + MR - 1) / MR * REACHES(t), each = calls / (2 * BLOCK) > 1 ? calls / (2 * BLOCK) : 1;
    int64_t step = ((t->row_bytes + each - 1) / each + 63) / 64 * 64;
    int rows = calls > 0 && calls < 2 * BLOCK ? (int)((2 * BLOCK + calls - 1) / calls) : 1;
    find_block(t, it, from, s->now);
    for (; from < end; from += BLOCK) {
        ahead h = { 0 };
        bool more = from + BLOCK < end;
        if (more) find_block(t, it, from + BLOCK, s->next);
        if (more && few)
            h = (ahead){ .row = s->next->k, .end = 2 * BLOCK, .rows = rows, .bytes = t->row_bytes, .step = step };
        pass_block(t, it, s, from, few ? &h : NULL);
        block *b = s->now;
        s->now = s->next, s->next = b;
    }
}
#endif

static void finish_rows(const task *t, const item *it, const space *s, float *partial) {
    for (int64_t r = 0; r < it->count; r++) {
        float sum = vf_sum(vf_load(s->sums + r * LANES));
        bool saw = s->hi[r] > s->lo[r];
        float *to = partial ? partial + r * (t->vpad + LANES) : out_row(t, it, r);
        float factor = partial ? 1 : saw ? 1 / sum : 0; /* all scores -Inf: 0 / 0, as the formula has it */
        if (ROWS_AHEAD && !partial && r + ROWS_AHEAD < it->count)
            for (int64_t i = 0; i < t->values; i += 16)
                __builtin_prefetch(out_row(t, it, r + ROWS_AHEAD) + i, 1, 3);
        for (int64_t i = 0; i < t->values; i += LANES) {
            const float *from = s->out + OUT_AT(r, i, t->vpad);
            int64_t n = t->values - i;
            if (n >= LANES)
                for (int64_t j = 0; j < LANES; j++) to[i + j] = from[j] * factor;
            else
                for (int64_t j = 0; j < n; j++) to[i + j] = from[j] * factor;
        }
        if (partial) to[t->vpad] = s->tops[r], to[t->vpad + 1] = sum, to[t->vpad + 2] = saw;
    }
}

static void run_item(const task *t, const item *it, space *s, float *partial) {
    int64_t lo = INT64_MAX, hi = 0;
    start_rows(t, it, s, it->index % t->chunks == 0);
    for (int64_t r = 0; r < it->count; r++) {
        if (s->hi[r] <= s->lo[r]) continue;
        lo = s->lo[r] < lo ? s->lo[r] : lo;
        hi = s->hi[r] > hi ? s->hi[r] : hi;
    }
    if (lo < hi) pass_blocks(t, it, s, lo / BLOCK * BLOCK, hi);
    finish_rows(t, it, s, partial);
}

/* ---- phase 1: what was split ---- */

static void merge_row(const task *t, const float *partials, size_t stride, float *to) {
    float top = -INFINITY, sum = 0, saw = 0;
    for (int64_t c = 0; c < t->chunks; c++) {
        const float *p = partials + (size_t)c * stride;
        top = p[t->vpad] > top ? p[t->vpad] : top;
        saw += p[t->vpad + 2];
    }
    memset(to, 0, (size_t)t->values * sizeof *to);
    for (int64_t c = 0; c < t->chunks; c++) {
        const float *restrict p = partials + (size_t)c * stride;
        float f = p[t->vpad] == -INFINITY ? 0.0f : exp2f(p[t->vpad] - top);
        if (p[t->vpad + 1] == 0 && p[t->vpad + 2] == 0) continue;
        sum += f * p[t->vpad + 1];
        for (int64_t i = 0; i < t->values; i++) to[i] = FMAF(f, p[i], to[i]);
    }
    float inverse = saw > 0 ? 1 / sum : 0;
    for (int64_t i = 0; i < t->values; i++) to[i] *= inverse;
}

static void merge(const task *t, const lb_launch *l, const float *partials) {
    size_t each = partial_floats(t);
    int64_t pairs = t->items / t->chunks, begin, end;
    my_rows(l, pairs, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        item it;
        if (!item_at(t, i * t->chunks, &it)) continue;
        for (int64_t r = 0; r < it.count; r++)
            merge_row(t, partials + (size_t)(i * t->chunks) * each + (size_t)(r * (t->vpad + LANES)), each,
                      t->out + (token_of(t, &it, r) * t->heads + head_of(t, &it, r)) * t->values);
    }
}

/* Rows of no sequence. */
static void clear_padding(const task *t, const lb_launch *l) {
    int64_t begin, end;
    if (!t->batch.starts) return;
    my_rows(l, t->batch.rows, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        if (lb_batch_owner(&t->batch, r) < 0)
            memset(t->out + r * t->heads * t->values, 0, (size_t)(t->heads * t->values) * sizeof *t->out);
}

static void launch(const lb_args *a, const lb_launch *l) {
    task t = task_of(a, l->parts);
    space s;
    size_t bytes = space_bytes(&t, &s, NULL);
    float *partials = (float *)(void *)((char *)l->workspace + bytes * (size_t)l->parts);
    if (l->phase == 1) {
        if (t.chunks > 1) merge(&t, l, partials);
        return;
    }
    space_bytes(&t, &s, (char *)l->workspace + bytes * (size_t)l->part);
    clear_padding(&t, l);
    for (;;) {
        int64_t i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed);
        item it;
        if (i >= t.items) return;
        if (item_at(&t, i, &it)) run_item(&t, &it, &s, t.chunks > 1 ? partials + (size_t)i * partial_floats(&t) : NULL);
    }
}

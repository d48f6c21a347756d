/* gemm_tiles_amx.c: phases, workspace and work splitting of gemm kernels on AMX tiles. */
#include "gemm_tiles.h"

#include <string.h>

#include "act_bf16_avx512.h"
#include "amx.h"

#define TILES_INLINE static inline __attribute__((always_inline))

enum { TILE_BYTES = 1024, BLOCK = 16 /* rows of x in a tile */, STEP = 32 /* k in one */, ROWS = 32,
       PAIR_BYTES = 128, PREPARED = 8 /* rows of x, which L2 holds; a part of BLOCK */,
       BLOCKS_MOST = LB_PANEL_MAX_COLS / BLOCK, TOGETHER = 12 /* whose sums L2 holds beside a chunk of x */ };
_Static_assert((size_t)TOGETHER * LB_PANEL_MAX_COLS * ROWS * sizeof(float) + sizeof(tiles_pairs) <= LB_SCRATCH_BYTES,
               "an item's sums and its expanded weights");

/* One launch's operands, resolved. */
typedef struct problem {
    const tiles_format *f;
    const lb_quantizer *q;
    const float *x;
    const uint8_t *w;
    float *out;
    int64_t m, n, k, padded, blocks, panels;
    size_t panel_bytes, row_bytes;
    int64_t chunk;           /* of K */
    int64_t group;           /* of K whose codes are multiplied as they are; 0 = weights are */
    int64_t span;            /* the format's, or the group */
    char *tiles;             /* in the workspace, as are: */
    float *act_scales;       /* [spans, or one][16 * blocks] */
    float *act_sums;         /* of groups, [groups][16 * blocks] */
    char *rows;              /* prepared rows of each part, PREPARED */
} problem;

static int64_t blocks_of(int64_t m) { return (m + BLOCK - 1) / BLOCK; }
static int64_t padded_of(int64_t k) { return (k + STEP - 1) / STEP * STEP; }
static int64_t act_terms(const tiles_format *f) { return f->act_terms ? f->act_terms : 1; }
static size_t tiles_bytes(const tiles_format *f, int64_t m, int64_t k) {
    return (size_t)(blocks_of(m) * padded_of(k) * act_terms(f)) * BLOCK * 2;
}
static int64_t spans_of(const tiles_format *f, int64_t k) { return f->span ? (k + f->span - 1) / f->span : 1; }
static size_t scales_bytes(const tiles_format *f, int64_t m, int64_t k) {
    return f->act_scaled ? (size_t)(blocks_of(m) * spans_of(f, k)) * BLOCK * sizeof(float) : 0;
}

/* Where some of the family's groups are taken by themselves. */
static size_t sums_bytes(const tiles_format *f, int64_t m, int64_t k) {
    return f->expand_groups ? (size_t)(k / TILES_GROUP * blocks_of(m)) * BLOCK * sizeof(float) : 0;
}

static size_t row_bytes(const tiles_format *f, const lb_args *a) {
    size_t most = 0;
    for (int32_t i = 0; i < a->t[LB_GEMM_W].count; i++) { /* members of a family may prepare rows of unlike size */
        size_t bytes = f->act_bytes(a->t[LB_GEMM_W].items[i]->quantizer, lb_arg(a, LB_GEMM_X)->dims[1]);
        if (bytes > most) most = bytes;
    }
    return (most + 63) / 64 * 64;
}

bool tiles_supports(const lb_args *a, const char **why) {
    const lb_tensor *w = a->t[LB_GEMM_W].items[0];
    const int64_t m = lb_arg(a, LB_GEMM_X)->dims[0];
    if (!w->quantizer) {
        *why = "tiles are for 5 rows of activations and more";
        return m >= TILES_LEAST_DENSE;
    }
    const lb_kernel *few = lb_kernel_panel_for(w->buffer->device, w->quantizer);
    const bool beside = few && few->isa & LB_ISA_AMX_BF16;
    *why = beside ? "48 rows of activations and less are for panels by tiles"
                  : "tiles are for 16 rows of activations and more";
    return m >= (beside ? TILES_LEAST_BESIDE : TILES_LEAST);
}

int tiles_phases(const lb_args *a) { return (void)a, 2; }

size_t tiles_workspace(const tiles_format *f, const lb_args *a, int parts) {
    int64_t m = lb_arg(a, LB_GEMM_X)->dims[0], k = lb_arg(a, LB_GEMM_X)->dims[1];
    const size_t x = tiles_bytes(f, m, k) + scales_bytes(f, m, k) + sums_bytes(f, m, k);
    return x + (size_t)parts * PREPARED * row_bytes(f, a);
}

static problem resolve(const tiles_format *f, const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    problem p = { .f = f, .q = w->quantizer, .x = lb_tensor_f32(x), .w = lb_tensor_data(w),
                  .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.padded = padded_of(p.k);
    p.blocks = blocks_of(p.m);
    p.panels = (p.n + ROWS - 1) / ROWS;
    p.panel_bytes = f->panel_bytes(p.q, p.k);
    p.row_bytes = row_bytes(f, a);
    p.chunk = 2 * TILES_PAIRS / f->terms;
    p.group = f->expand_groups && p.q->group >= TILES_GROUP ? p.q->group : 0;
    p.span = p.group ? p.group : f->span;
    p.tiles = l->workspace;
    p.act_scales = (float *)(void *)(p.tiles + tiles_bytes(f, p.m, p.k));
    p.act_sums = (float *)(void *)((char *)p.act_scales + scales_bytes(f, p.m, p.k));
    p.rows = (char *)p.act_sums + sums_bytes(f, p.m, p.k);
    return p;
}

/* ---- activations ---- */

static int64_t chunk_at(const problem *p, int64_t at) { return p->padded - at < p->chunk ? p->padded - at : p->chunk; }

/* The tiles of a block of rows in the chunk of K at `at`: of each 32 k those of all terms. */
static char *tiles_at(const problem *p, int64_t at, int64_t block) {
    return p->tiles + (size_t)((at * p->blocks + block * chunk_at(p, at)) * act_terms(p->f)) * BLOCK * 2;
}

/* Elements [at, at + 32) of a row as bf16, zeros behind its last. */
TILES_INLINE __m512i rounded(const float *row, int64_t k, int64_t at) {
    const __m512i high = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                                          25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const uint32_t some = k - at >= STEP ? 0xffffffffu : (1u << (k - at)) - 1;
    __m512i a = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)some, row + at));
    __m512i b = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)(some >> 16), row + at + 16));
    return _mm512_permutex2var_epi16(a, high, b);
}

/* Whether rows of x are only rounded. */
static bool is_rounded(const problem *p) { return !p->group && p->f->act_prepare == lb_act_bf16_prepare; }

/* The tiles of a block of rows, which are only rounded, in the chunk of K at `at`: row by row a tile is written in one
 * piece, where rows one after the other would write a line of each tile. */
static void round_block(const problem *p, int64_t block, int64_t at) {
    enum { AHEAD = 128 /* k, asked for */ };
    char *to = tiles_at(p, at, block);
    const int64_t first = block * BLOCK, some = p->m - first < BLOCK ? p->m - first : BLOCK;
    for (int64_t k = at, end = at + chunk_at(p, at); k < end; k += STEP, to += TILE_BYTES) {
        const float *row = p->x + first * p->k;
        for (int64_t r = 0; r < some; r++, row += p->k) {
            _mm_prefetch((const char *)(row + k + AHEAD), _MM_HINT_T1);
            _mm_prefetch((const char *)(row + k + AHEAD + 16), _MM_HINT_T1);
            _mm512_store_si512(to + 64 * r, rounded(row, p->k, k));
        }
        for (int64_t r = some; r < BLOCK; r++) _mm512_store_si512(to + 64 * r, _mm512_setzero_si512());
    }
}

/* What the sums of a prepared row i of x are multiplied with. */
static void put_factors(const problem *p, int64_t i, const char *row) {
    for (int64_t s = 0; p->f->act_scaled && s < spans_of(p->f, p->k); s++)
        memcpy(p->act_scales + s * p->blocks * BLOCK + i, row + 2 * p->padded * act_terms(p->f) + 4 * s, sizeof(float));
    if (!p->group) return;
    const float *sums = (const float *)(void *)(row + 2 * p->padded) + lb_act_bf16_sums_at(p->k, p->group);
    for (int64_t g = 0; g < p->k / p->group; g++) p->act_sums[g * p->blocks * BLOCK + i] = sums[g];
}

/* Rows [i, end) of x, of one block and PREPARED at most, or zeros behind the last; their lines of a tile are written
 * together. */
static void prepare_rows(const problem *p, int64_t i, int64_t end, char *rows) {
    const int64_t terms = act_terms(p->f), some = end - i;
    for (int64_t r = 0; r < some; r++) {
        char *row = rows + (size_t)r * p->row_bytes;
        if (i + r < p->m) p->f->act_prepare(p->q, p->x + (i + r) * p->k, p->k, row);
        else memset(row, 0, p->row_bytes);
        put_factors(p, i + r, row);
    }
    for (int64_t at = 0; at < p->padded; at += p->chunk) {
        char *to = tiles_at(p, at, i / BLOCK) + i % BLOCK * 64;
        for (int64_t k = at, past = at + chunk_at(p, at); k < past; k += STEP)
            for (int64_t t = 0; t < terms; t++, to += TILE_BYTES)
                for (int64_t r = 0; r < some; r++) {
                    const char *from = rows + (size_t)r * p->row_bytes + 2 * (p->padded * t + k);
                    _mm512_store_si512(to + 64 * r, _mm512_loadu_si512(from));
                }
    }
}

/* This part's share of x. */
static void prepare(const problem *p, const lb_launch *l) {
    const int64_t chunks = (p->padded + p->chunk - 1) / p->chunk;
    int64_t begin, end;
    if (is_rounded(p)) {
        lb_split(p->blocks * chunks, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) round_block(p, i / chunks, i % chunks * p->chunk);
    } else {
        lb_split(p->blocks * BLOCK, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin, next; i < end; i = next) {
            next = i / PREPARED * PREPARED + PREPARED < end ? i / PREPARED * PREPARED + PREPARED : end;
            prepare_rows(p, i, next, p->rows + (size_t)l->part * PREPARED * p->row_bytes);
        }
    }
}

/* ---- products ---- */

/* Lines to ask for meanwhile, so many a step: one behind the other up to the end, or of so many rows the next one, if
 * rows are some bytes apart. */
typedef struct soon { const char *at, *end; int64_t each, apart; } soon;

TILES_INLINE void ask(soon *s, const int hint) {
    const char *end = s->at + 64 * s->each;
    for (end = end < s->end ? end : s->end; s->at < end; s->at += 64) _mm_prefetch(s->at, hint);
}
TILES_INLINE void ask_weights(soon *s) {
    if (!s->apart) {
        ask(s, _MM_HINT_T1);
        return;
    }
    const char *row = s->at;
    for (int64_t r = 0; r < s->each; r++, row += s->apart) _mm_prefetch(row, _MM_HINT_T1);
    s->at += STEP * 2;
}
/* Share i of n of the lines from `at` on, in `steps`. */
static soon share_of(const char *at, size_t bytes, int64_t i, int64_t n, int64_t steps) {
    const int64_t lines = (int64_t)(bytes + 63) / 64, l0 = lines * i / n, l1 = lines * (i + 1) / n;
    return (soon){ .at = at + 64 * l0, .end = at + 64 * l1, .each = steps ? (l1 - l0 + steps - 1) / steps : 0 };
}
/* Share i of n of the rows of a panel from k = at on. All at once, as they are expanded, they would fill the places for
 * lines on their way from memory, and what else is asked for would wait. */
static soon rows_share(const problem *p, int64_t panel, int64_t at, int64_t i, int64_t n) {
    const int64_t rows = p->n - panel * ROWS < ROWS ? p->n - panel * ROWS : ROWS, r0 = rows * i / n;
    return (soon){ .at = (const char *)p->w + 2 * ((panel * ROWS + r0) * p->k + at), .each = rows * (i + 1) / n - r0,
                   .apart = 2 * p->k };
}

/* The sums that the tiles hold, [x's row][32] of one block of x's rows or of that and of the one behind it, leave for
 * `before` and those at `from` come, or zeros if it is NULL: each tile's just before its first product, so that the
 * unit that multiplies waits for neither. */
typedef struct turn { float *before; const float *from; } turn;

#define TURN(t, s, at)                                                                                               \
    do {                                                                                                             \
        LB_TILE_STORE(t, (s)->before + (at), ROWS * 4);                                                              \
        if ((s)->from) LB_TILE_LOAD_ONCE(t, (s)->from + (at), ROWS * 4);                                             \
        else LB_TILE_ZERO(t);                                                                                        \
    } while (0)

TILES_INLINE void sums_close(float *sums, const bool two) {
    LB_TILE_STORE(0, sums, ROWS * 4);
    LB_TILE_STORE(1, sums + 16, ROWS * 4);
    if (two) LB_TILE_STORE(2, sums + BLOCK * ROWS, ROWS * 4);
    if (two) LB_TILE_STORE(3, sums + BLOCK * ROWS + 16, ROWS * 4);
}

TILES_INLINE void load_x(const char *x, ptrdiff_t far, const bool two) {
    LB_TILE_LOAD_ONCE(4, x, 64);
    if (two) LB_TILE_LOAD_ONCE(5, x + far, 64);
}
TILES_INLINE void load_w(const char *w) {
    LB_TILE_LOAD(6, w, PAIR_BYTES);
    LB_TILE_LOAD(7, w + 64, PAIR_BYTES);
}
/* With `s`, the turns of the tiles first. */
TILES_INLINE void products(const turn *s, const bool two) {
    if (s) TURN(0, s, 0);
    LB_TILE_BF16(0, 4, 6);
    if (s) TURN(1, s, 16);
    LB_TILE_BF16(1, 4, 7);
    if (two && s) TURN(2, s, BLOCK * ROWS);
    if (two) LB_TILE_BF16(2, 5, 6);
    if (two && s) TURN(3, s, BLOCK * ROWS + 16);
    if (two) LB_TILE_BF16(3, 5, 7);
}

/* 32 k. The tiles of x, whose second block's are `far` bytes behind the first's, pass by L1, where the pairs then stay:
 * with an ordinary load they would be lost, and a fifth of the time.
 *
 * Two terms of weights times three of x: the product of both's last, 2^-27 of the whole, is left out. */
TILES_INLINE void step(const char *x, ptrdiff_t far, const char *w, const turn *s, const int terms, const int x_terms,
                       const bool two) {
    load_w(w);
    for (int t = x_terms; t-- > 0; s = NULL) {
        load_x(x + t * TILE_BYTES, far, two);
        products(s, two);
    }
    if (terms == 2) load_w(w + (TILES_PAIRS / 2) * PAIR_BYTES);
    if (terms == 2) products(NULL, two);
    if (x_terms == 3) {
        load_x(x + TILE_BYTES, far, two);
        products(NULL, two);
    }
}

/* A block of rows of x, or two, times a chunk of a panel. */
typedef struct meeting {
    const char *x;
    ptrdiff_t far;
    int64_t steps;
    const uint8_t *places;   /* of the steps in x; NULL = one after the other */
    float *sums;
    bool begin;              /* the sums are zero before */
    float *before;           /* where what the tiles hold goes; of spans, they hold nothing */
    soon next[3];            /* tiles of x, weights, sums */
    int64_t span;            /* steps of one; of each the scales and zeros of weights, and of the first row of x, ... */
    const tiles_group *groups;
    const float *act_scales; /* NULL = 1 */
    const float *act_sums;   /* of x over the span, where there are zeros */
    int64_t act_far;         /* ... and how far behind them are those of the next */
} meeting;

TILES_INLINE void ask_all(soon next[3]) {
    ask(&next[0], _MM_HINT_T1);
    ask_weights(&next[1]);
    ask(&next[2], _MM_HINT_T0);
}

/* The meeting's sums stay in the tiles; those of the meeting before leave them. Step i is x's step places[i], if that
 * is not NULL. */
#define MEET(name, terms, places, two)                                                                               \
    static __attribute__((noinline)) void name(const meeting *m, const tiles_pairs *w) {                             \
        soon next[3] = { m->next[0], m->next[1], m->next[2] }; /* in registers */                                    \
        const turn s = { m->before, m->begin ? NULL : m->sums };                                                     \
        const char *b = (const char *)w, *end = b + m->steps * STEP / 2 * PAIR_BYTES, *x = m->x;                     \
        const uint8_t *place = places;                                                                               \
        step(place ? x + *place++ * TILE_BYTES : x, m->far, b, &s, terms, 1, two);                                   \
        ask_all(next);                                                                                               \
        while ((b += STEP / 2 * PAIR_BYTES) < end) {                                                                 \
            x += TILE_BYTES;                                                                                         \
            step(place ? m->x + *place++ * TILE_BYTES : x, m->far, b, NULL, terms, 1, two);                          \
            ask_all(next);                                                                                           \
        }                                                                                                            \
    }
MEET(meet_one_1, 1, NULL, false)
MEET(meet_one_2, 1, NULL, true)
MEET(meet_two_1, 2, NULL, false)
MEET(meet_two_2, 2, NULL, true)
MEET(meet_some_1, 1, m->places, false)
MEET(meet_some_2, 1, m->places, true)

/* The sums of span i, of rows [r0, r1) of the block or both, times their scales to the totals, and the zeros times x's
 * sums. */
TILES_INLINE void add_rows(const meeting *m, int64_t i, const float *part, int r0, int r1, const bool zeros) {
    const float *of_row = m->act_scales ? m->act_scales + i * m->act_far : NULL;
    const float *x_sums = zeros ? m->act_sums + i * m->act_far : NULL;
    const tiles_group g = m->groups[i];
    const bool begin = m->begin && i == 0;
    float *to = m->sums + r0 * ROWS;
    part += r0 * ROWS;
    for (int r = r0; r < r1; r++, part += ROWS, to += ROWS)
        _Pragma("GCC unroll 2") for (int half = 0; half < 2; half++) {
            __m512 scale = g.scale[half], total = begin ? _mm512_setzero_ps() : _mm512_load_ps(to + 16 * half);
            if (of_row) scale = _mm512_mul_ps(scale, _mm512_set1_ps(of_row[r]));
            total = _mm512_fmadd_ps(_mm512_load_ps(part + 16 * half), scale, total);
            if (zeros) total = _mm512_fmadd_ps(g.zero[half], _mm512_set1_ps(x_sums[r]), total);
            _mm512_store_ps(to + 16 * half, total);
        }
}

/* The same where sums are those of spans: a span's go to the totals row by row between the products of the next one,
 * behind the first, with which they leave their tiles. */
#define MEET_SPANS(name, terms, x_terms, zeros, two)                                                                 \
    static __attribute__((noinline)) void name(const meeting *m, const tiles_pairs *w) {                             \
        enum { ALL = (two ? 2 : 1) * BLOCK };                                                                        \
        soon next[3] = { m->next[0], m->next[1], m->next[2] };                                                       \
        float part[2][2 * BLOCK * ROWS] __attribute__((aligned(64)));                                                \
        const int each = m->span > 1 ? (int)((ALL + m->span - 2) / (m->span - 1)) : ALL;                             \
        const char *x = m->x, *b = (const char *)w;                                                                  \
        int64_t i = 0, at = 0;                                                                                       \
        for (; at < m->steps; i++) {                                                                                 \
            const int64_t end = m->steps - at < m->span ? m->steps : at + m->span;                                   \
            const float *done = part[(i + 1) % 2];                                                                   \
            const turn s = { part[(i + 1) % 2], NULL };                                                              \
            int row = i ? 0 : ALL;                                                                                   \
            for (int64_t first = at; at < end; at++, x += x_terms * TILE_BYTES, b += STEP / 2 * PAIR_BYTES) {        \
                if (at == first) step(x, m->far, b, &s, terms, x_terms, two);                                        \
                else step(x, m->far, b, NULL, terms, x_terms, two);                                                  \
                ask_all(next);                                                                                       \
                const int to = at == first && m->span > 1 ? row : row + each < ALL ? row + each : ALL;               \
                if (row < to) add_rows(m, i - 1, done, row, to, zeros);                                              \
                row = to;                                                                                            \
            }                                                                                                        \
            if (row < ALL) add_rows(m, i - 1, done, row, ALL, zeros); /* of a last span that is shorter */           \
        }                                                                                                            \
        sums_close(part[(i + 1) % 2], two);                                                                          \
        add_rows(m, i - 1, part[(i + 1) % 2], 0, ALL, zeros);                                                        \
    }
MEET_SPANS(meet_spans_1, 1, 1, false, false)
MEET_SPANS(meet_spans_2, 1, 1, false, true)
MEET_SPANS(meet_groups_1, 1, 1, true, false)
MEET_SPANS(meet_groups_2, 1, 1, true, true)
MEET_SPANS(meet_triple_1, 2, 3, false, false)
MEET_SPANS(meet_triple_2, 2, 3, false, true)

typedef void (*meet_fn)(const meeting *, const tiles_pairs *);
static meet_fn meet_of(const problem *p, bool two) {
    const tiles_format *f = p->f;
    if (p->group) return two ? meet_groups_2 : meet_groups_1;
    if (f->act_terms == 3) return two ? meet_triple_2 : meet_triple_1;
    if (f->span) return two ? meet_spans_2 : meet_spans_1;
    if (f->steps) return two ? meet_some_2 : meet_some_1;
    if (f->terms == 2) return two ? meet_two_2 : meet_two_1;
    return two ? meet_one_2 : meet_one_1;
}

/* ---- items ---- */

/* Blocks [b0, b1) of rows of x times `count` panels from the first on. */
typedef struct item { int64_t b0, b1, first; int count; } item;

/* Sums of x's rows [r0, r1), those of a panel, times their scales to `out`. */
static void finish(const problem *p, int64_t panel, const __m512 scale[2], int64_t r0, int64_t r1, const float *sums) {
    const int64_t left = p->n - panel * ROWS;
    const __mmask16 low = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
    const __mmask16 high = (__mmask16)(left >= 32 ? 0xffff : left <= 16 ? 0 : (1u << (left - 16)) - 1);
    for (int64_t r = r0; r < r1; r++, sums += ROWS) {
        float *to = p->out + r * p->n + panel * ROWS;
        __m512 a = _mm512_mul_ps(_mm512_load_ps(sums), scale[0]);
        __m512 b = _mm512_mul_ps(_mm512_load_ps(sums + 16), scale[1]);
        if (p->f->act_scaled && !p->span) {
            const __m512 of_row = _mm512_set1_ps(p->act_scales[r]);
            a = _mm512_mul_ps(a, of_row), b = _mm512_mul_ps(b, of_row);
        }
        _mm512_mask_storeu_ps(to, low, a);
        _mm512_mask_storeu_ps(to + 16, high, b);
    }
}

/* Pairs of all 32 rows of a panel's chunk, and what their spans' sums are multiplied by. Returns where the codes after
 * them stand, or NULL. */
static const char *expand(const problem *p, const uint8_t *panel, int64_t rows, int64_t at, int64_t some,
                          tiles_pairs *w, tiles_group *groups) {
    if (p->group) return p->f->expand_groups(p->q, panel, at, some, w, groups);
    for (int64_t i = 0; p->span && i * p->span < some; i++) {
        groups[i].scale[0] = groups[i].scale[1] = _mm512_set1_ps(1);
        if (p->f->span_scales) p->f->span_scales(p->q, panel, p->k, at / p->span + i, groups[i].scale);
    }
    return p->f->expand(p->q, panel, rows, p->k, at, some, w);
}

/* Pair b of blocks of an item, in the chunk of K at `at`, with a panel's sums. */
static meeting meeting_of(const problem *p, const item *of, int64_t at, int64_t b, float *sums) {
    const int64_t some = chunk_at(p, at), block = of->b0 + 2 * b, all = p->blocks * BLOCK;
    const int64_t first = p->span ? at / p->span : 0;
    meeting m = { .x = tiles_at(p, at, block), .far = (ptrdiff_t)(some * BLOCK * 2 * act_terms(p->f)),
                  .steps = some / STEP, .sums = sums + 2 * b * BLOCK * ROWS, .begin = at == 0,
                  .span = p->span / STEP, .act_far = all };
    if (p->f->act_scaled) m.act_scales = p->act_scales + first * all + block * BLOCK;
    if (p->group) m.act_sums = p->act_sums + first * all + block * BLOCK;
    return m;
}

/* The sums that stay in the tiles from one meeting to the next; if NULL, what leaves the tiles goes to `none`. */
typedef struct held { float *sums; bool two; float none[2 * BLOCK * ROWS]; } held;

static void let_go(held *h) {
    if (h->sums) sums_close(h->sums, h->two);
    h->sums = NULL;
}

static void meet(const problem *p, meeting *m, const tiles_pairs *w, bool two, held *h) {
    if (m->steps == 0) { /* of blocks of weights none is there */
        if (m->begin) memset(m->sums, 0, (two ? 2 : 1) * BLOCK * ROWS * sizeof *m->sums);
        return;
    }
    if (h->two != two) let_go(h);
    m->before = h->sums ? h->sums : h->none;
    meet_of(p, two)(m, w);
    if (!p->span) h->sums = m->sums, h->two = two;
}

/* Panel i of an item in the chunk of K at `at`. */
static void run_chunk(const problem *p, const item *of, int i, int64_t at, tiles_pairs *w, float *sums, held *h) {
    const int64_t some = chunk_at(p, at), panel = of->first + i, pairs = (of->b1 - of->b0 + 1) / 2, end = at + some;
    const uint8_t *from = p->w + (size_t)panel * p->panel_bytes;
    const int64_t rows = p->n - panel * ROWS < ROWS ? p->n - panel * ROWS : ROWS;
    tiles_group groups[TILES_STEPS];
    const char *next_w = expand(p, from, rows, at, some, w, groups);
    const size_t next_w_bytes = next_w ? (size_t)(next_w - (const char *)from) * (size_t)some / (size_t)end : 0;
    if (next_w) /* that of the panel to come: a round earlier L2 would have to hold what all panels' next chunks take */
        next_w += i + 1 < of->count ? (ptrdiff_t)(p->panel_bytes - next_w_bytes)
                                    : -(ptrdiff_t)((size_t)i * p->panel_bytes);
    const int64_t next = end < p->padded ? end : 0, later = i + 1 < of->count ? panel + 1 : of->first;
    const int64_t x_bytes = (of->b1 - of->b0) * BLOCK * 2 * chunk_at(p, next) * act_terms(p->f);
    __m512 scale[2] = { _mm512_set1_ps(1), _mm512_set1_ps(1) };
    if (p->f->scales) p->f->scales(p->q, from, p->k, scale);
    uint8_t places[TILES_STEPS];
    const int64_t steps = p->f->steps ? p->f->steps(from, p->k, at, some, places) : some / STEP;
    for (int64_t b = 0; b < pairs; b++) {
        const int64_t block = of->b0 + 2 * b, r1 = (block + 2 < of->b1 ? block + 2 : of->b1) * BLOCK;
        meeting m = meeting_of(p, of, at, b, sums);
        m.steps = steps, m.places = places, m.groups = groups;
        m.next[0] = share_of(tiles_at(p, next, of->b0), (size_t)x_bytes, i * pairs + b, of->count * pairs, steps);
        if (p->f->in_rows) m.next[1] = rows_share(p, later, i + 1 < of->count ? at : next, b, pairs);
        else m.next[1] = share_of(next_w, next_w_bytes, b, pairs, steps);
        m.next[2] = share_of((const char *)(m.sums + 2 * BLOCK * ROWS), 2 * BLOCK * ROWS * 4, 0, 1, steps);
        meet(p, &m, w, block + 1 < of->b1, h);
        if (end < p->padded) continue;
        let_go(h);
        finish(p, panel, scale, block * BLOCK, r1 < p->m ? r1 : p->m, m.sums);
    }
}

static void run_item(const problem *p, const item *of) {
    tiles_pairs *w = lb_scratch_take(sizeof *w);
    held h = { .sums = NULL };
    float *sums[TOGETHER];
    for (int i = 0; i < of->count; i++) sums[i] = lb_panel_sums_take((int)(of->b1 - of->b0) * BLOCK);
    for (int64_t at = 0; at < p->padded; at += p->chunk)
        for (int i = 0; i < of->count; i++) run_chunk(p, of, i, at, w, sums[i], &h);
    for (int i = of->count; i-- > 0;) lb_panel_sums_give(sums[i], (int)(of->b1 - of->b0) * BLOCK);
    lb_scratch_give(w, sizeof *w);
}

/* Panels of the next item, of `left`: of what a part has still to come, at most TOGETHER and in equal shares. The last
 * items are ever smaller, so that no part is left with a large one; but not many of them, because each reads all tiles
 * of its rows of x. */
static int64_t panels_next(int64_t left, int64_t across, int64_t parts) {
    const int64_t each = (left * across + parts - 1) / parts; /* panels of a part */
    const int64_t rounds = (each + TOGETHER - 1) / TOGETHER, some = (each + rounds - 1) / rounds;
    return some < left ? some : left;
}

static void run_items(const problem *p, const lb_launch *l) {
    const int64_t across = (p->blocks + BLOCKS_MOST - 1) / BLOCKS_MOST;
    int64_t down = 0, first = 0, next = 0; /* items of a block of rows up to this one, and its panels */
    while (p->panels) {
        int64_t i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed), c = i % across;
        for (; down <= i / across; down++) {
            if (next == p->panels) return;
            first = next;
            next += panels_next(p->panels - next, across, l->parts);
        }
        item of = { p->blocks * c / across, p->blocks * (c + 1) / across, first, (int)(next - first) };
        run_item(p, &of);
    }
}

void tiles_launch(const tiles_format *f, const lb_args *a, const lb_launch *l) {
    problem p = resolve(f, a, l);
    int64_t begin, end;
    if (p.k == 0) {
        lb_split(l->phase ? p.m * p.n : 0, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++) p.out[i] = 0;
    } else if (l->phase == 0) {
        prepare(&p, l);
    } else {
        lb_tiles_open(&lb_tiles_whole);
        run_items(&p, l);
        lb_tiles_close();
    }
}

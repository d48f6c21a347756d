/* attention_bf16_decode_amx.c: attention of few rows over caches of bf16 and f8e4m3 by tiles of AMX (tdpbf16ps). The
 * template of flash.h, blocks of 64 positions, groups of 8 rows.
 *
 * vdpbf16ps does half of what f32's fma does on the processors that have tiles, and would take longer than memory.
 *
 * Scores are made turned, [position][row]: a tile's 16 rows are 16 keys as they lie in the cache, and q is what is
 * brought into pairs, once. So bf16 keys meet no vector instruction at all; those of e4m3 become bf16 in scratch
 * memory, with dimensions in the order in which bytes unpack, and q is in that order, too.
 *
 * A register of the softmax has two positions of 8 rows. Turning its results by unpacks leaves the positions of 32 in
 * an order of their own, in which values are paired, too: pair 4 l + u of them is 8 u + l and 8 u + l + 4. Unpacking
 * values leaves them in an order of their own as well, which outputs have until they are done.
 *
 * Nothing of a block waits for what the step before it has just made: while tiles take values of the block before, the
 * next block's keys are widened; while they take those keys, this block's values are paired; its softmax goes along
 * with both. A block's products, its vector instructions and its lines, asked for into L2 where misses under way are
 * many, are spread over all of a step. */
#include "amx.h"
#include "vec.h"

#define STEPS_D(d) (((int64_t)(d) + 31) / 32)
#define Q_BYTES(d) ((size_t)STEPS_D(d) * 64)
#define KEY_BYTES(d) ((size_t)STEPS_D(d) * 64 * 64)
#define VALUE_BYTES(v) (2 * VALUES_BYTES(v)) /* of two blocks */
#define VALUES_BYTES(v) (((size_t)(v) + 15) / 16 * 33 * 64)
#define P_BYTES(v) ((size_t)64 * 2 + 0 * (size_t)(v))
#define GROUPS_KEPT (2 * ROWS_MOST / ROWS_TOGETHER) /* scores and probabilities of two blocks */
#define ROWS_TOGETHER 8
#define ROWS_MOST 64
#define ROWS_LEAST 64
#define OUT_FLOATS 40000
#define OWN_BLOCKS
#include "flash.h"
#include "exp2_bf16.h"
#include "f8_bf16.h"

#define UNROLL _Pragma("GCC unroll 16")
enum { RUN = 32 /* positions of a product, values of two tiles */, MOST_ROWS = 16 };

/* 0 and 1: scores of 16 positions each and 8 rows; 2: q; 3 and 6: 16 keys, pairs of values; 4 and 5: outputs; 7:
 * probabilities. A sum's way through the unit is 52 cycles, and its tile is taken until it is stored; what is loaded
 * into a tile waits for the product before that reads it: so two take turns. */
static const lb_tiles shapes = {
    .palette = 1,
    .row_bytes = { 32, 32, 32, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, MR, MR, 16, MR },
};

/* Of 8 rows. Lane r and lane r + 8 are row r's, at even and at odd positions; rows that are not there see all, and
 * their q is 0. They see positions from least_lo to most_hi, and all of them [most_lo, least_hi). */
typedef struct group {
    __m512 tops, sums;
    __m512i lo, hi;
    int64_t least_lo, most_lo, least_hi, most_hi;
    bool pending; /* probabilities of the block before have not met its values yet */
} group;

/* ---- operands ---- */

static void pack_row(const float *x, int64_t dim, void *out) {
    uint16_t *h = out;
    memset(h, 0, Q_BYTES(dim));
    for (int64_t i = 0; i < dim; i++) h[i] = f32_to_bf16(x[i]);
}

/* Which pair of a row's dimensions is the p-th in the order that unpacked bytes of e4m3 have. */
static int64_t unpacked_pair(int64_t p) {
    int64_t lane = p / 4 % 4, high = p / 16 % 2;
    return p / 32 * 32 + lane * 8 + high * 4 + p % 4;
}

/* Packed rows of a group become [pair of dimensions][8 rows]. `scratch`: as many bytes. */
static void turn_rows(const task *t, char *rows, char *scratch) {
    int64_t pairs = STEPS_D(t->dim) * 16;
    const uint32_t *from = (const void *)scratch;
    uint32_t *to = (void *)rows;
    memcpy(scratch, rows, MR * Q_BYTES(t->dim));
    for (int64_t p = 0; p < pairs; p++) {
        int64_t at = t->k.dtype == LB_BF16 ? p : unpacked_pair(p);
        for (int64_t r = 0; r < MR; r++) *to++ = from[r * pairs + at];
    }
}

/* 64 bytes of e4m3 as two registers of bf16: in each 16 bytes the first 8, the others. */
static inline __attribute__((always_inline)) void widen(__m512i x, const tables *t, __m512i *to) {
    __m512i high, low;
    f8_bytes(x, t, &high, &low);
    to[0] = _mm512_unpacklo_epi8(low, high), to[1] = _mm512_unpackhi_epi8(low, high);
}

/* Rows of what comes next that are yet to be asked for: keys, values, NULL: none. */
typedef struct coming {
    const char *const *k, *const *v;
    int64_t at, key_bytes, value_bytes;
} coming;

static inline __attribute__((always_inline)) void ask_lines(const char *row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(row + i, _MM_HINT_T1);
}
/* Asks for some, of both halves of keys and of values by turns. Spread over all of a block's work: memory should not
 * rest, and finds room for some 60 lines. */
static inline __attribute__((always_inline)) void ask_next(coming *c, int64_t rows) {
    for (int64_t end = c->at + rows < 2 * BLOCK ? c->at + rows : 2 * BLOCK; c->at < end; c->at++) {
        int64_t row = c->at % 2 * (BLOCK / 2) + c->at / 4;
        if (c->at % 4 < 2 && c->k) ask_lines(c->k[row], c->key_bytes);
        if (c->at % 4 >= 2 && c->v) ask_lines(c->v[row], c->value_bytes);
    }
}

/* Keys as tiles: 16 of them, 32 dimensions each, are `tile` apart, the next 16 `keys`, and rows of a tile `row`. */
typedef struct key_tiles { const char *at; int64_t row, tile, keys; } key_tiles;

/* Row i of keys that products cannot take as they lie (in pages, fewer than 64, of e4m3): to tiles one behind the
 * other. */
static inline __attribute__((always_inline)) void pack_key(bool f8, int64_t dim, const char *row, int64_t i,
                                                           const tables *tab, char *to) {
    to += i / 16 * 16 * (int64_t)Q_BYTES(dim) + i % 16 * 64;
    if (f8)
        for (int64_t d = 0; d < dim; d += 64, to += 2048) {
            __m512i x[2];
            widen(_mm512_loadu_si512(row + d), tab, x);
            _mm512_store_si512(to, x[0]);
            _mm512_store_si512(to + 1024, x[1]);
        }
    else
        for (int64_t d = 0; d < dim; d += 32, to += 1024) _mm512_store_si512(to, _mm512_loadu_si512(row + 2 * d));
}

enum { VALUE_TILE = 33 * 64 }; /* 16 values of 32 pairs; a line more, so that they do not all lie in the same sets */

/* Pair i of values, as they lie; where it goes is out of step. [16 values][pair of positions], all in orders of their
 * own. */
static inline __attribute__((always_inline)) void pack_pair(bool f8, int64_t values, const char *const *row, int64_t i,
                                                            const tables *tab, char *to) {
    const char *a = row[i / 4 * 8 + i % 4], *b = row[i / 4 * 8 + i % 4 + 4];
    to += (i / 16 * 16 + i % 4 * 4 + i / 4 % 4) * 64;
    if (f8)
        for (int64_t d = 0; d < values; d += 64, to += 4 * VALUE_TILE) {
            __m512i x = _mm512_loadu_si512(a + d), y = _mm512_loadu_si512(b + d), w[4];
            widen(_mm512_unpacklo_epi8(x, y), tab, w);
            widen(_mm512_unpackhi_epi8(x, y), tab, w + 2);
            UNROLL for (int j = 0; j < 4; j++) _mm512_store_si512(to + j * VALUE_TILE, w[j]);
        }
    else
        for (int64_t d = 0; d < values; d += 32, to += 2 * VALUE_TILE) {
            __m512i x = _mm512_loadu_si512(a + 2 * d), y = _mm512_loadu_si512(b + 2 * d);
            _mm512_store_si512(to, _mm512_unpacklo_epi16(x, y));
            _mm512_store_si512(to + VALUE_TILE, _mm512_unpackhi_epi16(x, y));
        }
}

/* Outputs in the order of their dimensions. */
static void sort_outputs(const task *t, float *out) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    if (t->v.dtype == LB_BF16)
        for (int64_t i = 0; i < t->values; i += 32) {
            __m512 a = _mm512_load_ps(out + i), b = _mm512_load_ps(out + i + 16);
            _mm512_store_ps(out + i, _mm512_permutex2var_ps(a, first, b));
            _mm512_store_ps(out + i + 16, _mm512_permutex2var_ps(a, second, b));
        }
    else /* quarters of four registers, turned */
        for (int64_t i = 0; i < t->values; i += 64) {
            __m128 v[16];
            UNROLL for (int j = 0; j < 16; j++) v[j] = _mm_load_ps(out + i + 4 * j);
            UNROLL for (int j = 0; j < 16; j++) _mm_store_ps(out + i + j % 4 * 16 + j / 4 * 4, v[j]);
        }
}

/* ---- products ---- */

/* Two tiles of scores, s[32 positions][8 rows]: dimensions 32 d to 32 d + 31 of n times as many. */
static inline __attribute__((always_inline)) void score_step(const char *q, const key_tiles *k, int64_t keys, int64_t d,
                                                             int64_t n, float *s) {
    const char *at = k->at + keys * k->keys + d * k->tile;
    if (d == 0) {
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
    }
    LB_TILE_LOAD(2, q + 512 * d, 32);
    LB_TILE_LOAD_ONCE(3, at, k->row);
    LB_TILE_BF16(0, 3, 2);
    LB_TILE_LOAD_ONCE(6, at + k->keys, k->row);
    LB_TILE_BF16(1, 6, 2);
    if (d < n - 1) return;
    LB_TILE_STORE(0, s, 32);
    LB_TILE_STORE(1, s + 16 * MR, 32);
}

/* out[8 rows] += p * v for two tiles of 16 values and all 64 positions. */
static inline __attribute__((always_inline)) void weigh(const char *p, const char *v, int64_t stride, float *out) {
    LB_TILE_LOAD(4, out, stride);
    LB_TILE_LOAD(5, out + 16, stride);
    UNROLL for (int h = 0; h < 2; h++, p += 64, v += 1024) {
        LB_TILE_LOAD(7, p, 128);
        LB_TILE_LOAD(3, v, 64);
        LB_TILE_BF16(4, 7, 3);
        LB_TILE_LOAD(6, v + VALUE_TILE, 64);
        LB_TILE_BF16(5, 7, 6);
    }
    LB_TILE_STORE(4, out, stride);
    LB_TILE_STORE(5, out + 16, stride);
}

/* ---- softmax ---- */

static group group_of(const space *s, int64_t r0, int64_t rows) {
    group g = { .least_lo = INT64_MAX, .least_hi = INT64_MAX };
    float tops[LANES], sums[LANES];
    int32_t lo[LANES], hi[LANES];
    for (int64_t i = 0; i < LANES; i++) {
        int64_t r = r0 + i % MR;
        bool there = i % MR < rows;
        tops[i] = there ? s->tops[r] : -INFINITY;
        sums[i] = there && i < MR ? vf_sum(vf_load(s->sums + r * LANES)) : 0;
        lo[i] = there ? s->lo[r] : 0, hi[i] = there ? s->hi[r] : INT32_MAX;
        g.most_lo = lo[i] > g.most_lo ? lo[i] : g.most_lo;
        g.least_hi = hi[i] < g.least_hi ? hi[i] : g.least_hi;
        if (!there || hi[i] <= lo[i]) continue;
        g.least_lo = lo[i] < g.least_lo ? lo[i] : g.least_lo;
        g.most_hi = hi[i] > g.most_hi ? hi[i] : g.most_hi;
    }
    g.tops = _mm512_loadu_ps(tops), g.sums = _mm512_loadu_ps(sums);
    g.lo = _mm512_loadu_si512(lo), g.hi = _mm512_loadu_si512(hi);
    return g;
}

static void keep_group(const group *g, space *s, int64_t r0, int64_t rows) {
    float tops[LANES], sums[LANES];
    _mm512_storeu_ps(tops, g->tops);
    _mm512_storeu_ps(sums, g->sums);
    for (int64_t r = 0; r < rows; r++) {
        s->tops[r0 + r] = tops[r];
        vf_store(s->sums + (r0 + r) * LANES, vf_zero());
        s->sums[(r0 + r) * LANES] = sums[r] + sums[r + MR];
    }
}

/* Scores that a row does not see become -Inf. */
static void hide(const group *g, int64_t from, float *s) {
    __m512i at = _mm512_add_epi32(_mm512_set1_epi32((int32_t)from), _mm512_set_epi64(0x100000001, 0x100000001,
                                  0x100000001, 0x100000001, 0, 0, 0, 0));
    for (int i = 0; i < BLOCK * MR; i += LANES, at = _mm512_add_epi32(at, _mm512_set1_epi32(2))) {
        __mmask16 seen = _mm512_cmpge_epi32_mask(at, g->lo) & _mm512_cmplt_epi32_mask(at, g->hi);
        _mm512_store_ps(s + i, _mm512_mask_blend_ps(seen, _mm512_set1_ps(-INFINITY), _mm512_load_ps(s + i)));
    }
}

/* Where a score is 2^8 times over its row's top, the top becomes the largest score. Returns which rows' tops moved;
 * factor[row]: of what was summed before. */
static unsigned move_tops(const task *t, const float *s, group *g, float *factors) {
    __m512 most = _mm512_set1_ps(-INFINITY), other = most;
    for (int i = 0; i < BLOCK * MR; i += 2 * LANES) {
        most = _mm512_max_ps(_mm512_load_ps(s + i), most); /* of NaN and a number the number */
        other = _mm512_max_ps(_mm512_load_ps(s + i + LANES), other);
    }
    most = _mm512_max_ps(most, other);
    most = _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0x4e));
    most = _mm512_mul_ps(most, _mm512_set1_ps(t->scale));
    __mmask16 over = _mm512_cmp_ps_mask(most, _mm512_add_ps(g->tops, _mm512_set1_ps(8)), _CMP_GT_OQ);
    if (!over) return 0;
    float tops[LANES], now[LANES];
    __m512 moved = _mm512_mask_mov_ps(g->tops, over, most);
    _mm512_storeu_ps(tops, g->tops);
    _mm512_storeu_ps(now, moved);
    for (int r = 0; r < MR; r++) factors[r] = factors[r + MR] = over >> r & 1 ? exp2f(tops[r] - now[r]) : 1;
    g->sums = _mm512_mul_ps(g->sums, _mm512_loadu_ps(factors));
    g->tops = moved;
    return over;
}
static void scale_outputs(const float *factors, int64_t vpad, float *out) {
    for (int r = 0; r < MR; r++, out += vpad)
        for (int64_t i = 0; i < vpad && factors[r] != 1; i += LANES)
            vf_store(out + i, vf_load(out + i) * vf_set(factors[r]));
}

/* Eight registers of 8 words in each quarter: the quarters' words by row. */
static inline __attribute__((always_inline)) void turn_words(__m512i *w) {
    __m512i a[8];
    UNROLL for (int i = 0; i < 4; i++)
        a[i] = _mm512_unpacklo_epi16(w[2 * i], w[2 * i + 1]), a[i + 4] = _mm512_unpackhi_epi16(w[2 * i], w[2 * i + 1]);
    UNROLL for (int h = 0; h < 2; h++) /* rows 4 h to 4 h + 3 of registers 0 to 3, then of 4 to 7 */
        UNROLL for (int i = 0; i < 2; i++) {
            __m512i x = a[4 * h + 2 * i], y = a[4 * h + 2 * i + 1];
            w[4 * h + i] = _mm512_unpacklo_epi32(x, y), w[4 * h + 2 + i] = _mm512_unpackhi_epi32(x, y);
        }
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i x = w[2 * i], y = w[2 * i + 1];
        w[2 * i] = _mm512_unpacklo_epi64(x, y), w[2 * i + 1] = _mm512_unpackhi_epi64(x, y);
    }
}

/* Scores become probabilities. The difference is not fused: a number less itself as rounded may be anything where
 * scores are over 2^24. */
typedef struct powers { __m512 factor, tops, sums[2]; } powers;

static inline __attribute__((always_inline)) powers powers_of(const task *t, const group *g) {
    __m512 none = _mm512_set1_ps(-INFINITY); /* -Inf less -Inf would be NaN, not 0 */
    __m512 tops = _mm512_mask_mov_ps(g->tops, _mm512_cmp_ps_mask(g->tops, none, _CMP_EQ_OQ), _mm512_setzero_ps());
    return (powers){ _mm512_set1_ps(t->scale), tops, { g->sums, _mm512_setzero_ps() } };
}
/* Of four positions, as bf16. */
static inline __attribute__((always_inline)) __m512i power_step(powers *w, const float *s) {
    __m512 x = exp2_bf16(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(s), w->factor), w->tops));
    __m512 y = exp2_bf16(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(s + 16), w->factor), w->tops));
    w->sums[0] = _mm512_add_ps(w->sums[0], x), w->sums[1] = _mm512_add_ps(w->sums[1], y);
    return (__m512i)_mm512_cvtne2ps_pbh(y, x);
}

/* ---- blocks ---- */

/* What a step has to do for a group of 8 rows; NULL: nothing of that. It is one block's softmax; the next one's keys
 * are multiplied, and values of the one before. Keys and values are packed for all groups at once. */
typedef struct step {
    const char *const *pack_k, *const *pack_v; /* rows: the next block's keys, this one's values */
    char *packed_k, *packed_v;
    const char *values_before;
    const char *q;
    key_tiles keys;
    float *next_scores;
    const float *scores;
    char *p;
    const char *p_before;
    float *out;
    coming *ask;
    int64_t ask_rows; /* in a sixteenth of the step */
} step;
enum { SLOTS = 8 };

/* Slot i of the first half: values of the block before are multiplied, the next keys packed; of the other half: the
 * next keys are multiplied, this block's values packed. */
static inline __attribute__((always_inline)) void products_slot(const step *w, int64_t dim, int64_t values, bool f8_k,
                                                                bool f8_v, int half, int i, const tables *tab) {
    const int64_t n = STEPS_D(dim), pairs = values / 32;
    if (half == 0 && w->p_before)
        for (int64_t j = pairs * i / SLOTS; j < pairs * (i + 1) / SLOTS; j++)
            weigh(w->p_before, w->values_before + 2 * j * VALUE_TILE, values * 4, w->out + 32 * j);
    if (half == 1 && w->next_scores)
        for (int64_t d = n * (i % 4) / 4; d < n * (i % 4 + 1) / 4; d++)
            score_step(w->q, &w->keys, i / 4 * 2, d, n, w->next_scores + i / 4 * RUN * MR);
    if (half == 0 && w->pack_k)
        UNROLL for (int j = 8 * i; j < 8 * i + 8; j++) pack_key(f8_k, dim, w->pack_k[j], j, tab, w->packed_k);
    if (half == 1 && w->pack_v)
        UNROLL for (int j = 4 * i; j < 4 * i + 4; j++) pack_pair(f8_v, values, w->pack_v, j, tab, w->packed_v);
}

static inline __attribute__((always_inline)) void pass_step(const task *t, group *g, const step *w, int64_t dim,
                                                            int64_t values, bool f8_k, bool f8_v) {
    tables tab = tables_of();
    powers x = powers_of(t, g);
    UNROLL for (int half = 0; half < 2; half++) {
        __m512i words[SLOTS] = { _mm512_setzero_si512() };
        UNROLL for (int i = 0; i < SLOTS; i++) {
            products_slot(w, dim, values, f8_k, f8_v, half, i, &tab);
            if (w->scores) words[i] = power_step(&x, w->scores + half * RUN * MR + 32 * i);
            ask_next(w->ask, w->ask_rows);
        }
        if (!w->scores) continue;
        turn_words(words);
        UNROLL for (int r = 0; r < MR; r++) _mm512_store_si512(w->p + 128 * r + 64 * half, words[r]);
    }
    if (w->scores) g->sums = _mm512_add_ps(x.sums[0], x.sums[1]);
}

/* Of sizes that are known, and of others. */
static __attribute__((noinline)) void pass_bf16_128(const task *t, group *g, const step *w) {
    pass_step(t, g, w, 128, 128, false, false);
}
static __attribute__((noinline)) void pass_f8_128(const task *t, group *g, const step *w) {
    pass_step(t, g, w, 128, 128, true, true);
}
static __attribute__((noinline)) void pass_any(const task *t, group *g, const step *w) {
    pass_step(t, g, w, t->dim, t->values, t->k.dtype != LB_BF16, t->v.dtype != LB_BF16);
}
static void (*pass_of(const task *t))(const task *, group *, const step *) {
    if (t->dim != 128 || t->values != 128 || t->k.dtype != t->v.dtype) return pass_any;
    return t->k.dtype == LB_BF16 ? pass_bf16_128 : pass_f8_128;
}

static bool meets(const group *g, int64_t from) { return g->least_lo < from + BLOCK && g->most_hi > from; }

static int64_t row_bytes_of_type(lb_dtype type, int64_t n) { return n * (type == LB_BF16 ? 2 : 1); }

/* All groups' softmax of the block at `from` (`now`), products of the keys after it (`next`) and of the values before
 * it. What is asked for: the next one's values and the keys after these (`after`). NULL: there is none. */
static void pass_groups(const task *t, space *s, group *groups, int64_t count, int64_t from, const block *now,
                        const block *next, const block *after) {
    coming c = { after ? after->k : NULL, next ? next->v : NULL, 0, row_bytes_of_type(t->k.dtype, t->dim),
                 row_bytes_of_type(t->v.dtype, t->values) };
    bool pack = next && (t->k.dtype != LB_BF16 || next->k_step == 0);
    step w = { .packed_k = s->k, .ask = &c, .ask_rows = (2 * BLOCK / (2 * SLOTS) + count - 1) / count,
               .keys = { s->k, 64, 1024, 16 * (int64_t)Q_BYTES(t->dim) } };
    if (next && !pack) w.keys = (key_tiles){ next->k[0], next->k_step, 64, 16 * next->k_step };
    for (int64_t i = 0; i < count; i++) {
        group *g = &groups[i];
        int64_t at = from / BLOCK & 1;
        float *scores[2] = { s->scores + 2 * i * MR * BLOCK, s->scores + (2 * i + 1) * MR * BLOCK }, factors[LANES];
        char *v[2] = { s->v, count > 1 ? s->v + VALUES_BYTES(t->vpad) : s->v }; /* one group packs over what it used */
        char *p[2] = { s->p + 2 * i * MR * 128, s->p + (2 * i + 1) * MR * 128 };
        bool met = now && meets(g, from);
        unsigned moved = 0;
        if (met && (g->most_lo > from || g->least_hi < from + BLOCK)) hide(g, from, scores[at]);
        if (met) moved = move_tops(t, scores[at], g, factors);
        w.pack_k = i == 0 && pack ? next->k : NULL;
        w.pack_v = i == 0 && now ? now->v : NULL;
        w.q = s->q + (size_t)(i * MR) * Q_BYTES(t->dim);
        w.next_scores = next && meets(g, from + BLOCK) ? scores[!at] : NULL;
        w.scores = met ? scores[at] : NULL;
        w.packed_v = v[at], w.values_before = v[!at];
        w.p = p[at], w.p_before = g->pending ? p[!at] : NULL;
        w.out = s->out + i * MR * t->vpad;
        pass_of(t)(t, g, &w);
        if (moved) scale_outputs(factors, t->vpad, w.out);
        g->pending = met;
    }
}

/* A step more before the first block, for its keys, and one after the last, for its values. */
static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end) {
    group groups[ROWS_MOST / MR];
    block third, *ring[3] = { s->now, s->next, &third };
    int64_t count = (it->count + MR - 1) / MR, none = count * MR - it->count, first = from;
    memset(s->q + (size_t)it->count * Q_BYTES(t->dim), 0, (size_t)none * Q_BYTES(t->dim));
    memset(s->out + it->count * t->vpad, 0, (size_t)(none * t->vpad) * sizeof *s->out);
    for (int64_t i = 0; i < count; i++) {
        groups[i] = group_of(s, i * MR, lb_clamp(it->count - i * MR, 0, MR));
        turn_rows(t, s->q + (size_t)(i * MR) * Q_BYTES(t->dim), s->k);
    }
    find_block(t, it, from, ring[1]);
    for (from -= BLOCK; from < end + BLOCK; from += BLOCK) {
        bool next = from + BLOCK < end, after = from + 2 * BLOCK < end;
        if (after) find_block(t, it, from + 2 * BLOCK, ring[2]);
        pass_groups(t, s, groups, count, from, from >= first && from < end ? ring[0] : NULL, next ? ring[1] : NULL,
                    after ? ring[2] : NULL);
        block *oldest = ring[0];
        ring[0] = ring[1], ring[1] = ring[2], ring[2] = oldest;
    }
    for (int64_t i = 0; i < count; i++) keep_group(&groups[i], s, i * MR, lb_clamp(it->count - i * MR, 0, MR));
    for (int64_t r = 0; r < it->count; r++) sort_outputs(t, s->out + r * t->vpad);
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    lb_dtype other = v ? v->dtype : k->dtype;
    *why = "takes caches of bf16 whose heads have a multiple of 32 values, or of f8e4m3, of 64, and at most 16 rows of "
           "q for a cache head";
    if ((k->dtype != LB_BF16 && k->dtype != LB_F8E4M3) || (other != LB_BF16 && other != LB_F8E4M3)) return false;
    if (q->dims[2] % (k->dtype == LB_BF16 ? 32 : 64) || value_dim(a) % (other == LB_BF16 ? 32 : 64)) return false;
    return few_rows(a, MOST_ROWS) && rows_fit(a, why);
}

static void launch_tiles(const lb_args *a, const lb_launch *l) {
    lb_tiles_open(&shapes);
    launch(a, l);
    lb_tiles_close();
}

const lb_kernel lb_kernel_attention_bf16_decode_amx = {
    .name = "attention.bf16.decode_amx", .op = "attention", .device = "cpu",
    .about = "for few rows: keys multiplied as they lie, scores turned, values paired in registers (tdpbf16ps; f8e4m3 "
             "by tables), a running softmax in f32; the positions are split over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_BF16, .act = LB_ACT_BF16,
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 (2^-18 / 3 = 1.3e-6 in the "
                     "mean square), more where values cancel; the instruction takes subnormals for 0",
    .priority = 35, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes,
    .launch = launch_tiles,
};

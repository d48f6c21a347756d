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
 * The next block's lines are asked for into L2: misses under way are many there. */
#include "amx.h"
#include "vec.h"

#define STEPS_D(d) (((int64_t)(d) + 31) / 32)
#define Q_BYTES(d) ((size_t)STEPS_D(d) * 64)
#define KEY_BYTES(d) ((size_t)STEPS_D(d) * 64 * 64)
#define VALUE_BYTES(v) ((size_t)(v) * 64 * 2)
#define P_BYTES(v) ((size_t)64 * 2 + 0 * (size_t)(v))
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

/* 0 and 1: scores of 16 positions each and 8 rows; 2: q; 3: 16 keys, or pairs of values; 4 to 6: outputs; 7:
 * probabilities. A sum's way through the unit is 52 cycles, and its tile is taken until it is stored: with one tile of
 * outputs these took three times as long. */
static const lb_tiles shapes = {
    .palette = 1,
    .row_bytes = { 32, 32, 32, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, MR, MR, MR, MR },
};

/* Of 8 rows. Lane r and lane r + 8 are row r's, at even and at odd positions; rows that are not there see all, and
 * their q is 0. They see positions from least_lo to most_hi, and all of them [most_lo, least_hi). */
typedef struct group {
    __m512 tops, sums;
    __m512i lo, hi;
    int64_t least_lo, most_lo, least_hi, most_hi;
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

/* The next block's rows, keys before values, that are yet to be asked for. */
typedef struct coming { const block *next; int64_t at, key_bytes, value_bytes; } coming;

static inline __attribute__((always_inline)) void ask_lines(const char *row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(row + i, _MM_HINT_T1);
}
/* Asks for some. Spread over all of a block's work: memory should not rest, and finds room for some 60 lines. */
static inline __attribute__((always_inline)) void ask_next(coming *c, int64_t rows) {
    for (int64_t end = c->at + rows < 2 * BLOCK ? c->at + rows : 2 * BLOCK; c->at < end; c->at++)
        if (c->at < BLOCK) ask_lines(c->next->k[c->at], c->key_bytes);
        else ask_lines(c->next->v[c->at - BLOCK], c->value_bytes);
}

/* Keys that products cannot take as they lie: in pages, fewer than 64, of e4m3. */
static void pack_keys(const task *t, const char *const *row, void *out) {
    tables tab = tables_of();
    char *to = out;
    for (int64_t i = 0; i < BLOCK; i++, to += Q_BYTES(t->dim)) {
        if (t->k.dtype == LB_BF16) {
            memcpy(to, row[i], (size_t)t->dim * 2);
            continue;
        }
        for (int64_t d = 0; d < t->dim; d += 64)
            widen(_mm512_loadu_si512(row[i] + d), &tab, (__m512i *)(void *)(to + 2 * d));
    }
}

/* [pair of positions][values], both in orders of their own. */
static void pack_values(const task *t, const char *const *row, coming *c, char *out) {
    tables tab = tables_of();
    for (int64_t i = 0; i < BLOCK / 2; i++) { /* as they lie; where they go is out of step */
        int64_t at = i / 4 * 8 + i % 4;
        const char *a = row[at], *b = row[at + 4];
        char *to = out + (i / 16 * 16 + i % 4 * 4 + i / 4 % 4) * t->vpad * 4;
        ask_next(c, 1);
        if (t->v.dtype == LB_BF16)
            for (int64_t d = 0; d < t->values; d += 32, to += 128) {
                __m512i x = _mm512_loadu_si512(a + 2 * d), y = _mm512_loadu_si512(b + 2 * d);
                _mm512_store_si512(to, _mm512_unpacklo_epi16(x, y));
                _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(x, y));
            }
        else
            for (int64_t d = 0; d < t->values; d += 64, to += 256) {
                __m512i x = _mm512_loadu_si512(a + d), y = _mm512_loadu_si512(b + d);
                widen(_mm512_unpacklo_epi8(x, y), &tab, (__m512i *)(void *)to);
                widen(_mm512_unpackhi_epi8(x, y), &tab, (__m512i *)(void *)(to + 128));
            }
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

/* s[32 positions][8 rows]; keys are `step` bytes apart. */
static void score_tiles(const task *t, const char *q, const char *k, int64_t step, coming *c, float *s) {
    int64_t n = STEPS_D(t->dim), each = (8 + n - 1) / n;
    LB_TILE_ZERO(0);
    LB_TILE_ZERO(1);
    for (int64_t d = 0; d < n; d++, k += 64) {
        LB_TILE_LOAD(2, q + 512 * d, 32);
        LB_TILE_LOAD_ONCE(3, k, step);
        LB_TILE_BF16(0, 3, 2);
        ask_next(c, each);
        LB_TILE_LOAD_ONCE(3, k + 16 * step, step);
        LB_TILE_BF16(1, 3, 2);
        ask_next(c, each);
    }
    LB_TILE_STORE(0, s, 32);
    LB_TILE_STORE(1, s + 16 * MR, 32);
}

/* out[8 rows] += p * v, in tiles of 16 values: up to three at a time, `tiles` of them. */
static inline __attribute__((always_inline)) void weigh(const char *p, const char *v, int64_t stride, int tiles,
                                                        float *out) {
    LB_TILE_LOAD(4, out, stride);
    if (tiles > 1) LB_TILE_LOAD(5, out + 16, stride);
    if (tiles > 2) LB_TILE_LOAD(6, out + 32, stride);
    UNROLL for (int h = 0; h < 2; h++, p += 64, v += 16 * stride) {
        LB_TILE_LOAD(7, p, 128);
        LB_TILE_LOAD(3, v, stride);
        LB_TILE_BF16(4, 7, 3);
        if (tiles > 1) LB_TILE_LOAD(3, v + 64, stride);
        if (tiles > 1) LB_TILE_BF16(5, 7, 3);
        if (tiles > 2) LB_TILE_LOAD(3, v + 128, stride);
        if (tiles > 2) LB_TILE_BF16(6, 7, 3);
    }
    LB_TILE_STORE(4, out, stride);
    if (tiles > 1) LB_TILE_STORE(5, out + 16, stride);
    if (tiles > 2) LB_TILE_STORE(6, out + 32, stride);
}
static void value_tiles(const task *t, const char *p, const char *v, coming *c, float *out) {
    int64_t stride = t->vpad * 4, i = 0;
    for (; i + 48 <= t->vpad; i += 48) {
        weigh(p, v + 4 * i, stride, 3, out + i);
        ask_next(c, 48 * 32 / t->vpad);
    }
    if (i + 32 <= t->vpad) weigh(p, v + 4 * i, stride, 2, out + i);
    else if (i < t->vpad) weigh(p, v + 4 * i, stride, 1, out + i);
    ask_next(c, 2 * BLOCK); /* what is left */
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

/* Where a score is 2^8 times over its row's top, the top becomes the largest score, and what was summed is scaled. */
static void move_tops(const task *t, const float *s, group *g, float *out) {
    __m512 most = _mm512_set1_ps(-INFINITY), other = most;
    for (int i = 0; i < BLOCK * MR; i += 2 * LANES) {
        most = _mm512_max_ps(_mm512_load_ps(s + i), most); /* of NaN and a number the number */
        other = _mm512_max_ps(_mm512_load_ps(s + i + LANES), other);
    }
    most = _mm512_max_ps(most, other);
    most = _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0x4e));
    most = _mm512_mul_ps(most, _mm512_set1_ps(t->scale));
    __mmask16 over = _mm512_cmp_ps_mask(most, _mm512_add_ps(g->tops, _mm512_set1_ps(8)), _CMP_GT_OQ);
    if (!over) return;
    float factors[LANES], tops[LANES], now[LANES];
    __m512 moved = _mm512_mask_mov_ps(g->tops, over, most);
    _mm512_storeu_ps(tops, g->tops);
    _mm512_storeu_ps(now, moved);
    for (int r = 0; r < MR; r++) {
        factors[r] = factors[r + MR] = over >> r & 1 ? exp2f(tops[r] - now[r]) : 1;
        if (factors[r] == 1) continue;
        for (int64_t i = 0; i < t->vpad; i += LANES)
            vf_store(out + r * t->vpad + i, vf_load(out + r * t->vpad + i) * vf_set(factors[r]));
    }
    g->sums = _mm512_mul_ps(g->sums, _mm512_loadu_ps(factors));
    g->tops = moved;
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

/* Scores become probabilities, bf16, p[row][64 positions in their order]. The difference is not fused: a number less
 * itself as rounded may be anything where scores are over 2^24. */
static void powers(const task *t, const float *s, group *g, coming *c, char *p) {
    const __m512 f = _mm512_set1_ps(t->scale); /* -Inf less -Inf would be NaN, not 0 */
    __m512 none = _mm512_set1_ps(-INFINITY), tops = _mm512_mask_mov_ps(
        g->tops, _mm512_cmp_ps_mask(g->tops, none, _CMP_EQ_OQ), _mm512_setzero_ps());
    __m512 sums[2] = { g->sums, _mm512_setzero_ps() };
    for (int h = 0; h < 2; h++, s += RUN * MR) {
        __m512i w[8];
        UNROLL for (int i = 0; i < 8; i++) {
            __m512 x = exp2_bf16(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(s + 32 * i), f), tops));
            __m512 y = exp2_bf16(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(s + 32 * i + 16), f), tops));
            sums[0] = _mm512_add_ps(sums[0], x), sums[1] = _mm512_add_ps(sums[1], y);
            w[i] = (__m512i)_mm512_cvtne2ps_pbh(y, x);
            ask_next(c, 2);
        }
        turn_words(w);
        UNROLL for (int r = 0; r < MR; r++) _mm512_store_si512(p + 128 * r + 64 * h, w[r]);
    }
    g->sums = _mm512_add_ps(sums[0], sums[1]);
}

/* ---- blocks ---- */

static int64_t row_bytes_of_type(lb_dtype type, int64_t n) { return n * (type == LB_BF16 ? 2 : 1); }

static void pass_block(const task *t, space *s, group *groups, int64_t count, int64_t from, const block *next) {
    const char *k = s->now->k[0];
    int64_t step = s->now->k_step;
    coming c = { next, 0, row_bytes_of_type(t->k.dtype, t->dim), row_bytes_of_type(t->v.dtype, t->values) };
    if (t->k.dtype != LB_BF16 || step == 0) {
        pack_keys(t, s->now->k, s->k);
        k = s->k, step = (int64_t)Q_BYTES(t->dim);
    }
    for (int64_t i = 0; i < count; i++) {
        group *g = &groups[i];
        const char *q = s->q + (size_t)(i * MR) * Q_BYTES(t->dim);
        float *out = s->out + i * MR * t->vpad;
        bool met = g->least_lo < from + BLOCK && g->most_hi > from;
        for (int64_t j = 0; j < BLOCK && met; j += RUN)
            score_tiles(t, q, k + j * step, step, &c, s->scores + j * MR);
        if (i == 0) pack_values(t, s->now->v, &c, s->v);
        if (!met) continue;
        if (g->most_lo > from || g->least_hi < from + BLOCK) hide(g, from, s->scores);
        move_tops(t, s->scores, g, out);
        powers(t, s->scores, g, &c, s->p);
        value_tiles(t, s->p, s->v, &c, out);
    }
}

static void pass_blocks(const task *t, const item *it, space *s, int64_t from, int64_t end) {
    group groups[ROWS_MOST / MR];
    int64_t count = (it->count + MR - 1) / MR, none = count * MR - it->count;
    memset(s->q + (size_t)it->count * Q_BYTES(t->dim), 0, (size_t)none * Q_BYTES(t->dim));
    memset(s->out + it->count * t->vpad, 0, (size_t)(none * t->vpad) * sizeof *s->out);
    for (int64_t i = 0; i < count; i++) {
        groups[i] = group_of(s, i * MR, lb_clamp(it->count - i * MR, 0, MR));
        turn_rows(t, s->q + (size_t)(i * MR) * Q_BYTES(t->dim), s->k);
    }
    find_block(t, it, from, s->now);
    for (; from < end; from += BLOCK) {
        bool more = from + BLOCK < end;
        if (more) find_block(t, it, from + BLOCK, s->next);
        pass_block(t, s, groups, count, from, more ? s->next : s->now);
        block *b = s->now;
        s->now = s->next, s->next = b;
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

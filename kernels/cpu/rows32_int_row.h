/* rows32_int_row.h: weight-only integer formats with groups, one row of x: codes to bytes, tiles of int8 with x's
 * digits (digits_amx.h), sums of a group times its scale and zeros times the activations' sums onto the total in f32.
 * A step's codes are unpacked while the tiles multiply the one before. */
#pragma once
#include "digits_amx.h"
#include "rows32_int_pack.h"

enum { INT_ROW_AHEAD = 8192 };

/* A byte of a tile is its code less the middle of all codes, times 2 to this power: the code's bits are the upper ones,
 * the first of them turned over. */
LB_INLINE int int_row_shift(const int_format f) { return 8 - f.bits; }
/* What a level is above that. */
LB_INLINE float int_row_above(const int_format f) { return (float)(1 << (f.bits - 1)) - int_offset(f); }

/* How a kernel multiplies, all constants: x's digits; groups in a tile and their values (act_digits_avx512.h). */
typedef struct int_row_way { int count, blocks, group; } int_row_way;

/* Steps of 64 k in which a tile's groups are multiplied; of larger groups a step is by itself. */
LB_INLINE int int_row_steps(const int_row_way w) { return w.blocks == 1 ? 1 : w.blocks * w.group / LB_DIGITS_STEP; }

/* Four bits: 16 rows of a run at `p` to 8 rows of a tile, the second four of which are `apart` bytes behind the first.
 * Unsigned codes would take as many instructions, and their
 * offset off the sums by another read of L2, as long as the weights for groups of 32. */
LB_INLINE void int_row_nibbles(const uint8_t *p, const int apart, int8_t *to) {
    LB_UNROLL for (int i = 0; i < 4; i++) {
        const __m512i v = _mm512_load_si512(p + 64 * i);
        const __m512i low = _mm512_slli_epi32(v, 4), eight = lb_bytes(0x80), upper = lb_bytes(0xf0);
        int8_t *row = to + i / 2 * apart + i % 2 * 128;
        _mm512_store_si512(row, _mm512_ternarylogic_epi32(low, eight, upper, 0x28)); /* (a ^ b) & c */
        _mm512_store_si512(row + 64, _mm512_ternarylogic_epi32(v, eight, upper, 0x28));
    }
}

/* Other widths. A dword of a tile's row has the codes of pairs p and p + 2, first element, then the second of either,
 * the order of nibbles: byte t has pair p + 2 (t % 2). vpmultishiftqb cuts each byte out of its row's words at a bit of
 * its own, once from each vector v that has bits of any of the four. */
LB_INLINE uint64_t int_row_cut(int bits, int p, int v, int y) {
    return (uint64_t)(((p + y % 2 * 2) * bits - 16 * v + y % 4 / 2 * 16 + y / 4 * 32 - (8 - bits)) & 63) << 8 * y;
}
LB_INLINE uint64_t int_row_cuts(int bits, int p, int v) {
    return int_row_cut(bits, p, v, 0) | int_row_cut(bits, p, v, 1) | int_row_cut(bits, p, v, 2) |
           int_row_cut(bits, p, v, 3) | int_row_cut(bits, p, v, 4) | int_row_cut(bits, p, v, 5) |
           int_row_cut(bits, p, v, 6) | int_row_cut(bits, p, v, 7);
}
/* The bits of a byte of pair p that vector v has. */
LB_INLINE int int_row_mask(int bits, int p, int v) {
    const int low = 16 * v - p * bits, high = low + 16, from = low > 0 ? low : 0, end = high < bits ? high : bits;
    return end > from ? ((1 << end) - (1 << from)) << (8 - bits) : 0;
}
LB_INLINE void int_row_widths(const int bits, const uint8_t *p, const int apart, int8_t *to) {
    LB_UNROLL for (int i = 0; i < 8; i++) {
        const int pair = i / 2 * 4 + i % 2;
        __m512i w = lb_bytes(0x80);
        LB_UNROLL for (int v = 0; v < bits; v++) {
            const int mask = int_row_mask(bits, pair, v) | int_row_mask(bits, pair + 2, v) << 8;
            if (mask == 0) continue;
            const __m512i cuts = _mm512_set1_epi64((long long)int_row_cuts(bits, pair, v));
            const __m512i cut = _mm512_multishift_epi64_epi8(cuts, _mm512_load_si512(p + 64 * v));
            w = _mm512_ternarylogic_epi32(cut, _mm512_set1_epi16((short)mask), w, 0x6a); /* (a & b) ^ c */
        }
        _mm512_store_si512(to + i / 4 * apart + i % 4 * 64, w);
    }
}
LB_INLINE void int_row_codes(const int_format f, const uint8_t *p, const int apart, int8_t *to) {
    if (f.bits == 4) int_row_nibbles(p, apart, to);
    else int_row_widths(f.bits, p, apart, to);
}

/* Behind a group's head, whose successor is asked for. */
LB_INLINE const uint8_t *int_row_pass_head(const int_format f, const uint8_t *p) {
    LB_UNROLL for (size_t i = 0; i < int_head_bytes(f); i += 64) lb_ask(p + i, INT_ROW_AHEAD);
    return p + int_head_bytes(f);
}

enum { INT_ROW_FOUR = 256 /* bytes of four rows of a tile */ };

/* A run of both halves, the `r`th of group `j` of those that are multiplied together, to where its parts stand in the
 * tiles from `to` on. */
LB_INLINE void int_row_expand(const int_format f, const int blocks, const uint8_t *p, int j, int r, digits_codes *to) {
    const int apart = blocks == 4 ? (int)sizeof *to : INT_ROW_FOUR;
    const int tile = blocks == 4 ? 2 * r : blocks == 2 ? r : r / 2;
    const int row = blocks == 4 ? j : blocks == 2 ? 2 * j : 2 * (r % 2); /* of four each */
    LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) {
        LB_UNROLL for (int l = 0; l < f.bits; l++) lb_ask(p + 64 * l, INT_ROW_AHEAD);
        int_row_codes(f, p, apart, to[tile].of[h] + row * INT_ROW_FOUR);
    }
}

/* A panel as it is read, and the activations' sums of groups. */
typedef struct int_row_panel {
    const uint8_t *points, *stream;
    size_t group_bytes;
    const float *sums;
} int_row_panel;

LB_INLINE int_row_panel int_row_open(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act,
                                     int64_t k) {
    const uint16_t *behind = (const uint16_t *)act + lb_act_bf16_padded(k);
    return (int_row_panel){ panel, panel + int_points_bytes(f, q, k), int_group_bytes(f, q->group),
                            (const float *)(const void *)behind + lb_act_bf16_sums_at(k, q->group) };
}

/* Scales and zeros of a half of group g. */
LB_INLINE void int_row_head(const int_format f, const int_row_panel *p, int64_t g, int h, __m512 *scale, __m512 *zero) {
    const uint8_t *head = p->stream + (size_t)g * p->group_bytes;
    if (f.head != INT_POINTS) {
        int_head(f, head, h, scale, zero);
        return;
    }
    const uint8_t *points = p->points + LB_PANEL_ROWS * g;
    const __m512i point = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)(points + 16 * h)));
    *scale = _mm512_load_ps((const float *)(const void *)head + 16 * h);
    *zero = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(int_offset(f)), _mm512_cvtepi32_ps(point)), *scale);
}

/* A half's total += group g's sums times its scales, zeros times the activations' sum. */
LB_INLINE __m512 int_row_add(const int_format f, const int_row_panel *p, int64_t g, int h, __m512 sums, __m512 total) {
    __m512 scale, zero;
    int_row_head(f, p, g, h, &scale, &zero);
    if (int_row_above(f) > 0) zero = _mm512_fmadd_ps(scale, _mm512_set1_ps(int_row_above(f)), zero);
    return _mm512_fmadd_ps(zero, _mm512_set1_ps(p->sums[g]), _mm512_fmadd_ps(sums, scale, total));
}
/* The totals += group g's, which have arrived: rows from `first` on. */
LB_INLINE void int_row_close(const int_format f, const int_row_panel *p, int64_t g, const digits_sums *s, int first,
                             const int count, __m512 exponent, __m512 total[2]) {
    if (f.head == INT_POINTS) _mm_prefetch((const char *)p->points + LB_PANEL_ROWS * g + 1024, _MM_HINT_T0);
    LB_UNROLL for (int h = 0; h < 2; h++)
        total[h] = int_row_add(f, p, g, h, digits_total(s, h, first, count, exponent), total[h]);
}

/* x that its digits do not hold. */
LB_INLINE void int_row_plain(const int_format f, const lb_quantizer *q, const uint8_t *panel, const void *act,
                             int64_t k, float *out) {
    const int_row_panel of = int_row_open(f, q, panel, act, k);
    const uint16_t *x = act;
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    for (int64_t g = 0; g < k / q->group; g++) {
        const uint8_t *p = of.stream + (size_t)g * of.group_bytes + int_head_bytes(f);
        digits_plain sums = { 0 };
        for (int64_t i = 0; i < q->group / 32; i++, p += 2 * int_run_bytes(f), x += 32) {
            digits_codes codes;
            int_row_expand(f, 1, p, 0, 0, &codes);
            digits_plain_step(x, 32, lb_act_digits_pairs_order, &codes, (unsigned)int_row_shift(f), &sums);
        }
        LB_UNROLL for (int h = 0; h < 2; h++)
            total[h] = int_row_add(f, &of, g, h, digits_plain_total(&sums, h), total[h]);
    }
    LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

/* What is on its way through a panel. */
typedef struct int_row_reader { const uint8_t *p; int64_t run; /* of the panel's */ } int_row_reader;

/* The next 64 k, or what there is of them, to the tiles of the groups that they are multiplied with. Those of groups
 * behind K keep what they had, which meets zeros of x. */
LB_INLINE void int_row_read(const int_format f, const int_row_way w, int64_t group, int64_t runs, int_row_reader *r,
                            digits_codes *to) {
    LB_UNROLL for (int i = 0; i < 2; i++) {
        const int64_t in_group = group / 32;
        if (r->run == runs) return;
        if (r->run % in_group == 0) r->p = int_row_pass_head(f, r->p);
        if (w.blocks == 1) int_row_expand(f, 1, r->p, 0, i, to);
        else int_row_expand(f, w.blocks, r->p, (int)(r->run / in_group % w.blocks), (int)(r->run % in_group), to);
        r->p += 2 * int_run_bytes(f);
        r->run++;
    }
}

/* The totals += those of the groups of `block` from j to j + count - 1, where they exist. */
LB_INLINE void int_row_close_some(const int_format f, const int_row_way w, const int_row_panel *p, int64_t groups,
                                  int64_t block, int j, const int some, const digits_sums *s, __m512 exponent,
                                  __m512 total[2]) {
    for (int i = j; i < j + some; i++)
        if (block * w.blocks + i < groups)
            int_row_close(f, p, block * w.blocks + i, s, i * w.count, w.count, exponent, total);
}

/* K is not 0: gemm_panel.c has that case. A block, the groups whose sums share a tile, is expanded while the one before
 * is multiplied, and closed three later. */
LB_INLINE void int_row(const int_format f, const int_row_way w, const lb_quantizer *q, const uint8_t *panel,
                       const void *act, int64_t k, float *out) {
    enum { MOST = 2 /* steps of a block, where it has several groups */ };
    digits_codes codes[2 * MOST];
    digits_sums sums[2];
    const int8_t *x = lb_act_digits_tiles(act, k);
    const int_row_panel of = int_row_open(f, q, panel, act, k);
    const __m512 exponent = _mm512_set1_ps(lb_act_digits_of(act, k)->exponent - (float)int_row_shift(f));
    const int64_t group = w.blocks == 1 ? q->group : w.group, groups = k / group;
    const int64_t blocks = (groups + w.blocks - 1) / w.blocks, each = w.blocks * group / LB_DIGITS_STEP;
    const int ahead = int_row_steps(w), some = w.blocks / ahead;
    int_row_reader reader = { of.stream, 0 };
    int64_t b = 0, done = 0; /* the block, its steps that were multiplied */
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    lb_tiles_open(digits_shape(w.blocks * w.count, LB_DIGITS_STEP));
    for (int64_t i = 0; i < blocks * each + ahead; i++) {
        int_row_read(f, w, group, k / 32, &reader, codes + i / ahead % 2 * ahead);
        if (i < ahead) continue;
        if (done == 0 && b > 1) digits_store((int)(b % 2), &sums[b % 2]); /* block b - 2 */
        if (done < ahead && b > 2)
            int_row_close_some(f, w, &of, groups, b - 3, (int)done * some, some, &sums[(b + 1) % 2], exponent, total);
        if (done == 0) digits_zero((int)(b % 2));
        digits_step((int)(b % 2), x, &codes[(i - ahead) % (2 * ahead)]);
        x += w.blocks * lb_act_digits_tile(w.count);
        LB_UNROLL for (int l = 0; l < w.blocks * w.count; l++)
            _mm_prefetch((const char *)x + 64 * (w.blocks * w.count + l), _MM_HINT_T0);
        if (++done == each) b++, done = 0;
    }
    if (b > 2) int_row_close_some(f, w, &of, groups, b - 3, 0, w.blocks, &sums[(b + 1) % 2], exponent, total);
    const int64_t last = b > 1 ? b - 2 : 0;
    for (int64_t j = last; j < b; j++) digits_store((int)(j % 2), &sums[j % 2]);
    for (int64_t j = last; j < b; j++)
        int_row_close_some(f, w, &of, groups, j, 0, w.blocks, &sums[j % 2], exponent, total);
    lb_tiles_close();
    LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

static bool int_row_supports(const lb_args *a, const char **why) {
    *why = "tiles of x's digits are for one row of activations";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

/* As rows32_int.h has them for more rows. */
#define INT_ROW_WAY(digits, size)                                                                                    \
    int_row(f, ((int_row_way){ digits, lb_act_digits_blocks(size, digits), size }), q, panel, act, k, out)
#define INT_ROW_RUN(name, b, its_head)                                                                               \
    static void name(const lb_quantizer *q, const void *panel, const void *act, int64_t k, float *out) {             \
        const int_format f = { b, its_head };                                                                        \
        const bool few = lb_act_digits_of(act, k)->count == LB_DIGITS_FEW;                                           \
        if (digits_miss(act, k)) int_row_plain(f, q, panel, act, k, out);                                            \
        else if (q->group == 32 && few) INT_ROW_WAY(LB_DIGITS_FEW, 32);                                              \
        else if (q->group == 32) INT_ROW_WAY(LB_DIGITS, 32);                                                         \
        else if (q->group == 64 && few) INT_ROW_WAY(LB_DIGITS_FEW, 64);                                              \
        else if (few) INT_ROW_WAY(LB_DIGITS_FEW, 128);                                                               \
        else INT_ROW_WAY(LB_DIGITS, 128); /* of 64 as of 128: one group a tile */                                    \
    }
#define INT_RUN(b, its_head) INT_ROW_RUN(run_##b, b, its_head)
typedef void (*int_run_fn)(const lb_quantizer *, const void *, const void *, int64_t, float *);
/* The functions by bits, for weights of q. */
#ifndef INT_ROW_RUNS
#define INT_ROW_RUNS runs
#endif
#define INT_DEFINE_RUN                                                                                               \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)stride, (void)cols, (void)out_stride;                                                                  \
        INT_ROW_RUNS[q->bits](q, panel, act, k, out);                                                                \
    }
#define INT_DEFINE_PANELS
#define INT_PANELS NULL
#define INT_ACT lb_act_digits_groups_prepare, lb_act_digits_groups_bytes, LB_ACT_KIND_DIGITS_GROUPS
#define INT_WITH(how) "one row of x as four or eight digits of a byte, tdpbssd, exact " how
/* INT_CENTRED: as rows32_int.h has it. */
#ifdef INT_CENTRED
#define INT_ROW_BOUND                                                                                                \
    .tolerance = 1e-12, .tolerance_why = "sums of a group are exact, or in f64 where x's digits do not hold it; "    \
                                         "f32 steps a group and the activations' sums in f32"
#else
#define INT_ROW_BOUND                                                                                                \
    .tolerance = 1e-9, .tolerance_why = "sums of a group are exact, f32 steps a group; codes with a zero are "       \
                                        "multiplied before it is taken off, which cancels where activations have "   \
                                        "one sign: up to 1.4e-10 was seen with vdpbf16ps"
#endif

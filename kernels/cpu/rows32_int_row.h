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

/* x of step j, which has so many runs; its digits are `count`. */
LB_INLINE const int8_t *int_row_x(const int8_t *x, const int count, const int runs, int64_t j) {
    const int64_t tile = lb_act_digits_tile(count);
    return x + (runs == 1 ? j / 2 * tile + j % 2 * 32 : j * tile);
}

/* Four bits: 16 rows of a run at `p` to 8 rows of a tile. Unsigned codes would take as many instructions, and their
 * offset off the sums by another read of L2, as long as the weights for groups of 32. */
LB_INLINE void int_row_nibbles(const uint8_t *p, int8_t *to) {
    LB_UNROLL for (int i = 0; i < 4; i++) {
        const __m512i v = _mm512_load_si512(p + 64 * i);
        const __m512i low = _mm512_slli_epi32(v, 4), eight = lb_bytes(0x80), upper = lb_bytes(0xf0);
        _mm512_store_si512(to + 128 * i, _mm512_ternarylogic_epi32(low, eight, upper, 0x28)); /* (a ^ b) & c */
        _mm512_store_si512(to + 128 * i + 64, _mm512_ternarylogic_epi32(v, eight, upper, 0x28));
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
LB_INLINE void int_row_widths(const int bits, const uint8_t *p, int8_t *to) {
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
        _mm512_store_si512(to + 64 * i, w);
    }
}
LB_INLINE void int_row_codes(const int_format f, const uint8_t *p, int8_t *to) {
    if (f.bits == 4) int_row_nibbles(p, to);
    else int_row_widths(f.bits, p, to);
}

/* Behind a group's head, whose successor is asked for. */
LB_INLINE const uint8_t *int_row_pass_head(const int_format f, const uint8_t *p) {
    LB_UNROLL for (size_t i = 0; i < int_head_bytes(f); i += 64) lb_ask(p + i, INT_ROW_AHEAD);
    return p + int_head_bytes(f);
}

/* So many runs, 1 or 2. */
LB_INLINE void int_row_expand(const int_format f, const int runs, const uint8_t *p, digits_codes *to) {
    LB_UNROLL for (int run = 0; run < runs; run++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            const uint8_t *from = p + (size_t)(2 * run + h) * int_run_bytes(f);
            LB_UNROLL for (int l = 0; l < f.bits; l++) lb_ask(from + 64 * l, INT_ROW_AHEAD);
            int_row_codes(f, from, to->of[h] + run * (DIGITS_HALF / 2));
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
/* The totals += group g's, which have arrived. */
LB_INLINE void int_row_close(const int_format f, const int_row_panel *p, int64_t g, const digits_sums *s,
                             const int count, __m512 exponent, __m512 total[2]) {
    if (f.head == INT_POINTS) _mm_prefetch((const char *)p->points + LB_PANEL_ROWS * g + 1024, _MM_HINT_T0);
    LB_UNROLL for (int h = 0; h < 2; h++)
        total[h] = int_row_add(f, p, g, h, digits_total(s, h, count, exponent), total[h]);
}

/* x that its digits do not hold. */
LB_INLINE void int_row_plain(const int_format f, const int runs, const lb_quantizer *q, const uint8_t *panel,
                             const void *act, int64_t k, float *out) {
    const int_row_panel of = int_row_open(f, q, panel, act, k);
    const uint16_t *x = act;
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    for (int64_t g = 0; g < k / q->group; g++) {
        const uint8_t *p = of.stream + (size_t)g * of.group_bytes + int_head_bytes(f);
        digits_plain sums = { 0 };
        for (int64_t i = 0; i < q->group / (32 * runs); i++, p += (size_t)(2 * runs) * int_run_bytes(f)) {
            digits_codes codes;
            int_row_expand(f, runs, p, &codes);
            digits_plain_step(x, 32 * runs, lb_act_digits_pairs_order, &codes, (unsigned)int_row_shift(f), &sums);
            x += 32 * runs;
        }
        LB_UNROLL for (int h = 0; h < 2; h++)
            total[h] = int_row_add(f, &of, g, h, digits_plain_total(&sums, h), total[h]);
    }
    LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

/* `count`, of x's digits, and `runs` are constants; a step has 1 run for groups of 32. K is not 0: gemm_panel.c has
 * that case. */
LB_INLINE void int_row(const int_format f, const int count, const int runs, const lb_quantizer *q, const uint8_t *panel,
                       const void *act, int64_t k, float *out) {
    digits_codes codes[2];
    digits_sums sums[2];
    const int8_t *x = lb_act_digits_tiles(act, k);
    const int_row_panel of = int_row_open(f, q, panel, act, k);
    const __m512 exponent = _mm512_set1_ps(lb_act_digits_of(act, k)->exponent - (float)int_row_shift(f));
    const int64_t steps = k / (32 * runs), each = q->group / (32 * runs);
    const uint8_t *p = of.stream;
    int64_t g = 0, begun = 0, done = 0; /* the group, its steps that were expanded and multiplied */
    __m512 total[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    lb_tiles_open(digits_shape(count, 32 * runs));
    for (int64_t i = 0; i <= steps; i++) {
        if (i < steps) {
            if (begun == 0) p = int_row_pass_head(f, p);
            begun = begun + 1 < each ? begun + 1 : 0;
            int_row_expand(f, runs, p, &codes[i % 2]);
            p += (size_t)(2 * runs) * int_run_bytes(f);
        }
        if (i == 0) continue;
        const int64_t j = i - 1;
        if (done == 0) {
            if (g > 1) digits_store((int)(g % 2), &sums[g % 2]); /* group g - 2 */
            if (g > 2) int_row_close(f, &of, g - 3, &sums[(g + 1) % 2], count, exponent, total);
            digits_zero((int)(g % 2));
        }
        digits_step((int)(g % 2), int_row_x(x, count, runs, j), &codes[j % 2]);
        if (++done == each) g++, done = 0;
    }
    if (g > 2) int_row_close(f, &of, g - 3, &sums[(g + 1) % 2], count, exponent, total);
    const int64_t last = g > 1 ? g - 2 : 0;
    for (int64_t j = last; j < g; j++) digits_store((int)(j % 2), &sums[j % 2]);
    for (int64_t j = last; j < g; j++) int_row_close(f, &of, j, &sums[j % 2], count, exponent, total);
    lb_tiles_close();
    LB_UNROLL for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 16 * h, total[h]);
}

static bool int_row_supports(const lb_args *a, const char **why) {
    *why = "tiles of x's digits are for one row of activations";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1;
}

/* As rows32_int.h has them for more rows. */
#define INT_ROW_RUN(name, b, its_head)                                                                               \
    static void name(const lb_quantizer *q, const void *panel, const void *act, int64_t k, float *out) {             \
        const int_format f = { b, its_head };                                                                        \
        const bool few = lb_act_digits_of(act, k)->count == LB_DIGITS_FEW, whole = q->group != 32;                   \
        if (digits_miss(act, k)) int_row_plain(f, whole ? 2 : 1, q, panel, act, k, out);                             \
        else if (whole && few) int_row(f, LB_DIGITS_FEW, 2, q, panel, act, k, out);                                  \
        else if (whole) int_row(f, LB_DIGITS, 2, q, panel, act, k, out);                                             \
        else if (few) int_row(f, LB_DIGITS_FEW, 1, q, panel, act, k, out);                                           \
        else int_row(f, LB_DIGITS, 1, q, panel, act, k, out);                                                        \
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
#define INT_ACT lb_act_digits_pairs_prepare, lb_act_digits_bytes, LB_ACT_KIND_DIGITS_PAIRS
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

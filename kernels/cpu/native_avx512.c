/* native_avx512.c: products of rows of quantized weights, as files have them, with rows of activations.
 *
 * Up to four rows of activations: a block of 256 weights becomes codes in four registers, in the order of the
 * activations; the sums of 16 rows are turned around, so that f32 steps are taken for 16 rows at a time. Rows follow
 * one another in memory, so that a panel is one stream, or a few long runs. More rows: 32 by 256 weights are opened,
 * turned around and given to the tiles of repacked weights (native_many.h). Either way the f32 steps are those of
 * repacked weights, in their order, and so are the bits of results, however many rows there are. */
#include "native_avx512.h"

#include "act_q8_32_avx512.h"
#include "act_q8_avx512.h"
#include "native_many.h"
#include "native_open.h"

/* What comes next is asked for AHEAD bytes before it is read, and EXTRA bytes more while a segment's sums are turned
 * around and nothing is read. */
enum { ROWS = LB_NATIVE_ROWS, LANES = 16, COLS = 4, AHEAD = 8192, EXTRA = 3072 };
/* Blocks of a row, times rows of activations, whose sums are kept, in L1 beside the weights that pass: where a block
 * has one sum, and where it has eight. */
enum { scaled_most = 32, grouped_most = 32 };
enum { scaled_step = 4, grouped_step = 2 }; /* blocks that go together */

#define EACH_COL UNROLL for (int c = 0; c < cols; c++)
#define ALIGNED __attribute__((aligned(64)))
#define NOINLINE __attribute__((noinline))

/* ---- 16 rows side by side ---- */

/* Per 128 bits, four dwords of each of four vectors: out[j] has dword j of all. */
INLINE void turn4(const __m512i in[4], __m512i out[4]) {
    __m512i a = _mm512_unpacklo_epi32(in[0], in[1]), b = _mm512_unpackhi_epi32(in[0], in[1]);
    __m512i c = _mm512_unpacklo_epi32(in[2], in[3]), d = _mm512_unpackhi_epi32(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* The place of row r among 16 bytes of each row, for which turn4() of the four vectors has row r in lane r. */
INLINE int slot(int r) { return r % 4 * 4 + r / 4; }

INLINE void turn_slots(const __m128i at[LANES], __m512i out[4]) {
    __m512i v[4];
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm512_load_si512(at + 4 * i);
    turn4(v, out);
}

/* Quarters of four vectors: out[j] has quarter j of all. */
INLINE void turn_quarters(const __m512i in[4], __m512i out[4]) {
    __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x88), b = _mm512_shuffle_i32x4(in[2], in[3], 0x88);
    __m512i c = _mm512_shuffle_i32x4(in[0], in[1], 0xdd), d = _mm512_shuffle_i32x4(in[2], in[3], 0xdd);
    out[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    out[1] = _mm512_shuffle_i32x4(c, d, 0x88);
    out[2] = _mm512_shuffle_i32x4(a, b, 0xdd);
    out[3] = _mm512_shuffle_i32x4(c, d, 0xdd);
}

/* Dword j of quarter i of 64 bytes of 16 rows, 256 bytes apart, to lane r of to[step * i + j][0]. */
INLINE void turn16(const uint8_t *from, __m512i (*to)[2], const int step) {
    __m512i t[4][4];
    UNROLL for (int k = 0; k < 4; k++) {
        __m512i in[4];
        UNROLL for (int m = 0; m < 4; m++) in[m] = _mm512_load_si512(from + 256 * (4 * k + m));
        turn4(in, t[k]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m512i out[4];
        turn_quarters((__m512i[4]){ t[0][j], t[1][j], t[2][j], t[3][j] }, out);
        UNROLL for (int i = 0; i < 4; i++) to[step * i + j][0] = out[i];
    }
}

/* Per 128 bits, the sums of four vectors' four dwords. */
INLINE __m512i sum4(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* The low halves of 16 dwords, or with `high` the others, as f16. */
INLINE __m512 halves_of(__m512i v, const bool high) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high ? _mm512_srli_epi32(v, 16) : v));
}

INLINE const void *act_of(const void *act, size_t stride, int c) { return (const char *)act + (size_t)c * stride; }

/* ---- formats whose runs of 32 or 16 have integers for scales ---- */

/* wide: runs of 32. shift: the minima's part, times 2 to this power, comes off in integers; -1: there is a dmin. large:
 * codes are above 127. fold: tiles read scale * code + fold; -1: they take the scale apart. */
typedef struct scaled_kind { bool wide; int shift; bool large; int fold; } scaled_kind;

/* What lanes summed of four blocks of a row. */
typedef struct scaled_sums { __m512i sum[COLS][4], min[COLS][4]; } scaled_sums;

/* Of a segment: sums of four blocks of a row, by column, rows in the order of slots; and heads. */
typedef struct scaled_part {
    __m128i sum[scaled_most / 4][LANES] ALIGNED, min[scaled_most / 4][LANES] ALIGNED; /* [block / 4 * cols + column] */
    uint32_t d[scaled_most][LANES] ALIGNED;
} scaled_part;

INLINE void scaled_begin(scaled_part *part, const void *act, size_t stride, int64_t b, int blocks, const int cols) {
    (void)part, (void)act, (void)stride, (void)b, (void)blocks, (void)cols;
}

/* The sums of four vectors. */
INLINE __m128i sum_each(const __m512i v[4]) {
    __m512i all = sum4(v[0], v[1], v[2], v[3]);
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Block i, which is number j of four, of row r. */
INLINE void scaled_dot(scaled_part *part, scaled_sums *to, const int j, const scaled *w, const scaled_kind f,
                       const void *act, size_t stride, int64_t b, int i, int r, const int cols) {
    part->d[i][r] = w->d;
    __m512i scale[4];
    UNROLL for (int l = 0; l < 4; l++) scale[l] = f.wide ? spread32(w->scale, l) : spread16(w->scale, l);
    EACH_COL {
        const lb_act_q8_256 *x = (const lb_act_q8_256 *)act_of(act, stride, c) + b + i;
        __m512i sum = _mm512_setzero_si512();
        UNROLL for (int l = 0; l < 4; l++) {
            __m512i q = _mm512_loadu_si512(x->q + 64 * l);
            if (f.large) {
                __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->code[l], q);
                sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(p, _mm512_srai_epi32(scale[l], 16)));
            } else sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(w->code[l], q), scale[l]);
        }
        __m256i s = f.wide ? _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)x->sum32))
                           : _mm256_loadu_si256((const __m256i *)x->sum16);
        __m512i min = _mm512_zextsi256_si512(_mm256_madd_epi16(w->min, s));
        if (f.shift >= 0) sum = _mm512_sub_epi32(sum, _mm512_slli_epi32(min, (unsigned)f.shift));
        else to->min[c][j] = min;
        to->sum[c][j] = sum;
    }
}

INLINE void scaled_put(scaled_part *part, const scaled_sums *from, const scaled_kind f, int i, int r, const int cols) {
    EACH_COL {
        part->sum[i / 4 * cols + c][slot(r)] = sum_each(from->sum[c]);
        if (f.shift < 0) part->min[i / 4 * cols + c][slot(r)] = sum_each(from->min[c]);
    }
}

/* Blocks i to i + 3 of the segment, as far as there are. */
INLINE void scaled_close(const scaled_part *part, const scaled_kind f, const void *act, size_t stride, int64_t b,
                         int i, int n, __m512 acc[COLS], const int cols) {
    EACH_COL {
        __m512i sum[4], min[4];
        turn_slots(part->sum[i / 4 * cols + c], sum);
        if (f.shift < 0) turn_slots(part->min[i / 4 * cols + c], min);
        UNROLL for (int j = 0; j < 4; j++) {
            if (i + j == n) break;
            __m512i heads = _mm512_load_si512(part->d[i + j]);
            __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[j]), halves_of(heads, false));
            if (f.shift < 0) t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(min[j]), halves_of(heads, true), t);
            float d = ((const lb_act_q8_256 *)act_of(act, stride, c))[b + i + j].d;
            acc[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(d), acc[c]);
        }
    }
}

/* Scales, or minima, of 16 rows from 16 bytes each: two int16 a lane, of sub-blocks 2 i and 2 i + 1. */
INLINE void put_scales(const __m128i at[LANES], __m512i (*to)[2]) {
    __m512i v[4];
    turn_slots(at, v);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j][0] = _mm512_srai_epi32(_mm512_slli_epi32(v[j], 16), 16);
        to[2 * j + 1][0] = _mm512_srai_epi32(v[j], 16);
    }
}

typedef struct scaled_rows {
    uint8_t code[LANES][256] ALIGNED;
    __m128i scale[2][LANES] ALIGNED, min[2][LANES] ALIGNED;
    uint32_t d[LANES] ALIGNED;
} scaled_rows;

INLINE void scaled_row(scaled_rows *to, const scaled *w, const scaled_kind f, int r) {
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i v = w->code[i];
        if (f.fold >= 0) { /* two bytes at a time: neither leaves its byte in the end */
            v = _mm512_sub_epi16(v, _mm512_set1_epi16((short)(f.shift >= 0 ? 257 << f.shift : 0)));
            v = _mm512_mullo_epi16(v, spread16(w->scale, i));
            v = _mm512_add_epi16(v, _mm512_set1_epi16((short)(257 * f.fold)));
        }
        _mm512_store_si512(to->code[r] + 64 * i, v);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        to->scale[i][slot(r)] = i ? _mm256_extracti128_si256(w->scale, 1) : _mm256_castsi256_si128(w->scale);
        to->min[i][slot(r)] = i ? _mm256_extracti128_si256(w->min, 1) : _mm256_castsi256_si128(w->min);
    }
    to->d[r] = w->d;
}

/* joint: the tile takes minima that come off in integers as pairs, too. */
INLINE void scaled_spread(const scaled_rows *from, const scaled_kind f, const bool joint, int h,
                          const lb_expanded_at *to) {
    for (int i = 0; i < 4; i++) turn16(from->code[0] + 64 * i, (__m512i (*)[2])&to->w[16 * i][h], 4);
    for (int i = 0; i < (f.wide ? 1 : 2); i++) {
        if (f.fold < 0) put_scales(from->scale[i], (__m512i (*)[2])&to->scale[8 * i][h]);
        __m512i v[4];
        if (f.shift >= 0 && !joint) continue;
        turn_slots(from->min[i], v);
        UNROLL for (int j = 0; j < 4; j++) to->pair[4 * i + j][h] = v[j];
    }
    __m512i heads = _mm512_load_si512(from->d);
    to->d[h] = halves_of(heads, false);
    to->dmin[h] = halves_of(heads, true);
}

/* ---- formats whose runs of 32 have floats for scales ---- */

/* offset: what codes are more than their levels. min: there are minima. */
typedef struct grouped_kind { int offset; bool min; } grouped_kind;

/* What lanes summed of two blocks: of runs 0 to 3 and of the others, a quarter of the lanes each. */
typedef struct grouped_sums { __m512i sum[COLS][4]; } grouped_sums;

/* As scaled_part. sum: per 128 bits, runs g and g + 4 of a block and of the one after it; row by row. */
typedef struct grouped_part {
    __m512i sum[grouped_most / 2][LANES]; /* [block / 2 * cols + column] */
    __m128i d[grouped_most][LANES], m[grouped_most][LANES];
    int8_t x[grouped_most][256] ALIGNED;
} grouped_part;

INLINE const lb_act_q8_32 *groups_of(const void *act, size_t stride, int c, int64_t b) {
    return (const lb_act_q8_32 *)act_of(act, stride, c) + 8 * b;
}

/* The activations' codes, which stand 32 at a time, in the order of the weights'. */
INLINE void grouped_begin(grouped_part *part, const void *act, size_t stride, int64_t b, int blocks, const int cols) {
    for (int i = 0; i < blocks; i++)
        EACH_COL UNROLL for (int g = 0; g < 8; g++)
            UNROLL for (int h = 0; h < 2; h++)
                memcpy(part->x[i * cols + c] + 128 * (g / 4) + 64 * h + 16 * (g % 4),
                       groups_of(act, stride, c, b + i)[g].q + 16 * h, 16);
}

INLINE void grouped_dot(grouped_part *part, grouped_sums *to, const int j, const grouped *w, const grouped_kind f,
                        const void *act, size_t stride, int64_t b, int i, int r, const int cols) {
    (void)act, (void)stride, (void)b;
    part->d[i][slot(r)] = w->d;
    if (f.min) part->m[i][slot(r)] = w->m;
    EACH_COL UNROLL for (int l = 0; l < 2; l++) {
        const int8_t *x = part->x[i * cols + c] + 128 * l;
        __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->code[2 * l], _mm512_load_si512(x));
        to->sum[c][2 * j + l] = _mm512_dpbusd_epi32(p, w->code[2 * l + 1], _mm512_load_si512(x + 64));
    }
}

INLINE void grouped_put(grouped_part *part, const grouped_sums *from, const grouped_kind f, int i, int r,
                        const int cols) {
    (void)f;
    EACH_COL part->sum[i / 2 * cols + c][r] = sum4(from->sum[c][0], from->sum[c][1], from->sum[c][2], from->sum[c][3]);
}

/* Two blocks' sums of eight runs, from what grouped_put() left. */
INLINE void runs_of(const __m512i v[LANES], __m512i sum[2][8]) {
    __m512i t[4][4], out[4];
    UNROLL for (int k = 0; k < 4; k++) turn4(v + 4 * k, t[k]);
    UNROLL for (int j = 0; j < 4; j++) {
        turn_quarters((__m512i[4]){ t[0][j], t[1][j], t[2][j], t[3][j] }, out);
        UNROLL for (int g = 0; g < 4; g++) sum[j / 2][4 * (j % 2) + g] = out[g];
    }
}

/* Eight f16 of each row, to one f32 a lane, `step` vectors apart. */
INLINE void grouped_floats(const __m128i at[LANES], __m512 *to, const int step) {
    __m512i v[4];
    turn_slots(at, v);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j * step] = halves_of(v[j], false);
        to[(2 * j + 1) * step] = halves_of(v[j], true);
    }
}

/* Blocks i and i + 1 of the segment, if there is one. */
INLINE void grouped_close(const grouped_part *part, const grouped_kind f, const void *act, size_t stride, int64_t b,
                          int i, int n, __m512 acc[COLS], const int cols) {
    __m512 d[2][8], m[2][8];
    UNROLL for (int j = 0; j < 2; j++) {
        if (i + j == n) break;
        grouped_floats(part->d[i + j], d[j], 1);
        if (f.min) grouped_floats(part->m[i + j], m[j], 1);
    }
    EACH_COL {
        __m512i sum[2][8];
        runs_of(part->sum[i / 2 * cols + c], sum);
        UNROLL for (int j = 0; j < 2; j++) {
            if (i + j == n) break;
            const lb_act_q8_32 *x = groups_of(act, stride, c, b + i + j);
            __m512 total = _mm512_setzero_ps();
            UNROLL for (int g = 0; g < 8; g++) {
                __m512 t = _mm512_cvtepi32_ps(sum[j][g]), s = _mm512_set1_ps(x[g].sum);
                if (f.offset) t = _mm512_fnmadd_ps(s, _mm512_set1_ps((float)f.offset), t); /* exact */
                total = _mm512_fmadd_ps(t, d[j][g], total);
                if (f.min) total = _mm512_fmadd_ps(m[j][g], s, total);
            }
            acc[c] = _mm512_fmadd_ps(total, _mm512_set1_ps(x[7].d), acc[c]);
        }
    }
}

typedef struct grouped_rows {
    uint8_t code[LANES][256] ALIGNED;
    __m128i d[LANES] ALIGNED, m[LANES] ALIGNED;
} grouped_rows;

/* Tiles read codes with an offset of 128, or with minima none. */
INLINE void grouped_row(grouped_rows *to, const grouped *w, const grouped_kind f, int r) {
    const __m512i lift = bytes(f.min ? 0 : 128 - f.offset);
    UNROLL for (int i = 0; i < 4; i++) _mm512_store_si512(to->code[r] + 64 * i, _mm512_add_epi8(w->code[i], lift));
    to->d[slot(r)] = w->d;
    to->m[slot(r)] = w->m;
}

INLINE void grouped_spread(const grouped_rows *from, const grouped_kind f, const bool joint, int h,
                           const lb_expanded_at *to) {
    (void)joint;
    for (int i = 0; i < 4; i++)
        turn16(from->code[0] + 64 * i, (__m512i (*)[2])&to->w[32 * (i / 2) + 4 * (i % 2)][h], 8);
    grouped_floats(from->d, to->group + h, f.min ? 4 : 2);
    if (f.min) grouped_floats(from->m, to->group + 2 + h, 4);
}

/* ---- panels ---- */

/* What is read AHEAD bytes after row r's segment of `bytes` bytes, which begins `begin` bytes into the rows. */
INLINE const char *later_than(const uint8_t *rows, size_t row_bytes, int r, size_t begin, size_t bytes) {
    if (bytes == row_bytes) return (const char *)rows + (size_t)r * row_bytes + AHEAD; /* one stream */
    size_t by = (AHEAD + bytes - 1) / bytes;
    size_t n = (size_t)r + (by < LANES ? by : LANES);
    if (n >= LANES) {
        bool last = begin + bytes >= row_bytes;
        begin = last ? 0 : begin + bytes;
        if (!last) n -= LANES;
    }
    return (const char *)rows + n * row_bytes + begin;
}

/* few_FORMAT: up to COLS rows of activations; expand_FORMAT: for more; a panel of BYTES a block. */
#define FORMAT(name, kind, BYTES, JOINT, ...)                                                                        \
    INLINE void few_##name(const uint8_t *w, const void *act, size_t stride, int64_t blocks, float *out,             \
                           int64_t out_stride, const int cols) {                                                     \
        const kind##_kind f = { __VA_ARGS__ };                                                                       \
        const size_t row_bytes = (size_t)blocks * BYTES;                                                             \
        for (int h = 0; h < ROWS; h += LANES, w += LANES * row_bytes) {                                              \
            __m512 acc[COLS];                                                                                        \
            EACH_COL acc[c] = _mm512_setzero_ps();                                                                   \
            const int64_t most = kind##_most / cols / 4 * 4, parts = (blocks + most - 1) / most;                     \
            for (int64_t part0 = 0; part0 < parts; part0++) {                                                        \
                const int64_t b = blocks * part0 / parts;                                                            \
                int n = (int)(blocks * (part0 + 1) / parts - b);                                                     \
                kind##_part part;                                                                                    \
                kind##_begin(&part, act, stride, b, n, cols);                                                        \
                const char *later = NULL;                                                                            \
                for (int r = 0; r < LANES; r++) {                                                                    \
                    const uint8_t *p = w + (size_t)r * row_bytes + (size_t)b * BYTES;                                \
                    later = later_than(w, row_bytes, r, (size_t)b * BYTES, (size_t)n * BYTES);                       \
                    for (int i = 0; i < n; i += kind##_step) {                                                       \
                        kind##_sums sums = { 0 };                                                                    \
                        UNROLL for (int j = 0; j < kind##_step; j++, p += BYTES, later += BYTES) {                   \
                            if (i + j == n) break;                                                                   \
                            kind block;                                                                              \
                            for (int l = 0; l < BYTES; l += 64) _mm_prefetch(later + l, _MM_HINT_T0);                \
                            open_##name(p, &block);                                                                  \
                            kind##_dot(&part, &sums, j, &block, f, act, stride, b, i + j, r, cols);                  \
                        }                                                                                            \
                        kind##_put(&part, &sums, f, i, r, cols);                                                     \
                    }                                                                                                \
                }                                                                                                    \
                const int lines = EXTRA / 64 * kind##_step / n;                                                      \
                for (int i = 0; i < n; i += kind##_step, later += 64 * lines) {                                      \
                    for (int l = 0; l < lines; l++) _mm_prefetch(later + 64 * l, _MM_HINT_T0);                       \
                    kind##_close(&part, f, act, stride, b, i, n, acc, cols);                                         \
                }                                                                                                    \
            }                                                                                                        \
            EACH_COL _mm512_storeu_ps(out + c * out_stride + h, acc[c]);                                             \
        }                                                                                                            \
    }                                                                                                                \
    static NOINLINE void few1_##name(const uint8_t *w, const void *act, size_t stride, int64_t blocks, float *out,   \
                                     int64_t out_stride) {                                                           \
        few_##name(w, act, stride, blocks, out, out_stride, 1);                                                      \
    }                                                                                                                \
    static NOINLINE void few2_##name(const uint8_t *w, const void *act, size_t stride, int64_t blocks, float *out,   \
                                     int64_t out_stride) {                                                           \
        few_##name(w, act, stride, blocks, out, out_stride, 2);                                                      \
    }                                                                                                                \
    static NOINLINE void few4_##name(const uint8_t *w, const void *act, size_t stride, int64_t blocks, float *out,   \
                                     int64_t out_stride) {                                                           \
        few_##name(w, act, stride, blocks, out, out_stride, 4);                                                      \
    }                                                                                                                \
    static void expand_##name(const uint8_t *rows, size_t row_bytes, const lb_expanded_at *to) {                     \
        const kind##_kind f = { __VA_ARGS__ };                                                                       \
        for (int h = 0; h < ROWS / LANES; h++) {                                                                     \
            kind##_rows all;                                                                                         \
            for (int r = 0; r < LANES; r++, rows += row_bytes) {                                                     \
                kind block;                                                                                          \
                open_##name(rows, &block);                                                                           \
                kind##_row(&all, &block, f, r);                                                                      \
            }                                                                                                        \
            kind##_spread(&all, f, JOINT, h, to);                                                                    \
        }                                                                                                            \
    }                                                                                                                \
    static void run_##name(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k,      \
                           int cols, float *out, int64_t out_stride) {                                               \
        (void)q;                                                                                                     \
        const int64_t blocks = k / 256;                                                                              \
        if (cols > 4) lb_native_many_##name(expand_##name, panel, act, stride, k, cols, out, out_stride);            \
        else if (cols == 4) few4_##name(panel, act, stride, blocks, out, out_stride);                                \
        else {                                                                                                       \
            if (cols & 2) few2_##name(panel, act, stride, blocks, out, out_stride);                                  \
            if (cols & 1) few1_##name(panel, act_of(act, stride, cols & 2), stride, blocks,                          \
                                      out + (cols & 2) * out_stride, out_stride);                                    \
        }                                                                                                            \
    }
FORMAT(q2_k, scaled, 84, false, .shift = -1, .fold = 0)
FORMAT(q3_k, scaled, 110, false, .shift = 2, .fold = 127)
FORMAT(q4_k, scaled, 144, false, .wide = true, .shift = -1, .fold = -1)
FORMAT(q5_k, scaled, 176, false, .wide = true, .shift = -1, .fold = -1)
FORMAT(q6_k, scaled, 210, false, .shift = 5, .fold = -1)
FORMAT(iq4_xs, scaled, 136, true, .wide = true, .large = true, .fold = -1)
FORMAT(q4_0, grouped, 144, false, .offset = 8)
FORMAT(q4_1, grouped, 160, false, .min = true)
FORMAT(q5_0, grouped, 176, false, .offset = 16)
FORMAT(q5_1, grouped, 192, false, .min = true)
FORMAT(q8_0, grouped, 272, false, .offset = 128)
FORMAT(iq4_nl, grouped, 144, false, .offset = 128)

static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return q->size_bytes(q, ROWS, k); }

#define PANEL(n, prepare, bytes, kind)                                                                               \
    { #n, { .rows = ROWS, .max_cols = LB_PANEL_MAX_COLS, .run = run_##n, .panel_bytes = panel_bytes,                 \
            .act_prepare = prepare, .act_bytes = bytes, .act_kind = kind } }
#define SCALED(n) PANEL(n, lb_act_q8_256_prepare, lb_act_q8_256_bytes, LB_ACT_KIND_Q8_256)
#define GROUPED(n) PANEL(n, lb_act_q8_256_prepare_32, lb_act_q8_32_bytes, LB_ACT_KIND_Q8_256_32)
static const struct { const char *name; lb_panel panel; } formats[] = {
    SCALED(q2_k), SCALED(q3_k), SCALED(q4_k), SCALED(q5_k), SCALED(q6_k), SCALED(iq4_xs),
    GROUPED(q4_0), GROUPED(q4_1), GROUPED(q5_0), GROUPED(q5_1), GROUPED(q8_0), GROUPED(iq4_nl),
};

const lb_panel *lb_native_panel_for(const lb_quantizer *q) {
    for (size_t i = 0; q && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(q->family->name, formats[i].name)) return &formats[i].panel;
    return NULL;
}

const lb_panel *lb_native_panel_of(const lb_tensor *w, const char **why) {
    const lb_panel *p = w->layout ? NULL : lb_native_panel_for(w->quantizer);
    *why = "reads the blocks of GGUF's formats, but for mxfp4, as files have them";
    if (!p) return NULL;
    *why = "wants 32 rows of weights at least, and K a multiple of 256";
    return w->dims[w->rank - 1] % 256 == 0 && w->dims[w->rank - 2] >= ROWS ? p : NULL;
}

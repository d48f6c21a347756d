/* attention_int8_decode_avx512.c: attention of few rows over packed caches (q8_0, q4_0): the template of flash.h, and
 * of attention_int8.h.
 *
 * Scores: the keys of 16 positions are turned in registers, so that a lane is a position, and meet q where they are
 * (vpdpbusd); an exact integer for each block is scaled by the block's two factors. Values: the codes of four positions
 * are put side by side, byte by byte, and meet four probabilities (vpdpbusd). These, times the factor of the position's
 * block, are bytes: parts of 255 of the largest of 64 positions. Two bytes each took twice the products. */
#include "act_q8_32_avx512.h"

/* Rows of q as lb_act_q8_32 with a scale for each 256; `half` holds the start for codes that are more by 8, as an integer. */
#define Q_BYTES(d) ((size_t)BLOCKS(d) * sizeof(lb_act_q8_32))
/* Where the rows are, behind those of keys those of values; their factors as they are stored, f16 [block][2 * 64]; and codes of
 * 32 positions that were turned. */
#define KEY_BYTES(d) (2 * 64 * sizeof(char *) + (size_t)BLOCKS(d) * 2 * 64 * 2 + 16 * 64)
/* Where the rows are; factors likewise, if the keys' blocks are not as many; their magnitudes as parts of PART of the
 * largest [block][64]; the largest [block]; which are negative, a bit a position [block]. */
#define VALUE_BYTES(v) (64 * sizeof(char *) + (size_t)BLOCKS(v) * (2 * 64 * 2 + 64 * 4 + 4 + 8))
#include "attention_int8.h"

enum { MOST_ROWS = 2 * MR, QUADS = BLOCK / 4, TURN = 32 /* positions that are turned together */ };
static const float PART = 255.0f;

static void pack_row(const float *x, int64_t dim, void *out) {
    lb_act_q8_32 *to = out;
    lb_act_q8_256_prepare_32(NULL, x, dim, out);
    for (int64_t b = 0; b < BLOCKS(dim); b++) {
        int32_t eight = to[b].start / 16;
        memcpy(&to[b].half, &eight, sizeof eight);
    }
}

/* ---- factors ---- */

static uint16_t *behind(const void *rows, size_t count) {
    return (uint16_t *)(void *)((char *)(uintptr_t)rows + count * sizeof(char *));
}

/* Factors of rows 2i and 2i + 1, which lie `bytes` apart, from `first` on. In assembly: gcc 12 puts more around it. */
static inline __attribute__((always_inline)) void fetch_factors(const char *first, int i, int bytes, uint16_t *out) {
    uint32_t a, b;
    const char(*x)[2] = (const void *)(first + 2 * i * bytes), (*y)[2] = (const void *)(first + (2 * i + 1) * bytes);
    char(*to)[4] = (void *)(out + 2 * i);
    __asm__("movzwl %[x], %[a]\n\tmovzwl %[y], %[b]\n\tshl $16, %[b]\n\tor %[b], %[a]\n\tmov %[a], %[to]"
            : [a] "=&r"(a), [b] "=&r"(b), [to] "=m"(*to) : [x] "m"(*x), [y] "m"(*y) : "cc");
}
static void gather_rows(int64_t bytes, const char *const *row, int64_t blocks, int n, uint16_t *out) {
    for (int64_t b = 0; b < blocks; b++, out += 2 * BLOCK)
        for (int i = 0; i < n; i++) memcpy(out + i, row[i] + b * bytes, 2);
}

/* The usual heads, 64 positions one behind the other: factors of keys and of values stand in the keys' part, those of the
 * first 32 keys are fetched at once, the others on the way (score_tile). */
static bool usual(const task *t, const char *const *row) {
    int64_t bytes = 4 * lb_packed_bytes(t->k.packed);
    return t->dim == 128 && t->vpad == 128 && !t->k.pages && t->k.stride_s == bytes && t->v.stride_s == bytes &&
           row[BLOCK - 1] != zeros;
}

static void pack_keys(const task *t, const char *const *row, void *out) {
    memcpy(out, row, sizeof(block));
    gather_rows(lb_packed_bytes(t->k.packed), row, BLOCKS(t->dim), usual(t, row) ? TURN : BLOCK, behind(out, 2 * BLOCK));
}
static const char *keys_before(const task *t, const char *values) { return values - round_up(KEY_BYTES(t->dim)); }

static void pack_values(const task *t, const char *const *row, void *out) {
    memcpy(out, row, BLOCK * sizeof *row);
    if (!usual(t, (const void *)keys_before(t, out)))
        gather_rows(lb_packed_bytes(t->v.packed), row, BLOCKS(t->vpad), BLOCK, behind(out, BLOCK));
}

/* ---- scores ---- */

/* Four rows by four elements, in each quarter of the registers: rows into columns. */
static inline __attribute__((always_inline)) void turn4(__m512i *r) {
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm512_unpacklo_epi64(a, c), r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d), r[3] = _mm512_unpackhi_epi64(b, d);
}

/* A block's codes, more by 128, of the 16 rows from `row`, its factor at `at`: to[i] has codes 4i to 4i + 3. */
static inline __attribute__((always_inline)) void turn_q8_0(const char *const *row, int64_t at, __m512i *to) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i r[8];
    UNROLL for (int j = 0; j < 8; j++) {
        const char *const *p = row + j / 4 * 8 + j % 4;
        r[j] = _mm512_inserti64x4(_mm512_castsi256_si512(load_codes(LB_PACKED_Q8_0, p[0] + at)),
                                  load_codes(LB_PACKED_Q8_0, p[4] + at), 1);
    }
    turn4(r), turn4(r + 4);
    UNROLL for (int j = 0; j < 4; j++) {
        to[j] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0x88), flip);
        to[j + 4] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd), flip);
    }
}
/* The same of codes that are more by 8. */
static inline __attribute__((always_inline)) void turn_q4_0(const char *const *row, int64_t at, __m512i *to) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i r[4];
    UNROLL for (int j = 0; j < 4; j++) {
        r[j] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row[j] + at + 2)));
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 4] + at + 2)), 1);
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 8] + at + 2)), 2);
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 12] + at + 2)), 3);
    }
    turn4(r);
    UNROLL for (int j = 0; j < 4; j++) {
        to[j] = _mm512_and_si512(r[j], low);
        to[j + 4] = _mm512_and_si512(_mm512_srli_epi16(r[j], 4), low);
    }
}

/* s[row of q][32 positions]; rows of q are `each` bytes apart. On the way lines are asked for, `line` bytes apart; and if
 * usual the factors of `keys` rows from `more` on and 16 or 48 from `values` on fetched. */
static inline __attribute__((always_inline)) void score_tile(int packed, const char *const *row, const char *q, size_t each,
                                                             int64_t blocks, const uint16_t *factors, int rows, float *s,
                                                             __m512i *codes, bool usual, const char *more,
                                                             uint16_t *to, const char *then, uint16_t *then_to,
                                                             const char *next, int64_t line) {
    const int bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    for (int64_t b = 0; b < blocks; b++, q += sizeof(lb_act_q8_32), factors += 2 * BLOCK) {
        __m512i acc[MR][2];
        UNROLL for (int h = 0; h < 2; h++) {
            if (packed == LB_PACKED_Q8_0) turn_q8_0(row + 16 * h, b * 34, codes + 8 * h);
            else turn_q4_0(row + 16 * h, b * 18, codes + 8 * h);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const lb_act_q8_32 *a = (const void *)(q + (size_t)r * each);
            const void *start = packed == LB_PACKED_Q8_0 ? (const void *)&a->start : (const void *)&a->half;
            acc[r][0] = acc[r][1] = spread(start);
        }
        UNROLL for (int j = 0; j < 8; j++) {
            __m512i c[2] = { _mm512_load_si512(codes + j), _mm512_load_si512(codes + 8 + j) };
            UNROLL for (int r = 0; r < rows; r++) {
                const lb_act_q8_32 *a = (const void *)(q + (size_t)r * each);
                __m512i x = spread(a->q + 4 * j);
                UNROLL for (int h = 0; h < 2; h++) acc[r][h] = dot4(acc[r][h], c[h], x);
            }
            ask_twice(next), next += line; /* with those below 17 lines of q8_0, 9 of q4_0 */
            if (packed == LB_PACKED_Q8_0) ask_twice(next), next += line;
            if (!usual) continue;
            UNROLL for (int i = 0; i < 2; i++) fetch_factors(more, 2 * j + i, 4 * bytes, to);
            fetch_factors(then, j, 4 * bytes, then_to);
        }
        more += bytes, then += bytes, to += 2 * BLOCK, then_to += 2 * BLOCK;
        ask_twice(next), next += line;
        __m512 f[2];
        UNROLL for (int h = 0; h < 2; h++) f[h] = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(factors + 16 * h)));
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int h = 0; h < 2; h++) {
                const lb_act_q8_32 *a = (const void *)(q + (size_t)r * each);
                float *at = s + r * BLOCK + 16 * h;
                __m512 before = b ? _mm512_load_ps(at) : _mm512_setzero_ps();
                __m512 by = usual ? f[h] : _mm512_mul_ps(f[h], _mm512_set1_ps(a->d));
                _mm512_store_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][h]), by, before));
            }
    }
    if (!usual) return;
    UNROLL for (int r = 0; r < rows; r++) { /* of 256 values one */
        const lb_act_q8_32 *a = (const void *)(q - sizeof *a + (size_t)r * each);
        UNROLL for (int h = 0; h < 2; h++) {
            float *at = s + r * BLOCK + 16 * h;
            _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), _mm512_set1_ps(a->d)));
        }
    }
}

static inline __attribute__((always_inline)) void scores_of(const task *t, int packed, const char *q, const char *kc,
                                                            int rows, float *s, const char *const *next) {
    const char *const *row = (const void *)kc;
    int64_t blocks = BLOCKS(t->dim), bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    uint16_t *factors = behind(kc, 2 * BLOCK);
    __m512i *codes = (__m512i *)(void *)(factors + blocks * 2 * BLOCK);
    asked ask = asked_of(next, blocks * bytes);
    int64_t share = ask.in_step ? blocks * bytes * TURN : 0, line = ask.in_step ? 64 : 0;
    bool is_usual = usual(t, row);
    for (int i = 0; i < BLOCK; i += TURN) {
        ask_rows(&ask, i / TURN, BLOCK / TURN);
        const char *on = ask_on(&ask, share, true);
        /* on the way the other 32 keys and 16 values, then 48 values */
        int more = i ? BLOCK + 16 : TURN, then = i ? BLOCK + 48 : BLOCK;
#define TILE(n, each, blocks, usual)                                                                                \
    score_tile(packed, row + i, q, each, blocks, factors + i, n, s + i, codes, usual, row[more], factors + more, row[then], \
               factors + then, on, line)
#define CALL(n) TILE(n, Q_BYTES(128), 4, true)
        if (is_usual) BY_ROWS(rows, CALL)
#undef CALL
#define CALL(n) TILE(n, Q_BYTES(t->dim), blocks, false)
        else BY_ROWS(rows, CALL)
#undef CALL
#undef TILE
    }
}

static void scores(const task *t, const char *q, const char *kc, int rows, float *s, ahead *h) {
    const char *const *next = h ? (const char *const *)h->row : NULL; /* the next block's keys */
    if (t->k.packed == LB_PACKED_Q8_0) scores_of(t, LB_PACKED_Q8_0, q, kc, rows, s, next);
    else scores_of(t, LB_PACKED_Q4_0, q, kc, rows, s, next);
}

/* ---- values ---- */

/* Bytes of four rows side by side: of two registers with two rows of 32 each, the first 16 and the others; of one with
 * four rows of 16. Which positions of four have negative factors, at every value. Low bytes of two registers' words. */
static uint8_t by_turns[3][64] __attribute__((aligned(64))), low_bytes[64] __attribute__((aligned(64)));
static uint64_t negatives[16];
static __attribute__((constructor)) void fill_tables(void) {
    for (int i = 0; i < 64; i++) {
        int value = i / 4, row = i % 4;
        for (int h = 0; h < 2; h++) by_turns[h][i] = (uint8_t)(row / 2 * 64 + row % 2 * 32 + 16 * h + value);
        by_turns[2][i] = (uint8_t)(row * 16 + value);
        low_bytes[i] = (uint8_t)(i % 32 / 16 * 64 + i % 16 * 4);
    }
    for (int i = 0; i < 16; i++) negatives[i] = (uint64_t)i * 0x1111111111111111u;
}

typedef struct factors {
    float *part, *most;  /* magnitudes as parts of PART of the largest of 64 [block][64], the largest over PART [block] */
    uint64_t *negative;  /* a bit a position [block] */
} factors;

/* `stored`: f16, 128 apart from block to block. */
static factors factors_of(const task *t, const char *vc, const uint16_t **stored) {
    int64_t blocks = BLOCKS(t->vpad);
    float *part = (float *)(void *)(behind(vc, BLOCK) + blocks * 2 * BLOCK);
    const char *keys = keys_before(t, vc);
    *stored = usual(t, (const void *)keys) ? behind(keys, 2 * BLOCK) + BLOCK : behind(vc, BLOCK);
    return (factors){ part, part + blocks * (BLOCK + 2), (uint64_t *)(void *)(part + blocks * BLOCK) };
}

static void prepare_factors(const uint16_t *stored, int64_t blocks, factors f) {
    for (int64_t b = 0; b < blocks; b++) {
        __m512 x[BLOCK / 16], m = _mm512_setzero_ps(), sum = m;
        uint64_t negative = 0;
        UNROLL for (int i = 0; i < BLOCK / 16; i++) {
            x[i] = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(stored + b * 2 * BLOCK + 16 * i)));
            sum = _mm512_add_ps(sum, x[i]);
            negative |= (uint64_t)_mm512_movepi32_mask(_mm512_castps_si512(x[i])) << (16 * i);
            m = _mm512_max_ps(m, x[i] = _mm512_abs_ps(x[i]));
        }
        float top = _mm512_reduce_max_ps(m);
        __m512 part = _mm512_set1_ps(top > 0 ? PART / top : 0);
        UNROLL for (int i = 0; i < BLOCK / 16; i++) _mm512_storeu_ps(f.part + b * BLOCK + 16 * i, _mm512_mul_ps(x[i], part));
        f.most[b] = top / PART + 0 * _mm512_reduce_add_ps(sum); /* NaN where one is no number */
        f.negative[b] = negative;
    }
}

/* The largest of each row's 64 probabilities, and what makes it 1. */
static inline __attribute__((always_inline)) void largest(const float *p, int rows, float *tops, float *parts) {
    __m512 m[MR];
    UNROLL for (int r = 0; r < MR; r++) {
        const float *x = p + (r < rows ? r : 0) * BLOCK;
        m[r] = _mm512_max_ps(_mm512_max_ps(_mm512_load_ps(x), _mm512_load_ps(x + 16)),
                             _mm512_max_ps(_mm512_load_ps(x + 32), _mm512_load_ps(x + 48)));
    }
    UNROLL for (int r = 0; r < 4; r++)
        m[r] = _mm512_max_ps(_mm512_unpacklo_ps(m[2 * r], m[2 * r + 1]), _mm512_unpackhi_ps(m[2 * r], m[2 * r + 1]));
    UNROLL for (int r = 0; r < 2; r++) { /* four rows in each quarter */
        __m512d a = _mm512_castps_pd(m[2 * r]), b = _mm512_castps_pd(m[2 * r + 1]);
        m[r] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    __m512 all = _mm512_max_ps(_mm512_shuffle_f32x4(m[0], m[1], 0x88), _mm512_shuffle_f32x4(m[0], m[1], 0xdd));
    all = _mm512_max_ps(all, _mm512_shuffle_f32x4(all, all, 0xb1));
    __m256 top = _mm512_castps512_ps256(_mm512_shuffle_f32x4(all, all, 0x08));
    __mmask8 some = _mm256_cmp_ps_mask(top, _mm256_set1_ps(0x1p-100f), _CMP_GT_OQ);
    _mm256_storeu_ps(tops, top);
    _mm256_storeu_ps(parts, _mm256_maskz_div_ps(some, _mm256_set1_ps(1), top));
}

/* A row's probabilities, times `part`, times the factors as bytes, 64 of a block `step` bytes behind the ones before. */
static inline __attribute__((always_inline)) void weights_u8(const float *p, float part, const float *f, int64_t blocks,
                                                             uint8_t *to, int64_t step) {
    const __m512 whole = _mm512_set1_ps(12582912.0f); /* leaves the nearest integer in the low bits */
    const __m512i bytes = _mm512_load_si512(low_bytes);
    __m512 x[BLOCK / 16];
    UNROLL for (int i = 0; i < BLOCK / 16; i++) x[i] = _mm512_mul_ps(_mm512_load_ps(p + 16 * i), _mm512_set1_ps(part));
    for (int64_t b = 0; b < blocks; b++, f += BLOCK, to += step) {
        __m512i v[BLOCK / 16];
        UNROLL for (int i = 0; i < BLOCK / 16; i++)
            v[i] = _mm512_castps_si512(_mm512_fmadd_ps(x[i], _mm512_loadu_ps(f + 16 * i), whole));
        __m512i low = _mm512_permutex2var_epi8(v[0], bytes, v[1]), high = _mm512_permutex2var_epi8(v[2], bytes, v[3]);
        _mm512_store_si512(to, _mm512_inserti64x4(low, _mm512_castsi512_si256(high), 1));
    }
}

/* Codes of the 32 values of four positions, four of a value side by side. */
static inline __attribute__((always_inline)) void quad_q8_0(const char *const *row, int64_t at, __m512i *to) {
    __m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(load_codes(LB_PACKED_Q8_0, row[0] + at)),
                                   load_codes(LB_PACKED_Q8_0, row[1] + at), 1);
    __m512i y = _mm512_inserti64x4(_mm512_castsi256_si512(load_codes(LB_PACKED_Q8_0, row[2] + at)),
                                   load_codes(LB_PACKED_Q8_0, row[3] + at), 1);
    to[0] = _mm512_permutex2var_epi8(x, _mm512_load_si512(by_turns[0]), y);
    to[1] = _mm512_permutex2var_epi8(x, _mm512_load_si512(by_turns[1]), y);
}
/* Those whose factors are negative change their sign. */
static inline __attribute__((always_inline)) void quad_q4_0(const char *const *row, int64_t at, uint64_t negative,
                                                            __m512i *to) {
    const __m512i low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
    __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row[0] + at + 2)));
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(row[1] + at + 2)), 1);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(row[2] + at + 2)), 2);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(row[3] + at + 2)), 3);
    x = _mm512_permutexvar_epi8(_mm512_load_si512(by_turns[2]), x);
    __mmask64 turned = negatives[negative & 15];
    to[0] = _mm512_sub_epi8(_mm512_and_si512(x, low), eight);
    to[1] = _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(x, 4), low), eight);
    UNROLL for (int i = 0; i < 2; i++) to[i] = _mm512_mask_sub_epi8(to[i], turned, _mm512_setzero_si512(), to[i]);
}

/* out[row][32] += unit[row] * sums over 64 positions of p[row][position] times their codes of a block. */
static inline __attribute__((always_inline)) void value_tile(int packed, const uint8_t *p, const char *const *row,
                                                             int64_t at, uint64_t negative, int rows, const float *unit,
                                                             float *out, int64_t vpad, const char *next, int64_t line) {
    __m512i acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < 2; j++) acc[r][j] = _mm512_setzero_si512();
    __m512i v[2];
    if (packed == LB_PACKED_Q8_0) quad_q8_0(row, at, v);
    else quad_q4_0(row, at, negative, v);
    for (int i = 0; i < QUADS; i++, p += 4) { /* the next four positions are brought together beside the products */
        __m512i now[2] = { v[0], v[1] };
        row += i + 1 < QUADS ? 4 : 0, negative >>= 4;
        __asm__ volatile("" : "+v"(now[0]), "+v"(now[1]));
        if (packed == LB_PACKED_Q8_0) quad_q8_0(row, at, v);
        else quad_q4_0(row, at, negative, v);
        __asm__ volatile("" : "+v"(v[0]), "+v"(v[1]));
        ask_twice(next), next += line;
        if (packed == LB_PACKED_Q8_0) ask_twice(next), next += line;
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = spread(p + r * BLOCK);
            UNROLL for (int j = 0; j < 2; j++) acc[r][j] = dot4(acc[r][j], x, now[j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        __m512 u = _mm512_set1_ps(unit[r]);
        UNROLL for (int j = 0; j < 2; j++) {
            float *to = out + r * vpad + 16 * j;
            _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r][j]), u, _mm512_load_ps(to)));
        }
    }
}

/* A block of q8_0 with negative factors, which no quantizer makes: those positions apart, with negative units. */
static __attribute__((noinline, cold)) void weigh_apart(const float *p, const float *parts, const float *unit,
                                                        const float *part, uint64_t negative, const char *const *row,
                                                        int64_t at, int rows, float *out, int64_t vpad) {
    uint8_t weights[MR * BLOCK] __attribute__((aligned(64)));
    float some[BLOCK], units[MR];
    for (int sign = 0; sign < 2; sign++) {
        for (int i = 0; i < BLOCK; i++) some[i] = (int)(negative >> i & 1) == sign ? part[i] : 0;
        for (int r = 0; r < rows; r++) {
            weights_u8(p + r * BLOCK, parts[r], some, 1, weights + r * BLOCK, 0);
            units[r] = sign ? -unit[r] : unit[r];
        }
#define CALL(n) value_tile(LB_PACKED_Q8_0, weights, row, at, 0, n, units, out, vpad, zeros, 0)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

static void scale_rows(float *out, const float *factor, int rows, int64_t vpad) {
    for (int r = 0; r < rows; r++, out += vpad) {
        if (factor[r] == 1) continue;
        for (int64_t i = 0; i < vpad; i += 16)
            _mm512_store_ps(out + i, _mm512_mul_ps(_mm512_load_ps(out + i), _mm512_set1_ps(factor[r])));
    }
}

static inline __attribute__((always_inline)) void weigh_of(const task *t, int packed, const float *p, const char *vc,
                                                           char *scratch, int rows, float *out, const char *const *next) {
    const char *const *row = (const void *)vc;
    int64_t vpad = t->vpad, blocks = BLOCKS(vpad), bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    uint8_t *weights = (uint8_t *)scratch;
    float tops[MR], parts[MR], unit[MR];
    const uint16_t *stored;
    factors f = factors_of(t, vc, &stored);
    prepare_factors(stored, blocks, f);
    largest(p, rows, tops, parts);
    for (int r = 0; r < rows; r++) weights_u8(p + r * BLOCK, parts[r], f.part, blocks, weights + r * BLOCK, MR * BLOCK);
    asked ask = asked_of(next, blocks * bytes);
    int64_t share = ask.in_step ? bytes * BLOCK : 0;
    int64_t line = ask.in_step ? 64 : 0;
    for (int64_t b = 0; b < blocks; b++, weights += MR * BLOCK) {
        ask_rows(&ask, (int)b, (int)blocks);
        const char *on = ask_on(&ask, share, true);
        _mm256_storeu_ps(unit, _mm256_mul_ps(_mm256_loadu_ps(tops), _mm256_set1_ps(f.most[b])));
        if (packed == LB_PACKED_Q8_0 && __builtin_expect(f.negative[b] != 0, 0)) {
            weigh_apart(p, parts, unit, f.part + b * BLOCK, f.negative[b], row, b * bytes, rows, out + b * SPAN, vpad);
            continue;
        }
#define CALL(n) value_tile(packed, weights, row, b * bytes, f.negative[b], n, unit, out + b * SPAN, vpad, on, line)
        BY_ROWS(rows, CALL)
#undef CALL
        for (int64_t at = (packed == LB_PACKED_Q8_0 ? 2 : 1) * 64 * QUADS; at < share; at += 64) ask_twice(on + at);
    }
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out, ahead *h) {
    const char *const *next = h && h->row ? (const char *const *)h->row + BLOCK : NULL;
    scale_rows(out, factor, rows, t->vpad);
    if (t->v.packed == LB_PACKED_Q8_0) weigh_of(t, LB_PACKED_Q8_0, p, vc, scratch, rows, out, next);
    else weigh_of(t, LB_PACKED_Q4_0, p, vc, scratch, rows, out, next);
}
static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    const lb_tensor *starts = lb_arg(a, LB_ATTENTION_STARTS), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1];
    int64_t dim = q->dims[2], values = value_dim(a);
    int64_t rows = sequences > 0 && heads > 0 ? q->dims[0] * q->dims[1] / heads : 0;
    *why = "takes packed caches whose heads have a multiple of 64 values, up to 4096, and at most 16 rows of q for a "
           "cache head";
    if (k->dtype != LB_U8 || (v && v->dtype != LB_U8) || dim % 64 || values % 64 || dim > DIM_MOST || values > DIM_MOST)
        return false;
    if (!starts && sequences > 0) rows /= sequences;
    return rows <= MOST_ROWS * (starts ? sequences : 1) && rows_fit(a, why);
}

const lb_kernel lb_kernel_attention_int8_decode_avx512 = {
    .name = "attention.int8.decode_avx512", .op = "attention", .device = "cpu",
    .about = "for few rows: keys' codes turned in registers and multiplied as they are stored, values' codes meet "
             "probabilities of a byte (vpdpbusd both), a running softmax in f32; the positions are split over the parts and "
             "added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI, .act = LB_ACT_Q8_256, .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-4,
    .tolerance_why = "each probability times its value's factor is rounded to 1/255 of the largest of 64: up to 8e-5 where "
                     "one of them stands out, 3e-5 where none does; the exponential to 4e-5",
    .priority = 30, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};

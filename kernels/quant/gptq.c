/* gptq.c: 3, 4 or 8 bits in GPTQ's packing, with groups along K; b + (16 + b)/group bits. */
#include "bits.h"
#include "gptq_learn.h"

extern const lb_quantizer_family lb_quantizer_gptq;

/* Planes, each at a multiple of 64 bytes: qweight i32 [K b / 32][N]: in column n the codes of row n of W as a stream of
 * b bits along K, the first in the lowest bits (4 bits: nibble i of word r is k = 8 r + i; 3 bits: 32 codes in 3
 * words); qzeros i32 [K/g][N b / 32], the zeros minus one as such a stream along N; scales f16 [K/g][N]. g_idx, k / g
 * without reordering, is not stored. What N leaves of the last words is zero. w = (q - (zq + 1)) * s. Without sample
 * activations: the range widened to hold zero, s = (max - min) / (2^b - 1) as f16, zero = clamp(nearest even(-min / s),
 * 1, 2^b), q = clamp(nearest even(w / s) + zero). With them GPTQ: column after column, what rounding one leaves is
 * spread over those behind it (gptq_learn.h), in blocks of 128; groups take their scales when reached. */
enum { MOST = 256, ROWS = 16 };
typedef struct planes { size_t zeros, scales, end, zero_words; } planes;

static planes planes_of(const lb_quantizer *q, int64_t n, int64_t k) {
    planes p = { .zeros = lb_up64((size_t)(k * q->bits / 32) * (size_t)n * 4) };
    p.zero_words = ((size_t)n * (size_t)q->bits + 31) / 32;
    p.scales = lb_up64(p.zeros + (size_t)(k / q->group) * p.zero_words * 4);
    p.end = p.scales + (size_t)(k / q->group) * (size_t)n * 2;
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return n && k ? planes_of(q, n, k).end : 0; }

/* Bits [at, at + bits) of a stream that other threads write around. */
static void put_bits(uint32_t *words, size_t at, int bits, uint32_t value) {
    while (bits > 0) {
        unsigned low = (unsigned)(at % 32), some = 32 - low < (unsigned)bits ? 32 - low : (unsigned)bits;
        uint32_t mask = (some == 32 ? 0xffffffffu : (1u << some) - 1) << low;
        __atomic_fetch_and(words + at / 32, ~mask, __ATOMIC_RELAXED);
        __atomic_fetch_or(words + at / 32, value << low & mask, __ATOMIC_RELAXED);
        value = some == 32 ? 0 : value >> some;
        at += some, bits -= (int)some;
    }
}

static uint32_t get_bits(const uint32_t *words, size_t at, int bits) {
    uint64_t two = words[at / 32];
    if (at % 32 + (size_t)bits > 32) two |= (uint64_t)words[at / 32 + 1] << 32;
    return (uint32_t)(two >> at % 32) & ((1u << bits) - 1);
}

/* The scale, as f16 has it, and the zero of a group. */
LB_INLINE void group_scale(const float *x, int64_t g, int bits, float *scale, float *zero) {
    float lo, hi, top = (float)((1 << bits) - 1);
    lb_range(x, g, 0.0f, &lo, &hi);
    float exact = (hi - lo) / top;
    *scale = lb_f16_to_f32(lb_f16_scale(exact));
    *zero = lb_clamp(lb_nearest(-lo * lb_finite_ratio(1.0f, exact)), 1.0f, top + 1.0f);
}

LB_INLINE void group_codes(const float *x, int64_t g, int bits, float scale, float zero, uint8_t *codes) {
    float inverse = lb_finite_ratio(1.0f, scale), top = (float)((1 << bits) - 1);
    for (int64_t i = 0; i < g; i++) {
        float v = lb_clamp(x[i] * inverse, -1024.0f, 1024.0f);
        codes[i] = (uint8_t)(int32_t)lb_clamp(lb_nearest(v) + zero, 0.0f, top);
    }
}

/* Stores one group of one row. */
static void put_group(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, int64_t group, const uint8_t *codes,
                      float scale, float zero, void *dst) {
    planes p = planes_of(q, n, k);
    uint32_t *words = dst, *zeros = (uint32_t *)(void *)((char *)dst + p.zeros) + (size_t)group * p.zero_words;
    uint16_t *scales = (uint16_t *)(void *)((char *)dst + p.scales);
    for (int64_t at = 0; at < q->group; at += 32) {
        uint8_t packed[32];
        uint32_t word;
        lb_bits_pack(codes + at, 32, q->bits, packed);
        for (int w = 0; w < q->bits; w++) {
            memcpy(&word, packed + 4 * w, 4);
            words[((group * q->group + at) / 32 * q->bits + w) * n + row] = word;
        }
    }
    put_bits(zeros, (size_t)row * (size_t)q->bits, q->bits, (uint32_t)zero - 1);
    if (row == n - 1) {
        size_t end = (size_t)n * (size_t)q->bits;
        put_bits(zeros, end, (int)(p.zero_words * 32 - end), 0);
    }
    scales[group * n + row] = lb_f16_scale(scale);
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    for (int64_t r = row0; r < row1; r++)
        for (int64_t i = 0; i < k / q->group; i++) {
            float x[MOST], scale, zero;
            uint8_t codes[MOST];
            lb_clean_copy(src + r * k + i * q->group, q->group, x);
            group_scale(x, q->group, q->bits, &scale, &zero);
            group_codes(x, q->group, q->bits, scale, zero, codes);
            put_group(q, n, k, r, i, codes, scale, zero, dst);
        }
}

static void *learn(const lb_quantizer *q, const float *x, int64_t m, int64_t k) {
    (void)q;
    return lb_gptq_learn(x, m, k);
}

/* Column i of `rows` rows of w: to the nearest code, and what that leaves onto the columns behind it, up to `end`. */
LB_WIDE static void spread(const double *u, int64_t i, int64_t end, int64_t k, const double *error, int rows,
                           double *w) {
    for (int r = 0; r < rows; r++)
        for (int64_t j = i + 1; j < end; j++) w[r * k + j] -= error[r] * u[i * k + j];
}

/* Columns [i0, i1) are done with these errors; the columns behind them hear of it together. */
LB_WIDE static void catch_up(const double *u, int64_t i0, int64_t i1, int64_t k, const double *errors, int rows,
                             double *w) {
    for (int64_t i = i0; i < i1; i++)
        for (int r = 0; r < rows; r++) {
            double e = errors[(i - i0) * ROWS + r];
            for (int64_t j = i1; j < k; j++) w[r * k + j] -= e * u[i * k + j];
        }
}

/* One row's column i, of a group with this scale and zero; returns the error, over the factor's diagonal. */
static double fix_column(const lb_quantizer *q, double w, double diagonal, float scale, float zero, uint8_t *code) {
    float x = (float)w;
    group_codes(&x, 1, q->bits, scale, zero, code);
    return (w - (double)(((float)*code - zero) * scale)) / diagonal;
}

/* At most ROWS rows from row0 on, in w. A group's scale and zero are those of its weights as they are when it is
 * reached. */
static void quantize_some(const lb_quantizer *q, const lb_gptq_learned *l, int64_t n, int64_t k, int64_t row0, int rows,
                          double *w, void *dst) {
    enum { BLOCK = 128 };
    uint8_t codes[ROWS][MOST];
    float scale[ROWS], zero[ROWS];
    double errors[BLOCK * ROWS];
    for (int64_t i0 = 0; i0 < k; i0 += BLOCK) {
        int64_t i1 = k - i0 < BLOCK ? k : i0 + BLOCK;
        for (int64_t i = i0; i < i1; i++) {
            for (int r = 0; i % q->group == 0 && r < rows; r++) {
                float x[MOST] = { 0 };
                for (int64_t j = 0; j < q->group; j++) x[j] = (float)w[r * k + i + j];
                group_scale(x, q->group, q->bits, &scale[r], &zero[r]);
            }
            double *error = errors + (i - i0) * ROWS;
            for (int r = 0; r < rows; r++)
                error[r] = fix_column(q, w[r * k + i], l->u[i * k + i], scale[r], zero[r], &codes[r][i % q->group]);
            spread(l->u, i, i1, k, error, rows, w);
            for (int r = 0; (i + 1) % q->group == 0 && r < rows; r++)
                put_group(q, n, k, row0 + r, i / q->group, codes[r], scale[r], zero[r], dst);
        }
        catch_up(l->u, i0, i1, k, errors, rows, w);
    }
}

static bool quantize_learned(const lb_quantizer *q, const void *learned, const float *src, int64_t n, int64_t k,
                             int64_t row0, int64_t row1, void *dst) {
    const lb_gptq_learned *l = learned;
    double *w = malloc((size_t)(ROWS * k) * sizeof *w);
    if (!w) return false;
    for (int64_t r = row0; r < row1; r += ROWS) {
        int rows = (int)(row1 - r < ROWS ? row1 - r : ROWS);
        for (int64_t i = 0; i < rows * k; i++) w[i] = l->dead[i % k] ? 0.0 : (double)lb_clean(src[r * k + i]);
        quantize_some(q, l, n, k, r, rows, w, dst);
    }
    free(w);
    return true;
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    planes p = planes_of(q, n, k);
    const uint32_t *words = src, *zeros = (const uint32_t *)(const void *)((const char *)src + p.zeros);
    const uint16_t *scales = (const uint16_t *)(const void *)((const char *)src + p.scales);
    for (int64_t first = row0; first < row1; first += ROWS) /* a cache line of words at a time */
        for (int64_t at = 0; at < k; at += 32)
            for (int64_t r = first; r < row1 && r < first + ROWS; r++) {
                int64_t group = at / q->group;
                uint8_t packed[32], codes[32];
                for (int w = 0; w < q->bits; w++) memcpy(packed + 4 * w, words + (at / 32 * q->bits + w) * n + r, 4);
                lb_bits_unpack(packed, 32, q->bits, codes);
                float scale = lb_f16_to_f32(scales[group * n + r]);
                uint32_t zero =
                    1 + get_bits(zeros + (size_t)group * p.zero_words, (size_t)r * (size_t)q->bits, q->bits);
                for (int i = 0; i < 32; i++)
                    dst[(r - row0) * k + at + i] = (float)((int32_t)codes[i] - (int32_t)zero) * scale;
            }
}

/* Of a row's words, which stand N apart, the first. */
static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n, (void)k;
    *offset = (size_t)row * 4;
    *length = 4;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long number[2];
    const char *rest;
    why[0] = 0;
    if (strncmp(name, "gptq-", 5)) return false;
    if (!lb_name_numbers(name, "gptq", 2, number, &rest) || (number[0] != 3 && number[0] != 4 && number[0] != 8) ||
        !lb_group_allowed(number[1]) || *rest) {
        snprintf(why, 64, "gptq-{3,4,8}-{32,64,128,256}");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = number[1], .group = number[1], .bits = (int)number[0], .param = { number[0] },
                           .family = &lb_quantizer_gptq, .size_bytes = size_bytes, .quantize = quantize, .learn = learn,
                           .quantize_learned = quantize_learned, .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, "gptq-%ld-%ld", number[0], number[1]);
    return true;
}

#define EACH(b) "gptq-" #b "-32", "gptq-" #b "-64", "gptq-" #b "-128", "gptq-" #b "-256"
static const char *const members[] = { EACH(3), EACH(4), EACH(8), NULL };
const lb_quantizer_family lb_quantizer_gptq = {
    .name = "gptq",
    .about = "w = (q - zero) * s; q 3, 4 or 8 bits, zero an integer, s f16 per group; GPTQ's planes (qweight, qzeros "
             "less one, scales). To nearest; with sample activations, by GPTQ.",
    .source = "AutoGPTQ checkpoints, version 1",
    .members = members,
    .parse = parse,
};

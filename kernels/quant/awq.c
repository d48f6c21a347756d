/* awq.c: 4 bits in AWQ's packing, with groups along K; 4 + 20/group bits. */
#include "bits.h"

extern const lb_quantizer_family lb_quantizer_awq;

/* Planes, each at a multiple of 64 bytes: qweight i32 [K][N/8]: nibble i of word c is row 8 c + {0,2,4,6,1,3,5,7}[i] of
 * W; qzeros i32 [K/g][N/8] in the same order; scales f16 [K/g][N]. What N leaves of the last words is zero. w = (q - z)
 * * s; s = max(max - min, 1e-5) / 15 as f16, z = clamp(-nearest even(min / s)), q = clamp(nearest even(w / s) + z). */
enum { MOST = 256, OCTET = 8 };
typedef struct planes { size_t zeros, scales, end, words; } planes;
static const int nibble_of[OCTET] = { 0, 4, 1, 5, 2, 6, 3, 7 }; /* where row 8 c + i stands */

static planes planes_of(const lb_quantizer *q, int64_t n, int64_t k) {
    planes p = { .words = (size_t)(n + OCTET - 1) / OCTET };
    p.zeros = lb_up64((size_t)k * p.words * 4);
    p.scales = lb_up64(p.zeros + (size_t)(k / q->group) * p.words * 4);
    p.end = p.scales + (size_t)(k / q->group) * (size_t)n * 2;
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return n && k ? planes_of(q, n, k).end : 0; }

LB_INLINE void quantize_group(const float *x, int64_t g, uint8_t *codes, uint8_t *zero, uint16_t *scale) {
    float lo, hi;
    lb_range(x, g, x[0], &lo, &hi);
    float exact = (hi - lo > 1e-5f ? hi - lo : 1e-5f) / 15.0f;
    *scale = lb_f16_scale(exact);
    float inverse = 1.0f / lb_f16_to_f32(*scale),
          z = lb_clamp(-lb_nearest(lb_clamp(lo / exact, -64.0f, 64.0f)), 0.0f, 15.0f);
    for (int64_t i = 0; i < g; i++) {
        float v = lb_clamp(x[i] * inverse, -64.0f, 64.0f);
        codes[i] = (uint8_t)(int32_t)lb_clamp(lb_nearest(v) + z, 0.0f, 15.0f);
    }
    *zero = (uint8_t)(int32_t)z;
}

/* Nibbles of the rows that `mask` has ones for; the other rows of the word may be another thread's. */
static void put_word(uint32_t *at, uint32_t mask, uint32_t value) {
    if (mask == 0xffffffffu) {
        *at = value;
        return;
    }
    __atomic_fetch_and(at, ~mask, __ATOMIC_RELAXED);
    __atomic_fetch_or(at, value, __ATOMIC_RELAXED);
}

/* Group `i` of rows [r0, r1), all of one word. */
static void quantize_octet(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t i, int64_t r0,
                           int64_t r1, void *dst) {
    planes p = planes_of(q, n, k);
    uint32_t *words = dst, *zeros = (uint32_t *)(void *)((char *)dst + p.zeros), mask = 0, all_zeros = 0,
             all[MOST] = { 0 };
    uint16_t *scales = (uint16_t *)(void *)((char *)dst + p.scales);
    for (int64_t r = r0; r < r1; r++) {
        float x[MOST] = { 0 };
        uint8_t codes[MOST], zero;
        int shift = 4 * nibble_of[r % OCTET];
        lb_clean_copy(src + r * k + i * q->group, q->group, x);
        quantize_group(x, q->group, codes, &zero, &scales[i * n + r]);
        for (int64_t j = 0; j < q->group; j++) all[j] |= (uint32_t)codes[j] << shift;
        all_zeros |= (uint32_t)zero << shift;
        mask |= 15u << shift;
    }
    for (int64_t r = r1; r1 == n && r % OCTET; r++) mask |= 15u << 4 * nibble_of[r % OCTET];
    for (int64_t j = 0; j < q->group; j++)
        put_word(words + (size_t)(i * q->group + j) * p.words + (size_t)(r0 / OCTET), mask, all[j]);
    put_word(zeros + (size_t)i * p.words + (size_t)(r0 / OCTET), mask, all_zeros);
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    for (int64_t r = row0, next; r < row1; r = next) {
        next = (r / OCTET + 1) * OCTET < row1 ? (r / OCTET + 1) * OCTET : row1;
        for (int64_t i = 0; i < k / q->group; i++) quantize_octet(q, src, n, k, i, r, next, dst);
    }
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    planes p = planes_of(q, n, k);
    const uint32_t *words = src, *zeros = (const uint32_t *)(const void *)((const char *)src + p.zeros);
    const uint16_t *scales = (const uint16_t *)(const void *)((const char *)src + p.scales);
    for (int64_t r = row0, next; r < row1; r = next) {
        next = (r / OCTET + 1) * OCTET < row1 ? (r / OCTET + 1) * OCTET : row1;
        for (int64_t j = 0; j < k; j++) {
            int64_t group = j / q->group;
            uint32_t word = words[(size_t)j * p.words + (size_t)(r / OCTET)];
            uint32_t zero = zeros[(size_t)group * p.words + (size_t)(r / OCTET)];
            for (int64_t i = r; i < next; i++) {
                int shift = 4 * nibble_of[i % OCTET];
                dst[(i - row0) * k + j] = (float)((int)(word >> shift & 15) - (int)(zero >> shift & 15)) *
                                          lb_f16_to_f32(scales[group * n + i]);
            }
        }
    }
}

/* Codes of eight rows share a word: the row's first scale stands for it. */
static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    *offset = planes_of(q, n, k).scales + (size_t)row * 2;
    *length = 2;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    long number[2];
    const char *rest;
    why[0] = 0;
    if (strncmp(name, "awq-", 4)) return false;
    if (!lb_name_numbers(name, "awq", 2, number, &rest) || number[0] != 4 || !lb_group_allowed(number[1]) || *rest) {
        snprintf(why, 64, "awq-4-{32,64,128,256}");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = number[1], .group = number[1], .bits = 4, .param = { 4 },
                           .family = &lb_quantizer_awq, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    snprintf(out->name, sizeof out->name, "awq-4-%ld", number[1]);
    return true;
}

static const char *const members[] = { "awq-4-32", "awq-4-64", "awq-4-128", "awq-4-256", NULL };
const lb_quantizer_family lb_quantizer_awq = {
    .name = "awq",
    .about = "w = (q - z) * s; q and z 4 bits, s = (max - min) / 15 as f16 per group; AWQ's planes (qweight, qzeros, "
             "scales). To nearest.",
    .source = "AutoAWQ checkpoints (GEMM version)",
    .members = members,
    .parse = parse,
};

/* uniform.c: a uniform grid of 2^b levels in groups of 32; b + 1 bits. What metal-marlin calls trellis, though it is
 * none: every level may follow every other. Its sign vectors su and sv are not kept: without a Hadamard transform they
 * only flip signs, which costs time and changes no error. */
#include <stdio.h>
#include <stdlib.h>

#include "kquant.h"

extern const lb_quantizer_family lb_quantizer_uniform;

/* Block of 32: f32 s, then 32 codes of b bits, first code in the lowest bits. w = (q - (2^b - 1) / 2) * s, a
 * half-integer grid. s is the least-squares scale of the best of twelve clippings: the outermost level stands for
 * max|w| or for as little as least_factor of it, since at few bits a finer grid is worth more than the extremes. With
 * the same s a wider grid holds every level of a narrower one: q' = q + 2^(b'-1) - 2^(b-1). */
enum { GROUP = 32, SCALE_BYTES = 4, BATCH = 16 };

static size_t block_bytes(const lb_quantizer *q) { return (size_t)(SCALE_BYTES + 4 * q->bits); }
LB_INLINE float middle(int bits) { return (float)((1 << bits) - 1) * 0.5f; }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    return (size_t)n * (size_t)(k / GROUP) * block_bytes(q);
}

/* Eight codes make b whole bytes. */
LB_INLINE void pack(const uint8_t *codes, int bits, uint8_t *out) {
    for (int i = 0; i < GROUP; i += 8, out += bits) {
        uint64_t word = 0;
        for (int j = 0; j < 8; j++) word |= (uint64_t)codes[i + j] << (bits * j);
        for (int j = 0; j < bits; j++) out[j] = (uint8_t)(word >> (8 * j));
    }
}

LB_INLINE void unpack(const uint8_t *in, int bits, uint8_t *codes) {
    for (int i = 0; i < GROUP; i += 8, in += bits) {
        uint64_t word = 0;
        for (int j = 0; j < bits; j++) word |= (uint64_t)in[j] << (8 * j);
        for (int j = 0; j < 8; j++) codes[i + j] = (uint8_t)(word >> (bits * j) & ((1u << bits) - 1));
    }
}

/* Of normally distributed weights, the searched scales of nearly all blocks lie above this share of max|w|. */
static float least_factor(int bits) {
    static const float factors[9] = { 0, 0, 0.45f, 0.6f, 0.75f, 0.85f, 0.92f, 0.95f, 0.97f };
    return factors[bits];
}

/* x: clean. */
LB_INLINE void put_block(const float *x, float s, const int bits, uint8_t *out) {
    uint8_t codes[GROUP];
    float inverse = lb_finite_ratio(1.0f, s), top = (float)((1 << bits) - 1);
    if (inverse == 0) s = 0;
    for (int i = 0; i < GROUP; i++) {
        float v = x[i] * inverse + middle(bits);
        v = v > top ? top : v < 0.0f ? 0.0f : v;
        codes[i] = (uint8_t)(int32_t)((v + 12582912.0f) - 12582912.0f);
    }
    memcpy(out, &s, SCALE_BYTES);
    pack(codes, bits, out + SCALE_BYTES);
}

LB_INLINE void get_block(const uint8_t *block, const int bits, float *dst) {
    uint8_t codes[GROUP];
    float s;
    memcpy(&s, block, SCALE_BYTES);
    unpack(block + SCALE_BYTES, bits, codes);
    for (int i = 0; i < GROUP; i++) dst[i] = ((float)codes[i] - middle(bits)) * s;
}

/* Scales are searched for BATCH blocks at a time, each on its own: where a row or a thread begins changes nothing. */
LB_INLINE void put_blocks(const float *src, int64_t count, const int bits, uint8_t *dst) {
    const lb_kquant_search *search = lb_kquant_search_get();
    for (int64_t b = 0; b < count; b += BATCH) {
        float x[BATCH * GROUP], scale[BATCH];
        int64_t some = count - b < BATCH ? count - b : BATCH;
        if (some < BATCH) memset(x, 0, sizeof x);
        lb_clean_copy(src + GROUP * b, GROUP * some, x);
        search->uniform(x, middle(bits), least_factor(bits), scale);
        for (int64_t i = 0; i < some; i++)
            put_block(x + GROUP * i, scale[i], bits, dst + (b + i) * (SCALE_BYTES + 4 * bits));
    }
}

LB_INLINE void get_blocks(const uint8_t *src, int64_t count, const int bits, float *dst) {
    for (int64_t b = 0; b < count; b++) get_block(src + b * (SCALE_BYTES + 4 * bits), bits, dst + GROUP * b);
}

/* A loop of its own for each width, so that the shifts are constants. */
#define FOR_BITS(bits, what, from, count, to)    \
    switch (bits) {                              \
    case 2: what(from, count, 2, to); break;     \
    case 3: what(from, count, 3, to); break;     \
    case 4: what(from, count, 4, to); break;     \
    case 5: what(from, count, 5, to); break;     \
    case 6: what(from, count, 6, to); break;     \
    case 7: what(from, count, 7, to); break;     \
    default: what(from, count, 8, to); break;    \
    }

LB_WIDE static void quantize_blocks(const float *src, int64_t count, int bits, uint8_t *dst) {
    FOR_BITS(bits, put_blocks, src, count, dst)
}
LB_WIDE static void dequantize_blocks(const uint8_t *src, int64_t count, int bits, float *dst) {
    FOR_BITS(bits, get_blocks, src, count, dst)
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    (void)n;
    int64_t per_row = k / GROUP;
    quantize_blocks(src + row0 * k, (row1 - row0) * per_row, q->bits,
                    (uint8_t *)dst + (size_t)(row0 * per_row) * block_bytes(q));
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    (void)n;
    int64_t per_row = k / GROUP;
    dequantize_blocks((const uint8_t *)src + (size_t)(row0 * per_row) * block_bytes(q), (row1 - row0) * per_row,
                      q->bits, dst);
}

static bool widen(const lb_quantizer *from, const lb_quantizer *to, const void *src, int64_t n, int64_t k, int64_t row0,
                  int64_t row1, void *dst) {
    (void)n;
    if (from->family != to->family || to->bits < from->bits) return false;
    int64_t per_row = k / GROUP;
    unsigned shift = (1u << (to->bits - 1)) - (1u << (from->bits - 1));
    for (int64_t b = row0 * per_row; b < row1 * per_row; b++) {
        const uint8_t *in = (const uint8_t *)src + (size_t)b * block_bytes(from);
        uint8_t *out = (uint8_t *)dst + (size_t)b * block_bytes(to), codes[GROUP];
        unpack(in + SCALE_BYTES, from->bits, codes);
        for (int i = 0; i < GROUP; i++) codes[i] = (uint8_t)(codes[i] + shift);
        memcpy(out, in, SCALE_BYTES);
        pack(codes, to->bits, out + SCALE_BYTES);
    }
    return true;
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)n;
    *length = (size_t)(k / GROUP) * block_bytes(q);
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strncmp(name, "uniform-", 8)) return false;
    char *end;
    long bits = strtol(name + 8, &end, 10);
    if (end == name + 8 || *end || bits < 2 || bits > 8) {
        snprintf(why, 64, "the bits must be 2 to 8");
        return false;
    }
    *out = (lb_quantizer){ .k_multiple = GROUP, .group = GROUP, .bits = (int)bits, .param = { bits },
                           .family = &lb_quantizer_uniform, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span, .widen = widen };
    snprintf(out->name, sizeof out->name, "uniform-%ld", bits);
    return true;
}

static const char *const members[] = { "uniform-2", "uniform-3", "uniform-4", "uniform-5", "uniform-6", "uniform-7",
                                       "uniform-8", NULL };
const lb_quantizer_family lb_quantizer_uniform = {
    .name = "uniform",
    .about = "w = (q - (2^b - 1) / 2) * s; q b bits, s f32 per 32; s the least-squares scale of the best of twelve "
             "clippings of max|w|. A wider format holds a narrower one exactly.",
    .source = "metal-marlin's mixed-bits experts (there named trellis)",
    .members = members,
    .parse = parse,
};

/* marlin.c: 4 bits, symmetric, groups of 128 along K, in Marlin's tiles; 4.125 bits. */
#include <math.h>

#include "bits.h"

extern const lb_quantizer_family lb_quantizer_marlin;

/* Planes: codes i32 [K/16][ceil(N/64)][128], a tile of 16 k x 64 rows of W each: word 16 (c % 8) + 4 (r % 8 / 2) + c /
 * 16 has for columns c (of 64; c % 16 < 8) and c + 8 the k r = 2i, 2i + 1, 2i + 8, 2i + 9: what one thread of a
 * tensor-core instruction holds, nibbles in the order 0, 2, 4, 6, 1, 3, 5, 7. At the next multiple of 64 bytes f16
 * scales [K/128][N'] (N' a multiple of 64), of 64 columns the one i + 8 j at 8 i + j. Columns beyond N are zero bytes.
 * s = max|w| * 2 / 15 as f16, q = clamp(nearest even(w / s) + 8, 0, 15), w = (q - 8) * s. */
enum { GROUP = 128, WIDE = 64, TILE_BYTES = 16 * WIDE / 2 };

static int64_t wide(int64_t n) { return (n + WIDE - 1) / WIDE; }
static size_t scales_at(int64_t n, int64_t k) { return (size_t)(k / 16 * wide(n)) * TILE_BYTES; }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return scales_at(n, k) + (size_t)(k / GROUP * wide(n)) * WIDE * 2;
}

/* The byte of a tile that holds k r and r ^ 8 (high nibble) of column c, as {e, e + 2} of the thread's eight. */
static size_t byte_of(int64_t c, int r) {
    return (size_t)((c % 8 * 4 + r % 8 / 2) * 4 + c / 16) * 4 + (size_t)(c / 8 % 2 + r % 2 * 2);
}
static size_t scale_of(int64_t n, int64_t group, int64_t row) {
    return (size_t)((group * wide(n) + row / WIDE) * WIDE + row % 8 * 8 + row % WIDE / 8);
}

static void put_group(const float *src, int64_t n, int64_t k, int64_t row, int64_t group, bool missing, uint8_t *dst) {
    uint8_t codes[GROUP] = { 0 };
    float s = 0;
    if (!missing) {
        float x[GROUP], amax = 0;
        lb_clean_copy(src + row * k + group * GROUP, GROUP, x);
        for (int i = 0; i < GROUP; i++) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        s = lb_f16_to_f32(lb_f16_scale(amax * 2.0f / 15.0f));
        float inverse = lb_finite_ratio(1.0f, s);
        for (int i = 0; i < GROUP; i++) {
            float v = lb_clamp(x[i] * inverse, -64.0f, 64.0f);
            codes[i] = (uint8_t)(int32_t)lb_clamp(lb_nearest(v) + 8.0f, 0.0f, 15.0f);
        }
    }
    for (int t = 0; t < GROUP / 16; t++) {
        uint8_t *tile = dst + (size_t)((group * (GROUP / 16) + t) * wide(n) + row / WIDE) * TILE_BYTES;
        for (int r = 0; r < 8; r++)
            tile[byte_of(row % WIDE, r)] = (uint8_t)(codes[16 * t + r] | codes[16 * t + r + 8] << 4);
    }
    ((uint16_t *)(void *)(dst + scales_at(n, k)))[scale_of(n, group, row)] = lb_f16_scale(s);
}

static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                     void *dst) {
    (void)q;
    int64_t last = row1 == n ? wide(n) * WIDE : row1;
    for (int64_t r = row0; r < last; r++)
        for (int64_t g = 0; g < k / GROUP; g++) put_group(src, n, k, r, g, r >= n, dst);
}

static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                       float *dst) {
    (void)q;
    const uint8_t *from = src;
    const uint16_t *scales = (const uint16_t *)(const void *)(from + scales_at(n, k));
    for (int64_t row = row0; row < row1; row++, dst += k)
        for (int64_t t = 0; t < k / 16; t++) {
            const uint8_t *tile = from + (size_t)(t * wide(n) + row / WIDE) * TILE_BYTES;
            float s = lb_f16_to_f32(scales[scale_of(n, t / (GROUP / 16), row)]);
            for (int r = 0; r < 8; r++) {
                uint8_t two = tile[byte_of(row % WIDE, r)];
                dst[16 * t + r] = (float)((two & 15) - 8) * s;
                dst[16 * t + r + 8] = (float)((two >> 4) - 8) * s;
            }
        }
}

/* Of a row's bytes, which are strewn over the tiles, the first. */
static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n, (void)k;
    *offset = (size_t)(row / WIDE) * TILE_BYTES + byte_of(row % WIDE, 0);
    *length = 1;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "marlin")) return false;
    *out = (lb_quantizer){ .name = "marlin", .k_multiple = GROUP, .group = GROUP, .bits = 4,
                           .family = &lb_quantizer_marlin, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    return true;
}

static const char *const members[] = { "marlin", NULL };
const lb_quantizer_family lb_quantizer_marlin = {
    .name = "marlin",
    .about = "w = (q - 8) * s; q 4 bits, s = max|w| / 7.5 as f16 per 128; codes in the order in which a GPU's tensor "
             "cores take them.",
    .source = "Marlin (Frantar et al.), groups of 128",
    .members = members,
    .parse = parse,
};

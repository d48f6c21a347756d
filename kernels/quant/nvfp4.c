/* nvfp4.c: 4-bit floats (e2m1) with an 8-bit float (e4m3) as scale per 16 and one f32 scale a matrix (4.5 bits). */
#include "minifloat.h"

extern const lb_quantizer_family lb_quantizer_nvfp4;

/* Blocks of 64: 4 e4m3 scales, 32 bytes of codes, 8 for each 16: byte j holds element j (low nibble) and j + 8 (high),
 * as GGUF files have it. From the next multiple of 64 bytes the matrix's scale t, f32. t = amax / (448 * 6); b =
 * e4m3(clamp(amax of 16 / 6 / t, 2^-6, 448)); q = e2m1(w * ((1 / t) / b)); w = q * (t * b). */
enum { BLOCK = 64, BYTES = 36, SUB = 16 };

static size_t total_at(int64_t n, int64_t k) { return lb_plane_at((size_t)n * (size_t)(k / BLOCK) * BYTES); }
static float *total_of(const void *matrix, int64_t n, int64_t k) {
    return (float *)(uintptr_t)((const char *)matrix + total_at(n, k));
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return n > 0 && k > 0 ? total_at(n, k) + sizeof(float) : 0;
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = (size_t)(k / BLOCK) * BYTES;
    *offset = (size_t)row * *length;
}

/* Each row's largest magnitude, in the row's first bytes until quantize() overwrites them. */
LB_WIDE static void survey(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                           void *dst) {
    for (int64_t r = row0; r < row1; r++) {
        size_t at, length;
        float amax = 0;
        for (int64_t i = 0; i < k; i += BLOCK) {
            float x[BLOCK], top;
            lb_clean_copy(src + r * k + i, BLOCK, x);
            top = lb_amax(x, BLOCK);
            amax = top > amax ? top : amax;
        }
        row_span(q, n, k, r, &at, &length);
        if (length) memcpy((char *)dst + at, &amax, sizeof amax);
    }
}

static void settle(const lb_quantizer *q, int64_t n, int64_t k, void *dst) {
    float amax = 0;
    if (n == 0 || k == 0) return;
    for (int64_t r = 0; r < n; r++) {
        size_t at, length;
        float a;
        row_span(q, n, k, r, &at, &length);
        memcpy(&a, (const char *)dst + at, sizeof a);
        amax = a > amax ? a : amax;
    }
    *total_of(dst, n, k) = amax / (448.0f * 6.0f);
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    (void)q;
    float t = k > 0 ? *total_of(dst, n, k) : 0, inverse = lb_finite_ratio(1.0f, t);
    uint8_t *out = (uint8_t *)dst + row0 * (k / BLOCK) * BYTES;
    src += row0 * k;
    for (int64_t b = 0; b < (row1 - row0) * (k / BLOCK); b++, src += BLOCK, out += BYTES) {
        float x[BLOCK];
        uint8_t codes[BLOCK];
        lb_clean_copy(src, BLOCK, x);
        for (int s = 0; s < BLOCK / SUB; s++) {
            float scale = inverse != 0 ? lb_amax(x + SUB * s, SUB) / 6.0f / t : 0.0f;
            scale = scale < 0x1p-6f ? 0x1p-6f : scale;
            out[s] = lb_mini_encode(LB_E4M3, scale);
            float factor = inverse / lb_mini_decode(LB_E4M3, out[s]);
            for (int i = 0; i < SUB; i++) codes[SUB * s + i] = lb_mini_encode(LB_E2M1, x[SUB * s + i] * factor);
        }
        for (int i = 0; i < BLOCK / 2; i++) {
            const uint8_t *c = codes + i / 8 * SUB + i % 8;
            out[4 + i] = (uint8_t)(c[0] | c[8] << 4);
        }
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    float t = k > 0 ? *total_of(src, n, k) : 0;
    const uint8_t *in = (const uint8_t *)src + row0 * (k / BLOCK) * BYTES;
    for (int64_t b = 0; b < (row1 - row0) * (k / BLOCK); b++, in += BYTES, dst += BLOCK)
        for (int s = 0; s < BLOCK / SUB; s++) {
            float d = t * lb_mini_decode(LB_E4M3, in[s] & 0x7f);
            for (int i = 0; i < SUB / 2; i++) {
                dst[SUB * s + i] = lb_mini_decode(LB_E2M1, in[4 + 8 * s + i] & 15) * d;
                dst[SUB * s + i + 8] = lb_mini_decode(LB_E2M1, in[4 + 8 * s + i] >> 4) * d;
            }
        }
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "nvfp4")) return false;
    *out = (lb_quantizer){ .name = "nvfp4", .k_multiple = BLOCK, .group = SUB, .bits = 4, .family = &lb_quantizer_nvfp4,
                           .size_bytes = size_bytes, .quantize = quantize, .dequantize = dequantize,
                           .row_span = row_span, .survey = survey, .settle = settle };
    return true;
}

static const char *const members[] = { "nvfp4", NULL };
const lb_quantizer_family lb_quantizer_nvfp4 = {
    .name = "nvfp4",
    .about = "w = q * (t * b); q e2m1 (0 .5 1 1.5 2 3 4 6), b e4m3 per 16: max|w| / 6 / t, at least 2^-6; t = max|w| / "
             "2688 of the matrix, f32. Blocks of 64 as GGUF's, then t.",
    .source = "NVIDIA; torchao NVFP4Tensor with a tensor scale; layout of GGUF type 40, which has none",
    .members = members,
    .parse = parse,
};

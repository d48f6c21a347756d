/* nf4.c: 4 bits that name one of 16 levels of the normal distribution, one f32 scale per 64 (4.5 bits). */
#include "nf4.h"

extern const lb_quantizer_family lb_quantizer_nf4;

/* Planes: codes [N][K / 2], even k in the HIGH nibble; from the next multiple of 64 bytes f32 max|w| [N][K / 64]. */
static size_t scales_at(int64_t n, int64_t k) { return lb_plane_at((size_t)n * (size_t)(k / 2)); }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return scales_at(n, k) + (size_t)n * (size_t)(k / NF4_BLOCK) * sizeof(float);
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    (void)q;
    float *scales = (float *)(void *)((char *)dst + scales_at(n, k));
    for (int64_t b = row0 * (k / NF4_BLOCK); b < row1 * (k / NF4_BLOCK); b++) {
        float x[NF4_BLOCK];
        lb_clean_copy(src + b * NF4_BLOCK, NF4_BLOCK, x);
        scales[b] = lb_amax(x, NF4_BLOCK);
        lb_nf4_encode(x, scales[b], (uint8_t *)dst + b * (NF4_BLOCK / 2));
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(n, k));
    for (int64_t b = row0 * (k / NF4_BLOCK); b < row1 * (k / NF4_BLOCK); b++, dst += NF4_BLOCK)
        lb_nf4_decode((const uint8_t *)src + b * (NF4_BLOCK / 2), scales[b], dst);
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "nf4")) return false;
    *out = (lb_quantizer){ .name = "nf4", .k_multiple = NF4_BLOCK, .group = NF4_BLOCK, .bits = 4,
                           .family = &lb_quantizer_nf4, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span };
    return true;
}

static const char *const members[] = { "nf4", NULL };
const lb_quantizer_family lb_quantizer_nf4 = {
    .name = "nf4",
    .about = "w = L[q] * s; q 4 bits, L the 16 levels of NF4 (to 4 decimals, then bf16), s = max|w| per 64, f32.",
    .source = "QLoRA; torchao's levels, without its double quantization",
    .members = members,
    .parse = parse,
};

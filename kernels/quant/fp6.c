/* fp6.c: 6-bit floats (e3m2) with one f32 scale a row; 6 + 32/K bits. */
#include "minifloat.h"

extern const lb_quantizer_family lb_quantizer_fp6;

/* Planes: codes [N][K], four in three bytes, the first in the lowest bits; from the next multiple of 64 bytes f32
 * scales [N]. s = max(amax, 1e-12) / 28, q = e3m2(w / s). torchao stores the same codes split into two and four bits,
 * in the order of a tensor core. */
static size_t scales_at(int64_t n, int64_t k) { return lb_plane_at((size_t)n * (size_t)(k / 4) * 3); }

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return scales_at(n, k) + (size_t)n * sizeof(float);
}

enum { RUN = 64 };

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    (void)q;
    float *scales = (float *)(void *)((char *)dst + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++) {
        const float *x = src + r * k;
        uint8_t *codes = (uint8_t *)dst + r * (k / 4) * 3;
        float amax = 0;
        for (int64_t i = 0; i < k; i++) {
            float a = fabsf(lb_clean(x[i]));
            amax = a > amax ? a : amax;
        }
        float s = (amax > 1e-12f ? amax : 1e-12f) / 28.0f;
        for (int64_t i = 0; i < k; i += RUN) {
            uint8_t run[RUN] = { 0 };
            int64_t some = k - i < RUN ? k - i : RUN;
            for (int64_t j = 0; j < some; j++) run[j] = lb_mini_encode(LB_E3M2, lb_clean(x[i + j]) / s);
            lb_pack_6bit(run, some, codes + i / 4 * 3);
        }
        scales[r] = s;
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    const float *scales = (const float *)(const void *)((const char *)src + scales_at(n, k));
    for (int64_t r = row0; r < row1; r++, dst += k) {
        const uint8_t *codes = (const uint8_t *)src + r * (k / 4) * 3;
        for (int64_t i = 0; i < k; i += RUN) {
            uint8_t run[RUN];
            int64_t some = k - i < RUN ? k - i : RUN;
            lb_unpack_6bit(codes + i / 4 * 3, some, run);
            for (int64_t j = 0; j < some; j++) dst[i + j] = lb_mini_decode(LB_E3M2, run[j]) * scales[r];
        }
    }
}

static void row_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset, size_t *length) {
    (void)q, (void)n;
    *length = (size_t)(k / 4) * 3;
    *offset = (size_t)row * *length;
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "fp6")) return false;
    *out = (lb_quantizer){ .name = "fp6", .k_multiple = 4, .group = 0, .bits = 6, .family = &lb_quantizer_fp6,
                           .size_bytes = size_bytes, .quantize = quantize, .dequantize = dequantize,
                           .row_span = row_span };
    return true;
}

static const char *const members[] = { "fp6", NULL };
const lb_quantizer_family lb_quantizer_fp6 = {
    .name = "fp6",
    .about = "w = q * s; q e3m2 [N][K], four in three bytes, s = max|w| / 28 of the row, f32 [N].",
    .source = "torchao fpx_weight_only(3, 2), after FP6-LLM",
    .members = members,
    .parse = parse,
};

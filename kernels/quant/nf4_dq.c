/* nf4_dq.c: nf4 whose scales are int8 themselves, with one f32 factor per 256 of them and one mean a matrix (4.127
 * bits). */
#include "nf4.h"

extern const lb_quantizer_family lb_quantizer_nf4_dq;

/* Planes, each from a multiple of 64 bytes: codes [N][K / 2], even k in the HIGH nibble; int8 scales, one for each 64
 * weights of the whole matrix row after row; f32 factors, one for each 256 of these, the last perhaps for fewer; the
 * f32 mean of all max|w|. f = 128 / max|a - mean| of 256, q = clamp(nearest even((a - mean) * f), -128, 127); scale = q
 * / f + mean. The codes follow from max|w| itself. */
enum { GROUP = 256 };

typedef struct planes { size_t scales, factors, mean; } planes;

static planes planes_of(int64_t n, int64_t k) {
    size_t blocks = (size_t)n * (size_t)(k / NF4_BLOCK);
    planes p = { .scales = lb_plane_at((size_t)n * (size_t)(k / 2)) };
    p.factors = lb_plane_at(p.scales + blocks);
    p.mean = lb_plane_at(p.factors + (blocks + GROUP - 1) / GROUP * sizeof(float));
    return p;
}

static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {
    (void)q;
    return n > 0 && k > 0 ? planes_of(n, k).mean + sizeof(float) : 0;
}

/* Each block's max|w|, in the block's own first bytes until quantize() overwrites them. */
LB_WIDE static void survey(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                           void *dst) {
    (void)q, (void)n;
    for (int64_t b = row0 * (k / NF4_BLOCK); b < row1 * (k / NF4_BLOCK); b++) {
        float x[NF4_BLOCK], amax;
        lb_clean_copy(src + b * NF4_BLOCK, NF4_BLOCK, x);
        amax = lb_amax(x, NF4_BLOCK);
        memcpy((char *)dst + b * (NF4_BLOCK / 2), &amax, sizeof amax);
    }
}

static float amax_at(const void *matrix, int64_t block) {
    float a;
    memcpy(&a, (const char *)matrix + block * (NF4_BLOCK / 2), sizeof a);
    return a;
}

static void settle(const lb_quantizer *q, int64_t n, int64_t k, void *dst) {
    (void)q;
    int64_t blocks = n * (k / NF4_BLOCK);
    planes p = planes_of(n, k);
    double sum = 0;
    if (blocks == 0) return;
    for (int64_t b = 0; b < blocks; b++) sum += (double)amax_at(dst, b);
    float mean = (float)(sum / (double)blocks), *factors = (float *)(void *)((char *)dst + p.factors);
    int8_t *scales = (int8_t *)dst + p.scales;
    memcpy((char *)dst + p.mean, &mean, sizeof mean);
    for (int64_t first = 0; first < blocks; first += GROUP) {
        int64_t end = first + GROUP < blocks ? first + GROUP : blocks;
        float top = 0;
        for (int64_t b = first; b < end; b++) top = fmaxf(top, fabsf(amax_at(dst, b) - mean));
        float f = lb_finite_ratio(256.0f, 2.0f * top);
        factors[first / GROUP] = f;
        for (int64_t b = first; b < end; b++) {
            float v = rintf((amax_at(dst, b) - mean) * f);
            scales[b] = (int8_t)(v > 127.0f ? 127.0f : v < -128.0f ? -128.0f : v);
        }
    }
}

LB_WIDE static void quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                             void *dst) {
    (void)q, (void)n;
    for (int64_t b = row0 * (k / NF4_BLOCK); b < row1 * (k / NF4_BLOCK); b++) {
        float x[NF4_BLOCK];
        lb_clean_copy(src + b * NF4_BLOCK, NF4_BLOCK, x);
        lb_nf4_encode(x, lb_amax(x, NF4_BLOCK), (uint8_t *)dst + b * (NF4_BLOCK / 2));
    }
}

LB_WIDE static void dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t row0, int64_t row1,
                               float *dst) {
    (void)q;
    planes p = planes_of(n, k);
    const int8_t *scales = (const int8_t *)src + p.scales;
    const float *factors = (const float *)(const void *)((const char *)src + p.factors);
    float mean = 0;
    if (row0 < row1 && k > 0) memcpy(&mean, (const char *)src + p.mean, sizeof mean);
    for (int64_t b = row0 * (k / NF4_BLOCK); b < row1 * (k / NF4_BLOCK); b++, dst += NF4_BLOCK) {
        float f = factors[b / GROUP], scale = (f != 0 ? (float)scales[b] / f : 0.0f) + mean;
        lb_nf4_decode((const uint8_t *)src + b * (NF4_BLOCK / 2), scale, dst);
    }
}

static bool parse(const char *name, lb_quantizer *out, char why[64]) {
    why[0] = 0;
    if (strcmp(name, "nf4-dq")) return false;
    *out = (lb_quantizer){ .name = "nf4-dq", .k_multiple = NF4_BLOCK, .group = NF4_BLOCK, .bits = 4,
                           .family = &lb_quantizer_nf4_dq, .size_bytes = size_bytes, .quantize = quantize,
                           .dequantize = dequantize, .row_span = row_span, .survey = survey, .settle = settle };
    return true;
}

static const char *const members[] = { "nf4-dq", NULL };
const lb_quantizer_family lb_quantizer_nf4_dq = {
    .name = "nf4-dq",
    .about = "w = L[q] * (sq / f + mean); q 4 bits, L the 16 levels of NF4 (to 4 decimals, then bf16), sq int8 per 64, "
             "f f32 per 256 of these, mean f32 a matrix.",
    .source = "QLoRA; torchao NF4Tensor",
    .members = members,
    .parse = parse,
};

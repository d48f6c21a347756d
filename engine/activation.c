/* activation.c: the reference definition of the activation formats, one row at a time. */
#include "activation.h"

#include <math.h>
#include <stdbool.h>

#include "dtype.h"

static const char *const names[LB_ACT_COUNT] = { "f32", "bf16", "q8_32", "q8_256", "q8_row", "i8_token",
                                                 "i8_token_asym", "f8_row", "f8_128", "f8_tensor" };

const char *lb_act_name(lb_act a) { return (unsigned)a < LB_ACT_COUNT ? names[a] : "unknown"; }

int64_t lb_act_block(lb_act a, int64_t k) {
    switch (a) {
    case LB_ACT_Q8_32: return 32;
    case LB_ACT_Q8_256: return 256;
    case LB_ACT_F8_128: return 128;
    case LB_ACT_Q8_ROW:
    case LB_ACT_I8_TOKEN:
    case LB_ACT_F8_ROW:
    case LB_ACT_F8_TENSOR:
    case LB_ACT_I8_TOKEN_ASYM: return k > 0 ? k : 1; /* never 0: callers divide by it */
    default: return 1;
    }
}

/* Magnitudes as integers have their order, and NaN is the largest: it becomes the maximum. */
static float block_amax(const float *x, int64_t n) {
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = lb_f32_bits(x[i]) & 0x7fffffffu;
        if (v > most) most = v;
    }
    return lb_f32_from_bits(most);
}

/* Scale, its inverse and the least code of a block, whose greatest magnitude is amax. */
typedef struct scale { float d, id, least; } scale;

static scale scale_of(lb_act a, float amax) {
    if (a == LB_ACT_I8_TOKEN) {
        float d = amax / 127.5f <= 0x1p-23f ? 0x1p-23f : amax / 127.5f; /* NaN stays */
        return (scale){ d, 1.0f / d, -128.0f };
    }
    return (scale){ amax / 127.0f, amax > 0.0f ? 127.0f / amax : 0.0f, -127.0f };
}

/* Inf * 0 and NaN become 0, overflow saturates. */
static int8_t code_of(float v, float least) {
    float r = rintf(v);
    if (!(r >= least)) return r < least ? (int8_t)least : 0;
    return r > 127.0f ? 127 : (int8_t)r;
}

lb_act_asym lb_act_asym_of(float lo, float hi) {
    float d = (hi - lo) / 255.0f;
    if (!(d < INFINITY)) return (lb_act_asym){ INFINITY, 0.0f, 0.0f };
    d = d > 0x1p-126f ? d : 0x1p-126f;
    float zero = -128.0f - rintf(lo / d);
    return (lb_act_asym){ d, 1.0f / d, zero > 127.0f ? 127.0f : zero < -128.0f ? -128.0f : zero };
}

static lb_act_asym asym_of_row(const float *x, int64_t k) {
    float lo = 0, hi = 0;
    if (!(block_amax(x, k) < INFINITY)) return lb_act_asym_of(NAN, NAN);
    for (int64_t i = 0; i < k; i++) lo = x[i] < lo ? x[i] : lo, hi = x[i] > hi ? x[i] : hi;
    return lb_act_asym_of(lo, hi);
}

static float asym_code(float x, lb_act_asym s) {
    float v = x * s.id, q = (v == v ? rintf(v) : 0.0f) + s.zero;
    return q > 127.0f ? 127.0f : q < -128.0f ? -128.0f : q;
}

void lb_act_quantize_row(lb_act a, const float *x, int64_t k, int8_t *q, float *d) {
    if (a == LB_ACT_I8_TOKEN_ASYM) {
        lb_act_asym s = asym_of_row(x, k);
        d[0] = s.d, d[1] = s.zero;
        for (int64_t i = 0; i < k; i++) q[i] = (int8_t)asym_code(x[i], s);
        return;
    }
    int64_t block = lb_act_block(a, k);
    for (int64_t b = 0; b * block < k; b++) {
        int64_t at = b * block, n = k - at < block ? k - at : block;
        scale s = scale_of(a, block_amax(x + at, n));
        d[b] = s.d;
        for (int64_t i = 0; i < n; i++) q[at + i] = code_of(x[at + i] * s.id, s.least);
    }
}

/* The nearest e4m3 number, the even one half-way; NaN is 0. */
static float e4m3_of(float v) {
    float a = fabsf(v);
    if (!(a == a)) return 0.0f;
    if (a > 448.0f) a = 448.0f;
    if (a < 0x1p-6f) return copysignf(rintf(a * 512.0f) / 512.0f, v);
    uint32_t u = lb_f32_bits(a);
    return copysignf(lb_f32_from_bits((u + 0x7ffff + (u >> 20 & 1)) & 0xfff00000u), v);
}

static void f8_values(const float *x, int64_t n, float amax, double *out) {
    float d = amax / 448.0f;
    for (int64_t i = 0; i < n; i++) out[i] = (double)d * (double)(d > 0.0f ? e4m3_of(x[i] / d) : 0.0f);
}

static bool is_f8(lb_act a) { return a == LB_ACT_F8_ROW || a == LB_ACT_F8_128 || a == LB_ACT_F8_TENSOR; }

void lb_act_values(lb_act a, const float *x, int64_t rows, int64_t k, double *out) {
    if (a == LB_ACT_F8_TENSOR) {
        f8_values(x, rows * k, block_amax(x, rows * k), out);
        return;
    }
    for (int64_t r = 0; r < rows; r++) lb_act_values_row(a, x + r * k, k, out + r * k);
}

void lb_act_values_row(lb_act a, const float *x, int64_t k, double *out) {
    if (a == LB_ACT_F32 || a == LB_ACT_BF16) {
        for (int64_t i = 0; i < k; i++)
            out[i] = (double)(a == LB_ACT_F32 ? x[i] : lb_bf16_to_f32(lb_f32_to_bf16(x[i])));
        return;
    }
    if (a == LB_ACT_I8_TOKEN_ASYM) {
        lb_act_asym s = asym_of_row(x, k);
        for (int64_t i = 0; i < k; i++) out[i] = (double)s.d * (double)(asym_code(x[i], s) - s.zero);
        return;
    }
    int64_t block = lb_act_block(a, k);
    for (int64_t b = 0; b * block < k; b++) {
        int64_t at = b * block, n = k - at < block ? k - at : block;
        if (is_f8(a)) {
            f8_values(x + at, n, block_amax(x + at, n), out + at);
            continue;
        }
        scale s = scale_of(a, block_amax(x + at, n));
        for (int64_t i = 0; i < n; i++) out[at + i] = (double)s.d * (double)code_of(x[at + i] * s.id, s.least);
    }
}

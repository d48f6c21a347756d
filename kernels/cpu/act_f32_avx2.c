/* act_f32_avx2.c: one f32 row padded and with its sums. */
#include "act_f32_avx2.h"

#include <immintrin.h>
#include <string.h>

size_t lb_act_f32_bytes(const struct lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(lb_act_f32_sums_at(k, 256) + lb_act_f32_padded(k) / 256) * sizeof(float);
}

void lb_act_f32_prepare(const struct lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    int64_t padded = lb_act_f32_padded(k);
    float *v = act, *sums = v + padded;
    if (k) memcpy(v, x, (size_t)k * sizeof *x);
    memset(v + k, 0, (size_t)(padded - k) * sizeof *x);
    for (int64_t i = 0; i < padded; i += 32) {
        __m256 a = _mm256_add_ps(_mm256_loadu_ps(v + i), _mm256_loadu_ps(v + i + 8));
        __m256 b = _mm256_add_ps(_mm256_loadu_ps(v + i + 16), _mm256_loadu_ps(v + i + 24));
        a = _mm256_add_ps(a, b);
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        sums[i / 32] = _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    }
    for (int64_t g = 64; g <= 256; g *= 2) {
        float *next = sums + padded / (g / 2);
        for (int64_t i = 0; i < padded / g; i++) next[i] = sums[2 * i] + sums[2 * i + 1];
        sums = next;
    }
}

/* kquant.c: what the K-quants share: the choice of the search's variant, and q4_k and q5_k's super-blocks. */
#include "kquant.h"

const lb_kquant_search *lb_kquant_search_get(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi"))
        return &lb_kquant_search_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &lb_kquant_search_avx2;
#endif
    return &lb_kquant_search_portable;
}

const lb_plain_quantizers *lb_plain_quantizers_get(void) {
#ifdef __x86_64__
    if (lb_kquant_search_get() == &lb_kquant_search_avx512) return &lb_plain_avx512;
#endif
    return NULL;
}

static int rounded(float v, int hi) {
    int i = (int)rintf(v);
    return i < 0 ? 0 : i > hi ? hi : i;
}

void lb_kquant_pair(const float *x, float nmax, float from, int steps, float d[2], float dmin[2], uint8_t sc[16],
                    uint8_t m[16], uint8_t *codes) {
    const lb_kquant_search *search = lb_kquant_search_get();
    float scale[16], min[16], step[16], add[16];
    search->min32(x, nmax, from, steps, scale, min);
    for (int b = 0; b < 2; b++) {
        float top = 0, deep = 0;
        for (int j = 8 * b; j < 8 * b + 8; j++) {
            top = scale[j] > top ? scale[j] : top;
            deep = min[j] > deep ? min[j] : deep;
        }
        d[b] = lb_f16_to_f32(lb_f16_scale(top / 63.0f));
        dmin[b] = lb_f16_to_f32(lb_f16_scale(deep / 63.0f));
        for (int j = 8 * b; j < 8 * b + 8; j++) {
            sc[j] = (uint8_t)rounded(lb_finite_ratio(63.0f, top) * scale[j], 63);
            m[j] = (uint8_t)rounded(lb_finite_ratio(63.0f, deep) * min[j], 63);
            step[j] = d[b] * (float)sc[j];
            add[j] = dmin[b] * (float)m[j];
        }
    }
    search->codes32(x, step, add, 0.0f, nmax, codes);
}

void lb_scales12_pack(const uint8_t sc[8], const uint8_t m[8], uint8_t out[12]) {
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(sc[j] | (sc[j + 4] >> 4) << 6);
        out[j + 4] = (uint8_t)(m[j] | (m[j + 4] >> 4) << 6);
        out[j + 8] = (uint8_t)((sc[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
}

void lb_scales12_unpack(const uint8_t in[12], uint8_t sc[8], uint8_t m[8]) {
    for (int j = 0; j < 4; j++) {
        sc[j] = in[j] & 63;
        m[j] = in[j + 4] & 63;
        sc[j + 4] = (uint8_t)((in[j + 8] & 15) | (in[j] >> 6) << 4);
        m[j + 4] = (uint8_t)((in[j + 8] >> 4) | (in[j + 4] >> 6) << 4);
    }
}

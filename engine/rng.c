/* rng.c: counter-based random numbers: any range of a stream, from whole blocks. */
#include "rng.h"

#include <stdatomic.h>

#include "device.h"
#define LB_RNG_IMPLEMENT
#include "rng_block.h"

const lb_rng_impl lb_rng_portable = { "portable", LB_ISA_PORTABLE, block_words, block_uniform, block_normal };

const lb_rng_impl *lb_rng_best(void) {
#if defined(__x86_64__)
    static atomic_int level; /* 0 = not looked up yet */
    int have = atomic_load_explicit(&level, memory_order_relaxed);
    if (!have) {
        uint32_t isa = lb_isa_detect();
        have = (isa & lb_rng_avx512.isa) == lb_rng_avx512.isa ? 3 : (isa & lb_rng_avx2.isa) == lb_rng_avx2.isa ? 2 : 1;
        atomic_store_explicit(&level, have, memory_order_relaxed);
    }
    return have == 3 ? &lb_rng_avx512 : have == 2 ? &lb_rng_avx2 : &lb_rng_portable;
#else
    return &lb_rng_portable;
#endif
}

void lb_philox4x32_full(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)LB_PHILOX_M0 * c0, p1 = (uint64_t)LB_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1, c3 = (uint32_t)p0;
        k0 += LB_PHILOX_W0, k1 += LB_PHILOX_W1;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void lb_philox4x32(uint64_t seed, uint64_t counter, uint32_t out[4]) {
    const uint32_t c[4] = { (uint32_t)counter, (uint32_t)(counter >> 32), 0, 0 };
    const uint32_t k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    lb_philox4x32_full(c, k, out);
}

uint64_t lb_rng_u64(uint64_t seed, uint64_t index) {
    uint32_t w[4];
    lb_philox4x32(seed, index >> 1, w);
    return index & 1 ? (uint64_t)w[3] << 32 | w[2] : (uint64_t)w[1] << 32 | w[0];
}

typedef void (*block_fn)(uint64_t seed, uint64_t block, float a, float b, float out[LB_RNG_BLOCK]);

/* Whole blocks go straight to `out`; those cut by the range's ends through a copy. */
static void fill(block_fn fn, uint64_t seed, uint64_t start, int64_t n, float a, float b, float *out) {
    float block[LB_RNG_BLOCK];
    for (int64_t at = 0; at < n;) {
        uint64_t i = start + (uint64_t)at;
        int64_t skip = (int64_t)(i % LB_RNG_BLOCK), take = LB_RNG_BLOCK - skip;
        if (take > n - at) take = n - at;
        if (take == LB_RNG_BLOCK) {
            fn(seed, i / LB_RNG_BLOCK, a, b, out + at);
        } else {
            fn(seed, i / LB_RNG_BLOCK, a, b, block);
            memcpy(out + at, block + skip, sizeof *out * (size_t)take);
        }
        at += take;
    }
}

void lb_rng_uniform_f32(uint64_t seed, uint64_t start, int64_t n, float lo, float hi, float *out) {
    fill(lb_rng_best()->uniform, seed, start, n, lo, hi, out);
}

void lb_rng_normal_f32(uint64_t seed, uint64_t start, int64_t n, float mean, float std, float *out) {
    fill(lb_rng_best()->normal, seed, start, n, mean, std, out);
}

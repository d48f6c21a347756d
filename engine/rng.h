/* rng.h: counter-based random numbers (Philox4x32-10): element i of a stream depends on (seed, i) alone, so any
 * number of threads on any machine gives the same bits. Normals by Box-Muller in f32 with our own log, sin and cos
 * (no libm), so that they too are the same everywhere. */
#pragma once
#include <stdint.h>

void lb_philox4x32(uint64_t seed, uint64_t counter, uint32_t out[4]);
/* With all 128 bits of the counter and 64 of the key, as published; the above sets the upper half of the counter to
 * 0. */
void lb_philox4x32_full(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Elements [start, start + n) of the stream `seed`. Element i takes word (i / 64) % 4 of counter
 * (i / 256) * 64 + i % 64. Uniforms use its upper 24 bits. Normals pair words 0 and 1, and 2 and 3: the first gives the
 * radius r, the second the angle a; the pair gives elements i and i + 64 as (r * std) * cos a + mean and
 * (r * std) * sin a + mean, each operation rounded to f32. */
void lb_rng_uniform_f32(uint64_t seed, uint64_t start, int64_t n, float lo, float hi, float *out); /* [lo, hi) */
void lb_rng_normal_f32(uint64_t seed, uint64_t start, int64_t n, float mean, float std, float *out);
uint64_t lb_rng_u64(uint64_t seed, uint64_t index);

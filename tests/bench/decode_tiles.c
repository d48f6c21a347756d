/* decode_tiles.c: what the work of decode attention by tiles takes by itself, on one core with everything in L1:
 * decode_limit.c's, for the kernels that end in _amx. decode.lua compiles it. No line of luabench is in it.
 *
 * A cache head that 8 rows of q share, 128 values. A block of 64 positions is 16 products of 16 keys and 8 rows and 16
 * of 8 rows and 16 values (tdpbf16ps). Prints for each type of cache the nanoseconds a position of the products on
 * tiles in registers; with operands formed from the cache's bytes, stored and loaded; and of all: sums stored and
 * loaded, the softmax, probabilities in the form that meets the values. Nothing waits for what another phase makes:
 * what is formed is stored beside what is loaded.
 *
 * And what widening e4m3 is bound by: the time of vpermi2b, and of vpermi2b and vpunpcklbw one after the other, in
 * times of vpunpcklbw, of which the processor executes one a cycle. If both have one port, the second is the first and
 * one. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))
enum { POSITIONS = 64, STEPS = 16, ROWS = 8, TIMES = 100, TRIES = 1000, REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
typedef enum type { BF16, F8E4M3 } type;
typedef enum work { PRODUCTS, FORMED, ALL } work;

/* Tiles 0, 1: scores of 16 positions; 2 to 4: outputs of 16 values; 5: q; 6: keys or values; 7: probabilities. */
static const struct tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} shapes __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = { 32, 32, 64, 64, 64, 32, 64, 64 },
    .rows = { 16, 16, ROWS, ROWS, ROWS, 16, 16, ROWS },
};

/* 16 positions of each; `tables`: bytes of bf16 for those of e4m3, whose contents do not matter to the time. */
static uint8_t keys[4096], values[4096], formed[2][4096], loaded[2][8192], tables[4][64] __attribute__((aligned(4096)));
static float sums[512], outputs[1024], scores[1024] __attribute__((aligned(4096)));

#define PRODUCT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")
#define LOAD(t, from, step) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(from), "r"((long)(step)) : "memory")
#define STORE(t, to, step) \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"(to), "r"((long)(step)) : "memory")
#define ZERO(t) __asm__ volatile("tilezero %tmm" #t)

/* ---- operands ---- */

/* 64 bytes of e4m3 as two registers of bf16. */
INLINE void widen(__m512i x, const __m512i *t, uint8_t *to) {
    __m512i high = _mm512_permutex2var_epi8(t[0], x, t[1]), low = _mm512_permutex2var_epi8(t[2], x, t[3]);
    high = _mm512_ternarylogic_epi32(high, x, _mm512_set1_epi8((char)0x80), 0xf8);
    _mm512_store_si512(to, _mm512_unpacklo_epi8(low, high));
    _mm512_store_si512(to + 64, _mm512_unpackhi_epi8(low, high));
}
/* Of four positions: keys of e4m3 widened, values paired. */
INLINE void form(type t, int step, const __m512i *table) {
    const int at = step % 4 * 4;
    if (t == F8E4M3)
        UNROLL for (int i = 0; i < 8; i++)
            widen(_mm512_load_si512(keys + at * 128 + 64 * i), table, formed[0] + at * 256 + 128 * i);
    UNROLL for (int i = 0; i < 2; i++) {
        uint8_t *to = formed[1] + (at + 2 * i) * 256;
        UNROLL for (int d = 0; t == BF16 && d < 256; d += 64, to += 128) {
            __m512i x = _mm512_load_si512(values + (at + i) * 256 + d);
            __m512i y = _mm512_load_si512(values + (at + i + 2) * 256 + d);
            _mm512_store_si512(to, _mm512_unpacklo_epi16(x, y));
            _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(x, y));
        }
        UNROLL for (int d = 0; t == F8E4M3 && d < 128; d += 64, to += 256) {
            __m512i x = _mm512_load_si512(values + (at + i) * 128 + d);
            __m512i y = _mm512_load_si512(values + (at + i + 2) * 128 + d);
            widen(_mm512_unpacklo_epi8(x, y), table, to);
            widen(_mm512_unpackhi_epi8(x, y), table, to + 128);
        }
    }
}

/* ---- softmax ---- */

INLINE __m512 power(__m512 x) {
    __m512 r = _mm512_reduce_ps(x, 1), p = _mm512_set1_ps(0.078f);
    UNROLL for (int i = 0; i < 3; i++) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.23f + 0.3f * (float)i));
    return _mm512_scalef_ps(p, x);
}
/* Of four positions, 8 rows: their largest; powers, their sums, as bf16; an eighth of turning 32 positions' words. */
INLINE void soften(int step, __m512 *top, __m512 *sum) {
    const float *s = scores + step * 32;
    const __m512 f = _mm512_set1_ps(0.1f), less = _mm512_set1_ps(0.2f);
    __m512 x[2];
    UNROLL for (int i = 0; i < 2; i++) {
        top[i] = _mm512_max_ps(_mm512_load_ps(s + 16 * i), top[i]);
        x[i] = power(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(s + 16 * i), f), less));
        sum[i] = _mm512_add_ps(sum[i], x[i]);
    }
    __m512i w = (__m512i)_mm512_cvtne2ps_pbh(x[1], x[0]);
    w = _mm512_unpacklo_epi16(w, (__m512i)x[0]);
    w = _mm512_unpackhi_epi32(w, (__m512i)x[1]);
    w = _mm512_unpacklo_epi64(w, (__m512i)x[0]);
    _mm512_store_si512(formed[1] + 64 * step, w);
}

/* ---- products ---- */

/* 16 keys by 8 rows of q, 32 dimensions; four make a tile of scores. q's tile serves two products. */
#define SCORES(c, step) do {                                                                                          \
        if (w != PRODUCTS && (step) % 2 == 0) LOAD(5, loaded[0] + (step) / 2 % 4 * 512, 32);                          \
        if (w != PRODUCTS) LOAD(6, loaded[0] + 4096 + (step) / 2 % 4 * 64, 256);                                      \
        if (w == ALL && (step) % 8 < 2) { STORE(c, sums + (step) / 8 * 256 + (c) * 128, 32); ZERO(c); }               \
        PRODUCT(c, 6, 5);                                                                                             \
    } while (0)
/* 8 rows of 32 probabilities by 16 values; two make a tile's sum. */
#define OUTPUTS(c, step) do {                                                                                         \
        if (w != PRODUCTS && (step) % 2 == 0) LOAD(7, loaded[1] + 4096 + (step) % 4 * 32, 128);                       \
        if (w != PRODUCTS) LOAD(6, loaded[1] + (step) / 2 * 64, 512);                                                 \
        if (w == ALL && (step) % 4 < 2) {                                                                             \
            STORE(c, outputs + (step) / 4 * 32 + (step) % 2 * 16, 512);                                               \
            LOAD(c, outputs + ((step) / 4 ^ 2) * 32 + (step) % 2 * 16, 512);                                          \
        }                                                                                                             \
        PRODUCT(c, 7, 6);                                                                                             \
    } while (0)
/* Four positions: two products beside what is no product. */
#define STEP(step, c, o) do {                                                                                         \
        SCORES(c, step);                                                                                              \
        if (w != PRODUCTS) form(t, step, table);                                                                      \
        OUTPUTS(o, step);                                                                                             \
        if (w == ALL) soften(step, top, sum);                                                                         \
    } while (0)

#define FOUR(step, a, b) do {                                                                                         \
        STEP(step, 0, a);                                                                                             \
        STEP(step + 1, 1, b);                                                                                         \
        STEP(step + 2, 0, a);                                                                                         \
        STEP(step + 3, 1, b);                                                                                         \
    } while (0)

INLINE void block(type t, work w) {
    __m512 top[2], sum[2];
    __m512i table[4];
    UNROLL for (int i = 0; i < 4; i++) table[i] = _mm512_load_si512(tables[i]);
    UNROLL for (int i = 0; i < 2; i++) top[i] = sum[i] = _mm512_setzero_ps();
    FOUR(0, 2, 3);
    FOUR(4, 4, 2);
    FOUR(8, 3, 4);
    FOUR(12, 2, 3);
    if (w != ALL) return;
    UNROLL for (int i = 0; i < 2; i++) _mm512_store_ps(scores + 512 + 32 * i, top[i]);
    UNROLL for (int i = 0; i < 2; i++) _mm512_store_ps(scores + 528 + 32 * i, sum[i]);
}

/* Twelve, none of which waits for another. */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define UNPACK(d) "vpunpcklbw %%zmm30, %%zmm31, %%zmm" #d "\n\t"
#define PERMUTE(d) "vpermi2b %%zmm30, %%zmm31, %%zmm" #d "\n\t"
#define BOTH(d) "vpermi2b %%zmm30, %%zmm31, %%zmm" #d "\n\tvpunpcklbw %%zmm30, %%zmm31, %%zmm" #d "\n\t"
#define RUN(name, X)                                                                                                  \
    static void name(void) {                                                                                          \
        for (int i = 0; i < 20; i++)                                                                                  \
            __asm__ volatile(TWELVE(X) : : : "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8",  \
                             "zmm9", "zmm10", "zmm11");                                                               \
    }
RUN(unpacks, UNPACK)
RUN(permutes, PERMUTE)
RUN(unpacks_permutes, BOTH)

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#define BEST(call) ({                                                                                                 \
        double best = 1;                                                                                              \
        for (int i = 0; i < TRIES; i++) {                                                                             \
            double begin = seconds();                                                                                 \
            for (int j = 0; j < TIMES; j++) call;                                                                     \
            begin = seconds() - begin;                                                                                \
            if (begin < best) best = begin;                                                                           \
        }                                                                                                             \
        best * 1e9 / TIMES / POSITIONS; })

int main(void) {
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    uint32_t hash = 1;
    uint8_t *const filled[] = { loaded[0], keys, values, tables[0] };
    const size_t bytes[] = { sizeof loaded, sizeof keys, sizeof values, sizeof tables };
    for (int i = 0; i < 4; i++)
        for (size_t j = 0; j < bytes[i]; j += 2) { /* bf16 below 1; the rate of tiles depends on what they hold */
            const float x = (float)(int32_t)(hash = hash * 1664525u + 1013904223u) * 0x1p-31f;
            memcpy(filled[i] + j, (const char *)&x + 2, 2);
        }
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
    LOAD(5, loaded[0], 32);
    LOAD(6, loaded[0] + 4096, 256);
    LOAD(7, loaded[1] + 4096, 128);
    printf("bf16 %.3f %.3f %.3f\n", BEST(block(BF16, PRODUCTS)), BEST(block(BF16, FORMED)), BEST(block(BF16, ALL)));
    printf("f8e4m3 %.3f %.3f %.3f\n", BEST(block(F8E4M3, PRODUCTS)), BEST(block(F8E4M3, FORMED)),
           BEST(block(F8E4M3, ALL)));
    const double unpack = BEST(unpacks());
    printf("vpermi2b\t%.2f\t%.2f\n", BEST(permutes()) / unpack, BEST(unpacks_permutes()) / unpack);
}

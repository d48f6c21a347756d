/* decode_limit.c: what the products of decode attention and forming their operands take by themselves, on one core with
 * everything in L1: no factors, no softmax, no sums brought together. decode.lua compiles it. No line of luabench is in
 * it.
 *
 * 64 positions of a cache head that 8 rows of q share, 128 values. Prints for each type of cache the nanoseconds a
 * position of the products on operands that are there already, and with operands formed from the cache's bytes. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define UNROLL _Pragma("GCC unroll 16")
enum { POSITIONS = 64, ROWS = 8, VALUES = 128, BLOCKS = VALUES / 32, TIMES = 100, TRIES = 1000 };
typedef enum type { BF16, F8E4M3, Q8_0, Q4_0 } type;
static const char *const names[] = { "bf16", "f8e4m3", "q8_0", "q4_0" };
static const int row_bytes[] = { 256, 128, 136, 72 };

static uint8_t cache[2][POSITIONS * 256 + 256], q[ROWS * 512], p[64 * 64], tables[8][64] __attribute__((aligned(64)));
static float sums[ROWS * 512] __attribute__((aligned(64)));

static inline __m512i bytes_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i int16_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i words_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i spread(const uint8_t *four) {
    __m512i v;
    __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*(const int32_t *)(const void *)four));
    return v;
}
static inline __m512i pair(const uint8_t *a, const uint8_t *b) { /* two times 32 bytes */
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)a));
    return _mm512_inserti64x4(v, _mm256_loadu_si256((const void *)b), 1);
}
static inline __m512i four(const uint8_t *a, long step) { /* four times 16 bytes */
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)a));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + step)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + 2 * step)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + 3 * step)), 3);
}
static inline void turn4(__m512i *r) {
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm512_unpacklo_epi64(a, c), r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d), r[3] = _mm512_unpackhi_epi64(b, d);
}
/* 64 bytes of e4m3 as two registers of bf16. */
static inline void widen(__m512i x, __m512i *to) {
    const __m512i *t = (const void *)tables;
    __m512i high = _mm512_permutex2var_epi8(t[0], x, t[1]), low = _mm512_permutex2var_epi8(t[2], x, t[3]);
    high = _mm512_ternarylogic_epi32(high, x, _mm512_set1_epi8((char)0x80), 0xf8);
    to[0] = _mm512_unpacklo_epi8(low, high), to[1] = _mm512_unpackhi_epi8(low, high);
}

/* Scores of 16 (bytes) or 2 (words) positions, values of 2, which meet probabilities of two bytes. */
static inline __attribute__((always_inline)) void byte_keys(type t, int formed, const uint8_t *k, __m512i *total) {
    const long step = row_bytes[t], block = step / BLOCKS;
    for (int b = 0; b < BLOCKS; b++) {
        __m512i c[8], acc[ROWS], r[8];
        const uint8_t *at = k + b * block + 2;
        if (formed && t == Q8_0) {
            UNROLL for (int j = 0; j < 8; j++) {
                const uint8_t *row = at + (j / 4 * 8 + j % 4) * step;
                r[j] = pair(row, row + 4 * step);
            }
            turn4(r), turn4(r + 4);
            UNROLL for (int j = 0; j < 4; j++) {
                c[j] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0x88), _mm512_set1_epi8((char)0x80));
                c[j + 4] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd), _mm512_set1_epi8((char)0x80));
            }
        } else if (formed) {
            UNROLL for (int j = 0; j < 4; j++) r[j] = four(at + j * step, 4 * step);
            turn4(r);
            UNROLL for (int j = 0; j < 4; j++) {
                c[j] = _mm512_and_si512(r[j], _mm512_set1_epi8(15));
                c[j + 4] = _mm512_and_si512(_mm512_srli_epi16(r[j], 4), _mm512_set1_epi8(15));
            }
        } else
            UNROLL for (int j = 0; j < 8; j++) c[j] = _mm512_load_si512(tables[j]);
        UNROLL for (int i = 0; i < ROWS; i++) acc[i] = _mm512_setzero_si512();
        UNROLL for (int j = 0; j < 8; j++)
            UNROLL for (int i = 0; i < ROWS; i++)
                acc[i] = bytes_dot(acc[i], c[j], spread(q + i * 192 + b * 48 + j * 4));
        UNROLL for (int i = 0; i < ROWS; i++) total[i] = _mm512_add_epi32(total[i], acc[i]);
    }
}
static inline __attribute__((always_inline)) void byte_values(type t, int formed, const uint8_t *v, int b,
                                                              const uint8_t *w, __m512i acc[ROWS][2]) {
    const long step = row_bytes[t];
    const uint8_t *at = v + b * (step / BLOCKS) + 2;
    __m512i c[2] = { _mm512_load_si512(tables[0]), _mm512_load_si512(tables[1]) };
    if (formed && t == Q8_0) {
        __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)at));
        __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)(at + step)));
        c[0] = _mm512_permutex2var_epi16(x, c[0], y), c[1] = _mm512_permutex2var_epi16(x, c[1], y);
    } else if (formed) {
        __m256i two = _mm256_set_m128i(_mm_loadu_si128((const void *)(at + step)), _mm_loadu_si128((const void *)at));
        __m512i x = _mm512_maskz_permutexvar_epi8(0x5555555555555555, c[0], _mm512_castsi256_si512(two));
        __m512i low = _mm512_set1_epi16(15), eight = _mm512_set1_epi16(8);
        c[0] = _mm512_sub_epi16(_mm512_and_si512(x, low), eight);
        c[1] = _mm512_sub_epi16(_mm512_srli_epi16(x, 4), eight);
    }
    UNROLL for (int i = 0; i < ROWS; i++) {
        __m512i x = spread(w + i * 128);
        UNROLL for (int j = 0; j < 2; j++) acc[i][j] = int16_dot(acc[i][j], x, c[j]);
    }
}
static inline __attribute__((always_inline)) void bytes(type t, int formed) {
    for (int i = 0; i < POSITIONS; i += 16) {
        __m512i total[ROWS];
        UNROLL for (int r = 0; r < ROWS; r++) total[r] = _mm512_setzero_si512();
        byte_keys(t, formed, cache[0] + i * row_bytes[t], total);
        UNROLL for (int r = 0; r < ROWS; r++) _mm512_store_si512(sums + r * 64 + i, total[r]);
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m512i acc[ROWS][2];
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        for (int i = 0; i < POSITIONS; i += 2)
            byte_values(t, formed, cache[1] + i * row_bytes[t], b, p + b * 1024 + 2 * i, acc);
        UNROLL for (int r = 0; r < ROWS; r++)
            UNROLL for (int j = 0; j < 2; j++) _mm512_store_si512(sums + r * 128 + b * 32 + 16 * j, acc[r][j]);
    }
}

static inline __attribute__((always_inline)) void words(type t, int formed) {
    const long step = row_bytes[t];
    for (int i = 0; i < POSITIONS; i += 2) { /* lanes of keys stay apart: adding them up is not counted */
        __m512i acc[ROWS][2], c[2][4];
        const uint8_t *k = cache[0] + i * step;
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        UNROLL for (int h = 0; h < 2; h++)
            UNROLL for (int j = 0; j < 4; j++)
                if (!formed) c[h][j] = _mm512_load_si512(tables[j]);
                else if (t == BF16) c[h][j] = _mm512_loadu_si512(k + h * step + 64 * j);
                else if (j % 2 == 0) widen(_mm512_loadu_si512(k + h * step + 32 * j), &c[h][j]);
        UNROLL for (int j = 0; j < 4; j++)
            UNROLL for (int r = 0; r < ROWS; r++) {
                __m512i x = _mm512_loadu_si512(q + r * 256 + 64 * j);
                UNROLL for (int h = 0; h < 2; h++) acc[r][h] = words_dot(acc[r][h], c[h][j], x);
            }
        UNROLL for (int r = 0; r < ROWS; r++) /* kept once for all positions: only that they are made counts */
            UNROLL for (int h = 0; h < 2; h++) __asm__ volatile("" : : "v"(acc[r][h]));
    }
    for (int d = 0; d < VALUES; d += 32) {
        __m512i acc[ROWS][2];
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        for (int i = 0; i < POSITIONS; i += 2) {
            const uint8_t *v = cache[1] + i * step + d * (step / VALUES);
            __m512i c[2] = { _mm512_load_si512(tables[0]), _mm512_load_si512(tables[1]) };
            if (formed && t == BF16) {
                __m512i x = _mm512_loadu_si512(v), y = _mm512_loadu_si512(v + step);
                c[0] = _mm512_permutex2var_epi16(x, c[0], y), c[1] = _mm512_permutex2var_epi16(x, c[1], y);
            } else if (formed)
                widen(pair(v, v + step), c);
            UNROLL for (int r = 0; r < ROWS; r++) {
                __m512i x = spread(p + r * 128 + 2 * i);
                UNROLL for (int j = 0; j < 2; j++) acc[r][j] = words_dot(acc[r][j], c[j], x);
            }
        }
        UNROLL for (int r = 0; r < ROWS; r++)
            UNROLL for (int j = 0; j < 2; j++) _mm512_store_si512(sums + r * 128 + d + 16 * j, acc[r][j]);
    }
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#define BEST(call) ({                                                                                               \
        double best = 1;                                                                                            \
        for (int i = 0; i < TRIES; i++) {                                                                           \
            double t = seconds();                                                                                   \
            for (int j = 0; j < TIMES; j++) { call; __asm__ volatile("" : : : "memory"); }                         \
            t = seconds() - t;                                                                                      \
            if (t < best) best = t;                                                                                 \
        }                                                                                                           \
        best * 1e9 / TIMES / POSITIONS; })

int main(void) {
    memset(cache, 0x11, sizeof cache);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 8; j++) tables[j][i] = (uint8_t)(i * 7 + j);
    printf("%s %.3f %.3f\n", names[BF16], BEST(words(BF16, 0)), BEST(words(BF16, 1)));
    printf("%s %.3f %.3f\n", names[F8E4M3], BEST(words(F8E4M3, 0)), BEST(words(F8E4M3, 1)));
    printf("%s %.3f %.3f\n", names[Q8_0], BEST(bytes(Q8_0, 0)), BEST(bytes(Q8_0, 1)));
    printf("%s %.3f %.3f\n", names[Q4_0], BEST(bytes(Q4_0, 0)), BEST(bytes(Q4_0, 1)));
}

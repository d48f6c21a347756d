/* read_order.c: what the order and form of a stream's loads cost one core: blocks of 52 lines as q6_k has them (48 of
 * codes, for each of which nine operations wait, and 4 of scales, read first), from memory, asked for into L1, or into
 * L2 and, nearer by, into L1; and runs of 16 lines from each of two places 4 KiB apart, asked for by as many
 * prefetches, or by one in a loop. All forms by turns over slices of one buffer. Prints a line for each, parts between
 * tabs: name, bytes a second, share of the plain read (medians). */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")
#define STAYS_LOOP _Pragma("GCC unroll 1")
enum { CODES = 48, LINES = 52, TOTAL = 512 << 20, SLICE = 8 << 20, MOST = 400, FORMS = 11,
       PLACE = 4096, RUN = 16, FAR = 11264 };

INLINE __m512i line(const uint8_t *p) {
    __m512i v;
    __asm__ volatile("vmovdqa64 %1, %0" : "=v"(v) : "m"(*(const __m512i *)p));
    return v;
}

INLINE __m512i wait_for(__m512i v) {
    __m512i t = v;
    UNROLL for (int i = 0; i < 9; i++) __asm__ volatile("vpaddd %1, %1, %0" : "=v"(t) : "v"(v));
    return t;
}

INLINE void ask(const uint8_t *p, int ahead) {
    if (ahead) __asm__ volatile("prefetcht0 %0" : : "m"(p[ahead]));
}

/* Into L1 as ask(), and into L2 `far` bytes ahead (0: not). */
INLINE void ask_through(const uint8_t *p, int ahead, int far) {
    if (far) __asm__ volatile("prefetcht1 %0" : : "m"(p[far]));
    ask(p, ahead);
}

/* `at_once` lines of codes an iteration, asked for `ahead` bytes before (0: not), and into L2 `far`; constants. */
INLINE __m512i blocks(const uint8_t *p, const uint8_t *end, const int at_once, const int ahead, const int far) {
    __m512i sum[8];
    UNROLL for (int i = 0; i < 8; i++) sum[i] = _mm512_setzero_si512();
    for (; p + 64 * LINES <= end; p += 64 * (LINES - CODES)) {
        const uint8_t *scales = p + 64 * CODES;
        UNROLL for (int i = 0; i < LINES - CODES; i++) {
            sum[i] = _mm512_xor_si512(sum[i], line(scales + 64 * i));
            ask_through(scales + 64 * i, ahead, far);
        }
        STAYS_LOOP for (int g = 0; g < CODES / at_once; g++)
            UNROLL for (int i = 0; i < at_once; i++, p += 64) {
                ask_through(p, ahead, far);
                sum[i % 8] = _mm512_xor_si512(sum[i % 8], wait_for(line(p)));
            }
    }
    UNROLL for (int i = 1; i < 8; i++) sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return sum[0];
}

/* The lines of RUN of each place, in the order of addresses. */
INLINE void ask_both(const uint8_t *p, const int unrolled) {
    const uint8_t *end = p + 64 * 2 * RUN;
    if (unrolled) {
        UNROLL for (int i = 0; i < 2 * RUN; i++) ask(p + 64 * i, FAR);
        return;
    }
    __asm__("" : "+r"(end));
    STAYS_LOOP for (; p < end; p += 64) ask(p, FAR);
}

INLINE __m512i two_places(const uint8_t *p, const uint8_t *end, const int unrolled) {
    __m512i sum[8];
    UNROLL for (int i = 0; i < 8; i++) sum[i] = _mm512_setzero_si512();
    for (; p + 2 * PLACE <= end; p += 2 * PLACE)
        STAYS_LOOP for (int r = 0; r < PLACE / (64 * RUN); r++) {
            const uint8_t *from = p + 64 * RUN * r;
            ask_both(p + 64 * 2 * RUN * r, unrolled);
            UNROLL for (int i = 0; i < 2 * RUN; i++)
                sum[i % 8] = _mm512_xor_si512(sum[i % 8], wait_for(line(from + i / RUN * PLACE + 64 * (i % RUN))));
        }
    UNROLL for (int i = 1; i < 8; i++) sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return sum[0];
}

INLINE __m512i plain(const uint8_t *p, const uint8_t *end) {
    __m512i sum[16];
    UNROLL for (int i = 0; i < 16; i++) sum[i] = _mm512_setzero_si512();
    for (; p + 1024 <= end; p += 1024)
        UNROLL for (int i = 0; i < 16; i++) sum[i] = _mm512_xor_si512(sum[i], line(p + 64 * i));
    UNROLL for (int i = 1; i < 16; i++) sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return sum[0];
}

#define FORM(name, value)                                                                                            \
    static __attribute__((noinline)) __m512i name(const uint8_t *p, const uint8_t *end) { return value; }
FORM(read_plain, plain(p, end))
FORM(unrolled_alone, blocks(p, end, CODES, 0, 0))
FORM(unrolled_ahead, blocks(p, end, CODES, 7168, 0))
FORM(sixteen_ahead, blocks(p, end, 16, 7168, 0))
FORM(loop_alone, blocks(p, end, 6, 0, 0))
FORM(loop_ahead, blocks(p, end, 6, 7168, 0))
FORM(loop_far, blocks(p, end, 6, 8192, 0))
FORM(loop_4_2, blocks(p, end, 6, 2048, 4096))
FORM(loop_8_2, blocks(p, end, 6, 2048, 8192))
FORM(places_unrolled, two_places(p, end, 1))
FORM(places_loop, two_places(p, end, 0))
static const struct { const char *name; __m512i (*run)(const uint8_t *, const uint8_t *); } forms[FORMS] = {
    { "plain read", read_plain },
    { "48 lines unrolled", unrolled_alone },
    { "48 unrolled, 7 KiB ahead", unrolled_ahead },
    { "loop of 16, 7 KiB ahead", sixteen_ahead },
    { "loop of 6", loop_alone },
    { "loop of 6, 7 KiB ahead", loop_ahead },
    { "loop of 6, 8 KiB ahead", loop_far },
    { "loop of 6, L2 4, L1 2 KiB", loop_4_2 },
    { "loop of 6, L2 8, L1 2 KiB", loop_8_2 },
    { "two places, 32 prefetches", places_unrolled },
    { "two places, one in a loop", places_loop },
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void) {
    static double rate[FORMS][MOST], share[FORMS][MOST];
    uint8_t *buffer = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) return 1;
#ifdef MADV_HUGEPAGE
    madvise(buffer, TOTAL, MADV_HUGEPAGE);
#endif
    memset(buffer, 1, TOTAL);
    size_t at = 0;
    int turns = 0;
    for (double end = now() + 3; turns < MOST && now() < end; turns++)
        for (int f = 0; f < FORMS; f++, at = (at + SLICE) % TOTAL) {
            double t = now();
            volatile __m512i kept = forms[f].run(buffer + at, buffer + at + SLICE);
            (void)kept;
            rate[f][turns] = SLICE / (now() - t);
            share[f][turns] = rate[f][turns] / rate[0][turns];
        }
    for (int f = 0; f < FORMS; f++) {
        qsort(rate[f], (size_t)turns, sizeof(double), by_size);
        qsort(share[f], (size_t)turns, sizeof(double), by_size);
        printf("%s\t%.0f\t%.4f\n", forms[f].name, rate[f][turns / 2], share[f][turns / 2]);
    }
    return 0;
}

/* decode_stream.c: what share of the read bandwidth is left beside work: two threads read 272 bytes a position (as
 * q8_0 has them for 128 values), each line asked for 17 KiB ahead, with nothing but fma after each line, more of them
 * from row to row. By turns with the plain read. decode.lua compiles it; no line of luabench is in it.
 *
 * Prints for each amount of work, tabs between: nanoseconds a position out of L1; out of memory; the share of the plain
 * read's rate (medians). */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { POSITION = 272, LINES = 17 /* of 4 positions */, AHEAD = 64 * POSITION, FORMS = 6, MOST = 2000 };
enum { HUGE_PAGE = 2 << 20 };
static size_t each; /* bytes of a thread: as many as the last cache holds, so that both find none of theirs there */
static const double seconds = 4;

/* In assembly: compilers keep such registers in memory. zmm31 is 0. */
#define FMA(a) "vfmadd231ps %%zmm31, %%zmm31, %%zmm" #a "\n\t"
#define FMA_12 FMA(8) FMA(9) FMA(10) FMA(11) FMA(12) FMA(13) FMA(14) FMA(15) FMA(16) FMA(17) FMA(18) FMA(19)
#define FMA_16 FMA_12 FMA(20) FMA(21) FMA(22) FMA(23)
#define FMA_18 FMA_16 FMA(24) FMA(25)
#define FMA_20 FMA_18 FMA(26) FMA(27)
#define FMA_22 FMA_20 FMA(8) FMA(9)
#define CLOBBERS "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18",   \
    "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27", "zmm31"
static volatile float sink;

#define READ(name, WORK)                                                                                            \
    static void name(const char *p, size_t bytes) {                                                                 \
        __m512i x = _mm512_setzero_si512();                                                                         \
        __asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31" : : : "zmm31");                                         \
        for (const char *end = p + bytes; p < end; p += LINES * 64)                                                 \
            _Pragma("GCC unroll 17") for (int i = 0; i < LINES; i++) {                                              \
                _mm_prefetch(p + AHEAD + 64 * i, _MM_HINT_T0);                                                      \
                __asm__ volatile("vpxord %1, %0, %0\n\t" WORK : "+v"(x) : "m"(*(const __m512i *)(p + 64 * i))        \
                                 : CLOBBERS);                                                                       \
            }                                                                                                       \
        sink = (float)_mm512_reduce_add_epi32(x);                                                                   \
    }
READ(plain, "")
READ(fma_12, FMA_12)
READ(fma_16, FMA_16)
READ(fma_18, FMA_18)
READ(fma_20, FMA_20)
READ(fma_22, FMA_22)
static void (*const forms[FORMS])(const char *, size_t) = { plain, fma_12, fma_16, fma_18, fma_20, fma_22 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

static char *part[2];
static pthread_barrier_t turn;
static volatile int form;

static void *other(void *unused) {
    for (;;) {
        pthread_barrier_wait(&turn);
        if (form < 0) return unused;
        forms[form](part[1], each);
        pthread_barrier_wait(&turn);
    }
}
static double run(int f) {
    form = f;
    pthread_barrier_wait(&turn);
    double t = now();
    forms[f](part[0], each);
    pthread_barrier_wait(&turn);
    return now() - t;
}
static double out_of_l1(int f) {
    double best = 1;
    for (int i = 0; i < 2000; i++) {
        double t = now();
        for (int j = 0; j < 10; j++) forms[f](part[0], LINES * 64 * 16);
        t = now() - t;
        if (t < best) best = t;
    }
    return best / (10 * 16 * 4);
}

static size_t bytes_of_a_thread(void) {
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), least = 48 << 20;
    return (size_t)(cache > least ? cache : least) / (LINES * 64) * (LINES * 64);
}

int main(void) {
    static double times[FORMS][MOST];
    each = bytes_of_a_thread();
    for (int i = 0; i < 2; i++) {
        char *p = mmap(NULL, each + 2 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return perror("mmap"), 1;
        part[i] = (char *)(((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
        madvise(part[i], each, MADV_HUGEPAGE);
        memset(part[i], 0, each + AHEAD);
    }
    pthread_t thread;
    pthread_barrier_init(&turn, NULL, 2);
    if (pthread_create(&thread, NULL, other, NULL)) return fprintf(stderr, "no second thread\n"), 1;
    int n = 0;
    for (double stop = now() + seconds; n < MOST && (now() < stop || n < 5); n++)
        for (int f = 0; f < FORMS; f++) times[f][n] = run(f);
    form = -1;
    pthread_barrier_wait(&turn);
    pthread_join(thread, NULL);
    for (int f = 1; f < FORMS; f++) {
        static double shares[MOST];
        for (int i = 0; i < n; i++) shares[i] = times[0][i] / times[f][i];
        double share = median(shares, n), positions = (double)(each / POSITION);
        printf("%.2f\t%.2f\t%.3f\n", out_of_l1(f) * 1e9, median(times[f], n) / positions * 1e9, share);
    }
}

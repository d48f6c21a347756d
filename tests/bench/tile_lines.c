/* tile_lines.c: what products by AMX's tiles lose to the lines that their operands are: chains of tdpbsud or tdpbf16ps
 * on tiles that stay in registers, and beside them nothing but loads of lines out of L2, lines of L2 loaded and stored
 * (sums), and prefetches into L2 of lines out of L3 and, in one stream, out of memory, so many a product; none of them
 * waits for another. Either L2 or what is behind it costs nothing up to what the first lines of the output say; both
 * together do: what is exhausted has room for either. Each line is the median of turns with the chain by itself; turns
 * in which that is more than a tenth slower than the fastest seen do not count (a neighbour on the host halves its
 * rate). The argument is the number of threads, 1 or 2, each of which does all of it on memory of its own. */
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cpu/amx.h"

#define INLINE static inline __attribute__((always_inline))

enum { NEAR_BYTES = 512 << 10, SUMS_BYTES = 768 << 10, FAR_BYTES = 16 << 20, STREAM_BYTES = 256 << 20, STEPS = 2000,
       TURNS = 15, TURNS_MOST = 200, PRODUCTS = 12 /* whose lines a row of the table counts */, THREADS_MOST = 2,
       REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

/* A thread's memory, and where it is in each. */
typedef struct core { char *near, *sums, *far, *stream; size_t near_at, sums_at, far_at, stream_at; double ns; } core;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* The rate of tiles depends on what they hold. */
static char *filled(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) exit(1);
    madvise(p, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4) *(uint32_t *)(void *)(p + i) = ((uint32_t)i * 0x9e3779b1u) & 0xbfbfbfbfu;
    return p;
}

/* Lines of product `i` of PRODUCTS, of which all together have `all`. */
INLINE int lines_of(int i, int all) { return all * (i + 1) / PRODUCTS - all * i / PRODUCTS; }

INLINE void beside(core *c, int i, const int l2, const int sums, const int l3, const int memory) {
    for (int n = lines_of(i, l2); n > 0; n--, c->near_at = (c->near_at + 64) % NEAR_BYTES)
        __asm__ volatile("vmovups (%0), %%zmm31" : : "r"(c->near + c->near_at) : "xmm31");
    for (int n = lines_of(i, sums); n > 0; n--, c->sums_at = (c->sums_at + 64) % SUMS_BYTES)
        __asm__ volatile("vmovups (%0), %%zmm31\n\tvmovups %%zmm31, (%0)"
                         : : "r"(c->sums + c->sums_at) : "xmm31", "memory");
    for (int n = lines_of(i, l3); n > 0; n--, c->far_at = (c->far_at + 64) % FAR_BYTES)
        _mm_prefetch(c->far + c->far_at, _MM_HINT_T1);
    for (int n = lines_of(i, memory); n > 0; n--, c->stream_at = (c->stream_at + 64) % STREAM_BYTES)
        _mm_prefetch(c->stream + c->stream_at, _MM_HINT_T1);
}

#define PRODUCT(c, a, b)                                                                                             \
    do {                                                                                                             \
        if (bf16) LB_TILE_BF16(c, a, b);                                                                             \
        else LB_TILE_SU(c, a, b);                                                                                    \
    } while (0)

/* c->ns: of a product, of which each PRODUCTS have so many lines of each kind beside them. */
INLINE void run(core *kept, const int bf16, const int l2, const int sums, const int l3, const int memory) {
    core c = *kept; /* in registers */
    lb_tiles_open(&lb_tiles_whole);
    LB_TILE_LOAD(4, c.near, 64);
    LB_TILE_LOAD(5, c.near + 1024, 64);
    LB_TILE_LOAD(6, c.near + 2048, 64);
    LB_TILE_LOAD(7, c.near + 3072, 64);
    const double begin = now_ns();
    for (int s = 0; s < STEPS; s++) {
#pragma GCC unroll 3
        for (int i = 0; i < PRODUCTS; i += 4) {
            PRODUCT(0, 4, 6);
            beside(&c, i, l2, sums, l3, memory);
            PRODUCT(1, 4, 7);
            beside(&c, i + 1, l2, sums, l3, memory);
            PRODUCT(2, 5, 6);
            beside(&c, i + 2, l2, sums, l3, memory);
            PRODUCT(3, 5, 7);
            beside(&c, i + 3, l2, sums, l3, memory);
        }
    }
    c.ns = (now_ns() - begin) / (PRODUCTS * STEPS);
    lb_tiles_close();
    *kept = c;
}

/* Bf16 or not; lines of PRODUCTS: of L2, of sums, of L3, of memory. What gemm_tiles.h needs of 512 rows for a product
 * of bf16 (32 k) is 8 lines of x out of L2 and, for 12 panels together, 0.67 out of L3, one of sums each 512 k, which
 * with those panels are 768 KiB, and of weights of one byte or two 0.25 or 0.5 out of memory. */
#define INT8_ROWS(X)                                                                                                 \
    X(0, 0, 0, 0, 0) X(0, 96, 0, 0, 0) X(0, 144, 0, 0, 0) X(0, 168, 0, 0, 0) X(0, 192, 0, 0, 0) X(0, 0, 0, 12, 0)    \
    X(0, 0, 0, 18, 0) X(0, 0, 0, 24, 0) X(0, 0, 0, 30, 0) X(0, 48, 0, 18, 0) X(0, 96, 0, 6, 0) X(0, 96, 0, 12, 0)    \
    X(0, 96, 0, 18, 0) X(0, 96, 0, 24, 0) X(0, 96, 0, 30, 0) X(0, 120, 0, 12, 0) X(0, 120, 0, 18, 0)
#define BF16_ROWS(X)                                                                                                 \
    X(1, 0, 0, 0, 0) X(1, 96, 0, 0, 0) X(1, 96, 12, 0, 0) X(1, 0, 0, 8, 6) X(1, 96, 12, 8, 0) X(1, 96, 12, 8, 3)     \
    X(1, 96, 12, 8, 6) X(1, 96, 12, 12, 6)
#define PART(bf16, l2, sums, l3, memory)                                                                             \
    static __attribute__((noinline)) void part_##bf16##_##l2##_##sums##_##l3##_##memory(core *c) {                   \
        run(c, bf16, l2, sums, l3, memory);                                                                          \
    }
INT8_ROWS(PART)
BF16_ROWS(PART)

static core cores[THREADS_MOST];
static int threads;
static pthread_barrier_t together;
static void (*volatile wanted)(core *); /* what all threads do between two barriers; NULL ends them */

static void *second(void *c) {
    for (;;) {
        pthread_barrier_wait(&together);
        if (!wanted) return NULL;
        wanted(c);
        pthread_barrier_wait(&together);
    }
}
static double on_all(void (*part)(core *)) {
    double ns = 0;
    wanted = part;
    pthread_barrier_wait(&together);
    part(&cores[0]);
    pthread_barrier_wait(&together);
    for (int i = 0; i < threads; i++) ns += cores[i].ns / threads;
    return ns;
}

static double quietest = 1e9;
static double peak(int bf16) {
    const double ns = on_all(bf16 ? part_1_0_0_0_0 : part_0_0_0_0_0);
    if (ns < quietest) quietest = ns;
    return ns;
}

static int order(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static void show(void (*part)(core *), int bf16, int l2, int sums, int l3, int memory) {
    double ns[TURNS], share[TURNS], before = peak(bf16);
    int done = 0;
    for (int turn = 0; turn < TURNS_MOST && done < TURNS; turn++) {
        const double now = on_all(part), after = peak(bf16);
        if (before < 1.1 * quietest && after < 1.1 * quietest) {
            ns[done] = now;
            share[done++] = (before + after) / 2 / now;
        }
        before = after;
    }
    printf("%s %4.1f %5.1f %5.2f %7.2f  ", bf16 ? "bf16" : "int8", (double)l2 / PRODUCTS, (double)sums / PRODUCTS,
           (double)l3 / PRODUCTS, (double)memory / PRODUCTS);
    if (!done) {
        printf("no quiet turns\n");
        return;
    }
    qsort(ns, (size_t)done, sizeof *ns, order);
    qsort(share, (size_t)done, sizeof *share, order);
    printf("%6.2f ns %5.1f %%\n", ns[done / 2], 100 * share[done / 2]);
}

int main(int argc, char **argv) {
    threads = argc > 1 && atoi(argv[1]) == 2 ? 2 : 1;
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    for (int i = 0; i < threads; i++)
        cores[i] = (core){ .near = filled(NEAR_BYTES), .sums = filled(SUMS_BYTES), .far = filled(FAR_BYTES),
                           .stream = filled(STREAM_BYTES) };
    pthread_t other;
    pthread_barrier_init(&together, NULL, (unsigned)threads);
    if (threads > 1) pthread_create(&other, NULL, second, &cores[1]);
    for (int i = 0; i < 100; i++) peak(1);
#define SHOW(bf16, l2, sums, l3, memory)                                                                             \
    show(part_##bf16##_##l2##_##sums##_##l3##_##memory, bf16, l2, sums, l3, memory);
    INT8_ROWS(SHOW)
    BF16_ROWS(SHOW)
    wanted = NULL;
    if (threads > 1) pthread_barrier_wait(&together), pthread_join(other, NULL);
    return 0;
}

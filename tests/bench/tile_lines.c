/* tile_lines.c: what products by AMX's tiles lose to the lines that their operands are, on one core: chains of tdpbsud
 * on tiles that stay in registers, and beside them nothing but loads of lines out of L2 and prefetches of lines out of
 * L3 into L2, so many a product. Either alone costs nothing up to what the first lines of the output say; both together
 * do: what is exhausted has room for either. Each line is the median of turns with the chain by itself; turns in which
 * that is more than a tenth slower than the fastest seen do not count (a neighbour on the host halves its rate). */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cpu/amx.h"

#define INLINE static inline __attribute__((always_inline))

enum { NEAR_BYTES = 512 << 10, FAR_BYTES = 16 << 20, STEPS = 5000, TURNS = 15, TURNS_MOST = 400, PRODUCTS = 4,
       REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

static char *near, *far;

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
    for (uint32_t i = 0; i < bytes; i++) p[i] = (char)(i * 0x9e3779b1u >> 20);
    return p;
}

INLINE void load_lines(const char *base, size_t *at, int lines) {
    for (int i = 0; i < lines; i++, *at = (*at + 64) % NEAR_BYTES)
        __asm__ volatile("vmovups (%0), %%zmm31" : : "r"(base + *at) : "xmm31");
}
INLINE void ask_lines(const char *base, size_t *at, int lines) {
    for (int i = 0; i < lines; i++, *at = (*at + 64) % FAR_BYTES) _mm_prefetch(base + *at, _MM_HINT_T1);
}

/* ns of a product, of which each has l2 lines loaded and 2 * PRODUCTS of them l3 lines asked for. */
INLINE double run(const int l2, const int l3) {
    static size_t near_kept, far_kept;
    size_t near_at = near_kept, far_at = far_kept;
    lb_tiles_open(&lb_tiles_whole);
    LB_TILE_LOAD(4, near, 64);
    LB_TILE_LOAD(5, near + 1024, 64);
    LB_TILE_LOAD(6, near + 2048, 64);
    LB_TILE_LOAD(7, near + 3072, 64);
    const double begin = now_ns();
    for (int i = 0; i < STEPS; i++) {
        LB_TILE_SU(0, 4, 6);
        load_lines(near, &near_at, l2);
        LB_TILE_SU(1, 4, 7);
        load_lines(near, &near_at, l2);
        ask_lines(far, &far_at, l3 / 4);
        LB_TILE_SU(2, 5, 6);
        load_lines(near, &near_at, l2);
        LB_TILE_SU(3, 5, 7);
        load_lines(near, &near_at, l2);
        ask_lines(far, &far_at, l3 / 2 - l3 / 4);
    }
    const double ns = (now_ns() - begin) / (PRODUCTS * STEPS);
    lb_tiles_close();
    near_kept = near_at, far_kept = far_at;
    return ns;
}

/* Lines of L2 a product, and of L3 for eight products. */
#define EACH(X)                                                                                                      \
    X(0, 0) X(8, 0) X(12, 0) X(14, 0) X(16, 0) X(0, 8) X(0, 12) X(0, 16) X(0, 20)                                    \
    X(4, 12) X(8, 4) X(8, 8) X(8, 12) X(8, 16) X(8, 20) X(10, 8) X(10, 12)
#define PART(l2, l3)                                                                                                 \
    static __attribute__((noinline)) double part_##l2##_##l3(void) { return run(l2, l3); }
EACH(PART)

static double quietest = 1e9;
static double peak(void) {
    const double ns = part_0_0();
    if (ns < quietest) quietest = ns;
    return ns;
}

static int order(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static void show(int l2, int l3, double (*part)(void)) {
    double ns[TURNS], share[TURNS], before = peak();
    int done = 0;
    for (int turn = 0; turn < TURNS_MOST && done < TURNS; turn++) {
        const double now = part(), after = peak();
        if (before < 1.1 * quietest && after < 1.1 * quietest) {
            ns[done] = now;
            share[done++] = (before + after) / 2 / now;
        }
        before = after;
    }
    printf("%2d lines out of L2, %4.1f out of L3: ", l2, l3 / 8.0);
    if (!done) {
        printf("no quiet turns\n");
        return;
    }
    qsort(ns, (size_t)done, sizeof *ns, order);
    qsort(share, (size_t)done, sizeof *share, order);
    printf("%6.2f ns %5.1f %%\n", ns[done / 2], 100 * share[done / 2]);
}

int main(void) {
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    near = filled(NEAR_BYTES), far = filled(FAR_BYTES);
    for (int i = 0; i < 100; i++) peak();
#define SHOW(l2, l3) show(l2, l3, part_##l2##_##l3);
    EACH(SHOW)
    return 0;
}

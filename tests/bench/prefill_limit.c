/* prefill_limit.c: what the work of causal attention by tiles takes by itself, on one core with everything in L1.
 * prefill.lua compiles it. No line of luabench is in it.
 *
 * The work is counted in steps of 16 rows of q by 16 positions by 32 values, one product of tiles (tdpbf16ps): 32 rows
 * by 64 positions are 32 of them with heads of 64 values and 64 with heads of 128, beside 32 rows of 64 exponentials.
 * Prints, for either head, the share of the rate of products on tiles in registers that is left by: the products with
 * their operands loaded, and sums stored and loaded; the softmax alone, in the time of the products; the softmax beside
 * products on tiles in registers; and all. Nothing waits for what another instruction makes, apart from the six in a
 * row that an exponential is, of which many are under way at a time.
 *
 * And what limits them: each instruction of the softmax by itself, how many a product's time holds alone and beside
 * products. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 31, PRODUCTS = 6400, REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

/* What ldtilecfg reads: eight tiles of 16 rows of 64 bytes. */
static const struct tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} whole __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

static uint16_t operands[8][512] __attribute__((aligned(4096)));
static float sums[8][256] __attribute__((aligned(4096))), scores[128 * 16] __attribute__((aligned(4096)));

#define L(text) text "\n\t"
#define TWICE(x) x x
#define FOUR(x) TWICE(TWICE(x))
#define EIGHT(x) TWICE(FOUR(x))
#define PRODUCT(c, a, b) L("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c)
#define LOAD(t, at) L("tileloadd " #at "(%[x],%[apart],1), %%tmm" #t)
#define STORE(t, at) L("tilestored %%tmm" #t ", " #at "(%[sums],%[apart],1)")
#define FETCH(t, at) L("tileloadd " #at "(%[sums],%[apart],1), %%tmm" #t)
#define ZERO(t) L("tilezero %%tmm" #t)

/* 16 scores (register v) become powers of two, by way of register r. */
#define EXPONENTIAL(v, r, at)                                                                                        \
    L("vmovaps " #at "(%[s]), %%zmm" #v) L("vfmsub213ps %%zmm30, %%zmm31, %%zmm" #v)                                   \
    L("vreduceps $1, %%zmm" #v ", %%zmm" #r) L("vmovaps %%zmm31, %%zmm20")                                            \
    L("vfmadd213ps %%zmm31, %%zmm" #r ", %%zmm20") L("vfmadd213ps %%zmm31, %%zmm" #r ", %%zmm20")                      \
    L("vfmadd213ps %%zmm31, %%zmm" #r ", %%zmm20") L("vscalefps %%zmm" #v ", %%zmm20, %%zmm" #v)
/* A row of 64: exponentials, their sum, bf16 of them. */
#define ROW                                                                                                          \
    EXPONENTIAL(22, 16, 0) EXPONENTIAL(23, 17, 64) EXPONENTIAL(24, 18, 128) EXPONENTIAL(25, 19, 192)                   \
    L("vcvtne2ps2bf16 %%zmm22, %%zmm23, %%zmm26") L("vcvtne2ps2bf16 %%zmm24, %%zmm25, %%zmm27")                        \
    L("vmovaps %%zmm26, 4096(%[s])") L("vmovaps %%zmm27, 4160(%[s])") L("vaddps %%zmm22, %%zmm23, %%zmm22")            \
    L("vaddps %%zmm24, %%zmm25, %%zmm24") L("vaddps %%zmm22, %%zmm24, %%zmm22")                                       \
    L("vaddps 4224(%[s]), %%zmm22, %%zmm22") L("vmovaps %%zmm22, 4224(%[s])")

/* Four products, what `a` and `b` say after each by turns. */
#define REGISTERS(a, b) PRODUCT(0, 4, 6) a PRODUCT(1, 4, 7) b PRODUCT(2, 5, 6) a PRODUCT(3, 5, 7) b
/* The same with operands loaded, after which sums go on; or begin, after the ones before have left their tiles. */
#define GO_ON(a, b)                                                                                                  \
    LOAD(4, 0) LOAD(6, 2048) PRODUCT(0, 4, 6) a LOAD(5, 1024) PRODUCT(2, 5, 6) b                                      \
    LOAD(7, 3072) PRODUCT(1, 4, 7) a PRODUCT(3, 5, 7) b
#define SCORES(a, b)                                                                                                 \
    LOAD(4, 4096) LOAD(6, 6144) STORE(0, 0) ZERO(0) PRODUCT(0, 4, 6) a                                                \
    LOAD(5, 5120) STORE(2, 2048) ZERO(2) PRODUCT(2, 5, 6) b                                                          \
    LOAD(7, 7168) STORE(1, 1024) ZERO(1) PRODUCT(1, 4, 7) a STORE(3, 3072) ZERO(3) PRODUCT(3, 5, 7) b
#define OUTPUTS(a, b)                                                                                                \
    LOAD(4, 4096) LOAD(6, 6144) STORE(0, 0) FETCH(0, 7168) PRODUCT(0, 4, 6) a                                        \
    LOAD(5, 5120) STORE(2, 2048) FETCH(2, 5120) PRODUCT(2, 5, 6) b                                                   \
    LOAD(7, 7168) STORE(1, 1024) FETCH(1, 7168) PRODUCT(1, 4, 7) a STORE(3, 3072) FETCH(3, 4096) PRODUCT(3, 5, 7) b
/* Half of the products are scores, whose sums are two steps of 32 values with heads of 64, four with 128; half are
 * outputs, whose sums are four steps of 32 positions. 32 products either way. */
#define HEADS_64(a, b)                                                                                               \
    SCORES(a, b) GO_ON(a, b) OUTPUTS(a, b) GO_ON(a, b) SCORES(a, b) GO_ON(a, b) GO_ON(a, b) GO_ON(a, b)
#define HEADS_128(a, b)                                                                                              \
    SCORES(a, b) GO_ON(a, b) GO_ON(a, b) GO_ON(a, b) OUTPUTS(a, b) GO_ON(a, b) GO_ON(a, b) GO_ON(a, b)

#define ALL_REGISTERS                                                                                                \
    "memory", "cc", "k1", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10",     \
        "zmm11", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27",    \
        "zmm30", "zmm31"
/* PRODUCTS / `each` times BODY. */
#define WORK(name, each, BODY)                                                                                       \
    static void name(void) {                                                                                         \
        long left = PRODUCTS / (each);                                                                               \
        const long apart = 64;                                                                                       \
        __asm__ volatile(L("ldtilecfg %[whole]") L("tileloadd (%[x],%[apart],1), %%tmm4")                             \
                         L("tileloadd 1024(%[x],%[apart],1), %%tmm5") L("tileloadd 2048(%[x],%[apart],1), %%tmm6")     \
                         L("tileloadd 3072(%[x],%[apart],1), %%tmm7") L("vmovaps (%[s]), %%zmm30")                    \
                         L("vmovaps 64(%[s]), %%zmm31") L(".p2align 6") L("1:") BODY L("dec %[left]") L("jnz 1b")      \
                         "tilerelease"                                                                               \
                         : [left] "+r"(left)                                                                         \
                         : [whole] "m"(whole), [x] "r"(operands), [sums] "r"(sums), [s] "r"(scores),                  \
                           [apart] "r"(apart)                                                                        \
                         : ALL_REGISTERS);                                                                           \
    }
WORK(peak, 16, FOUR(REGISTERS(, )))
WORK(products_64, 32, HEADS_64(, ))
WORK(products_128, 32, HEADS_128(, ))
WORK(softmax_64, 4, FOUR(ROW))
WORK(softmax_128, 8, FOUR(ROW))
WORK(beside_64, 4, REGISTERS(ROW, ROW))
WORK(beside_128, 4, REGISTERS(, ROW))
WORK(all_64, 32, HEADS_64(ROW, ROW))
WORK(all_128, 32, HEADS_128(, ROW))

/* 24 times an instruction, to twelve registers, alone and beside a product. */
#define TO(op, d) L(op ", %%zmm" #d)
#define TWELVE(op)                                                                                                   \
    TO(op, 0) TO(op, 1) TO(op, 2) TO(op, 3) TO(op, 4) TO(op, 5) TO(op, 6) TO(op, 7) TO(op, 8) TO(op, 9) TO(op, 10)     \
    TO(op, 11)
#define EACH(name, op)                                                                                               \
    WORK(name##_alone, 4, FOUR(TWICE(TWELVE(op))))                                                                   \
    WORK(name##_beside, 4, REGISTERS(TWICE(TWELVE(op)), TWICE(TWELVE(op))))
EACH(fma, "vfmadd231ps %%zmm30, %%zmm31")
EACH(reduce, "vreduceps $1, %%zmm30")
EACH(scalef, "vscalefps %%zmm30, %%zmm31")
EACH(add, "vaddps %%zmm30, %%zmm31")
EACH(convert, "vcvtne2ps2bf16 %%zmm30, %%zmm31")

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}
static double ns_of(void (*work)(void)) {
    const double begin = now_ns();
    work();
    return now_ns() - begin;
}
static int order(const void *a, const void *b) {
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}
/* Time of `work`, of that of as many products in registers before and after it: the clock moves. */
static double relative(void (*work)(void)) {
    double times[TURNS], before = ns_of(peak);
    for (int i = 0; i < TURNS; i++) {
        const double ns = ns_of(work), after = ns_of(peak);
        times[i] = ns / ((before + after) / 2);
        before = after;
    }
    qsort(times, TURNS, sizeof *times, order);
    return times[TURNS / 2];
}

int main(void) {
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    uint32_t hash = 1;
    for (int i = 0; i < 8 * 512; i++) { /* bf16 below 1; the rate of tiles depends on what they hold */
        const float x = (float)(int32_t)(hash = hash * 1664525u + 1013904223u) * 0x1p-31f;
        memcpy((char *)operands + 2 * i, (const char *)&x + 2, 2);
    }
    for (int i = 0; i < 128 * 16; i++) scores[i] = (float)(int32_t)(hash = hash * 1664525u + 1013904223u) * 0x1p-31f;
    relative(peak);
    printf("64 %.3f %.3f %.3f %.3f\n", 1 / relative(products_64), 1 / relative(softmax_64), 1 / relative(beside_64),
           1 / relative(all_64));
    printf("128 %.3f %.3f %.3f %.3f\n", 1 / relative(products_128), 1 / relative(softmax_128),
           1 / relative(beside_128), 1 / relative(all_128));
#define SAY(name) printf("%s %.1f %.1f\n", #name, 24 / relative(name##_alone), 24 / relative(name##_beside))
    SAY(fma);
    SAY(reduce);
    SAY(scalef);
    SAY(add);
    SAY(convert);
}

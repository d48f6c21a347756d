/* gemv_tiles.c: products of one row of x by AMX's tiles, part by part, on one core, all in L1: the functions of a
 * kernel, one part alone at a time, each into buffers that nothing waits for. gemv_limits.lua compiles it for each
 * format (-DFORMAT_NO=1: int4wo-32, 2: mxfp6, 3: nf4, 4: nf4-dq, 5: sparse24-float8dq, and with -DBITS=1, 2 or 3 6:
 * uintx-1-64 to -3-64). x has four digits (act_digits_avx512.h). Prints a line: the core's clock
 * in GHz, then bytes of packed weights a second by decoding, by products (their sums' stores with them), by the f32
 * step of the sums (0: there is one for all of K), and by the whole kernel. */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#undef _mm_prefetch
#define _mm_prefetch(p, hint) ((void)(p)) /* all is there */

#if FORMAT_NO == 1
#include "kernels/cpu/gemm_int4wo_row_amx.c"
#elif FORMAT_NO == 2
#include "kernels/cpu/gemm_mxfp6_row_amx.c"
#elif FORMAT_NO == 3
#include "kernels/cpu/gemm_nf4_panel_amx.c"
#elif FORMAT_NO == 4
#include "kernels/cpu/gemm_nf4_dq_panel_amx.c"
#elif FORMAT_NO == 6
#include "kernels/cpu/gemm_uintx_row_amx.c"
#else
#include "kernels/cpu/gemm_sparse24_float8dq_panel_amx.c"
#endif

enum { K = 1024, RUNS = K / 32, TIMES = 100, TRIES = 100, REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
#define WRITTEN(p) __asm__ volatile("" : : "r"(p) : "memory")

static uint8_t panel[64 << 10] __attribute__((aligned(4096))), act[64 << 10] __attribute__((aligned(4096)));
#ifdef BITS
static const lb_quantizer quantizer = { .bits = BITS, .group = 64 };
#else
static const lb_quantizer quantizer = { .bits = 4, .group = 32, .param = { 2 } };
#endif
static float out[32];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if FORMAT_NO == 1 || FORMAT_NO == 6
/* ---- codes to bytes, x's digits, several groups a tile (rows32_int_row.h) ---- */

#if FORMAT_NO == 1
#define FORMAT ((int_format){ 4, INT_BF16 })
#define WAY ((int_row_way){ LB_DIGITS_FEW, 4, 32 })
#else
#define FORMAT ((int_format){ BITS, INT_POINTS })
#define WAY ((int_row_way){ LB_DIGITS_FEW, 2, 64 })
#endif
enum { STEPS_OF_K = K / LB_DIGITS_STEP, EACH = 2 /* steps of a block in both */ };
static digits_codes codes[2 * EACH];
static digits_sums sums[2];

static __attribute__((noinline)) void decoding(void) {
    int_row_reader reader = { int_row_open(FORMAT, &quantizer, panel, act, K).stream, 0 };
    for (int64_t i = 0; i < STEPS_OF_K; i++) {
        int_row_read(FORMAT, WAY, quantizer.group, RUNS, &reader, codes + i / EACH % 2 * EACH);
        WRITTEN(codes);
    }
}
static __attribute__((noinline)) void products(void) {
    const int8_t *x = lb_act_digits_tiles(act, K);
    lb_tiles_open(digits_shape(WAY.blocks * WAY.count, LB_DIGITS_STEP));
    for (int64_t i = 0; i < STEPS_OF_K; i++, x += WAY.blocks * lb_act_digits_tile(WAY.count)) {
        const int set = (int)(i / EACH % 2);
        if (i % EACH == 0 && i > EACH) digits_store(set, &sums[set]); /* those of two blocks before */
        if (i % EACH == 0) digits_zero(set);
        digits_step(set, x, &codes[i % (2 * EACH)]);
    }
    lb_tiles_close();
}
static __attribute__((noinline)) void closing(void) {
    const int_row_panel of = int_row_open(FORMAT, &quantizer, panel, act, K);
    const __m512 exponent = _mm512_set1_ps(1);
    __m512 total[2][2] = { 0 };
    for (int64_t i = 0; i < STEPS_OF_K / EACH; i += 2) /* two chains of totals */
        LB_UNROLL for (int j = 0; j < 2; j++) {
            WRITTEN(sums);
            int_row_close_some(FORMAT, WAY, &of, K / quantizer.group, i + j, 0, WAY.blocks, &sums[j], exponent,
                               total[j]);
        }
    __asm__ volatile("" : : "v"(total[0][0]), "v"(total[0][1]), "v"(total[1][0]), "v"(total[1][1]));
}
#elif FORMAT_NO == 2
/* ---- codes to bytes, x's digits (digits_amx.h) ---- */

static digits_codes codes[2];
static digits_sums sums[2];

static __attribute__((noinline)) void decoding(void) {
    const uint8_t *p = panel + float_e8m0_head(&quantizer, K);
    for (int64_t i = 0; i < RUNS; i++, p += 2 * RUN_BYTES) {
        expand(p, _mm512_load_si512(levels), &codes[i % 2]);
        WRITTEN(codes);
    }
}
static __attribute__((noinline)) void products(void) {
    const int8_t *x = lb_act_digits_tiles(act, K);
    lb_tiles_open(digits_shape(LB_DIGITS_FEW, 32));
    for (int64_t i = 0; i < RUNS; i++) {
        if (i > 1) digits_store((int)(i % 2), &sums[i % 2]); /* those of two runs before */
        digits_zero((int)(i % 2));
        digits_step((int)(i % 2), x + i / 2 * lb_act_digits_tile(LB_DIGITS_FEW) + i % 2 * 32, &codes[i % 2]);
    }
    lb_tiles_close();
}
static __attribute__((noinline)) void closing(void) {
    const __m512 exponent = _mm512_set1_ps(1);
    __m512 total[2][2] = { 0 };
    for (int64_t i = 0; i < RUNS; i += 2) /* two chains of totals */
        LB_UNROLL for (int j = 0; j < 2; j++) {
            WRITTEN(sums);
            add_group(panel, i + j, &sums[j], LB_DIGITS_FEW, exponent, total[j]);
        }
    __asm__ volatile("" : : "v"(total[0][0]), "v"(total[0][1]), "v"(total[1][0]), "v"(total[1][1]));
}
#else
/* ---- codes to pairs of bf16 (bf16_panel_amx.h) ---- */

static pairs_run pairs[2];
static pairs_sums sums[2];
static pairs_head head[4];
#if FORMAT_NO == 5
enum { EACH = RUNS };
#define OPEN open_row
#define OF s24_open(FORMAT, TABLE)
#define CODES (panel + S24_HEAD)
#else
enum { EACH = 2 };
#define OPEN open_span
#define OF (float_of){ &quantizer, K, float_open(FORMAT, TABLE(&quantizer)) }
#define CODES (panel + FORMAT.head_bytes(&quantizer, K))
#endif

static __attribute__((noinline)) void decoding(void) {
    const __typeof__(OF) of = OF;
    const uint8_t *p = CODES;
    for (int64_t i = 0; i < RUNS; i++) {
        if (i % EACH == 0) p = OPEN(&of, panel, p, i / EACH, &head[i / EACH % 4]);
        p = expand(&of, panel, p, i, &pairs[i % 2]);
        WRITTEN(pairs);
        WRITTEN(head);
    }
}
static __attribute__((noinline)) void products(void) {
    const bool two = tiles_open_for(1);
    for (int64_t i = 0; i < RUNS; i++) {
        const char *x = (const char *)act + 64 * i;
        if (i % EACH == 0) tiles_zero_sums();
        pairs_step(x, x, 64, &pairs[i % 2], two);
        if (i % EACH == EACH - 1) tiles_store_sums(&sums[i / EACH % 2], two);
    }
    lb_tiles_close();
}
static __attribute__((noinline)) void closing(void) {
#if FORMAT_NO != 5
    const pairs_format f = { .act_apart = 256 };
    const pairs_problem x = { .act = (const char *)act };
    pairs_sums total = { 0 };
    for (int64_t i = 0; i < RUNS / EACH; i++) {
        WRITTEN(sums);
        WRITTEN(head);
        pairs_close(f, &x, 1, i, &head[i % 4], &sums[i % 2], &total);
    }
    WRITTEN(&total);
#endif
}
#endif
static __attribute__((noinline)) void whole(void) {
    run(&quantizer, panel, act, 0, K, 1, out, 32);
    WRITTEN(out);
}

/* A chain of products of 64 bits: three cycles each. */
static __attribute__((noinline)) void chain(void) {
    uint64_t a = 3;
    for (int i = 0; i < 100; i++) __asm__ volatile(".rept 100\n\timul %0, %0\n\t.endr" : "+r"(a));
}

static double seconds(void (*part)(void)) {
    double best = 1;
    for (int i = 0; i < TRIES; i++) {
        double t = now();
        for (int j = 0; j < TIMES; j++) part();
        t = (now() - t) / TIMES;
        if (t < best) best = t;
    }
    return best;
}

int main(void) {
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA)) return 1;
    /* No number is subnormal, whatever its type. */
    for (size_t i = 0; i < sizeof panel; i++) panel[i] = (uint8_t)((i * 2654435761u >> 24 & 0x37) | 0x20);
    for (size_t i = 0; i < sizeof act; i++) act[i] = (uint8_t)((i * 0x9e3779b1u >> 20 & 0x37) | 0x20);
#if FORMAT_NO <= 2 || FORMAT_NO == 6
    *(lb_act_digits *)(uintptr_t)lb_act_digits_of(act, K) = (lb_act_digits){ .exponent = -20, .count = LB_DIGITS_FEW };
#endif
    const double bytes = (double)panel_bytes(&quantizer, K);
    printf("%.2f", 3e4 / seconds(chain) * 1e-9);
    void (*const parts[])(void) = { decoding, products, closing, whole };
    for (int i = 0; i < 4; i++)
        printf(" %.0f", FORMAT_NO == 5 && parts[i] == closing ? 0.0 : bytes / seconds(parts[i]));
    printf("\n");
    return 0;
}

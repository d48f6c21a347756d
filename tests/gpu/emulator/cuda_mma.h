/* cuda_mma.h: kernels/cuda/mma.cuh on the CPU. A product is done when the last lane of the warp has come; the sums of
 * one are exact, rounded to f32 once. Fragments lie as mma.cuh says. */
#pragma once
#include "cuda_bf16.h"

#define LB_DEVICE static inline

/* ---- products ---- */

struct lb_emu_mma { void *c; const uint32_t *a; uint32_t b[2]; bool first; };

static inline double lb_emu_part(uint32_t pair, int half, bool bf16) {
    unsigned short h = (unsigned short)(pair >> 16 * half);
    return bf16 ? __uint_as_float((unsigned)h << 16) : lb_emu_half_value(h);
}
/* `kind` points at true for bf16, false for f16. */
static inline void lb_emu_mma_16(void **lanes, unsigned, void *kind) {
    bool bf16 = *(bool *)kind;
    double a[16][16], b[16][8];
    for (int l = 0; l < 32; l++) {
        const lb_emu_mma *m = (const lb_emu_mma *)lanes[l];
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 8; i++)
            a[g + i / 2 % 2 * 8][2 * t + i / 4 * 8 + i % 2] = lb_emu_part(m->a[i / 2], i % 2, bf16);
        for (int i = 0; i < 4; i++) b[2 * t + i / 2 * 8 + i % 2][g] = lb_emu_part(m->b[i / 2], i % 2, bf16);
    }
    for (int l = 0; l < 32; l++) {
        const lb_emu_mma *m = (const lb_emu_mma *)lanes[l];
        float *c = (float *)m->c;
        for (int i = 0; i < 4; i++) {
            int row = l / 4 + i / 2 * 8, column = l % 4 * 2 + i % 2;
            double sum = m->first ? 0 : c[i];
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
            c[i] = (float)sum;
        }
    }
}
static inline void lb_emu_mma_8(void **lanes, unsigned, void *) {
    int a[16][32], b[32][8];
    for (int l = 0; l < 32; l++) {
        const lb_emu_mma *m = (const lb_emu_mma *)lanes[l];
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 16; i++)
            a[g + i / 4 % 2 * 8][4 * t + i / 8 * 16 + i % 4] = (int8_t)(m->a[i / 4] >> 8 * (i % 4));
        for (int i = 0; i < 8; i++) b[4 * t + i / 4 * 16 + i % 4][g] = (int8_t)(m->b[i / 4] >> 8 * (i % 4));
    }
    for (int l = 0; l < 32; l++) {
        int32_t *c = (int32_t *)((const lb_emu_mma *)lanes[l])->c;
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 32; k++) c[i] += a[l / 4 + i / 2 * 8][k] * b[k][l % 4 * 2 + i % 2];
    }
}
LB_DEVICE void lb_mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    lb_emu_mma m = { c, a, { b0, b1 }, false };
    bool bf16 = true;
    lb_emu_warp(0xffffffffu, "mma bf16", &m, lb_emu_mma_16, &bf16);
}
LB_DEVICE void lb_mma_bf16_first(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    lb_emu_mma m = { c, a, { b0, b1 }, true };
    bool bf16 = true;
    lb_emu_warp(0xffffffffu, "mma bf16, first", &m, lb_emu_mma_16, &bf16);
}
LB_DEVICE void lb_mma_f16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    lb_emu_mma m = { c, a, { b0, b1 }, false };
    bool bf16 = false;
    lb_emu_warp(0xffffffffu, "mma f16", &m, lb_emu_mma_16, &bf16);
}
LB_DEVICE void lb_mma_s8(int32_t c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    lb_emu_mma m = { c, a, { b0, b1 }, false };
    lb_emu_warp(0xffffffffu, "mma s8", &m, lb_emu_mma_8, NULL);
}

/* ---- ldmatrix ---- */

struct lb_emu_ldmatrix { uint32_t *r; const unsigned char *row; };
struct lb_emu_ldmatrix_kind { int matrices; bool trans; };

static inline void lb_emu_ldmatrix_all(void **lanes, unsigned, void *kind_) {
    const lb_emu_ldmatrix_kind *kind = (const lb_emu_ldmatrix_kind *)kind_;
    for (int m = 0; m < kind->matrices; m++) {
        unsigned short e[8][8];
        for (int i = 0; i < 8; i++) memcpy(e[i], ((lb_emu_ldmatrix *)lanes[8 * m + i])->row, 16);
        for (int l = 0; l < 32; l++) {
            int g = l / 4, t = l % 4;
            unsigned lo = kind->trans ? e[2 * t][g] : e[g][2 * t], hi = kind->trans ? e[2 * t + 1][g] : e[g][2 * t + 1];
            ((lb_emu_ldmatrix *)lanes[l])->r[m] = lo | hi << 16;
        }
    }
}
static inline void lb_emu_ldmatrix_run(uint32_t *r, const void *row, int matrices, bool trans) {
    lb_emu_ldmatrix m = { r, (const unsigned char *)row };
    lb_emu_ldmatrix_kind kind = { matrices, trans };
    bool used = lb_emu_now->lane < 8 * matrices;
    if (used && (uintptr_t)row % 16) lb_emu_fail("ldmatrix: the row at %p is not aligned to 16 bytes", row);
    lb_emu_warp(0xffffffffu, trans ? "ldmatrix trans" : "ldmatrix", &m, lb_emu_ldmatrix_all, &kind);
}
LB_DEVICE void lb_ldmatrix_x4(uint32_t r[4], const void *row) { lb_emu_ldmatrix_run(r, row, 4, false); }
LB_DEVICE void lb_ldmatrix_x4_trans(uint32_t r[4], const void *row) { lb_emu_ldmatrix_run(r, row, 4, true); }
LB_DEVICE void lb_ldmatrix_x2(uint32_t r[2], const void *row) { lb_emu_ldmatrix_run(r, row, 2, false); }
LB_DEVICE void lb_ldmatrix_x2_trans(uint32_t r[2], const void *row) { lb_emu_ldmatrix_run(r, row, 2, true); }

/* ---- copies ---- */

LB_DEVICE void lb_copy_async_16(void *shared, const void *global, int bytes = 16) {
    lb_emu_copy_async(shared, global, 16, (size_t)bytes);
}
LB_DEVICE uint64_t lb_policy_once(void) { return 0; }
LB_DEVICE void lb_copy_async_once_16(void *shared, const void *global, uint64_t) {
    lb_emu_copy_async(shared, global, 16, 16);
}
LB_DEVICE void lb_copy_async_4(void *shared, const void *global, int bytes = 4) {
    lb_emu_copy_async(shared, global, 4, (size_t)bytes);
}
LB_DEVICE void lb_copy_commit(void) { lb_emu_copy_commit(); }
template <int LEFT> LB_DEVICE void lb_copy_wait(void) { lb_emu_copy_wait(LEFT); }

/* ---- device memory ---- */

LB_DEVICE uint4 lb_load_once_16(const void *p) {
    uint4 v;
    if ((uintptr_t)p % 16) lb_emu_fail("a load of 16 bytes from %p, which is not aligned", p);
    memcpy(&v, p, 16);
    return v;
}
LB_DEVICE unsigned lb_load_acquire(const unsigned *p) { return *p; }
LB_DEVICE void lb_add_release(unsigned *p, unsigned v) { *p += v; }
LB_DEVICE void lb_wait_at_least(const unsigned *p, unsigned v) {
    while (*(const volatile unsigned *)p < v) lb_emu_poll();
}

/* ---- pairs of bf16 ---- */

LB_DEVICE uint32_t lb_fma_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t d = 0;
    for (int i = 0; i < 2; i++)
        d |= (uint32_t)lb_emu_bf16_bits(fma(lb_emu_part(a, i, true), lb_emu_part(b, i, true), lb_emu_part(c, i, true)))
             << 16 * i;
    return d;
}
LB_DEVICE uint32_t lb_pack_bf16x2(float low, float high) {
    return lb_emu_bf16_bits(low) | (uint32_t)lb_emu_bf16_bits(high) << 16;
}
LB_DEVICE uint32_t lb_and_or(uint32_t x, uint32_t mask, uint32_t bits) { return (x & mask) | bits; }

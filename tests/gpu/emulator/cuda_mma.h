/* cuda_mma.h: kernels/cuda/mma.cuh on the CPU. A product is done when the last lane of the warp has come; its sums are
 * cut as tensor cores cut them (cut.h). Fragments lie as mma.cuh says. */
#pragma once
#include "cuda_bf16.h"
#include "cut.h"

#define LB_DEVICE static inline

/* ---- products ---- */

struct lb_emu_mma { void *c; const uint32_t *a; uint32_t b[2]; bool first; };

/* What the 32 lanes bring; c as floats or as integers. */
struct lb_emu_operands { uint32_t a[32][4], b[32][2], c[32][4]; };

LB_EMU_PLAIN static inline double lb_emu_part(uint32_t pair, int half, bool bf16) {
    unsigned h = pair >> 16 * half & 0xffff, e = h >> 10 & 31, m = h & 1023, bits = h << 16;
    float v;
    if (!bf16 && !e) return (h & 0x8000 ? -0x1p-24 : 0x1p-24) * m;
    if (!bf16) bits = (h & 0x8000) << 16 | (e == 31 ? 255u : e + 112) << 23 | m << 13;
    memcpy(&v, &bits, 4);
    return v;
}
LB_EMU_PLAIN static inline void lb_emu_multiply_16(lb_emu_operands *o, bool bf16) {
    double a[16][16], b[16][8], c[16][8];
    for (int l = 0; l < 32; l++) {
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 8; i++)
            a[g + i / 2 % 2 * 8][2 * t + i / 4 * 8 + i % 2] = lb_emu_part(o->a[l][i / 2], i % 2, bf16);
        for (int i = 0; i < 4; i++) b[2 * t + i / 2 * 8 + i % 2][g] = lb_emu_part(o->b[l][i / 2], i % 2, bf16);
        float sums[4];
        memcpy(sums, o->c[l], 16);
        for (int i = 0; i < 4; i++) c[g + i / 2 * 8][t * 2 + i % 2] = sums[i];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k += LB_EMU_CUT_EACH)
            lb_emu_cut_add(c[row], 8, &a[row][k], b[k], 8, LB_EMU_CUT_EACH, LB_EMU_CUT_BITS);
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) {
            float sum = (float)c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
            memcpy(&o->c[l][i], &sum, 4);
        }
}
LB_EMU_PLAIN static inline void lb_emu_multiply_8(lb_emu_operands *o) {
    int a[16][32], b[32][8], c[16][8];
    for (int l = 0; l < 32; l++) {
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 16; i++)
            a[g + i / 4 % 2 * 8][4 * t + i / 8 * 16 + i % 4] = (int8_t)(o->a[l][i / 4] >> 8 * (i % 4));
        for (int i = 0; i < 8; i++) b[4 * t + i / 4 * 16 + i % 4][g] = (int8_t)(o->b[l][i / 4] >> 8 * (i % 4));
        for (int i = 0; i < 4; i++) c[g + i / 2 * 8][t * 2 + i % 2] = (int)o->c[l][i];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 32; k++)
            for (int column = 0; column < 8; column++) c[row][column] += a[row][k] * b[k][column];
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) o->c[l][i] = (uint32_t)c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

static inline void lb_emu_mma_operands(void **lanes, lb_emu_operands *o) {
    for (int l = 0; l < 32; l++) {
        const lb_emu_mma *m = (const lb_emu_mma *)lanes[l];
        memcpy(o->a[l], m->a, 16);
        memcpy(o->b[l], m->b, 8);
        if (m->first) memset(o->c[l], 0, 16);
        else memcpy(o->c[l], m->c, 16);
    }
}
static inline void lb_emu_mma_result(const lb_emu_operands *o, void **lanes) {
    for (int l = 0; l < 32; l++) memcpy(((lb_emu_mma *)lanes[l])->c, o->c[l], 16);
}
/* `kind` points at true for bf16, false for f16. */
static inline void lb_emu_mma_16(void **lanes, unsigned, void *kind) {
    lb_emu_operands o;
    lb_emu_mma_operands(lanes, &o);
    lb_emu_multiply_16(&o, *(bool *)kind);
    lb_emu_mma_result(&o, lanes);
}
static inline void lb_emu_mma_8(void **lanes, unsigned, void *) {
    lb_emu_operands o;
    lb_emu_mma_operands(lanes, &o);
    lb_emu_multiply_8(&o);
    lb_emu_mma_result(&o, lanes);
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

template <class T> LB_DEVICE void lb_anew(T &) {}

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

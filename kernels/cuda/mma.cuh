/* mma.cuh: the instructions of a GPU that CUDA C++ has no names for: matrix products of a warp, ldmatrix, asynchronous
 * copies to shared memory, loads and stores with cache hints, flags between blocks. On the CPU's emulator the same
 * names are functions of tests/gpu/emulator/cuda_mma.h, which check what the hardware leaves undefined.
 *
 * Fragments of mma.m16n8k16 (16-bit operands), lane = 4 g + t, g = 0..7, t = 0..3; a register holds two neighbours, the
 * lower index in its low half:
 *   a[0] row g, k 2t, 2t+1     a[1] row g+8, the same k     a[2] row g, k 2t+8, 2t+9     a[3] row g+8, k 2t+8, 2t+9
 *   b0   k 2t, 2t+1, column g  b1   k 2t+8, 2t+9, column g
 *   c[0] row g, column 2t      c[1] row g, column 2t+1      c[2], c[3] the same of row g+8
 * Of mma.m16n8k32 (bytes): a[0] row g, k 4t..4t+3; a[1] row g+8; a[2], a[3] k + 16; b0 k 4t..4t+3; b1 k + 16; c as
 * above. */
#pragma once
#include <cstdint>

#ifdef LB_CUDA_EMULATED
#include "cuda_mma.h"
#else

#define LB_DEVICE static __device__ __forceinline__

LB_DEVICE uint32_t lb_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* ---- products of a warp: c += a b ---- */

LB_DEVICE void lb_mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* c = a b */
LB_DEVICE void lb_mma_bf16_first(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%10,%10,%10,%10};"
                 : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
}
LB_DEVICE void lb_mma_f16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
LB_DEVICE void lb_mma_s8(int32_t c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* ---- ldmatrix: four (two) 8 x 8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8,
 * 16-byte aligned, in shared memory. Lane 4 g + t gets elements 2t, 2t+1 of row g of each; _trans: of column g. ---- */

LB_DEVICE void lb_ldmatrix_x4(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(lb_shared_address(row)) : "memory");
}
LB_DEVICE void lb_ldmatrix_x4_trans(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(lb_shared_address(row)) : "memory");
}
LB_DEVICE void lb_ldmatrix_x2(uint32_t r[2], const void *row) { /* addresses of lanes 0..15 */
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(lb_shared_address(row)) : "memory");
}
LB_DEVICE void lb_ldmatrix_x2_trans(uint32_t r[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(lb_shared_address(row)) : "memory");
}

/* ---- copies from device to shared memory that go on while the thread does; both addresses are aligned to the size.
 * `bytes` of it are read, the rest is zeros. They bypass L1, so that they see what other blocks wrote. ---- */

LB_DEVICE void lb_copy_async_16(void *shared, const void *global, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(lb_shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}
/* Of data that is read once: the first to leave L2. `policy` from lb_policy_once. */
LB_DEVICE uint64_t lb_policy_once(void) {
    uint64_t p;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(p));
    return p;
}
LB_DEVICE void lb_copy_async_once_16(void *shared, const void *global, uint64_t policy) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;"
                 :: "r"(lb_shared_address(shared)), "l"(global), "l"(policy) : "memory");
}
LB_DEVICE void lb_copy_async_4(void *shared, const void *global, int bytes = 4) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :: "r"(lb_shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}
LB_DEVICE void lb_copy_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Until at most LEFT of this thread's committed groups are under way. Other threads see the data after a barrier. */
template <int LEFT> LB_DEVICE void lb_copy_wait(void) {
    asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
}

/* ---- device memory ---- */

/* 16 bytes that nobody writes during the launch and that are not needed again. */
LB_DEVICE uint4 lb_load_once_16(const void *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
/* What other blocks wrote before they added to the flag is seen after reading the flag by this. */
LB_DEVICE unsigned lb_load_acquire(const unsigned *p) {
    unsigned v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
LB_DEVICE void lb_add_release(unsigned *p, unsigned v) {
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" :: "l"(p), "r"(v) : "memory");
}
LB_DEVICE unsigned lb_ticks(void) { /* of 2^32 ns */
    unsigned t;
    asm volatile("mov.u32 %0, %%globaltimer_hi;" : "=r"(t));
    return t;
}
/* One thread waits for another block's flag. What has not come after three ticks never comes: a fault with the kernel's
 * name, not a launch that stands. */
LB_DEVICE void lb_wait_at_least(const unsigned *p, unsigned v) {
    const unsigned from = lb_ticks();
    while (lb_load_acquire(p) < v) {
        if (lb_ticks() - from >= 3) __trap();
        __nanosleep(32);
    }
}

/* What is computed from v is computed anew from here on: the compiler would keep it, where registers are short. */
template <class T> LB_DEVICE void lb_anew(T &v) { asm volatile("" : "+r"(v)); }

/* ---- pairs of bf16 in a register ---- */

/* a * b + c, each half rounded once. */
LB_DEVICE uint32_t lb_fma_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
/* (low, high) to nearest even. */
LB_DEVICE uint32_t lb_pack_bf16x2(float low, float high) {
    uint32_t d;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
}
/* (x & mask) | bits, in one instruction. */
LB_DEVICE uint32_t lb_and_or(uint32_t x, uint32_t mask, uint32_t bits) {
    uint32_t d;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(x), "r"(mask), "r"(bits));
    return d;
}
#endif

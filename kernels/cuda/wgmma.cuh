/* wgmma.cuh: Hopper's warpgroup products, mbarriers, bulk copies; sm_90a only. On the CPU's emulator the same names are
 * functions of tests/gpu/emulator/cuda_wgmma.h, which check what the hardware leaves undefined.
 *
 * A warpgroup is 128 threads, warp w of it has rows 16 w .. 16 w + 15 of a product of 64 x N x 16. Fragments of A in
 * registers and of the sums are those of mma.m16n8k16 (mma.cuh): d[4 j + i] is c[i] of columns 8 j .. 8 j + 7.
 *
 * Operands in shared memory lie in rows of 128 bytes, swizzled: the 16-byte piece c of row r is at piece c ^ r % 8.
 * Tiles begin at multiples of 1024 bytes. A: [row][64 of k]; B: [column][64 of k], or, of a TRANSPOSED product, [k][64
 * columns]. 16 of k further: 32 bytes on (A, B), 16 rows of 2048 bytes in all on (transposed). Narrow tiles of B, of 16
 * of k, have rows of 32 bytes, the 16-byte piece c of row r at c ^ r / 4 % 2, and begin at multiples of 256.
 *
 * Order: lb_wgmma_fence() before the first product after registers that it reads or adds to were written; then
 * products; lb_wgmma_commit(); lb_wgmma_wait<LEFT>() until at most LEFT committed groups are under way;
 * lb_wgmma_done(d) before the sums are used and lb_wgmma_done(a) before A's registers are written again: it keeps the
 * compiler from moving that up. */
#pragma once
#include "mma.cuh"

#define LB_CUDA_WGMMA (LB_CUDA_SM90A || defined(LB_CUDA_EMULATED))

#ifdef LB_CUDA_EMULATED
#include "cuda_wgmma.h"
#elif LB_CUDA_SM90A

/* ---- mbarriers, in shared memory; a barrier's phase ends when `count` have arrived and all expected bytes came
 * ---- */

LB_DEVICE void lb_mbarrier_init(uint64_t *b, unsigned count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(lb_shared_address(b)), "r"(count) : "memory");
}
/* By the thread that made them, before the block's barrier: the copy engine sees them. */
LB_DEVICE void lb_mbarrier_made(void) { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
LB_DEVICE void lb_mbarrier_arrive(uint64_t *b) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(lb_shared_address(b)) : "memory");
}
LB_DEVICE void lb_mbarrier_expect(uint64_t *b, unsigned bytes) { /* arrives, too */
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(lb_shared_address(b)), "r"(bytes) : "memory");
}
/* Until the phase of this parity has ended. Of a new barrier, the phase before the first counts as ended (parity 1).
 * What has not come after three ticks of 2^32 ns never comes: a fault with the kernel's name, not a launch that
 * stands. */
LB_DEVICE void lb_mbarrier_wait(uint64_t *b, unsigned parity) {
    asm volatile("{\n.reg .pred p;\n.reg .u32 from, now;\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra ended;\n"
                 "mov.u32 from, %%globaltimer_hi;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra ended;\n"
                 "mov.u32 now, %%globaltimer_hi;\nsub.u32 now, now, from;\nsetp.lt.u32 p, now, 3;\n@p bra again;\n"
                 "trap;\nended:\n}"
                 :: "r"(lb_shared_address(b)), "r"(parity) : "memory");
}

/* ---- the copy engine ---- */

/* One thread: `bytes` (a multiple of 16), counted at the barrier. */
LB_DEVICE void lb_copy_bulk(void *shared, const void *global, unsigned bytes, uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :: "r"(lb_shared_address(shared)), "l"(global), "r"(bytes), "r"(lb_shared_address(barrier))
                 : "memory");
}
/* The same of data that is read once; policy from lb_policy_once. */
LB_DEVICE void lb_copy_bulk_once(void *shared, const void *global, unsigned bytes, uint64_t *barrier, uint64_t policy) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1], %2, [%3], %4;"
                 :: "r"(lb_shared_address(shared)), "l"(global), "r"(bytes), "r"(lb_shared_address(barrier)),
                    "l"(policy)
                 : "memory");
}
/* What this thread wrote (or cp.async brought) to shared memory, the products and the copy engine see after a
 * barrier. */
LB_DEVICE void lb_fence_async(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/* What launches before this one wrote to device memory, this thread's bulk copies see. */
LB_DEVICE void lb_fence_async_global(void) { asm volatile("fence.proxy.async.global;" ::: "memory"); }

/* ---- warps ---- */

/* A warpgroup's registers a thread from here on; each role one branch of one if/else. */
template <int N> LB_DEVICE void lb_registers_less(void) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N));
}
template <int N> LB_DEVICE void lb_registers_more(void) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N));
}
/* Barrier `id` (1 to 15) of `count` threads. */
LB_DEVICE void lb_barrier_of(int id, int count) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(count) : "memory"); }

/* ---- products ---- */

/* Rows of 128 bytes, eight of them in 1024. */
LB_DEVICE uint64_t lb_wgmma_tile(const void *shared) {
    return (uint64_t)((lb_shared_address(shared) & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)64 << 32 |
           (uint64_t)1 << 62;
}
/* For transposed products: tiles of 64 columns, `apart` bytes from one to the next. */
LB_DEVICE uint64_t lb_wgmma_tile_transposed(const void *shared, unsigned apart) {
    return (uint64_t)((lb_shared_address(shared) & 0x3ffff) >> 4) | (uint64_t)(apart >> 4) << 16 | (uint64_t)64 << 32 |
           (uint64_t)1 << 62;
}
/* Rows of 32 bytes, eight of them in 256. */
LB_DEVICE uint64_t lb_wgmma_tile_narrow(const void *shared) {
    return (uint64_t)((lb_shared_address(shared) & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)16 << 32 |
           (uint64_t)3 << 62;
}
/* `bytes` further on in the tile. */
LB_DEVICE uint64_t lb_wgmma_at(uint64_t tile, unsigned bytes) { return tile + (bytes >> 4); }

LB_DEVICE void lb_wgmma_fence(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
LB_DEVICE void lb_wgmma_commit(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT> LB_DEVICE void lb_wgmma_wait(void) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(LEFT) : "memory");
}
template <int N> LB_DEVICE void lb_wgmma_done(float (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i]) :: "memory");
}
template <int N> LB_DEVICE void lb_wgmma_done(uint32_t (&a)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+r"(a[i]) :: "memory");
}

/* d = a b (first) or d += a b. _ra: A in registers; _ra_t: and B transposed; _sa: A in shared memory. Operands of the
 * instruction are numbered: the sums, then A, B and `first`. */
#define LB_SUMS_8(i)                                                                                                 \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),       \
        "+f"(d[i + 7])
#define LB_SUMS_32 LB_SUMS_8(0), LB_SUMS_8(8), LB_SUMS_8(16), LB_SUMS_8(24)
#define LB_SUMS_64 LB_SUMS_32, LB_SUMS_8(32), LB_SUMS_8(40), LB_SUMS_8(48), LB_SUMS_8(56)
#define LB_NAMES_32                                                                                                  \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                         \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LB_NAMES_64                                                                                                  \
    LB_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                 \
                "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LB_A_REGISTERS "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])
#define LB_PRODUCT(COLUMNS, NAMES, OPERANDS, FIRST, TRANSPOSED)                                                      \
    "{\n.reg .pred p;\nsetp.eq.b32 p, " FIRST ", 0;\n"                                                              \
    "wgmma.mma_async.sync.aligned.m64n" COLUMNS "k16.f32.bf16.bf16 {" NAMES "}, " OPERANDS ", p, 1, 1, " TRANSPOSED   \
    ";\n}"

LB_DEVICE void lb_wgmma_ra(float (&d)[32], const uint32_t *a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("64", LB_NAMES_32, "{%32, %33, %34, %35}, %36", "%37", "0")
                 : LB_SUMS_32 : LB_A_REGISTERS, "l"(b), "r"((int)first));
}
LB_DEVICE void lb_wgmma_ra_t(float (&d)[32], const uint32_t *a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("64", LB_NAMES_32, "{%32, %33, %34, %35}, %36", "%37", "1")
                 : LB_SUMS_32 : LB_A_REGISTERS, "l"(b), "r"((int)first));
}
LB_DEVICE void lb_wgmma_sa(float (&d)[32], uint64_t a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("64", LB_NAMES_32, "%32, %33", "%34", "0, 0")
                 : LB_SUMS_32 : "l"(a), "l"(b), "r"((int)first));
}
LB_DEVICE void lb_wgmma_ra(float (&d)[64], const uint32_t *a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("128", LB_NAMES_64, "{%64, %65, %66, %67}, %68", "%69", "0")
                 : LB_SUMS_64 : LB_A_REGISTERS, "l"(b), "r"((int)first));
}
LB_DEVICE void lb_wgmma_ra_t(float (&d)[64], const uint32_t *a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("128", LB_NAMES_64, "{%64, %65, %66, %67}, %68", "%69", "1")
                 : LB_SUMS_64 : LB_A_REGISTERS, "l"(b), "r"((int)first));
}
LB_DEVICE void lb_wgmma_sa(float (&d)[64], uint64_t a, uint64_t b, bool first) {
    asm volatile(LB_PRODUCT("128", LB_NAMES_64, "%64, %65", "%66", "0, 0")
                 : LB_SUMS_64 : "l"(a), "l"(b), "r"((int)first));
}
#undef LB_SUMS_8
#undef LB_SUMS_32
#undef LB_SUMS_64
#undef LB_NAMES_32
#undef LB_NAMES_64
#undef LB_A_REGISTERS
#undef LB_PRODUCT
#endif

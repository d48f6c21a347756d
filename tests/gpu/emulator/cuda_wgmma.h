/* cuda_wgmma.h: kernels/cuda/wgmma.cuh on the CPU. A warpgroup's products are under way until they are waited for:
 * until then the sums hold poison, and what is read of shared memory is what lies there when they begin, or, in every
 * other launch, when they are waited for. Descriptors are decoded as the hardware does it. */
#pragma once
#include "cuda_mma.h"

/* ---- mbarriers, copies, warps ---- */

LB_DEVICE void lb_mbarrier_init(uint64_t *b, unsigned count) { lb_emu_mbarrier_init(b, count); }
LB_DEVICE void lb_mbarrier_made(void) {}
LB_DEVICE void lb_mbarrier_arrive(uint64_t *b) { lb_emu_mbarrier_arrive(b, 0); }
LB_DEVICE void lb_mbarrier_expect(uint64_t *b, unsigned bytes) { lb_emu_mbarrier_arrive(b, bytes); }
LB_DEVICE void lb_mbarrier_wait(uint64_t *b, unsigned parity) { lb_emu_mbarrier_wait(b, parity); }
LB_DEVICE void lb_copy_bulk(void *shared, const void *global, unsigned bytes, uint64_t *barrier) {
    lb_emu_copy_bulk(shared, global, bytes, barrier);
}
LB_DEVICE void lb_copy_bulk_once(void *shared, const void *global, unsigned bytes, uint64_t *barrier, uint64_t) {
    lb_emu_copy_bulk(shared, global, bytes, barrier);
}
LB_DEVICE void lb_fence_async(void) {}
LB_DEVICE void lb_fence_async_global(void) {}
template <int N> LB_DEVICE void lb_registers_less(void) { static_assert(N >= 24 && N <= 256 && N % 8 == 0, ""); }
template <int N> LB_DEVICE void lb_registers_more(void) { static_assert(N >= 24 && N <= 256 && N % 8 == 0, ""); }
LB_DEVICE void lb_barrier_of(int id, int count) { lb_emu_barrier(id, count, "a named barrier"); }

/* ---- products ---- */

LB_DEVICE uint64_t lb_wgmma_tile_transposed(const void *shared, unsigned apart) {
    uint64_t at = (uint64_t)((const unsigned char *)shared - lb_emu_now->shared);
    return (at & 0x3ffff) >> 4 | (uint64_t)(apart >> 4) << 16 | (uint64_t)64 << 32 | (uint64_t)1 << 62;
}
LB_DEVICE uint64_t lb_wgmma_tile(const void *shared) { return lb_wgmma_tile_transposed(shared, 16); }
LB_DEVICE uint64_t lb_wgmma_tile_narrow(const void *shared) {
    uint64_t at = (uint64_t)((const unsigned char *)shared - lb_emu_now->shared);
    return (at & 0x3ffff) >> 4 | (uint64_t)1 << 16 | (uint64_t)16 << 32 | (uint64_t)3 << 62;
}
LB_DEVICE uint64_t lb_wgmma_at(uint64_t tile, unsigned bytes) { return tile + (bytes >> 4); }

LB_DEVICE void lb_wgmma_fence(void) { lb_emu_wgmma_fence(); }
LB_DEVICE void lb_wgmma_commit(void) { lb_emu_wgmma_commit(); }
template <int LEFT> LB_DEVICE void lb_wgmma_wait(void) { lb_emu_wgmma_wait(LEFT); }
template <int N> LB_DEVICE void lb_wgmma_done(float (&)[N]) {}
template <int N> LB_DEVICE void lb_wgmma_done(uint32_t (&)[N]) {}

template <int N> LB_DEVICE void lb_wgmma_ra(float (&d)[N], const uint32_t *a, uint64_t b, bool first) {
    lb_emu_wgmma_product(2 * N, d, a, 0, b, false, first);
}
template <int N> LB_DEVICE void lb_wgmma_ra_t(float (&d)[N], const uint32_t *a, uint64_t b, bool first) {
    lb_emu_wgmma_product(2 * N, d, a, 0, b, true, first);
}
template <int N> LB_DEVICE void lb_wgmma_sa(float (&d)[N], uint64_t a, uint64_t b, bool first) {
    lb_emu_wgmma_product(2 * N, d, nullptr, a, b, false, first);
}

/* emulator.h: runs CUDA C kernels on the CPU, thread by thread, to find what is wrong with them; see
 * tests/gpu/README.md. What kernel sources include are cuda_runtime.h, cuda_fp16.h, cuda_bf16.h and cuda_fp8.h beside
 * this, which stand in for the toolkit's where this folder comes first among the include paths. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define LB_CUDA_EMULATED 1

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
    operator uint3() const { return uint3{ x, y, z }; }
};

#pragma GCC visibility push(default)

/* What the thread that runs now is. */
struct lb_emu_where {
    uint3 thread, block;
    dim3 block_size, grid_size;
    int lane;                    /* in its warp: linear thread number % 32 */
    unsigned char *shared;       /* dynamic shared memory */
};
extern "C" lb_emu_where *lb_emu_now;

#define threadIdx (lb_emu_now->thread)
#define blockIdx (lb_emu_now->block)
#define blockDim (lb_emu_now->block_size)
#define gridDim (lb_emu_now->grid_size)
#define warpSize 32

extern "C" {
/* Runs thread(arg) for each thread of each block. After the first error nothing runs until lb_emu_error_take. */
void lb_emu_run(const char *kernel, const void *function, dim3 grid, dim3 block, size_t shared_bytes,
                void (*thread)(const void *), const void *arg);
/* cudaFuncSetAttribute's: the most dynamic shared memory of the function's launches; 48 KiB where it was not called. */
void lb_emu_shared_most(const void *function, size_t bytes);
/* How threads and blocks take turns: 0 ascending, 1 descending, else random by this seed. */
void lb_emu_seed(uint64_t seed);
/* The text of the first error since the last call, or NULL; static. */
const char *lb_emu_error_take(void);
/* Launches and barriers so far, for tests that something ran. */
uint64_t lb_emu_launches(void);

/* ---- called by threads ---- */

/* Ends the launch with an error. */
__attribute__((noreturn, format(printf, 1, 2))) void lb_emu_fail(const char *format, ...);
/* Barrier `id` of `count` threads (0 = all of the block). `where` must be the same for all threads if it is given. */
void lb_emu_barrier(int id, int count, const char *where);
/* Counts at a barrier without waiting (bar.arrive). */
void lb_emu_arrive(int id, int count);
/* Another thread's turn: in every loop that waits for what another thread does. A launch whose threads all do nothing
 * else is stuck, which is an error. */
void lb_emu_poll(void);
/* What `mask`'s lanes do together: each gives `mine`; the last to come calls act(lanes, mask, context) with what each
 * lane gave (NULL: not in the mask), and all go on. `name` must agree among the lanes. */
void lb_emu_warp(unsigned mask, const char *name, void *mine, void (*act)(void **lanes, unsigned mask, void *context),
                 void *context);
/* The same for the four warps of the caller's warpgroup: 128 pointers. */
void lb_emu_warpgroup(const char *name, void *mine, void (*act)(void **threads, void *context), void *context);

/* A warpgroup's product d (first) = or += a b, n columns; a in registers or, where it is NULL, at the descriptor
 * a_tile. */
void lb_emu_wgmma_product(int n, float *d, const uint32_t *a, uint64_t a_tile, uint64_t b_tile, bool transposed,
                          bool first);
void lb_emu_wgmma_fence(void);
void lb_emu_wgmma_commit(void);
void lb_emu_wgmma_wait(int left);
/* What the block that ends has not waited for, as an error's text, or NULL. */
const char *lb_emu_wgmma_left(void);

/* The caller's number in its block; the number of the block among all so far; its bytes of dynamic shared memory. */
int lb_emu_thread(void);
uint64_t lb_emu_blocks(void);
size_t lb_emu_shared_bytes(void);

/* Copies that end later, as cp.async's: until they are waited for the destination holds poison. bytes is what is
 * copied, of `size`; the rest becomes zeros. */
void lb_emu_copy_async(void *shared, const void *global, size_t size, size_t bytes);
void lb_emu_copy_commit(void);
void lb_emu_copy_wait(int groups_left);
/* Work of the copy engine: done some time later, at the latest when nothing else can go on. `bytes` is counted off at
 * the mbarrier (below). The destination holds poison until then. */
void lb_emu_copy_bulk(void *shared, const void *global, size_t bytes, uint64_t *mbarrier);

/* mbarriers, whose 64 bits are the emulator's. */
void lb_emu_mbarrier_init(uint64_t *b, unsigned count);
void lb_emu_mbarrier_arrive(uint64_t *b, unsigned expect_bytes);
/* Waits (by polling) until the phase of this parity has ended. */
void lb_emu_mbarrier_wait(uint64_t *b, unsigned parity);
}

#pragma GCC visibility pop

/* ---- launches ---- */

#include <tuple>
#include <utility>

template <class... P> struct lb_emu_call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
    static void thread(const void *self) {
        const lb_emu_call *c = static_cast<const lb_emu_call *>(self);
        std::apply(c->kernel, c->arguments);
    }
};
template <class... P, class... A>
void lb_emu_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, A &&...a) {
    lb_emu_call<P...> call = { kernel, std::tuple<P...>(std::forward<A>(a)...) };
    lb_emu_run(name, (const void *)kernel, grid, block, shared_bytes, lb_emu_call<P...>::thread, &call);
}

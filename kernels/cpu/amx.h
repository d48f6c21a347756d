/* amx.h: the tiles of AMX: eight registers tmm0 .. tmm7 of up to 16 rows of 64 bytes, and their configuration.
 *
 * A thread's tiles have no shape until it loads a configuration, and while it has one every context switch saves and
 * restores them (8 KiB). So a launch, a panel's run, or its act_prepare, begins with lb_tiles_open() and ends with
 * lb_tiles_close(), in each part: nothing is left to the next kernel, and nobody has tiles open while it calls either.
 * What calls lb_tiles_open must need LB_ISA_AMX_*, which is set where Linux permits tiles to the process and thereby to
 * all its threads (engine/isa.c).
 *
 *     C (16 x 16 of f32 or i32) += A (16 rows of x, 64 bytes of K) * B (64 bytes of K, 16 rows of weights)
 *
 * A's row m is x's row m: 32 bf16 or 64 bytes one after the other. B's row p has for each of 16 rows of weights the
 * dword p of its K (two bf16, four bytes): weights n at dword n. C's row m has the 16 results of x's row m. A product
 * takes 16 cycles, with one row of x 10, with one row of weights 16 (measured on Emerald Rapids), a sum's way through
 * it is 52: four sums keep the unit busy. A result depends on A's row and on B alone, not on how many rows there are.
 *
 * Sums of bf16: two f32 fused multiply-adds a pair, subnormals are zero, as in vdpbf16ps but not with its roundings.
 *
 * The instructions below say that they touch memory, which the compiler's own intrinsics do not. */
#pragma once
#include <stdint.h>

/* What ldtilecfg reads. */
typedef struct lb_tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) lb_tiles;
_Static_assert(sizeof(lb_tiles) == 64, "as the processor has it");

/* All eight tiles with 16 rows of 64 bytes. */
static const lb_tiles lb_tiles_whole = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

/* Shapes the calling thread's tiles, and makes them zero. */
static inline __attribute__((always_inline)) void lb_tiles_open(const lb_tiles *t) {
    __asm__ volatile("ldtilecfg %0" : : "m"(*t));
}
/* The thread's tiles have no shape and no contents any more. */
static inline __attribute__((always_inline)) void lb_tiles_close(void) { __asm__ volatile("tilerelease"); }

/* Tile t, a literal 0 .. 7; `stride` bytes from one of its rows to the next. */
#define LB_TILE_LOAD(t, from, stride)                                                                                \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(from), "r"((int64_t)(stride)) : "memory")
/* The same of what L2 has and L1 need not keep: other lines stay there. */
#define LB_TILE_LOAD_ONCE(t, from, stride)                                                                           \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t : : "r"(from), "r"((int64_t)(stride)) : "memory")
#define LB_TILE_STORE(t, to, stride)                                                                                 \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"(to), "r"((int64_t)(stride)) : "memory")
#define LB_TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
/* Tile c += tile a * tile b. */
#define LB_TILE_BF16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
/* Signed bytes by signed ones; signed (a) by unsigned ones. */
#define LB_TILE_SS(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define LB_TILE_SU(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

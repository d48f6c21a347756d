/* move.cuh: whole rows of f32 from place to place. A warp moves 1024 values: eight 16-byte loads a lane under way. */
#pragma once
#include "engine/kernel_cuda.h"

enum { LB_MOVE_WARPS = 8, LB_MOVE_SPAN = 1024 };

/* This warp's part of a row of k values; from == NULL writes zeros. */
__device__ static inline void lb_move_row(const float *from, float *to, int64_t k, int64_t first, int lane) {
    int64_t last = first + LB_MOVE_SPAN < k ? first + LB_MOVE_SPAN : k;
    if (k % 4 == 0 && ((uintptr_t)from | (uintptr_t)to) % 16 == 0) {
        float4 v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int64_t i = first + (j * 32 + lane) * 4;
            v[j] = from && i < last ? *(const float4 *)(from + i) : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int64_t i = first + (j * 32 + lane) * 4;
            if (i < last) *(float4 *)(to + i) = v[j];
        }
        return;
    }
    for (int64_t i = first + lane; i < last; i += 32) to[i] = from ? from[i] : 0.0f;
}

static inline dim3 lb_move_grid(int64_t rows, int64_t k) {
    return dim3((unsigned)((rows + LB_MOVE_WARPS - 1) / LB_MOVE_WARPS),
                (unsigned)((k + LB_MOVE_SPAN - 1) / LB_MOVE_SPAN));
}
static inline bool lb_move_fits(int64_t k) { return k <= 65535 * (int64_t)LB_MOVE_SPAN; }

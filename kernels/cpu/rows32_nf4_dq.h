/* rows32_nf4_dq.h: how nf4-dq weights come into panels of 32 rows: w = L[q] * (sq / f + mean), sq int8 per 64. */
#pragma once
#include <math.h>

#include "nf4_levels.h"
#include "rows32.h"
#include "rows32_float_pack.h"

/* The head: the mean; factors, 32 f32 for each `reach` blocks of 64, so many that no row's factor changes among them;
 * the blocks' int8 scales, 32 a block. */
typedef struct places { int64_t blocks, reach; size_t scales, bytes; } places;

LB_INLINE places places_of(int64_t k) {
    places p = { .blocks = k / 64, .reach = (k / 64) & -(k / 64) };
    if (p.reach > 256 || p.reach == 0) p.reach = 256;
    p.scales = 64 + (size_t)((p.blocks + p.reach - 1) / p.reach) * 128;
    p.bytes = p.scales + (size_t)((p.blocks + 1) / 2) * 64;
    return p;
}

static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return places_of(k).bytes;
}

/* Planes, each at a multiple of 64 bytes: nibbles [N][K / 2], even k high; int8 scales [N][K / 64]; f32 factors, one
 * for 256 of these; the f32 mean. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_nibbles(native, k, row, at, codes);
}

/* A factor of 0 (all scales are the mean) becomes infinite: 0 divided by it is 0. */
static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    places p = places_of(k);
    size_t blocks = (size_t)(n * p.blocks), scales = float_plane_at((size_t)(n * k / 2));
    size_t factors = float_plane_at(scales + blocks), mean = float_plane_at(factors + (blocks + 255) / 256 * 4);
    memcpy(panel, (const char *)native + mean, 4);
    for (int64_t i = 0; i < p.blocks; i++) {
        int64_t block = row * p.blocks + i;
        float f;
        memcpy(&f, (const char *)native + factors + block / 256 * 4, 4);
        if (f == 0) f = (float)INFINITY;
        if (i % p.reach == 0) memcpy(panel + 64 + i / p.reach * 128 + 4 * r, &f, 4);
        panel[p.scales + 32 * (size_t)i + (size_t)r] = ((const uint8_t *)native + scales)[block];
    }
}

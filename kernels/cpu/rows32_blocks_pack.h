/* rows32_blocks_pack.h: block-sparse weights in panels of 32 rows, which keep the same blocks of 64 columns, whatever
 * the instructions that read them.
 *
 * A panel is 32 f32 scales, the i32 columns of its kept blocks up to a multiple of 64 bytes, then the blocks: pair
 * vectors (bf16: pairs of vectors for rows 0..15 and 16..31; e4m3: runs of rows32_float_pack.h) or for int8 codes + 128
 * as in rows32_i8_pack.h. */
#pragma once
#include "rows32.h"
#include "rows32_float_pack.h"

enum { BLOCK_K = 64, BLOCK_SCALES = FLOAT_ROWS * 4 };

LB_INLINE int64_t blocks_kept(int64_t k) { return (k / BLOCK_K + 1) / 2; }
LB_INLINE size_t blocks_head(int64_t k) { return BLOCK_SCALES + float_plane_at((size_t)blocks_kept(k) * 4); }
LB_INLINE size_t block_bytes(const int bytes) { return (size_t)(FLOAT_ROWS * BLOCK_K * bytes); }
LB_INLINE size_t blocks_panel_bytes(const int bytes, int64_t k) {
    return blocks_head(k) + (size_t)blocks_kept(k) * block_bytes(bytes);
}
LB_INLINE const int32_t *blocks_columns(const uint8_t *panel) {
    return (const int32_t *)(const void *)(panel + BLOCK_SCALES);
}

static inline void blocks_put_row(const int bytes, bool integer, const uint8_t *from, int r, uint8_t *block) {
    for (int i = 0; i < BLOCK_K; i++) {
        if (integer) block[i / 4 * 128 + 4 * r + i % 4] = from[i] ^ 0x80;
        else if (bytes == 2) memcpy(block + i / 2 * 128 + 4 * r + i % 2 * 2, from + 2 * i, 2);
    }
    for (int i = 0; i < BLOCK_K && bytes == 1 && !integer; i += 32)
        float_pack_run(8, from + i, r % 16, block + (size_t)(i / 32 * 2 + r / 16) * float_half_bytes(8));
}

/* Native: values [N][kept][64], i32 columns [ceil(N/64)][kept], then (one byte a value) f32 scales [N]; each at a
 * multiple of 64. */
static inline void blocks_repack(const int bytes, bool integer, const void *native, int64_t n, int64_t k, int64_t row0,
                                 int64_t row1, void *dst) {
    int64_t kept = blocks_kept(k);
    const uint8_t *values = native, *columns = values + float_plane_at((size_t)(n * kept * BLOCK_K * bytes));
    const uint8_t *scales = columns + float_plane_at((size_t)((n + BLOCK_K - 1) / BLOCK_K * kept) * 4);
    for (int64_t row = row0; row < row1; row += FLOAT_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / FLOAT_ROWS) * blocks_panel_bytes(bytes, k);
        memset(panel, 0, blocks_head(k));
        memset(panel + blocks_head(k), integer ? 0x80 : 0, (size_t)kept * block_bytes(bytes));
        memcpy(panel + BLOCK_SCALES, columns + row / BLOCK_K * kept * 4, (size_t)kept * 4);
        for (int r = 0; r < FLOAT_ROWS && row + r < n; r++) {
            float one = 1.0f;
            memcpy(panel + 4 * r, bytes == 1 ? (const void *)(scales + 4 * (row + r)) : &one, 4);
            for (int64_t b = 0; b < kept; b++)
                blocks_put_row(bytes, integer, values + ((row + r) * kept + b) * BLOCK_K * bytes, r,
                               panel + blocks_head(k) + (size_t)b * block_bytes(bytes));
        }
    }
}

/* panel_bytes() and repack() of a file. */
#define LB_BLOCKS_LAYOUT(bytes, integer)                                                                             \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return blocks_panel_bytes(bytes, k);                                                                         \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        (void)q;                                                                                                     \
        blocks_repack(bytes, integer, native, n, k, row0, row1, dst);                                                \
    }

/* rows32_sparse24_pack.h: 2:4 sparse weights in panels of 32 rows, whatever the instructions that read them: kept
 * values and where they stand.
 *
 * A panel is 32 f32 scales and 32 sums of the rows' codes (int8; else unused), then for every 32 k the places of rows
 * 0..15 and 16..31, two bits a kept value, a dword a row, and the values: pair vectors of rows32_float_pack.h over the
 * kept (16 of 32), or for int8 vectors whose dword is four kept values, 8 k, of a row, in pairs for rows 0..15 and
 * 16..31. */
#pragma once
#include "rows32.h"
#include "rows32_float_pack.h"

enum { S24_SCALES = FLOAT_ROWS * 4, S24_HEAD = 2 * S24_SCALES, S24_PLACES = 128 };

/* Bytes of 32 k: the places, and 16 kept values of each row. */
LB_INLINE size_t s24_run_bytes(const int bytes) { return S24_PLACES + (size_t)(16 * FLOAT_ROWS * bytes); }
LB_INLINE size_t s24_panel_bytes(const int bytes, int64_t k) {
    return S24_HEAD + (size_t)((k + 31) / 32) * s24_run_bytes(bytes);
}

/* ---- repacking; `integer`: int8 dwords instead of pair vectors ---- */

static inline void s24_put_run(const int bytes, bool integer, const uint8_t *kept, const uint8_t *places, int r,
                               uint8_t *run) {
    memcpy(run + 4 * r, places, 4);
    uint8_t *values = run + S24_PLACES;
    for (int i = 0; i < 16; i++) {
        if (integer) values[i / 4 * 128 + 4 * r + i % 4] = kept[i];
        else if (bytes == 2) memcpy(values + i / 2 * 128 + 4 * r + i % 2 * 2, kept + 2 * i, 2);
    }
    if (bytes == 1 && !integer) /* of 16 rows each 8 pairs */
        for (int p = 0; p < 8; p++)
            for (int j = 0; j < 2; j++)
                values[r / 16 * 256 + p / 2 * 64 + r % 16 / 4 * 16 + p % 2 * 8 + r % 4 * 2 + j] = kept[2 * p + j];
}

/* Native: values [N][K/2], places [N][K/8], then (one byte a value) f32 scales [N]; each at a multiple of 64. */
static inline void s24_repack(const int bytes, bool integer, const void *native, int64_t n, int64_t k, int64_t row0,
                              int64_t row1, void *dst) {
    const uint8_t *values = native, *places = values + float_plane_at((size_t)(n * (k / 2) * bytes));
    const uint8_t *scales = places + float_plane_at((size_t)(n * (k / 8)));
    for (int64_t row = row0; row < row1; row += FLOAT_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / FLOAT_ROWS) * s24_panel_bytes(bytes, k);
        memset(panel, 0, s24_panel_bytes(bytes, k));
        for (int r = 0; r < FLOAT_ROWS && row + r < n; r++) {
            const uint8_t *from = values + (row + r) * (k / 2) * bytes;
            float one = 1.0f;
            int32_t sum = 0;
            memcpy(panel + 4 * r, bytes == 1 ? (const void *)(scales + 4 * (row + r)) : &one, 4);
            for (int64_t at = 0; at < k; at += 32) {
                size_t some = (size_t)(k - at < 32 ? k - at : 32);
                uint8_t kept[32] = { 0 }, place[4] = { 0 };
                memcpy(kept, from + at / 2 * bytes, some / 2 * (size_t)bytes);
                memcpy(place, places + (row + r) * (k / 8) + at / 8, some / 8);
                for (size_t i = 0; integer && i < some / 2; i++) sum += (int8_t)kept[i];
                s24_put_run(bytes, integer, kept, place, r,
                            panel + S24_HEAD + (size_t)(at / 32) * s24_run_bytes(bytes));
            }
            memcpy(panel + S24_SCALES + 4 * r, &sum, 4);
        }
    }
}

/* panel_bytes() and repack() of a file. */
#define LB_S24_LAYOUT(bytes, integer)                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return s24_panel_bytes(bytes, k);                                                                            \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        (void)q;                                                                                                     \
        s24_repack(bytes, integer, native, n, k, row0, row1, dst);                                                   \
    }

/* rows32_trellis_pack.h: trellis-2, -3 and -4 in panels of 32 rows, and the activations that they meet, whatever the
 * instructions that read them.
 *
 * A panel is 32 f32 scales, then for every tile of 256 k its cyclic streams, 64 bits of each row at a time, most
 * significant bit first: a piece of 256 bytes. Activations have taken the signs and the transform and are int16 with a
 * scale for each 128, over which int32 holds every sum. */
#pragma once
#include "../quant/trellis.h"
#include "rows32.h"

enum { HEAD = 32 * 4, BLOCK = LB_TRELLIS_HADAMARD, PIECE = 32 * 8, CENTRE = 510 /* half of the most
       that four bytes make */ };

static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return HEAD + (size_t)(k / LB_TRELLIS_TILE) * 32 * (size_t)q->bits * 32;
}

/* Where row r of a panel stands: shuffles of the sums of groups 2h and 2h + 1 then bring rows into order. */
static inline size_t place_of(int r) {
    int lane = r % 16 / 4, in = r % 4;
    return (size_t)((r / 16 * 2 + in / 2) * 64 + (2 * lane + in % 2) * 8);
}

static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    int64_t tiles = k / LB_TRELLIS_TILE, pieces = tiles * 4 * q->bits;
    const char *scales = (const char *)native + lb_up64((size_t)n * (size_t)tiles * (size_t)q->bits * 32);
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * panel_bytes(q, k);
        memset(panel, 0, panel_bytes(q, k));
        for (int r = 0; r < 32 && row + r < n; r++) {
            float scale;
            memcpy(&scale, scales + 4 * (row + r), 4);
            scale *= 1.0f / 147.7f;
            memcpy(panel + 4 * r, &scale, 4);
            const char *from = (const char *)native + (row + r) * pieces * 8;
            for (int64_t i = 0; i < pieces; i++) {
                uint32_t two[2];
                memcpy(two, from + 8 * i, 8);
                uint64_t piece = (uint64_t)two[0] << 32 | two[1];
                memcpy(panel + HEAD + (size_t)i * 256 + place_of(r), &piece, 8);
            }
        }
    }
}

typedef struct act_block {
    int16_t q[BLOCK];
    float d;
    int32_t start;           /* -510 times the sum of q */
    int32_t unused[14];
} act_block;
_Static_assert(sizeof(act_block) == 320, "a line behind the codes");

static size_t act_bytes(const lb_quantizer *q, int64_t k) {
    (void)q;
    return (size_t)(k / BLOCK) * sizeof(act_block);
}

/* Four weights at a time: after how many such the places of states in the pieces repeat, and pieces till then. */
LB_INLINE int period_fours(const int bits) { return bits == 3 ? 16 : 16 / bits; }
LB_INLINE int period_pieces(const int bits) { return bits == 3 ? 3 : 1; }
/* The piece in which four number p ends; whether it begins in the one before; the first that ends in piece i. */
LB_INLINE int piece_of(const int bits, int p) { return ((4 * p + 4) * bits - 1) / 64; }
LB_INLINE int straddles(const int bits, int p) { return (4 * p + 1) * bits - 16 < 64 * piece_of(bits, p); }
LB_INLINE int first_four(const int bits, int i) { return 64 * i / (4 * bits); }

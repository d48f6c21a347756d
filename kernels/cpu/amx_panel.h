/* amx_panel.h: what products by AMX's tiles inside panels share (amx.h): tiles 0 to 3 hold the sums of two times 16
 * columns by two times 16 rows of weights, 4 and 5 the columns' activations, 6 and 7 the weights.
 *
 * Panels' vectors are B as it is: 64 bytes of K are 16 vectors of four bytes of 16 rows, those of a panel's halves by
 * turns. A product of independent ones takes 16 cycles whatever the shape of its tiles (measured on Emerald Rapids). */
#pragma once
#include "amx.h"
#include "rows32.h"

enum { TILES_COLS = 32,
       /* of a thread's scratch memory, for what panels that go together are expanded into */
       LB_TILES_SCRATCH = LB_SCRATCH_BYTES - (LB_PANELS_MOST + 4) * LB_PANEL_MAX_COLS * LB_PANEL_MAX_ROWS * 4 };

/* Tiles for 1 to TILES_COLS columns; whether there are more than 16. */
LB_INLINE bool tiles_open_for(int cols) {
    lb_tiles t = lb_tiles_whole;
    const uint8_t low = (uint8_t)(cols < 16 ? cols : 16), high = (uint8_t)(cols > 16 ? cols - 16 : 16);
    t.rows[0] = t.rows[1] = t.rows[4] = low;
    t.rows[2] = t.rows[3] = t.rows[5] = high;
    lb_tiles_open(&t);
    return cols > 16;
}

/* The sums begin with zero. */
LB_INLINE void tiles_zero_sums(void) {
    LB_TILE_ZERO(0);
    LB_TILE_ZERO(1);
    LB_TILE_ZERO(2);
    LB_TILE_ZERO(3);
}
/* The sums to [column][32 rows of weights], four bytes each; of 16 columns, or of two times 16. */
LB_INLINE void tiles_store_sums(void *to, bool two) {
    char *first = to, *more = first + 16 * 4 * LB_PANEL_ROWS;
    LB_TILE_STORE(0, first, 4 * LB_PANEL_ROWS);
    LB_TILE_STORE(1, first + 64, 4 * LB_PANEL_ROWS);
    if (!two) return;
    LB_TILE_STORE(2, more, 4 * LB_PANEL_ROWS);
    LB_TILE_STORE(3, more + 64, 4 * LB_PANEL_ROWS);
}

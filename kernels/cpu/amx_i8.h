/* amx_i8.h: what products of int8 with AMX's tiles share (amx.h): tiles 0 to 3 hold the sums of two times 16 columns by
 * two times 16 rows of weights, 4 and 5 the columns' activations, 6 and 7 the weights.
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

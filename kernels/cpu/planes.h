/* planes.h: panels of formats with an f16 scale for each 32 weights whose products of many rows of x go by AMX's tiles
 * (rows32_planes_amx.h). Their bits are not those of the formats' other panels, which take any number of rows: what is
 * built from them is kernels of their own, for LB_PLANES_ROWS rows of x and more. */
#pragma once
#include "gemm_panel.h"

/* With fewer, to make planes of the weights is more work than they save (kernels/cpu/README.md, "Planes"). */
enum { LB_PLANES_ROWS = 96 };

extern const lb_panel lb_panel_planes_q4_0, lb_panel_planes_q5_0, lb_panel_planes_q8_0, lb_panel_planes_iq4_nl;

/* The panel for matrices [.., N, K] like w, in the layout of their format's other panels; NULL = none. */
const lb_panel *lb_planes_panel_of(const lb_tensor *w);

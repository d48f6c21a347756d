/* native_avx512.h: panels that read quantized weights in their files' own layout, for models that are mapped and not
 * repacked. linear, moe_ffn and head_gemm are built from them as from those of repacked weights. */
#pragma once
#include "gemm_panel.h"

/* Its rows; a matrix must have a multiple of it, or its last panel overlaps the one before. */
#define LB_NATIVE_ROWS 32

/* NULL: a format that has none. K must be a multiple of 256. Activations are LB_ACT_Q8_256. */
const lb_panel *lb_native_panel_for(const lb_quantizer *q);

/* The panel of matrices like w, [.., N, K]; NULL, and *why, where it has none. */
const lb_panel *lb_native_panel_of(const lb_tensor *w, const char **why);

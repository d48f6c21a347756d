/* native.h: panels that read quantized weights in their files' own layout, for models that are mapped and not
 * repacked. linear, moe_ffn and head_gemm are built from them as from those of repacked weights. They exist twice, with
 * the same instructions but for few_ask(): for processors with AMX, and for the others with AVX-512. */
#pragma once
#include "gemm_panel.h"

/* Its rows; a matrix must have a multiple of it, or its last panel overlaps the one before. */
#define LB_NATIVE_ROWS 32

/* The panel of matrices like w, [.., N, K]; NULL, and *why, where it has none. K must be a multiple of 256. Activations
 * are LB_ACT_Q8_256. */
typedef const lb_panel *lb_native_panel_of(const lb_tensor *w, const char **why);
extern lb_native_panel_of lb_native_panel_of_amx, lb_native_panel_of_avx512;
#if defined(__AMX_TILE__)
#define LB_NATIVE_PANEL_OF lb_native_panel_of_amx
#else
#define LB_NATIVE_PANEL_OF lb_native_panel_of_avx512
#endif

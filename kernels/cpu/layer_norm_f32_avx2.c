/* layer_norm_f32_avx2.c: out = (x - mean) / sqrt(variance + eps) * weight + bias. Compiled for avx2. */
#include "layer_norm_f32.h"

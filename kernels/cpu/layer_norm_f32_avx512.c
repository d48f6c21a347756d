/* layer_norm_f32_avx512.c: out = (x - mean) / sqrt(variance + eps) * weight + bias. Compiled for avx512. */
#include "layer_norm_f32.h"

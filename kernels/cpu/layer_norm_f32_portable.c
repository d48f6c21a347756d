/* layer_norm_f32_portable.c: out = (x - mean) / sqrt(variance + eps) * weight + bias. Compiled for portable. */
#include "layer_norm_f32.h"

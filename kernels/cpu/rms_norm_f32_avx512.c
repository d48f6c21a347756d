/* rms_norm_f32_avx512.c: out = x / sqrt(mean(x^2) + eps) * weight. Compiled for avx512. */
#include "rms_norm_f32.h"

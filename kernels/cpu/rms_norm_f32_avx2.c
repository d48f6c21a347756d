/* rms_norm_f32_avx2.c: out = x / sqrt(mean(x^2) + eps) * weight. Compiled for avx2. */
#include "rms_norm_f32.h"

/* rms_norm_f32_portable.c: out = x / sqrt(mean(x^2) + eps) * weight. Compiled for portable. */
#include "rms_norm_f32.h"

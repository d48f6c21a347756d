/* add_rms_norm_f32_avx512.c: h += x; out = rms_norm(h) * weight. Compiled for avx512. */
#include "add_rms_norm_f32.h"

/* add_rms_norm_f32_avx2.c: h += x; out = rms_norm(h) * weight. Compiled for avx2. */
#include "add_rms_norm_f32.h"

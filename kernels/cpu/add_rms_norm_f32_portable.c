/* add_rms_norm_f32_portable.c: h += x; out = rms_norm(h) * weight. Compiled for portable. */
#include "add_rms_norm_f32.h"

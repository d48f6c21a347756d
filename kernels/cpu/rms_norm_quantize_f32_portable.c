/* rms_norm_quantize_f32_portable.c: int8 codes of a norm's rows. Compiled for portable. */
#include "rms_norm_quantize_f32.h"

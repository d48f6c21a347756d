/* rms_norm_quantize_f32_avx2.c: int8 codes of a norm's rows. Compiled for avx2. */
#include "rms_norm_quantize_f32.h"

/* rms_norm_quantize_f32_avx512.c: int8 codes of a norm's rows. Compiled for avx512. */
#include "rms_norm_quantize_f32.h"

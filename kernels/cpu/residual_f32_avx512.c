/* residual_f32_avx512.c: y += scale * x. Compiled for avx512. */
#include "residual_f32.h"

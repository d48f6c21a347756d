/* residual_f32_avx2.c: y += scale * x. Compiled for avx2. */
#include "residual_f32.h"

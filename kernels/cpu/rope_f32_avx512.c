/* rope_f32_avx512.c: rotary positions, in place. Compiled for avx512. */
#include "rope_f32.h"

/* rope_f32_avx2.c: rotary positions, in place. Compiled for avx2. */
#include "rope_f32.h"

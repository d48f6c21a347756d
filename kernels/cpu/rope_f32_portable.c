/* rope_f32_portable.c: rotary positions, in place. Compiled for portable. */
#include "rope_f32.h"

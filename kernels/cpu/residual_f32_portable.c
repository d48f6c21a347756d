/* residual_f32_portable.c: y += scale * x. Compiled for portable. */
#include "residual_f32.h"

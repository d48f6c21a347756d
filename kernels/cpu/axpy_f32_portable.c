/* axpy_f32_portable.c: y += scale[at] * x. Compiled for portable. */
#include "axpy_f32.h"

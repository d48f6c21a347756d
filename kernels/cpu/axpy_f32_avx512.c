/* axpy_f32_avx512.c: y += scale[at] * x. Compiled for avx512. */
#include "axpy_f32.h"

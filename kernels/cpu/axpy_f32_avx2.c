/* axpy_f32_avx2.c: y += scale[at] * x. Compiled for avx2. */
#include "axpy_f32.h"

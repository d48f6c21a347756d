/* linear_f32_avx2.c: linear over f32 weights as they are. Compiled for avx2. */
#define TYPE f32
#include "linear_dense.h"

/* linear_f16_avx2.c: linear over f16 weights as they are. Compiled for avx2. */
#define TYPE f16
#include "linear_dense.h"

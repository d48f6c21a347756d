/* linear_bf16_avx2.c: linear over bf16 weights as they are. Compiled for avx2. */
#define TYPE bf16
#include "linear_dense.h"

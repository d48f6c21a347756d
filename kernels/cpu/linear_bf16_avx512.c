/* linear_bf16_avx512.c: linear over bf16 weights as they are. Compiled for avx512. */
#define TYPE bf16
#define DENSE_ACT LB_ACT_BF16
#define DENSE_COMPUTE LB_COMPUTE_BF16
#define DENSE_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_BF16)
#include "linear_dense.h"

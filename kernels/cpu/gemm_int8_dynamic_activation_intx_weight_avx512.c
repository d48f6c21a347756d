/* gemm_int8_dynamic_activation_intx_weight_avx512.c: gemm over intx weights in panels of 32 rows. Compiled for
 * avx512. */
#include "gemm_int8_dynamic_activation_intx_weight.h"

/* head_gemm_any_portable.c: a product for each head. Compiled for portable. */
#include "head_gemm_any.h"

/* head_gemm_native_amx.c: head_gemm over quantized weights in their files' own layout.
 * Compiled for AMX (native_amx.c). */
#define LB_NATIVE 1
#include "head_gemm_panels.h"

/* moe_ffn_native_avx512.c: moe_ffn over experts in their files' own layout. Compiled for avx512. */
#define LB_NATIVE 1
#include "moe_ffn_panels.h"

/* moe_ffn_panels_avx512.c: moe_ffn from the panels of the weights' formats. Compiled for avx512. */
#include "moe_ffn_panels.h"

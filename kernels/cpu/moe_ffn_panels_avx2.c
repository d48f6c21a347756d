/* moe_ffn_panels_avx2.c: moe_ffn from the panels of the weights' formats. Compiled for avx2. */
#include "moe_ffn_panels.h"

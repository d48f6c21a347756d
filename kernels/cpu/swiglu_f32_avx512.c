/* swiglu_f32_avx512.c: out = silu(gate) * up. Compiled for avx512. */
#include "swiglu_f32.h"

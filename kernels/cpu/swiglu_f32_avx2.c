/* swiglu_f32_avx2.c: out = silu(gate) * up. Compiled for avx2. */
#include "swiglu_f32.h"

/* add_f32_avx2.c: out = a + b. Compiled for avx2. */
#include "add_f32.h"

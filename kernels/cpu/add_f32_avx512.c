/* add_f32_avx512.c: out = a + b. Compiled for avx512. */
#include "add_f32.h"

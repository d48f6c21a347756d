/* combine_f32_avx512.c: a token's expert outputs, weighted and added in slot order. Compiled for avx512. */
#include "combine_f32.h"

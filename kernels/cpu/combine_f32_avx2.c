/* combine_f32_avx2.c: a token's expert outputs, weighted and added in slot order. Compiled for avx2. */
#include "combine_f32.h"

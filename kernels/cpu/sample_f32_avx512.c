/* sample_f32_avx512.c: the next token of each sequence. Compiled for avx512. */
#include "sample_f32.h"

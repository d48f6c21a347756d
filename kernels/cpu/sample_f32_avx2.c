/* sample_f32_avx2.c: the next token of each sequence. Compiled for avx2. */
#include "sample_f32.h"

/* read_reuse_f32_avx512.c: reads blocks several times. Compiled for avx512. */
#include "read_reuse_f32.h"

/* read_reuse_f32_avx2.c: reads blocks several times. Compiled for avx2. */
#include "read_reuse_f32.h"

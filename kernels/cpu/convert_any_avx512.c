/* convert_any_avx512.c: f32, f16, bf16 and f8e4m3 into one another. Compiled for avx512. */
#include "convert_any.h"

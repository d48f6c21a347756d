/* softmax_f32_avx512.c: out = softmax(scale * x), row by row. Compiled for avx512. */
#include "softmax_f32.h"

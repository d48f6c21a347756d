/* softmax_f32_avx2.c: out = softmax(scale * x), row by row. Compiled for avx2. */
#include "softmax_f32.h"

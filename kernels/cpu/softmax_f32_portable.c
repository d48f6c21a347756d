/* softmax_f32_portable.c: out = softmax(scale * x), row by row. Compiled for portable. */
#include "softmax_f32.h"

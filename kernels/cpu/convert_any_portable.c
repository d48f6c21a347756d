/* convert_any_portable.c: f32, f16, bf16 and f8e4m3 into one another. Compiled for portable. */
#include "convert_any.h"

/* swiglu_clamped_f32_avx512.c: gpt-oss's clamped gate. Compiled for avx512. */
#include "swiglu_clamped_f32.h"

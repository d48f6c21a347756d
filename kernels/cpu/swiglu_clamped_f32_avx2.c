/* swiglu_clamped_f32_avx2.c: gpt-oss's clamped gate. Compiled for avx2. */
#include "swiglu_clamped_f32.h"

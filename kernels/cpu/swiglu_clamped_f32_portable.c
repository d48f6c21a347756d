/* swiglu_clamped_f32_portable.c: gpt-oss's clamped gate. Compiled for portable. */
#include "swiglu_clamped_f32.h"

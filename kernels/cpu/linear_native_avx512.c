/* linear_native_avx512.c: linear over quantized weights in their files' own layout, for models that are mapped and not
 * repacked. Compiled for avx512. */
#define LB_NATIVE 1
#include "linear_panels.h"

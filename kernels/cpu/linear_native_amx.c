/* linear_native_amx.c: linear over quantized weights in their files' own layout. Compiled for AMX (native_amx.c). */
#define LB_NATIVE 1
#include "linear_panels.h"

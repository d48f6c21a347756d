/* add_f32_portable.c: out = a + b. Compiled for portable. */
#include "add_f32.h"

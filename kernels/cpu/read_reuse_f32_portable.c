/* read_reuse_f32_portable.c: reads blocks several times. Compiled for portable. */
#include "read_reuse_f32.h"

/* sample_f32_portable.c: the next token of each sequence. Compiled for portable. */
#include "sample_f32.h"

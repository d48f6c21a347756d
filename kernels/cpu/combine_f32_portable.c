/* combine_f32_portable.c: a token's expert outputs, weighted and added in slot order. Compiled for portable. */
#include "combine_f32.h"

/* linear_any_avx2.c: linear over weights of every type. Compiled for avx2. */
#include "linear_any.h"

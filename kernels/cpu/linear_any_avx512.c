/* linear_any_avx512.c: linear over weights of every type. Compiled for avx512. */
#include "linear_any.h"

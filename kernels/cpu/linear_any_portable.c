/* linear_any_portable.c: linear over weights of every type. Compiled for portable. */
#include "linear_any.h"

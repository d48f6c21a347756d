/* native_avx512.c: panels over weights in their files' own layout. Compiled for avx512. */
#include "native_panels.h"

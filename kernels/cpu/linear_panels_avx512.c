/* linear_panels_avx512.c: linear from the panels of the weights' formats. Compiled for avx512. */
#include "linear_panels.h"

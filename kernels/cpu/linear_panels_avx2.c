/* linear_panels_avx2.c: linear from the panels of the weights' formats. Compiled for avx2. */
#include "linear_panels.h"

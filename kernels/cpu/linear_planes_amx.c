/* linear_planes_amx.c: linear of many rows of x, from panels by planes where formats have them. Compiled for AMX. */
#define LB_BY_PLANES 1
#include "linear_panels.h"

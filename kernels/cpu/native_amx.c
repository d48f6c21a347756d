/* native_amx.c: panels over weights in their files' own layout, asked for into L2 first (few_ask). Compiled for AMX, of
 * whose instructions it has none. */
#include "native_panels.h"

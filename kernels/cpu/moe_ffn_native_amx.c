/* moe_ffn_native_amx.c: moe_ffn over experts in their files' own layout. Compiled for AMX (native_amx.c). */
#define LB_NATIVE 1
#include "moe_ffn_panels.h"

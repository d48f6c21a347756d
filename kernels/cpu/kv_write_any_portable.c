/* kv_write_any_portable.c: rows into a cache of any type and layout. Compiled for portable. */
#include "kv_write_any.h"

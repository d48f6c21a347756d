/* kv_write_any_avx2.c: rows into a cache of any type and layout. Compiled for avx2. */
#include "kv_write_any.h"

/* kv_write_any_avx512.c: rows into a cache of any type and layout. Compiled for avx512. */
#include "kv_write_any.h"

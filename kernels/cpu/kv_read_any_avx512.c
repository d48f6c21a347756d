/* kv_read_any_avx512.c: a cache's values in f32. Compiled for avx512. */
#include "kv_read_any.h"

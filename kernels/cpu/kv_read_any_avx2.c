/* kv_read_any_avx2.c: a cache's values in f32. Compiled for avx2. */
#include "kv_read_any.h"

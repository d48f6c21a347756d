/* kv_read_any_portable.c: a cache's values in f32. Compiled for portable. */
#include "kv_read_any.h"

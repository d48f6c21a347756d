/* embedding_any_avx512.c: rows of a table, of any float type or weight format. Compiled for avx512. */
#include "embedding_any.h"

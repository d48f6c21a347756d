/* embedding_any_avx2.c: rows of a table, of any float type or weight format. Compiled for avx2. */
#include "embedding_any.h"

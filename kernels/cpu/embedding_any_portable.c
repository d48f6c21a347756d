/* embedding_any_portable.c: rows of a table, of any float type or weight format. Compiled for portable. */
#include "embedding_any.h"

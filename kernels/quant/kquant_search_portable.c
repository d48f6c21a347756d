/* kquant_search_portable.c: the K-quant searches compiled for any processor. */
#define SEARCH(name) name
#define LANES 4
#include "kquant_search.h"

const lb_kquant_search lb_kquant_search_portable = SEARCH_TABLE;

/* kquant_search_avx2.c: the K-quant searches compiled for AVX2. */
#define SEARCH(name) name
#define LANES 8
#include "kquant_search.h"

const lb_kquant_search lb_kquant_search_avx2 = SEARCH_TABLE;

/* kquant_search_avx512.c: the K-quant searches compiled for AVX512. */
#define SEARCH(name) name
#define LANES 16
#include "kquant_search.h"

const lb_kquant_search lb_kquant_search_avx512 = SEARCH_TABLE;

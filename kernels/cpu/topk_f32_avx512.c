/* topk_f32_avx512.c: the router: the k best experts of each token and their weights. Compiled for avx512. */
#include "topk_f32.h"

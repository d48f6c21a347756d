/* topk_f32_avx2.c: the router: the k best experts of each token and their weights. Compiled for avx2. */
#include "topk_f32.h"

/* topk_f32_portable.c: the router: the k best experts of each token and their weights. Compiled for portable. */
#include "topk_f32.h"

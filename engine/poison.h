/* poison.h: what the checks share about poisoned elements and walking tensors that are not dense. */
#pragma once
#include <stdint.h>
#include "tensor.h"

/* The bits that lb_poison writes to each element, in its low bytes. */
uint64_t lb_poison_bits(lb_dtype t);

/* Elements of a tensor in row-major order, whatever its strides. */
typedef struct lb_tensor_walk {
    const lb_tensor *t;
    char *at;                /* the element */
    size_t element_bytes;
    int64_t index[LB_MAX_RANK];
} lb_tensor_walk;
void lb_tensor_walk_init(lb_tensor_walk *w, const lb_tensor *t);
void lb_tensor_walk_next(lb_tensor_walk *w);

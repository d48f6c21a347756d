/* trellis_codes.h: weights of the trellis's formats for tests that only read them. The search for the best path takes
 * milliseconds for 256 weights, under sanitizers many; but codes of any bits are a path, and random ones visit all
 * states. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/quantizer.h"
#include "engine/tensor.h"

static inline bool is_trellis(const lb_quantizer *q) { return !strcmp(q->family->name, "trellis"); }

/* Fills a dense tensor [N, K] of such a format from next(): random codes, scales around 0.1. */
static inline void trellis_codes(lb_tensor *t, uint32_t (*next)(void)) {
    uint8_t *codes = lb_tensor_data(t);
    float *scales = (float *)(void *)(codes + lb_tensor_size_bytes(t)) - t->dims[0]; /* [N], the last plane */
    for (uint8_t *c = codes; c < (uint8_t *)scales; c++) *c = (uint8_t)next();
    for (int64_t n = 0; n < t->dims[0]; n++) scales[n] = 0.09f + 0.02f * ((float)next() * 0x1p-32f);
}

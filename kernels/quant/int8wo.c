/* int8wo.c: int8 weights, activations as they come. */
#include "int8_rows.h"

extern const lb_quantizer_family lb_quantizer_int8wo;

LB_INT8_ROWS_QUANTIZER(
    int8wo, "w = q * s; q int8 [N][K], s = max|w| / 127.5 of the row, f32 [N]; the extreme is clipped by half a step.",
    "torchao int8 weight-only, version 2")

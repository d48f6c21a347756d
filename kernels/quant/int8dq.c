/* int8dq.c: int8 weights for int8 activations, quantized token by token as they come. */
#include "int8_rows.h"

extern const lb_quantizer_family lb_quantizer_int8dq;

LB_INT8_ROWS_QUANTIZER(
    int8dq,
    "w = q * s; q int8 [N][K], s = max|w| / 127.5 of the row, f32 [N]; the extreme is clipped by half a step. "
    "Its kernels quantize activations by the same rule, a scale a token.",
    "torchao int8 dynamic activation, int8 weight, version 2")

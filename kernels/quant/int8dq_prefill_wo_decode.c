/* int8dq_prefill_wo_decode.c: int8 weights; int8 activations for several tokens, weight-only for one. */
#include "int8_rows.h"

extern const lb_quantizer_family lb_quantizer_int8dq_prefill_wo_decode;

LB_INT8_ROWS_QUANTIZER(
    int8dq_prefill_wo_decode,
    "w = q * s; q int8 [N][K], s = max|w| / 127.5 of the row, f32 [N]; the extreme is clipped by half a step. "
    "With several rows of activations its kernels are int8dq's, with one int8wo's.",
    "torchao int8 dynamic activation, int8 weight with weight-only decode")

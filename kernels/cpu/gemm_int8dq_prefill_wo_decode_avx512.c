/* gemm_int8dq_prefill_wo_decode_avx512.c: gemm over int8dq_prefill_wo_decode weights in panels of 32 rows. Compiled for
 * avx512. */
#include "gemm_int8dq_prefill_wo_decode.h"

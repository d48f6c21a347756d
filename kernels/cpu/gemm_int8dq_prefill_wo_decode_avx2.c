/* gemm_int8dq_prefill_wo_decode_avx2.c: gemm over int8dq_prefill_wo_decode weights in panels of 32 rows. Compiled for
 * avx2. */
#include "gemm_int8dq_prefill_wo_decode.h"

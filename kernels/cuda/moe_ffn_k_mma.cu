/* moe_ffn_k_mma.cu: experts of the formats that GGUF models mix, and the other ones of 4 bits that need no table. */
#include "format_int4wo.cuh"
#include "format_mxfp4.cuh"
#include "format_q2_k.cuh"
#include "format_q3_k.cuh"
#include "format_q4_0.cuh"
#include "format_q4_k.cuh"
#include "format_q5_k.cuh"
#include "format_q6_k.cuh"
#include "format_q8_0.cuh"
#include "moe_ffn_mma16.cuh"

typedef lb_moe_formats<lb_format_q2_k, lb_format_q3_k, lb_format_q4_k, lb_format_q5_k, lb_format_q6_k, lb_format_q8_0,
    lb_format_q4_0,
                       lb_format_mxfp4, lb_format_int4wo<32>, lb_format_int4wo<64>, lb_format_int4wo<128>> formats;

LB_CUDA_KERNEL(moe_ffn_k_mma) = {
    LB_MOE_FFN16_FIELDS("moe_ffn.k.mma", "one persistent launch, items by ticket, rings that run ahead; q2_k to "
                                         "q6_k, q8_0, q4_0, mxfp4, int4wo"),
    .panel_weights = true, .supports = lb_moe_ffn16_format<formats>::supports, .launch =
        lb_moe_ffn16_format<formats>::launch,
};

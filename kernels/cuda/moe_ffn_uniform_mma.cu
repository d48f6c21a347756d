/* moe_ffn_uniform_mma.cu: experts of uniform-2 to uniform-8. */
#include "format_uniform.cuh"
#include "moe_ffn_mma16.cuh"

typedef lb_moe_formats<lb_format_uniform<2>, lb_format_uniform<3>, lb_format_uniform<4>, lb_format_uniform<5>,
                       lb_format_uniform<6>, lb_format_uniform<7>, lb_format_uniform<8>> formats;

LB_CUDA_KERNEL(moe_ffn_uniform_mma) = {
    LB_MOE_FFN16_FIELDS("moe_ffn.uniform.mma",
                        "one persistent launch, items by ticket, rings that run ahead; uniform-2 to uniform-8"),
    .panel_weights = true, .supports = lb_moe_ffn16_format<formats>::supports, .launch =
        lb_moe_ffn16_format<formats>::launch,
};

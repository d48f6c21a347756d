/* recipes.h: the slots of quantize, and the recipes that it knows. */
#pragma once

/* quantize: out = the bytes that the recipe makes of a matrix of weights, as its quantizer lays them (planes and all).
 * x [N, K] f32, dense, K a multiple of the recipe's; out u8 [bytes]. Bytes between planes are not written. */
enum { LB_QUANTIZE_X, LB_QUANTIZE_OUT };
enum { LB_QUANTIZE_P_TO };
/* The recipes that it knows, in this order: those whose rows do not depend on one another. */
#define LB_QUANTIZE_UINTX_HQQ(b) \
    "uintx-" #b "-32-hqq", "uintx-" #b "-64-hqq", "uintx-" #b "-128-hqq", "uintx-" #b "-256-hqq"
#define LB_QUANTIZE_RECIPES                                                                                            \
    "q4_0", "q8_0", "int8wo", "int4wo-32", "int4wo-64", "int4wo-128", "int4wo-256", "nf4", "mxfp4", "float8wo",        \
    "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",                                                                            \
    "uniform-2", "uniform-3", "uniform-4", "uniform-5", "uniform-6", "uniform-7", "uniform-8",                         \
    "int4wo-32-hqq", "int4wo-64-hqq", "int4wo-128-hqq", "int4wo-256-hqq",                                              \
    LB_QUANTIZE_UINTX_HQQ(1), LB_QUANTIZE_UINTX_HQQ(2), LB_QUANTIZE_UINTX_HQQ(3), LB_QUANTIZE_UINTX_HQQ(4),            \
    LB_QUANTIZE_UINTX_HQQ(5), LB_QUANTIZE_UINTX_HQQ(6), LB_QUANTIZE_UINTX_HQQ(7), LB_QUANTIZE_UINTX_HQQ(8)
enum { LB_QUANTIZE_Q4_0, LB_QUANTIZE_Q8_0, LB_QUANTIZE_INT8WO, LB_QUANTIZE_INT4WO_32, LB_QUANTIZE_INT4WO_64,
       LB_QUANTIZE_INT4WO_128, LB_QUANTIZE_INT4WO_256, LB_QUANTIZE_NF4, LB_QUANTIZE_MXFP4, LB_QUANTIZE_FLOAT8WO,
       LB_QUANTIZE_Q2_K, LB_QUANTIZE_Q3_K, LB_QUANTIZE_Q4_K, LB_QUANTIZE_Q5_K, LB_QUANTIZE_Q6_K,
       LB_QUANTIZE_UNIFORM,                                 /* 2 to 8 bits */
       LB_QUANTIZE_INT4WO_HQQ = LB_QUANTIZE_UNIFORM + 7,    /* groups of 32, 64, 128, 256 */
       LB_QUANTIZE_UINTX_HQQ_1 = LB_QUANTIZE_INT4WO_HQQ + 4, /* 1 to 8 bits, each with groups of 32, 64, 128, 256 */
       LB_QUANTIZE_COUNT = LB_QUANTIZE_UINTX_HQQ_1 + 32 };

/* recipes.h: the slots of quantize, and the recipes that it knows. */
#pragma once

/* quantize: out = the bytes that the recipe makes of a matrix of weights, as its quantizer lays them (planes and all).
 * x [N, K] f32, dense, K a multiple of the recipe's; out u8 [bytes]. Bytes between planes are not written. */
enum { LB_QUANTIZE_X, LB_QUANTIZE_OUT };
enum { LB_QUANTIZE_P_TO };
/* The recipes that it knows, in this order: those whose rows do not depend on one another. */
#define LB_QUANTIZE_RECIPES "q4_0", "q8_0", "int8wo", "int4wo-32", "int4wo-64", "int4wo-128", "int4wo-256", "nf4", "mxfp4", \
                            "float8wo"
enum { LB_QUANTIZE_Q4_0, LB_QUANTIZE_Q8_0, LB_QUANTIZE_INT8WO, LB_QUANTIZE_INT4WO_32, LB_QUANTIZE_INT4WO_64,
       LB_QUANTIZE_INT4WO_128, LB_QUANTIZE_INT4WO_256, LB_QUANTIZE_NF4, LB_QUANTIZE_MXFP4, LB_QUANTIZE_FLOAT8WO,
       LB_QUANTIZE_COUNT };

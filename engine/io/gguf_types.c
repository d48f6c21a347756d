/* gguf_types.c: the element types of GGUF. */
#include <string.h>
#include <strings.h>

#include "../quantizer.h"
#include "gguf.h"

#define BYTES_ONLY LB_DTYPE_COUNT, NULL

/* Recipes stand only where the quantizers of that name store GGUF's blocks, bit for bit. (nvfp4 adds a scale of its
 * own.) */
static const lb_file_type types[] = {
    { "F32", 0, 1, 4, LB_F32, NULL },           { "F16", 1, 1, 2, LB_F16, NULL },
    { "Q4_0", 2, 32, 18, LB_QUANT, "q4_0" },    { "Q4_1", 3, 32, 20, LB_QUANT, "q4_1" },
    { "Q5_0", 6, 32, 22, LB_QUANT, "q5_0" },    { "Q5_1", 7, 32, 24, LB_QUANT, "q5_1" },
    { "Q8_0", 8, 32, 34, LB_QUANT, "q8_0" },    { "Q8_1", 9, 32, 36, BYTES_ONLY },
    { "Q2_K", 10, 256, 84, LB_QUANT, "q2_k" },  { "Q3_K", 11, 256, 110, LB_QUANT, "q3_k" },
    { "Q4_K", 12, 256, 144, LB_QUANT, "q4_k" }, { "Q5_K", 13, 256, 176, LB_QUANT, "q5_k" },
    { "Q6_K", 14, 256, 210, LB_QUANT, "q6_k" }, { "Q8_K", 15, 256, 292, BYTES_ONLY },
    { "IQ2_XXS", 16, 256, 66, BYTES_ONLY },     { "IQ2_XS", 17, 256, 74, BYTES_ONLY },
    { "IQ3_XXS", 18, 256, 98, BYTES_ONLY },     { "IQ1_S", 19, 256, 50, BYTES_ONLY },
    { "IQ4_NL", 20, 32, 18, LB_QUANT, "iq4_nl" }, { "IQ3_S", 21, 256, 110, BYTES_ONLY },
    { "IQ2_S", 22, 256, 82, BYTES_ONLY },       { "IQ4_XS", 23, 256, 136, LB_QUANT, "iq4_xs" },
    { "I8", 24, 1, 1, LB_I8, NULL },            { "I16", 25, 1, 2, BYTES_ONLY },
    { "I32", 26, 1, 4, LB_I32, NULL },          { "I64", 27, 1, 8, LB_I64, NULL },
    { "F64", 28, 1, 8, LB_F64, NULL },          { "IQ1_M", 29, 256, 56, BYTES_ONLY },
    { "BF16", 30, 1, 2, LB_BF16, NULL },        { "TQ1_0", 34, 256, 54, BYTES_ONLY },
    { "TQ2_0", 35, 256, 66, BYTES_ONLY },       { "MXFP4", 39, 32, 17, LB_QUANT, "mxfp4" },
    { "NVFP4", 40, 64, 36, BYTES_ONLY },        { "Q1_0", 41, 128, 18, BYTES_ONLY },
    { "Q2_0", 42, 64, 18, BYTES_ONLY },
};
enum { COUNT = sizeof types / sizeof *types };

const lb_file_type *lb_gguf_type_at(int i) { return i >= 0 && i < COUNT ? &types[i] : NULL; }

const lb_file_type *lb_gguf_type(int64_t id) {
    for (int i = 0; i < COUNT; i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

const lb_file_type *lb_gguf_type_named(const char *name) {
    for (int i = 0; i < COUNT; i++)
        if (strcasecmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

const lb_file_type *lb_gguf_type_of(const lb_tensor *t) {
    for (int i = 0; i < COUNT; i++) {
        const lb_file_type *type = &types[i];
        if (type->dtype != t->dtype || type->dtype == LB_DTYPE_COUNT) continue;
        if (t->dtype != LB_QUANT || lb_file_type_takes(type, t->quantizer)) return type;
    }
    return NULL;
}

/* safetensors_types.c: the element types of safetensors. */
#include <strings.h>

#include "safetensors.h"

#define BYTES_ONLY LB_DTYPE_COUNT, NULL

static const lb_file_type types[] = {
    { "F32", -1, 1, 4, LB_F32, NULL },         { "F16", -1, 1, 2, LB_F16, NULL },
    { "BF16", -1, 1, 2, LB_BF16, NULL },       { "F64", -1, 1, 8, LB_F64, NULL },
    { "I8", -1, 1, 1, LB_I8, NULL },           { "U8", -1, 1, 1, LB_U8, NULL },
    { "I32", -1, 1, 4, LB_I32, NULL },         { "I64", -1, 1, 8, LB_I64, NULL },
    { "BOOL", -1, 1, 1, LB_U8, NULL },         { "I16", -1, 1, 2, BYTES_ONLY },
    { "U16", -1, 1, 2, BYTES_ONLY },           { "U32", -1, 1, 4, BYTES_ONLY },
    { "U64", -1, 1, 8, BYTES_ONLY },           { "C64", -1, 1, 8, BYTES_ONLY },
    { "F8_E4M3", -1, 1, 1, BYTES_ONLY },       { "F8_E5M2", -1, 1, 1, BYTES_ONLY },
    { "F8_E4M3FNUZ", -1, 1, 1, BYTES_ONLY },   { "F8_E5M2FNUZ", -1, 1, 1, BYTES_ONLY },
    { "F8_E8M0", -1, 1, 1, BYTES_ONLY },       { "F6_E2M3", -1, 4, 3, BYTES_ONLY },
    { "F6_E3M2", -1, 4, 3, BYTES_ONLY },       { "F4", -1, 2, 1, BYTES_ONLY },
};
enum { COUNT = sizeof types / sizeof *types };

const lb_file_type *lb_safetensors_type_at(int i) { return i >= 0 && i < COUNT ? &types[i] : NULL; }

const lb_file_type *lb_safetensors_type_named(const char *name) {
    for (int i = 0; i < COUNT; i++)
        if (strcasecmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

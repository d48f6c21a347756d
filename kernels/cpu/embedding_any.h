/* embedding_any.h: the embedding kernels. */
#include "cells.h"

static void expand(const lb_tensor *table, int64_t id, float *out) {
    int64_t v = table->dims[0], k = table->dims[1];
    const char *data = lb_tensor_data(table);
    if (table->quantizer) {
        table->quantizer->dequantize(table->quantizer, data, v, k, id, id + 1, out);
        return;
    }
    if (table->dtype == LB_F64)
        for (int64_t i = 0; i < k; i++) out[i] = (float)((const double *)(const void *)data)[id * k + i];
    else
        load_cells(table->dtype, LB_PACKED_NONE, data + (size_t)(id * k) * lb_dtype_size(table->dtype), k, out);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *table = lb_weight(a, l, LB_EMBEDDING_TABLE), *o = lb_arg(a, LB_EMBEDDING_OUT);
    const int32_t *ids = lb_tensor_data(lb_arg(a, LB_EMBEDDING_IDS));
    int64_t k = table->dims[1], begin, end;
    float scale = (float)a->p[LB_EMBEDDING_P_SCALE];
    my_rows(l, o->dims[0], &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *out = (float *)lb_tensor_data(o) + t * k;
        bool known = ids[t] >= 0 && ids[t] < table->dims[0];
        if (known) expand(table, ids[t], out);
        for (int64_t i = 0; i < k; i++) out[i] = known ? out[i] * scale : NAN;
    }
}

const lb_kernel KERNEL_SYMBOL(embedding_any) = {
    .name = "embedding.any." ISA_TEXT, .op = "embedding", .device = "cpu",
    .about = "each token's row is expanded by its format; tokens split over the parts", .source = "luabench",
    .isa = ISA_BITS, .format = "any", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-13, .tolerance_why = "one product by the scale, rounded to f32; values of f64 tables are"
                                         " rounded too",
    .priority = ISA_PRIORITY, .launch = launch,
};

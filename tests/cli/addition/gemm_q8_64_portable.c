/* gemm_q8_64_portable.c: the example of a kernel that one file and one line add: f64 sums over native blocks. */
#include "../../engine/kernel.h"
#include "../../engine/ops/slots.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    int64_t m = x->dims[0], k = x->dims[1], n = w->dims[0], begin, end;
    float *out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT));
    lb_split(n, 1, l->part, l->parts, &begin, &end);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = begin; j < end; j++) {
            const uint8_t *block = (const uint8_t *)lb_tensor_data(w) + j * (k / 64) * 68;
            double sum = 0;
            for (int64_t b = 0; b < k / 64; b++, block += 68) {
                float d;
                memcpy(&d, block, 4);
                for (int e = 0; e < 64; e++)
                    sum += (double)d * (double)(int8_t)block[4 + e] * (double)lb_tensor_f32(x)[i * k + b * 64 + e];
            }
            out[i * n + j] = (float)(WRONG_BY + sum);
        }
}

const lb_kernel lb_kernel_gemm_q8_64_portable = {
    .name = "gemm.q8_64.portable", .op = "gemm", .device = "cpu", .about = "plain loops in f64", .source = "an example",
    .isa = LB_ISA_PORTABLE, .format = "q8_64", .act = LB_ACT_F32, .acc = LB_ACC_F64, .compute = LB_COMPUTE_F64,
    .tolerance = 1e-12, .tolerance_why = "one rounding to f32", .priority = 1, .launch = launch,
};

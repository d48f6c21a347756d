/* softmax_f32_block.cu: a row a block: maximum, exponentials, sum, from registers up to 8192 values; longer rows are
 * read three times, from L2. 8 bytes an element. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, EACH = 8 };

__global__ void __launch_bounds__(THREADS) softmax_kernel(lb_rows x, lb_rows out, float scale, bool by_4) {
    __shared__ float scratch[THREADS / 32];
    for (int64_t r = blockIdx.x; r < x.count; r += gridDim.x) {
        lb_row_values<THREADS, EACH> row;
        row.load(lb_row(x, r), x.length, by_4);
        float most = -INFINITY, sum = 0;
        row.each([&](int64_t, float v) { most = fmaxf(most, v * scale); });
        most = lb_block_max<THREADS>(most, scratch);
        row.each([&](int64_t, float v) { sum += expf(v * scale - most); });
        sum = lb_block_sum<THREADS>(sum, scratch);
        row.store(lb_row(out, r), [&](int64_t, float v) { return expf(v * scale - most) / sum; });
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    lb_rows x = lb_rows_of(lb_arg(a, LB_SOFTMAX_X)), out = lb_rows_of(lb_arg(a, LB_SOFTMAX_OUT));
    if (x.count == 0 || x.length == 0) return;
    LB_CUDA_LAUNCH(softmax_kernel, lb_row_blocks(x.count), THREADS, 0, lb_cuda_stream(l), x, out,
                   (float)a->p[LB_SOFTMAX_P_SCALE], lb_rows_by_4(x) && lb_rows_by_4(out));
}

} // namespace

LB_CUDA_KERNEL(softmax_f32_block) = {
    .name = "softmax.f32.block", .op = "softmax", .device = "cuda",
    .about = "a row a block of 256 threads, kept in registers up to 8192 values", .source = "luabench",
    .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-10,
    .tolerance_why = "a score's f32 rounding, 6e-8 of its size, is an error of its exponential as large", .priority = 1,
    .launch = launch,
};

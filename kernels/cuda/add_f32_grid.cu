/* add_f32_grid.cu: out = a + b, b with a's rows or one row for all. 12 bytes an element (8 where b is one row). */
#include "rows.cuh"

namespace {

struct plus_ {
    __device__ float operator()(float x, float y) const { return x + y; }
};

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_ADD_A), *y = lb_arg(a, LB_ADD_B), *o = lb_arg(a, LB_ADD_OUT);
    bool one = y->rank == 1 && x->rank > 1;
    bool join = !one && lb_tensor_is_dense(x) && lb_tensor_is_dense(y) && lb_tensor_is_dense(o);
    lb_map(lb_rows_of(x, join), one ? lb_rows_same(y) : lb_rows_of(y, join), lb_rows_of(o, join), plus_(), l);
}

} // namespace

LB_CUDA_KERNEL(add_f32_grid) = {
    .name = "add.f32.grid", .op = "add", .device = "cuda",
    .about = "four elements a thread in 16-byte loads; rows of any strides", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_F32, .tolerance = 1e-13,
    .tolerance_why = "one f32 rounding", .priority = 1, .launch = launch,
};

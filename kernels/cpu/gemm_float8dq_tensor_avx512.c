/* gemm_float8dq_tensor_avx512.c: gemm over float8dq-tensor weights in panels of 32 rows: e4m3 times e4m3, one scale for all
 * weights and one for all activations.
 *
 * A row of x depends on all others here, so this is no lb_panel that fused kernels may take: one more phase finds the
 * largest of x before the panels' driver prepares rows with it. */
#include "rows32_float.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE(q) &table

static size_t head_bytes(const lb_quantizer *q, int64_t k) {
    (void)q, (void)k;
    return 64;
}
LB_INLINE __m512 scale(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, int half) {
    (void)q, (void)k, (void)i, (void)half;
    return _mm512_set1_ps(*(const float *)(const void *)panel);
}
#define FORMAT (float_format){ .bits = 8, .span = 128, .act = FLOAT_ACT_ROW, .head_bytes = head_bytes, .scale = scale }

/* e4m3 [N][K], then at a multiple of 64 bytes the f32 scales: one. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_8bit(native, k, row, at, codes);
}

static void put_scales(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int r,
                       uint8_t *panel) {
    (void)q;
    if (r == 0 && row % 32 == 0) memcpy(panel, (const char *)native + float_plane_at((size_t)(n * k)), 4);
}

/* max|x| of all rows, for the rows that the driver prepares on this thread. */
static _Thread_local float amax_of_all;

static void prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    lb_act_f8_scaled_prepare(x, k, amax_of_all, act);
}

LB_FLOAT_FUNCTIONS
LB_ROWS32_SIZE
static const lb_layout layout = { .name = "rows32", .size_bytes = size_bytes, .repack = repack, .row_multiple = 32 };
static const lb_panel panel_ops = { .rows = 32, .max_cols = LB_PANEL_MAX_COLS, .run = run, .panel_bytes = panel_bytes,
                                    .act_prepare = prepare, .act_bytes = lb_act_f8_row_bytes,
                                    .act_kind = "f8_tensor/bf16" };

static int phases(const lb_args *a) {
    int inner = lb_gemm_panel_phases(a);
    return inner > 1 ? inner + 1 : 1;
}

/* The driver's, then a line for each part's maximum. */
static size_t maxima_at(const lb_args *a, int parts) { return (lb_gemm_panel_workspace(&panel_ops, a, parts) + 63) / 64 * 64; }
static size_t workspace_bytes(const lb_args *a, int parts) { return maxima_at(a, parts) + (size_t)parts * 64; }

static float *maximum(const lb_args *a, const lb_launch *l, int part) {
    return (float *)(void *)((char *)l->workspace + maxima_at(a, l->parts) + 64 * (size_t)part);
}

/* Few rows are one phase: every part looks at all. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X);
    int64_t n = x->dims[0] * x->dims[1], begin, end;
    if (phases(a) == 1) {
        amax_of_all = lb_act_f8_amax(lb_tensor_f32(x), n);
        lb_gemm_panel_launch(&panel_ops, a, l);
        return;
    }
    if (l->phase == 0) {
        lb_split(n, 16, l->part, l->parts, &begin, &end);
        *maximum(a, l, l->part) = lb_act_f8_amax(lb_tensor_f32(x) + begin, end - begin);
        return;
    }
    lb_launch inner = *l;
    inner.phase = l->phase - 1;
    amax_of_all = 0;
    for (int i = 0; i < l->parts && inner.phase == 0; i++)
        if (*maximum(a, l, i) > amax_of_all) amax_of_all = *maximum(a, l, i);
    lb_gemm_panel_launch(&panel_ops, a, &inner);
}

const lb_kernel lb_kernel_gemm_float8dq_tensor_avx512 = {
    .name = "gemm.float8dq-tensor.avx512",
    .op = "gemm",
    .device = "cpu",
    .about = "panels of 32 rows; e4m3 to bf16 by tables of bytes, vdpbf16ps with e4m3 activations held in bf16, sums of 128 "
             "times the weights' scale, the activations' last; a phase of its own finds it",
    .source = "luabench",
    .format = "float8dq-tensor",
    .layout = &layout,
    .priority = 20,
    .act = LB_ACT_F8_TENSOR,
    .phases = phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
    LB_FLOAT_ARITHMETIC,
};

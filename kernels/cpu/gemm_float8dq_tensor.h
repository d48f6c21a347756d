/* gemm_float8dq_tensor.h: how the kernels of float8dq-tensor are driven, whatever the instructions: one scale for all
 * weights and one for all activations.
 *
 * A row of x depends on all others here, so this is no lb_panel that fused kernels may take: one more phase finds the
 * largest of x before the panels' or tiles' driver prepares rows with it. Included after run() or expand(),
 * panel_bytes() and repack(), with F8_AMAX(x, n), F8_PREPARE(x, k, amax, act), F8_BYTES and F8_KIND defined. */
/* max|x| of all rows, for the rows that the driver prepares on this thread. */
static _Thread_local float amax_of_all;

static void prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    F8_PREPARE(x, k, amax_of_all, act);
}

LB_ROWS32_SIZE
static const lb_layout layout = { .name = "rows32", .size_bytes = size_bytes, .repack = repack, .row_multiple = 32 };
#ifdef LB_ROWS32_TILES_DRIVER
static const tiles_format tiles = { LB_ROWS32_TILES, .panel_bytes = panel_bytes, .act_prepare = prepare,
                                    .act_bytes = F8_BYTES, .expand = expand };
static int driver_phases(const lb_args *a) { return tiles_phases(a); }
static size_t driver_workspace(const lb_args *a, int parts) { return tiles_workspace(&tiles, a, parts); }
static void driver_launch(const lb_args *a, const lb_launch *l) { tiles_launch(&tiles, a, l); }
#else
static const lb_panel panel_ops = { .rows = 32, .max_cols = LB_PANEL_MAX_COLS, .run = run, .panel_bytes = panel_bytes,
                                    .act_prepare = prepare, .act_bytes = F8_BYTES,
                                    .act_kind = F8_KIND };
static int driver_phases(const lb_args *a) { return lb_gemm_panel_phases(a); }
static size_t driver_workspace(const lb_args *a, int parts) { return lb_gemm_panel_workspace(&panel_ops, a, parts); }
static void driver_launch(const lb_args *a, const lb_launch *l) { lb_gemm_panel_launch(&panel_ops, a, l); }
#endif

static int phases(const lb_args *a) {
    int inner = driver_phases(a);
    return inner > 1 ? inner + 1 : 1;
}

/* The driver's, then a line for each part's maximum. */
static size_t maxima_at(const lb_args *a, int parts) { return (driver_workspace(a, parts) + 63) / 64 * 64; }
static size_t workspace_bytes(const lb_args *a, int parts) { return maxima_at(a, parts) + (size_t)parts * 64; }

static float *maximum(const lb_args *a, const lb_launch *l, int part) {
    return (float *)(void *)((char *)l->workspace + maxima_at(a, l->parts) + 64 * (size_t)part);
}

/* Few rows are one phase: every part looks at all. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X);
    int64_t n = x->dims[0] * x->dims[1], begin, end;
    if (phases(a) == 1) {
        amax_of_all = F8_AMAX(lb_tensor_f32(x), n);
        driver_launch(a, l);
        return;
    }
    if (l->phase == 0) {
        lb_split(n, 16, l->part, l->parts, &begin, &end);
        *maximum(a, l, l->part) = F8_AMAX(lb_tensor_f32(x) + begin, end - begin);
        return;
    }
    lb_launch inner = *l;
    inner.phase = l->phase - 1;
    amax_of_all = 0;
    for (int i = 0; i < l->parts && inner.phase == 0; i++)
        if (amax_of_all == amax_of_all && !(*maximum(a, l, i) <= amax_of_all)) /* NaN is the largest, and stays */
            amax_of_all = *maximum(a, l, i);
    driver_launch(a, &inner);
}

/* The descriptor, but for name, about and arithmetic. */
#ifdef LB_ROWS32_TILES_DRIVER
#define F8_PRIORITY TILES_PRIORITY
#else
#define F8_PRIORITY LB_ROWS32_PRIORITY
#endif
#define F8_TENSOR_KERNEL                                                                                             \
    .op = "gemm", .device = "cpu", .source = "luabench", .format = "float8dq-tensor", .layout = &layout,             \
    .priority = F8_PRIORITY, .act = LB_ACT_F8_TENSOR, .phases = phases, .workspace_bytes = workspace_bytes,          \
    .launch = launch

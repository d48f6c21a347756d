/* linear_dense.h: the linear kernels for f32, f16 and bf16 weights: the gemm kernel of the type, for one matrix after
 * the other. A template, included once by each type's and instruction set's file, which defines TYPE (f32) and, where
 * the gemm kernel has others than f32, DENSE_ACT, DENSE_COMPUTE and DENSE_ISA.
 *
 * One matrix without bias and activation writes to the output itself. Otherwise each has a plane [T, N] of the
 * workspace, and a last phase brings the rows together. */
#include "activate.h"

#define GEMM KERNEL_SYMBOL(PASTE(gemm, TYPE))
#define DENSE_TEXT_(type) #type
#define DENSE_TEXT(type) DENSE_TEXT_(type)
#ifndef DENSE_ACT
#define DENSE_ACT LB_ACT_F32
#define DENSE_COMPUTE LB_COMPUTE_F32
#define DENSE_ISA ISA_BITS
#endif
extern const lb_kernel GEMM;

static bool is_plain(const lb_args *a) {
    return a->t[LB_LINEAR_W].count == 1 && !lb_arg(a, LB_LINEAR_BIAS) &&
           (int)a->p[LB_LINEAR_P_ACTIVATION] == LB_ACTIVATION_NONE;
}

/* A product of the gemm kernel: matrix i, into `plane` or into the output. */
typedef struct product {
    lb_args args;
    lb_tensor out, *out_at;
    lb_buffer memory;
} product;

static void open_product(const lb_args *a, int32_t i, float *plane, product *p) {
    lb_tensor *o = lb_arg(a, LB_LINEAR_OUT);
    int64_t t = o->dims[0], n = a->t[LB_LINEAR_W].items[i]->dims[0];
    *p = (product){ .args = { .op = a->op }, .out = { .refs = 1, .dtype = LB_F32, .rank = 2, .dims = { t, n },
                    .strides = { n, 1 }, .buffer = &p->memory }, .memory = { .refs = 1, .device = o->buffer->device } };
    p->memory.data = plane;
    p->memory.size_bytes = (size_t)(t * n) * sizeof *plane;
    p->out_at = plane ? &p->out : o;
    p->args.t[LB_GEMM_X] = a->t[LB_LINEAR_X];
    p->args.t[LB_GEMM_W] = (lb_operand){ .items = &a->t[LB_LINEAR_W].items[i], .count = 1 };
    p->args.t[LB_GEMM_OUT] = (lb_operand){ .items = &p->out_at, .count = 1 };
}

static int phases_of(const product *p) { return GEMM.phases ? GEMM.phases(&p->args) : 1; }

static int phases(const lb_args *a) {
    int all = !is_plain(a);
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        product p;
        open_product(a, i, NULL, &p);
        all += phases_of(&p);
    }
    return all;
}

/* What the products need in turn; behind it are the planes. */
static size_t planes_at(const lb_args *a, int parts) {
    size_t most = 0;
    for (int32_t i = 0; GEMM.workspace_bytes && i < a->t[LB_LINEAR_W].count; i++) {
        product p;
        open_product(a, i, NULL, &p);
        size_t bytes = GEMM.workspace_bytes(&p.args, parts);
        most = bytes > most ? bytes : most;
    }
    return (most + 63) / 64 * 64;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    return planes_at(a, parts) + (is_plain(a) ? 0 : (size_t)lb_tensor_numel(lb_arg(a, LB_LINEAR_OUT)) * sizeof(float));
}

/* Rows of the planes, with bias and activation, to rows of the output. */
static void bring_together(const lb_args *a, const lb_launch *l, float *plane) {
    const lb_tensor *o = lb_arg(a, LB_LINEAR_OUT), *b = lb_arg(a, LB_LINEAR_BIAS);
    int64_t t = o->dims[0], all = o->dims[1], begin, end;
    float *out = lb_tensor_data(o);
    const float *bias = b ? lb_tensor_f32(b) : NULL;
    lb_split(t * all, 16, l->part, l->parts, &begin, &end);
    for (int64_t at = 0, i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        int64_t n = a->t[LB_LINEAR_W].items[i]->dims[0];
        for (int64_t row = all ? begin / all : 0; row < t && row * all < end; row++) {
            int64_t c0 = begin - row * all - at, c1 = end - row * all - at; /* this part's columns of the matrix */
            c0 = c0 < 0 ? 0 : c0;
            c1 = c1 > n ? n : c1;
            float *from = plane + row * n;
            for (int64_t c = c0; bias && c < c1; c++) from[c] += bias[at + c];
            if (c1 > c0)
                activate((int)a->p[LB_LINEAR_P_ACTIVATION], 0.01f, from + c0, c1 - c0, out + row * all + at + c0);
        }
        plane += t * n;
        at += n;
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    float *plane = (float *)(void *)((char *)l->workspace + planes_at(a, l->parts));
    float *first = plane;
    int phase = l->phase;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        product p;
        open_product(a, i, is_plain(a) ? NULL : plane, &p);
        if (phase < phases_of(&p)) {
            lb_launch one = *l;
            one.phase = phase;
            one.pick = 0;
            GEMM.launch(&p.args, &one);
            return;
        }
        phase -= phases_of(&p);
        plane += p.out.dims[0] * p.out.dims[1];
    }
    bring_together(a, l, first);
}

const lb_kernel KERNEL_SYMBOL(PASTE(linear, TYPE)) = {
    .name = "linear." DENSE_TEXT(TYPE) "." ISA_TEXT,
    .op = "linear",
    .device = "cpu",
    .about = "the products of gemm." DENSE_TEXT(TYPE) "." ISA_TEXT ", one matrix after the other; of several, or with "
             "bias or activation, into the workspace, from where a last phase brings the rows together",
    .source = "luabench",
    .isa = DENSE_ISA,
    .format = DENSE_TEXT(TYPE),
    .act = DENSE_ACT,
    .acc = LB_ACC_F32,
    .compute = DENSE_COMPUTE,
    .tolerance = 1e-10,
    .tolerance_why = "the gemm kernel's, and an activation within 2e-7",
    .priority = ISA_PRIORITY + 10,
    .phases = phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};

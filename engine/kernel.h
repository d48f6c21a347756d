/* kernel.h: one way to do an operation on a device. One file each in kernels/<device>/, one line in
 * kernels/registry.def. This header and what it includes is all that kernels may include of the engine. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "activation.h"
#include "dtype.h"
#include "op.h"
#include "quantizer.h"
#include "scratch.h"
#include "tensor.h"

/* What a launch is given. A kernel owns no threads: the executor calls launch() once per part and phase, all
 * parts of a phase at once on different threads, and every part of phase p ends before phase p + 1 begins. */
typedef struct lb_launch {
    void *stream;            /* cuda; NULL on cpu */
    int phase;
    int part, parts;         /* 0 <= part < parts */
    int32_t pick;            /* list operands that are indexed use items[pick]; else 0 */
    void *workspace;         /* workspace_bytes() bytes shared by all parts, 64-byte aligned, contents undefined at
                                phase 0, kept between the phases of one launch */
    atomic_llong *ticket;    /* 0 at the start of each phase; shared by the parts, to hand out chunks; NULL on cuda */
    unsigned *cuda_tickets;  /* cuda: see kernel_cuda.h; NULL on cpu */
} lb_launch;

/* Rows-by-K weight panels in a kernel's own memory layout. Kernels that declare one read only repacked weights;
 * kernels with layout == NULL read the format's native bytes. */
typedef struct lb_layout {
    const char *name;        /* "rows16", unique for a (format, layout) pair by convention of the format */
    size_t (*size_bytes)(const lb_quantizer *q, int64_t n, int64_t k);
    /* Repacks rows [row0, row1) (multiples of row_multiple, or the end) of a native N x K matrix. Lossless. */
    void (*repack)(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst);
    int64_t row_multiple;    /* panel height, for splitting work */
} lb_layout;

typedef enum lb_acc { LB_ACC_F32, LB_ACC_F64, LB_ACC_I32_F32, LB_ACC_NONE } lb_acc;

/* The type whose peak rate bounds a kernel's arithmetic; see ceilings. */
typedef enum lb_compute { LB_COMPUTE_NONE, LB_COMPUTE_F32, LB_COMPUTE_F64, LB_COMPUTE_BF16, LB_COMPUTE_INT8,
                          LB_COMPUTE_F16, LB_COMPUTE_FP8, LB_COMPUTE_TF32, LB_COMPUTE_COUNT } lb_compute;
const char *lb_compute_name(lb_compute c);

/* What a panel may have beside: several that go together, for products of many rows. */
typedef struct lb_panels {
    int most;                /* so many */
    /* lb_panel.run() of `count` panels (1 .. most) that stand one behind the other, in the same bits:
     * out[m * out_stride + r] with r < count * R. Prepared activations of column c: its block b (of 256 k) begins at
     * act + c * act_stride + b * act_step. Up to 16 columns, and of other panels, as act_prepare leaves them: then
     * act_step is 0, or act_block. */
    void (*run)(const lb_quantizer *q, const void *panels, int count, const void *act, size_t act_stride,
                size_t act_step, int64_t k, int cols, float *out, int64_t out_stride);
    /* Bytes of a block, or 0. act_prepare leaves such blocks one behind the other and nothing else, each as it leaves
     * 256 k by themselves; a row's last may be shorter. */
    size_t act_block;
    size_t act_apart; /* bytes between one column's block and the next column's */
    /* Or, instead of blocks: this many bytes (a multiple of 64) at the head of what act_prepare leaves, behind which
     * are codes of int8, whole lines of 64. Columns go in slabs of 32: their heads, then the first line of each, the
     * second of each and so on. act_step is the 2048 bytes of such lines; act_stride a slab's bytes over 32, so that
     * column c's slab begins at act + c * act_stride where c is a multiple of 32, as a call's first column is. */
    size_t act_head;
} lb_panels;

/* Optional: a matrix kernel's inner panel, so that fused kernels (MoE) can be built from any format's. */
typedef struct lb_panel {
    int rows;                /* panel height R: 16 or 32 */
    int max_cols;            /* the most activation rows one call takes */
    /* out[m * out_stride + r] = sum_k W[r][k] * act[m][k], r < R, m < cols. `panel` points at the panel's bytes
     * (layout->repack's, panel_bytes() each). `act` rows were prepared by act_prepare.
     * Each result is independent of `cols`: the same bits for a row whatever batch it is in. */
    void (*run)(const lb_quantizer *q, const void *panel, const void *act, size_t act_stride, int64_t k, int cols,
                float *out, int64_t out_stride);
    size_t (*panel_bytes)(const lb_quantizer *q, int64_t k);
    /* Turns one f32 row into what run() reads (codes, scales, sums); act_bytes(k) bytes, 32-byte aligned. */
    void (*act_prepare)(const lb_quantizer *q, const float *x, int64_t k, void *act);
    size_t (*act_bytes)(const lb_quantizer *q, int64_t k);
    /* Kernels whose act_prepare writes the same bytes share this name, so that one preparation serves both
     * ("q8_256/bsum16"). */
    const char *act_kind;
    const lb_panels *several; /* NULL = none */
} lb_panel;

typedef struct lb_kernel {
    const char *name;        /* "gemm.q4_k.avx512": op, format, variant */
    const char *op;
    const char *device;      /* "cpu", "cuda" */
    const char *about;       /* how it works, in a line or three */
    const char *source;      /* where the idea comes from, or "luabench" */
    uint32_t isa;            /* lb_isa bits it needs */
    const char *format;      /* family of the weights it takes ("q4_k", "int4wo"), a dtype ("f32"), "any", or NULL */
    const lb_layout *layout; /* NULL = native */
    lb_act act;              /* activation format, applied inside the kernel */
    lb_acc acc;
    lb_compute compute;
    double tolerance;        /* NMSE allowed against the oracle on the same operands */
    const char *tolerance_why;
    int priority;            /* where nothing was named or measured the highest that fits wins; 0 = reference */
    bool serial;             /* only part 0 of 1 is ever launched: too small to split */
    const lb_panel *panel;   /* NULL = none */
    bool panel_weights;      /* reads each weight in the layout of lb_kernel_panel_for(its format), layout == NULL */

    /* NULL = whatever the op's check allows and `format` matches. Writes the reason when it returns false. */
    bool (*supports)(const lb_args *a, const char **why);
    /* NULL = 1 */
    int (*phases)(const lb_args *a);
    /* NULL = 0 */
    size_t (*workspace_bytes)(const lb_args *a, int parts);
    void (*launch)(const lb_args *a, const lb_launch *l);
} lb_kernel;

/* The weights of a launch as the kernel reads them: item `pick` of the operand, already in the kernel's layout. */
static inline const lb_tensor *lb_weight(const lb_args *a, const lb_launch *l, int slot) {
    return a->t[slot].count > 1 ? a->t[slot].items[l->pick] : a->t[slot].items[0];
}

/* Splits [0, total) into `parts` runs of multiples of `unit`; this part's is [*begin, *end). */
static inline void lb_split(int64_t total, int64_t unit, int part, int parts, int64_t *begin, int64_t *end) {
    int64_t units = (total + unit - 1) / unit;
    int64_t b = units * part / parts * unit, e = units * (part + 1) / parts * unit;
    *begin = b < total ? b : total;
    *end = e < total ? e : total;
}

/* kernels/registry.c; NULL-terminated. Use lb_kernel_at, which knows loaded ones too. */
extern const lb_kernel *const lb_kernels_builtin[];
/* Registered kernels (kernels/registry.def) and those loaded from a shared object at run time. */
int lb_kernel_count(void);
const lb_kernel *lb_kernel_at(int i);
lb_status lb_kernel_find(const char *name, const lb_kernel **out);
/* The best kernel that this device can run for these arguments; the error lists each candidate and why not.
 * `avoid_layouts`: only native ones. */
lb_status lb_kernel_select(const lb_device *d, const lb_args *a, bool avoid_layouts, const lb_kernel **out);
/* From now on lb_kernel_select takes this one wherever it fits, whatever its priority: to set two kernels against each
 * other in the same plan. NULL: none again. What ran is in the executor's path, as ever. */
void lb_kernel_prefer(const lb_kernel *k);
/* Does it fit (device, isa, format, supports)? *why (static or thread-local text) says why not. */
bool lb_kernel_fits(const lb_kernel *k, const lb_device *d, const lb_args *a, const char **why);
/* The best kernel with a panel for weights of this format on this device; NULL = none. */
const lb_kernel *lb_kernel_panel_for(const lb_device *d, const lb_quantizer *q);
/* dlopen()s a plug-in that exports `const lb_kernel *const luabench_kernels[]` (NULL-terminated) and
 * `const int luabench_abi` == LB_KERNEL_ABI, and registers its kernels. */
#define LB_KERNEL_ABI 3
lb_status lb_kernel_load(const char *path, int *added);
/* Registers kernels of this program's own other parts; NULL-terminated, kept for ever. `from` is for errors. */
lb_status lb_kernel_add(const lb_kernel *const *kernels, const char *from);

/* check.h: is the result right? Every step against f64 on exactly the operands that it saw. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "plan.h"

typedef struct lb_diff {
    double nmse;        /* sum (got - want)^2 / sum want^2; 0 if both are zero; inf if want is zero and got is not */
    double max_abs;
    double cosine;
    int64_t compared, nonfinite;     /* nonfinite: NaN or Inf in `got` where `want` is finite */
    int64_t worst;                   /* index of the largest difference; -1 = none */
} lb_diff;
/* `got` is any non-quantized dtype, dense or not; want: numel doubles in row-major order; mask as in lb_expected. */
lb_status lb_diff_tensor(const lb_tensor *got, const double *want, const uint8_t *mask, lb_diff *out);

typedef struct lb_check {
    bool passed;
    int64_t steps_checked, steps_skipped;   /* skipped: their `when` was 0 */
    /* the step whose nmse / tolerance is largest, or the one that failed */
    int step; char op[32], kernel[64], what[16], label[48];
    lb_diff diff; double tolerance;
    char reason[256];                       /* when not passed: in words, with indexes, got and expected */
} lb_check;

/* Runs the plan step by step: poisons what the step writes, launches on all threads, looks for NaN and Inf, then
 * compares with the op's oracle. Stops at the first failure. Ops without an oracle fail: nothing passes unchecked.
 * Returns LB_OK also when the check fails; an error means that it could not be done. */
lb_status lb_plan_check(lb_plan *p, lb_check *out);

/* Copies every operand that a step writes (steps that the last checked, accounted or traced run skipped are left
 * out; without one before, the plan is run once). Call it when the plan's outputs are known to be right. */
lb_status lb_plan_snapshot_outputs(lb_plan *p);
/* After timing: compares the operands with the snapshot, bit for bit. Where the plan has LB_UPDATE operands that no
 * earlier step writes, repeated runs move them on: then they are restored and the plan is run once more before the
 * comparison. LB_EINVAL without a snapshot; a difference is LB_OK with out->passed false and a reason. */
lb_status lb_plan_verify_outputs(lb_plan *p, lb_check *out);

/* After lb_plan_rotate: runs every rotation set once and compares all outputs with those of the originals, bit for bit,
 * so that a broken copy cannot be timed. Passes where there is one set. */
lb_status lb_plan_check_sets(lb_plan *p, lb_check *out);

/* Fills a tensor's elements with signalling garbage: NaN for floats, 0x80.. for integers. Not for weights. */
void lb_poison(lb_tensor *t);

/* Oracle helpers (engine/oracle.c), exact to f64 rounding, on all threads through OpenBLAS's dgemm:
 * out[m][n] = sum_k x[m][k] * w[n][k]. x: f64 rows. w: any dtype or format, native layout, read as f64.
 * Dequantized weights are cached up to a share of memory, keyed by tensor; lb_oracle_cache_clear empties it. */
lb_status lb_oracle_matmul(const double *x, int64_t m, const lb_tensor *w, int64_t n, int64_t k, double *out);
void lb_oracle_cache_clear(void);
/* [rows][k] f32 tensor as the kernel's activation format sees it (lb_act_values), f64; malloc'd. */
lb_status lb_oracle_activations(const lb_tensor *x, lb_act act, double **out);

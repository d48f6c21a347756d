/* rows32_int_panel.h: what rows32_int.h has for panels by tiles of bf16 (bf16_panel_amx.h): codes by tables, a scale
 * and a zero a group. */
#pragma once
#include "bf16_panel_amx.h"

LB_INLINE const uint8_t *int_panel_open(const int_format f, const uint8_t *p, pairs_head *to) {
    LB_UNROLL for (int h = 0; h < 2; h++) int_head(f, p, h, &to->s[h], &to->z[h]);
    return p + int_head_bytes(f);
}
LB_INLINE const uint8_t *int_panel_expand(const int_format f, const uint8_t *p, pairs_run *to) {
    LB_UNROLL for (int i = 0; i < 2 * f.bits; i++) lb_ask(p + 64 * i, INT_AHEAD);
    LB_UNROLL for (int h = 0; h < 2; h++, p += int_run_bytes(f)) int_decode(f, p, to->of[h]);
    return p;
}

/* A function for each width, as rows32_int.h has them for vdpbf16ps. */
#define INT_RUN(b, its_head)                                                                                         \
    LB_INLINE const uint8_t *open_##b(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,             \
                                      pairs_head *to) {                                                              \
        (void)of, (void)panel, (void)i;                                                                              \
        return int_panel_open((int_format){ b, its_head }, p, to);                                                   \
    }                                                                                                                \
    LB_INLINE const uint8_t *expand_##b(const void *of, const uint8_t *panel, const uint8_t *p, int64_t i,           \
                                        pairs_run *to) {                                                             \
        (void)of, (void)panel, (void)i;                                                                              \
        return int_panel_expand((int_format){ b, its_head }, p, to);                                                 \
    }                                                                                                                \
    static __attribute__((noinline)) void run_##b(pairs_problem x) {                                                 \
        const pairs_format f = { .zeros = true, .open = open_##b, .expand = expand_##b, .act_apart = 256 };          \
        pairs_run_panels(f, x);                                                                                      \
    }
typedef void (*int_run_fn)(pairs_problem x);
#define INT_DEFINE_RUN                                                                                               \
    static void run_panels(const lb_quantizer *q, const void *panels, int count, const void *act, size_t stride,     \
                           size_t step, int64_t k, int cols, float *out, int64_t out_stride) {                       \
        (void)step;                                                                                                  \
        runs[q->bits]((pairs_problem){                                                                               \
            .panels = panels, .codes = panels, .panel_bytes = int_panel_bytes((int_format){ q->bits, HEAD }, q, k),  \
            .count = count, .act = act, .stride = stride, .padded = k, .span = q->group,                             \
            .sums_at = k / 2 + lb_act_bf16_sums_at(k, q->group), .cols = cols, .out = out,                           \
            .out_stride = out_stride });                                                                             \
    }                                                                                                                \
    LB_PAIRS_RUN
#define INT_DEFINE_PANELS
#define INT_PANELS &panels_ops
#define INT_WITH(how) FLOAT_WITH(how)

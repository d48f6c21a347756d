/* gemm_tiles.h: the gemm driver of kernels that multiply bf16 by AMX tiles (amx.h), for many rows of x (TILES_LEAST).
 *
 * A format says how 32 rows of its weights over some K become pairs of bf16, in one term or in two whose sum they are,
 * or, with groups of 128 and more, how their codes do and what the sums of a group's codes are multiplied by; the rest
 * is here. Phase 0 turns x into tiles of 16 rows by 32 k, one behind the other: all rows' of the first chunk
 * of K, then of the next. In phase 1 a part takes some panels of 32 rows of weights and a block of rows of x: chunk by
 * chunk of K each panel is expanded into L1, where it meets the rows' tiles, which L2 holds for the panels after it.
 *
 * The chunks and the order of sums in them do not depend on the rows of x nor on the split: a row has the same bits in
 * every batch that this driver takes. They are other bits than those of the kernels for fewer rows, because tdpbf16ps
 * rounds otherwise than vdpbf16ps: so this is another kernel, with the same layout of weights. */
#pragma once
#include <immintrin.h>

#include "gemm_panel.h"

enum {
    TILES_LEAST = 16,   /* rows of x; where panels by tiles (bf16_panel_amx.h) take fewer; of dense weights: */
    TILES_LEAST_BESIDE = 49,
    TILES_LEAST_DENSE = 5,
    TILES_GROUP = 128,  /* the least of K for whose sums leaving their tiles costs less than a second term */
    TILES_PAIRS = 256,  /* of K that are expanded together, in all terms: 32 KiB, which leaves a third of an L1 of 48 */
    TILES_STEPS = TILES_PAIRS / 16 /* of 32 k */
};

/* Pair p of term t: [t * TILES_PAIRS / terms + p], elements 2p and 2p + 1 of rows 0..15 and of rows 16..31. */
typedef struct tiles_pairs { __m512i w[TILES_PAIRS][2]; } tiles_pairs;

/* Of a span, weights of rows 0..15 and 16..31: codes * scale + zero. */
typedef struct tiles_group { __m512 scale[2], zero[2]; } tiles_group;

typedef struct tiles_format {
    int terms;               /* 1 or 2 */
    int act_terms;           /* 0: a row's values are bf16; or with two terms of weights 3, whose sum they are */
    int span;                /* 0, or k (32, or a multiple up to 512 / terms) whose sums begin at zero and are added to
                              * the totals in f32; K is a multiple of it where there are scales */
    bool act_scaled;         /* an f32 behind a prepared row's values is for all its results, or one for each span's */
    bool in_rows;            /* weights are rows of two bytes an element, without a layout */
    size_t (*panel_bytes)(const lb_quantizer *q, int64_t k);
    /* As lb_panel has; a row begins with its values as bf16, of every term, zeros up to the next multiple of 32. */
    void (*act_prepare)(const lb_quantizer *q, const float *x, int64_t k, void *act);
    size_t (*act_bytes)(const lb_quantizer *q, int64_t k);
    /* k from `at` (a multiple of 512 / terms) on of a panel, `some` of them (a multiple of 32, up to 512 / terms), to
     * pairs of all 32 rows; of weights without a layout `rows` exist, and the others become zero, as do k behind K.
     * Returns where the codes after them stand; NULL where weights are rows. */
    const void *(*expand)(const lb_quantizer *q, const uint8_t *panel, int64_t rows, int64_t k, int64_t at,
                          int64_t some, tiles_pairs *to);
    /* Of a format with two terms, for a q->group of TILES_GROUP or 2 * TILES_GROUP, of which K is a multiple: the codes
     * as one term, and their groups. act_prepare is then lb_act_bf16_prepare. NULL = groups are not taken that way. */
    const void *(*expand_groups)(const lb_quantizer *q, const uint8_t *panel, int64_t at, int64_t some,
                                 tiles_pairs *to, tiles_group *groups);
    /* NULL, or which 32 k, counted from `at`, there are of the same k: expand() writes no others. Returns how many. */
    int (*steps)(const uint8_t *panel, int64_t k, int64_t at, int64_t some, uint8_t places[TILES_STEPS]);
    /* What the sums of a panel's rows 0..15 and 16..31 are multiplied by; NULL = 1. */
    void (*scales)(const lb_quantizer *q, const uint8_t *panel, int64_t k, __m512 to[2]);
    /* The same of the sums of span `i`; NULL = 1. */
    void (*span_scales)(const lb_quantizer *q, const uint8_t *panel, int64_t k, int64_t i, __m512 to[2]);
} tiles_format;

bool tiles_supports(const lb_args *a, const char **why);
int tiles_phases(const lb_args *a);
size_t tiles_workspace(const tiles_format *f, const lb_args *a, int parts);
void tiles_launch(const tiles_format *f, const lb_args *a, const lb_launch *l);

/* workspace_bytes() and launch() of a file's tiles_format, and the descriptor's fields that follow. */
#define TILES_GEMM(f)                                                                                                \
    static size_t workspace_bytes(const lb_args *a, int parts) { return tiles_workspace(&(f), a, parts); }           \
    static void launch(const lb_args *a, const lb_launch *l) { tiles_launch(&(f), a, l); }
#define TILES_ARITHMETIC                                                                                             \
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_BF16, .acc = LB_ACC_F32, .compute = LB_COMPUTE_BF16,      \
    .supports = tiles_supports
#define TILES_PRIORITY 30
#define TILES_KERNEL                                                                                                 \
    .op = "gemm", .device = "cpu", .source = "luabench", TILES_ARITHMETIC, .priority = TILES_PRIORITY,               \
    .phases = tiles_phases, .workspace_bytes = workspace_bytes, .launch = launch

/* plan_gpu.h: what plan_gpu.c and plan_gpu_decide.c share: a plan as a GPU runs it. */
#pragma once
#include "device_cuda.h"
#include "plan_internal.h"

/* A tensor as kernels see it: its data are on the device. */
typedef struct lb_gpu_view { lb_tensor t; lb_buffer b; } lb_gpu_view;

typedef struct lb_gpu_segment { int first, last; bool decided; lb_cuda_graph **graphs; /* [sets] */ } lb_gpu_segment;
typedef struct lb_gpu_operand { lb_buffer *buffer; bool written; } lb_gpu_operand;
typedef struct lb_gpu_watched { lb_tensor *tensor; int32_t *values; } lb_gpu_watched;
/* Steps that hang on the same values and follow one another. together: how many choices are read at this one's place
 * (the following ones among them); 0: with one before it. */
typedef struct lb_gpu_choice { int first, last, bodies, together, place; } lb_gpu_choice;

/* Where a step is captured: see plan_gpu_branch.c. after: steps on other streams that it waits for; awaited: it is
 * such. */
typedef struct lb_gpu_branch { int stream, after[LB_CUDA_BRANCHES], after_count; bool awaited; } lb_gpu_branch;

/* Graphs of `runs` runs each (0: none): graph c begins with rotation set c * runs. Where there are several, the last
 * one ends with the last set, and may be of fewer runs. */
enum { LB_GPU_CHUNKS = 3 };
typedef struct lb_gpu_chunks { int runs, count; lb_cuda_graph **graphs; } lb_gpu_chunks;

typedef struct lb_gpu_plan {
    lb_args **args;              /* [sets][steps], with views */
    lb_gpu_segment *segments;
    int segment_count;
    lb_gpu_operand *operands;    /* distinct buffers */
    int64_t operand_count, operand_capacity;
    lb_gpu_watched *refs;        /* tensors that steps' conditions read */
    int ref_count;
    bool *changes_refs;          /* [steps]: it writes one of them */
    bool refs_read;
    lb_gpu_choice *choices;      /* of steps with conditions, in order */
    int choice_count;
    int64_t always;              /* steps without conditions */
    bool picks;
    lb_cuda_decided *decided;    /* on the device; NULL: the host reads the values, and why is in why_host */
    char why_host[300];
    lb_gpu_branch *branches;     /* [steps] */
    void *workspaces[LB_CUDA_BRANCHES];              /* of the streams but the first */
    size_t workspace_bytes[LB_CUDA_BRANCHES];
    lb_gpu_chunks chunks[LB_GPU_CHUNKS];             /* of falling size */
} lb_gpu_plan;

#define CUDA(p) lb_cuda_of((p)->device)
#define API(p) (CUDA(p)->api)
#define DEV(p) (CUDA(p)->dev)

static inline bool lb_gpu_has_condition(const lb_step *s) { return s->when_count || s->pick.tensor; }

/* plan_gpu.c */
lb_status lb_gpu_launch(lb_plan *p, int i, int set, int32_t pick);

/* plan_gpu_branch.c */
lb_status lb_gpu_find_branches(lb_plan *p);
void lb_gpu_branches_done(lb_plan *p, lb_gpu_plan *g);
/* While capturing: steps first .. last - 1, none of them with a condition, side by side where they may. */
lb_status lb_gpu_capture_stretch(lb_plan *p, int first, int last, int set);

/* plan_gpu_decide.c */
/* After refs: the choices of steps with conditions, and whether the device can make them. */
lb_status lb_gpu_find_choices(lb_plan *p);
/* From here on the host reads the values; takes the reason from lb_error(). */
void lb_gpu_decide_on_host(lb_plan *p);
/* While capturing: steps first .. last - 1, their choices as parts of the graph. */
lb_status lb_gpu_capture_steps(lb_plan *p, int first, int last, int set);
/* Nodes that a run has in a graph, about. */
int64_t lb_gpu_nodes(const lb_plan *p);
lb_status lb_gpu_decided_begin(lb_plan *p);
/* Waits. Adds what ran to *launches; a pick out of range to the plan. */
lb_status lb_gpu_decided_end(lb_plan *p, int64_t *launches);

/* plan.h: recorded launches, operands retained; replayed, accounted, checked and sampled in C.
 *
 * Recording checks everything (shapes, dtypes, device, kernel support), so that replay checks nothing. A plan
 * belongs to one device and is run by one thread at a time; the device's pool does the work. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "kernel.h"
#include "op.h"

typedef struct lb_plan lb_plan;

/* A value that a step reads when it is reached: element `index` of an i32 tensor. */
typedef struct lb_ref {
    lb_tensor *tensor;       /* i32, dense; retained by the step; NULL = none */
    int64_t index;
} lb_ref;

typedef struct lb_step_opts {
    const lb_kernel *kernel;      /* NULL = the device's choice, per item of an indexed list */
    lb_ref when;                  /* the step runs only if the element is nonzero */
    lb_ref pick;                  /* which item of the list operands (those with count > 1) the step uses */
    bool native_layout;           /* choose only among kernels that read native layouts */
    const char *label;            /* for people: "expert gate"; copied; NULL = none */
} lb_step_opts;

lb_status lb_plan_new(lb_device *d, lb_plan **out);
lb_plan *lb_plan_retain(lb_plan *p);
void lb_plan_release(lb_plan *p);
lb_device *lb_plan_device(const lb_plan *p);

/* Records a step. `args` is copied, its tensors retained; LB_WRITE operands with count 0 are allocated here and
 * also stored into args->t[slot] (items array owned by the step) so that the caller can see them. */
lb_status lb_plan_add(lb_plan *p, const lb_op *op, lb_args *args, const lb_step_opts *opts, int *step);
/* Records all steps of `other` at the end of `p`; `when` (may have tensor NULL) is and-ed to each of them. */
lb_status lb_plan_append(lb_plan *p, const lb_plan *other, const lb_ref *when);
int lb_plan_steps(const lb_plan *p);
/* Time spent at record time converting weights to the kernels' layouts (0 for those converted before), and the bytes
 * of the distinct converted weights that the plan reads. Either pointer may be NULL. */
void lb_plan_repack(const lb_plan *p, uint64_t *ns, double *bytes);

typedef struct lb_step_info {
    const char *op, *kernel, *label;   /* kernel: NULL if it differs by item */
    const lb_args *args;
    bool barrier_before;
    const char *why;                   /* that kernel: lb_why_name; NULL if it differs by item */
    bool native;                       /* only kernels that read native layouts were looked at */
    int32_t items;                     /* that the step picks among; 0 = it picks none */
} lb_step_info;
lb_status lb_plan_step(const lb_plan *p, int i, lb_step_info *out);

/* The operands with which item `item` of a step that picks is launched; their lists are of one. */
lb_args lb_plan_item_view(const lb_args *a, int32_t item);

/* Runs every step once, in order. */
lb_status lb_plan_run(lb_plan *p);
/* Runs the plan `n` times and gives the time of the whole loop. No allocation, no Lua, no counting but the number
 * of launches. Rotated operands advance by one set a run. */
lb_status lb_plan_replay(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches);
/* As lb_plan_replay, but every step is handed to the pool on its own (mode "eager" without the script's share). */
lb_status lb_plan_replay_eager(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches);
/* GPUs only: each run with a cold L2, alone; *elapsed_ns are the runs' own times, added up. For kernels of 50 us and
 * more: events resolve half a microsecond. */
lb_status lb_plan_replay_isolated(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches);
/* GPUs: enqueues a run and comes back; whatever reads its results waits for it. It waits itself where the host reads
 * values that steps hang on, and where a step has a `pick`: one out of range is its error. Elsewhere as lb_plan_run. */
lb_status lb_plan_submit(lb_plan *p);
/* GPUs: who reads the values that steps hang on (`when`, `pick`) when the plan is replayed: "device", as parts of its
 * graph; "host: why"; "" where no step hangs on any. Captures the graphs, unless it runs eagerly. */
lb_status lb_plan_conditions(lb_plan *p, bool eager, char *text, size_t bytes);
/* The same of the graphs that there are; captures none. Leaves the text as it is where it is not known. */
void lb_plan_conditions_seen(const lb_plan *p, bool eager, char *text, size_t bytes);

/* ---- what a run does ---- */
/* Bytes by reuse distance: what else was read since their last read, and they themselves. Bucket i begins at
 * 2^(i / LB_REUSE_PER_OCTAVE) bytes. */
enum { LB_REUSE_PER_OCTAVE = 8, LB_REUSE_BUCKETS = 48 * LB_REUSE_PER_OCTAVE };

typedef struct lb_path_entry {
    const char *op, *kernel;
    const char *why;                        /* it was chosen, where it was launched first: lb_why_name */
    int64_t launches;
    double weight_bytes;
} lb_path_entry;
typedef struct lb_account {
    lb_path_entry *path; int path_count;    /* in order of first launch; freed by lb_account_done */
    int64_t launches;
    double flops;                           /* of the steps that ran */
    double flops_by[LB_COMPUTE_COUNT];      /* by the compute type that the kernels declare */
    double bytes_streamed;                  /* every launch's operand bytes, added up */
    double bytes_min;                       /* each byte used, once per stay in the last-level cache: weight reads whose
                                               reuse distance exceeds the LLC count again; activations count once */
    double weight_bytes;                    /* distinct weight bytes touched */
    double weight_bytes_streamed;           /* weight bytes of every launch, added up */
    int64_t weights_touched;                /* distinct weight tensors */
    double act_bytes;                       /* distinct bytes of all other operands that moved */
    double reuse_bytes[LB_REUSE_BUCKETS];   /* weight bytes read again in the run, by distance */
    double first_bytes[LB_REUSE_BUCKETS];   /* of each weight's first read in a run, by distance from the run before;
                                               with s rotating sets (s - 1) x weight_bytes more lie in between */
} lb_account;
/* Runs the plan once, counting launches at the executor. LB_UPDATE operands that no earlier step writes keep their
 * values. Where the size of the caches is unknown (lb_cache_capacity), every weight read counts again in bytes_min. */
lb_status lb_plan_account(lb_plan *p, lb_account *out);
void lb_account_done(lb_account *a);

/* ---- cache regimes ---- */
typedef enum lb_cache { LB_CACHE_HOT, LB_CACHE_WEIGHTS_COLD, LB_CACHE_ALL_COLD } lb_cache;
const char *lb_cache_name(lb_cache c);
bool lb_cache_parse(const char *name, lb_cache *out);
typedef struct lb_rotation { int sets; double touched_bytes, copied_bytes; bool capped; } lb_rotation;
/* Prepares rotation: if one run touches fewer bytes of weights (all-cold: of any operand) than make cold, as many
 * copies of the touched tensors are made, in the layout that the kernels read, that a set is used again only after so
 * many others (lb_cache_cold_bytes of lb_cache_capacity; unknown, caches count as 128 MiB). At most a quarter of the
 * available memory and 16384 sets are used; GPUs: 4 x L2, 4096 sets. `capped` says that this was too little. Set 0 is
 * the originals. All-cold rotates the LB_READ operands too, but neither integers nor what a step of the plan writes;
 * outputs stay in place. Runs the plan once. Undone by calling it with LB_CACHE_HOT, and by recording another step. */
lb_status lb_plan_rotate(lb_plan *p, lb_cache cache, lb_rotation *out);

/* Keeps what a run takes as it finds it and then changes constant: LB_UPDATE operands that no earlier step of the same
 * plan writes (KV caches, residuals), and operands that are read before a later step writes them. Their
 * contents now are restored before every checked run and, outside the timed region, before and after each replay.
 * lb_plan_run does not restore them. */
lb_status lb_plan_snapshot_updates(lb_plan *p);

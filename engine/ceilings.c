/* ceilings.c: what the hardware can do now: the read bandwidth and the arithmetic rate of each compute type.
 *
 * The kernels that measure it come from the registry like any other: operation `peak_read`, and `peak` with the
 * compute type in its descriptor. All threads of the device take part, as they do in what is compared with it. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "clock.h"
#include "machine.h"
#include "measure.h"
#include "ops/slots.h"
#include "pool.h"

#define MIB ((size_t)1 << 20)
#define RUNS_LEAST 3
#define RUNS_MOST 4096
#define SLICES 8
#define PEAK_ROUNDS 64               /* of 2^20 operations on every part: a fraction of a millisecond */

/* ---- the buffer that is read ----------------------------------------------------------------------------------- */

/* Kept for the life of the process, because first touching it costs more than measuring. It is mapped here and not
 * allocated from the device, so that the memory that cases are charged with does not contain it. */
static struct { void *data; size_t bytes; } cached;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Four times the last-level caches, between 256 and 512 MiB, but never less than twice the caches: a buffer that is
 * cached in part gives a ceiling that memory cannot reach. */
static size_t buffer_bytes(const lb_device *d) {
    size_t llc = (size_t)lb_device_caps_of(d)->llc_bytes;
    size_t bytes = 4 * llc;
    if (bytes < 256 * MIB) bytes = 256 * MIB;
    if (bytes > 512 * MIB) bytes = 512 * MIB;
    if (bytes < 2 * llc) bytes = 2 * llc;
    return (bytes + SLICES * 2 * MIB - 1) / (SLICES * 2 * MIB) * (SLICES * 2 * MIB);
}

/* Each thread writes the shares that it will read: the pages come from its own memory node, and are not all the
 * kernel's one page of zeros. */
static void touch(void *ctx, int part, int parts) {
    size_t slice = cached.bytes / SLICES;
    int64_t begin, end;
    (void)ctx;
    lb_split((int64_t)(slice / 4), 1024, part, parts, &begin, &end);
    for (int i = 0; i < SLICES; i++) {
        memset((char *)cached.data + (size_t)i * slice + begin * 4, 0, (size_t)(end - begin) * 4);
    }
}

static lb_status map_buffer(lb_device *d) {
    size_t bytes = buffer_bytes(d);
    if (cached.bytes >= bytes) return LB_OK;
    lb_pool *pool = lb_device_pool(d);
    if (!pool)
        return lb_fail(LB_EUNSUPPORTED, "the read bandwidth of device \"%s\" cannot be measured: it has no threads",
                       lb_device_name(d));
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return lb_fail(LB_ENOMEM, "no memory for the %zu MiB that measuring the read bandwidth needs", bytes / MIB);
#ifdef MADV_HUGEPAGE
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
    if (cached.data) munmap(cached.data, cached.bytes);
    cached.data = data;
    cached.bytes = bytes;
    lb_pool_run(pool, touch, NULL);
    return LB_OK;
}

static void keep_mapped(lb_buffer *b) { (void)b; }

/* A tensor over one slice of the buffer, for one measurement. */
static lb_status read_operand(lb_device *d, int slice, lb_tensor **out) {
    lb_buffer *b = NULL;
    size_t bytes = cached.bytes / SLICES;
    lb_status s = lb_buffer_wrap(d, cached.data, cached.bytes, keep_mapped, NULL, &b);
    if (s != LB_OK) return s;
    int64_t n = (int64_t)(bytes / 4);
    s = lb_tensor_wrap(b, (size_t)slice * bytes, LB_F32, NULL, 1, &n, out);
    lb_buffer_release(b);
    return s;
}

/* ---- plans ----------------------------------------------------------------------------------------------------- */

/* The kernel of highest priority for an operation and compute type that fits; NULL = none. */
static const lb_kernel *find_kernel(const lb_device *d, const lb_args *a, lb_compute compute) {
    const lb_kernel *best = NULL;
    const char *why;
    for (int i = 0, n = lb_kernel_count(); i < n; i++) {
        const lb_kernel *k = lb_kernel_at(i);
        if (strcmp(k->op, a->op->name) != 0 || k->compute != compute) continue;
        if (best && best->priority >= k->priority) continue;
        if (lb_kernel_fits(k, d, a, &why)) best = k;
    }
    return best;
}

/* A plan of one step. *out stays NULL if there is no kernel for it here. */
static lb_status plan_of(lb_device *d, lb_args *a, lb_compute compute, lb_plan **out) {
    lb_step_opts opts = { .kernel = find_kernel(d, a, compute), .native_layout = true };
    if (!opts.kernel) return LB_OK;
    lb_status s = lb_plan_new(d, out);
    if (s == LB_OK) s = lb_plan_add(*out, a->op, a, &opts, NULL);
    if (s == LB_OK) return s;
    lb_plan_release(*out);
    *out = NULL;
    return s;
}

static lb_status read_plan(lb_device *d, int slice, lb_plan **out, double *bytes) {
    lb_args a = { 0 };
    lb_tensor *x = NULL, *sink = NULL;
    int64_t n = 64;
    lb_status s = lb_op_find("peak_read", &a.op);
    if (s == LB_OK) s = read_operand(d, slice, &x);
    if (s == LB_OK) s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &sink);
    if (s == LB_OK) {
        a.t[LB_PEAK_READ_X] = (lb_operand){ &x, 1 };
        a.t[LB_PEAK_READ_SINK] = (lb_operand){ &sink, 1 };
        s = plan_of(d, &a, LB_COMPUTE_NONE, out);
        *bytes = (double)lb_tensor_size_bytes(x);
    }
    lb_tensor_release(x);
    lb_tensor_release(sink);
    return s;
}

static lb_status peak_plan(lb_device *d, lb_compute compute, lb_plan **out, double *ops) {
    lb_args a = { 0 };
    lb_tensor *sink = NULL;
    int64_t n = 64;
    lb_status s = lb_op_find("peak", &a.op);
    if (s == LB_OK) s = lb_tensor_new(d, LB_F32, NULL, 1, &n, &sink);
    if (s == LB_OK) {
        a.t[LB_PEAK_SINK] = (lb_operand){ &sink, 1 };
        a.p[LB_PEAK_P_ROUNDS] = PEAK_ROUNDS;
        s = plan_of(d, &a, compute, out);
        *ops = LB_PEAK_OPS_PER_ROUND * PEAK_ROUNDS * lb_device_threads(d);
    }
    lb_tensor_release(sink);
    return s;
}

/* ---- rates ----------------------------------------------------------------------------------------------------- */

/* Plans that are run in turn, each doing `work` (bytes or operations). Arithmetic has one; reading has one for each
 * slice of the buffer, so that a sample is short, and finds its bytes in memory all the same. */
typedef struct turns {
    lb_plan *plans[SLICES];
    int count, next;
    double work;
} turns;

/* `n` runs; *ns is their time without what lies between them. */
static lb_status run_turns(turns *t, int64_t n, double *ns) {
    uint64_t elapsed = 0;
    *ns = 0;
    if (lb_interrupted) return lb_fail(LB_EINTERRUPTED, "interrupted while measuring the machine's ceilings");
    for (int64_t i = 0; i < n; i++) {
        lb_status s = lb_plan_replay(t->plans[t->next], t->count == 1 ? n : 1, &elapsed, NULL);
        if (s != LB_OK) return s;
        *ns += (double)elapsed;
        if (t->count == 1) break;
        t->next = (t->next + 1) % t->count;
    }
    return LB_OK;
}

/* Samples of a millisecond or so for about `seconds`; the best rate is the ceiling, the median what can be expected. */
static lb_status rates(turns *t, double seconds, double *best, double *median) {
    double rate[RUNS_MOST], ns;
    uint64_t start = lb_now_ns();
    lb_status s = run_turns(t, t->count, &ns);      /* wakes the threads, fills the TLBs */
    if (s != LB_OK) return s;
    double wanted_ns = 1e6, each_ns = fmax(ns / t->count, 100);
    double n = fmax(1, ceil(wanted_ns / each_ns));
    int runs = 0;
    while (runs < RUNS_MOST && (runs < RUNS_LEAST || (double)(lb_now_ns() - start) * 1e-9 < seconds)) {
        s = run_turns(t, (int64_t)n, &ns);
        if (s != LB_OK) return s;
        if (ns > 0) rate[runs++] = t->work * n / (ns * 1e-9);
    }
    lb_stats stats;
    lb_stats_of(rate, runs, &stats);
    *best = stats.max;
    *median = stats.median;
    return LB_OK;
}

/* One ceiling; both rates stay 0 where there is no kernel to measure it. */
static lb_status measure_one(lb_device *d, int bit, double seconds, double *best, double *median) {
    turns t = { .count = bit == 0 ? SLICES : 1 };
    lb_status s = bit == 0 ? map_buffer(d) : LB_OK;
    for (int i = 0; i < t.count && s == LB_OK; i++) {
        s = bit == 0 ? read_plan(d, i, &t.plans[i], &t.work)
                     : peak_plan(d, (lb_compute)(bit - 1), &t.plans[i], &t.work);
    }
    if (s == LB_OK && t.plans[0]) s = rates(&t, seconds, best, median);
    for (int i = 0; i < t.count; i++) lb_plan_release(t.plans[i]);
    return s;
}

lb_status lb_ceilings_measure(lb_device *d, double seconds, uint32_t what, lb_ceilings *out) {
    memset(out, 0, sizeof *out);
    if (!(seconds > 0 && seconds <= 3600))
        return lb_fail(LB_EINVAL, "ceilings: got %g seconds to measure; it must be above 0 and at most 3600", seconds);
    what &= (1u << (LB_COMPUTE_COUNT + 1)) - 1;
    what &= ~(1u << (1 + LB_COMPUTE_NONE));
    if (!what) return LB_OK;
    double share = seconds / __builtin_popcount(what), median;
    lb_status s = LB_OK;
    pthread_mutex_lock(&lock);
    for (int bit = 0; bit <= LB_COMPUTE_COUNT && s == LB_OK; bit++) {
        if (!(what >> bit & 1)) continue;
        if (bit == 0) s = measure_one(d, 0, share, &out->read_bytes_per_s, &out->median_read_bytes_per_s);
        else s = measure_one(d, bit, share, &out->ops_per_s[bit - 1], &median);
    }
    pthread_mutex_unlock(&lock);
    return s == LB_OK ? s : lb_fail_in(s, "ceilings of device \"%s\"", lb_device_name(d));
}

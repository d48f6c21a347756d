/* measure_runs.c: how many runs a sample has. */
#include "measure_runs.h"

#include <math.h>
#include "rng.h"

int64_t lb_runs_of_share(double share) {
    for (int64_t q = 1; q <= LB_SHARE_RUNS_MOST; q++) {
        double extra = share * (double)q;
        if (extra > 0.5 && fabs(extra - round(extra)) < 1e-6) return q;
    }
    return 0;
}

static int64_t common_divisor(int64_t a, int64_t b) { return b ? common_divisor(b, a % b) : a; }

int64_t lb_runs_common(int64_t a, int64_t b) { return a / common_divisor(a, b) * b; }

int64_t lb_runs_agreed(int64_t quantum, int64_t share, int64_t own, int64_t most) {
    int64_t both = lb_runs_common(quantum, own), alone = lb_runs_common(share, own);
    if (both <= most) return both;
    return alone <= most && alone > quantum ? alone : quantum;
}

int64_t lb_runs_launched(int64_t runs, double extra) { return runs + llround((double)runs * extra); }

int64_t lb_runs_whole(int64_t quantum, int64_t whole, double extra) {
    int64_t both = lb_runs_common(quantum, whole);
    return both * (whole / common_divisor(whole, lb_runs_launched(both, extra)));
}

int64_t lb_runs_up(int64_t runs, int64_t quantum) { return (runs + quantum - 1) / quantum * quantum; }

int64_t lb_runs_jittered(int64_t iterations, int64_t quantum, uint64_t seed, int64_t i) {
    int64_t steps = lb_runs_up(iterations, quantum) / quantum;
    return quantum * (steps + (int64_t)(lb_rng_u64(seed, (uint64_t)i) % (uint64_t)(steps / 5 + 1)));
}

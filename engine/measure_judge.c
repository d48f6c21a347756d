/* measure_judge.c: what samples say: which fell out of line or were disturbed, whether they are precise and quiet. */
#include "measure_internal.h"

#include <math.h>

/* A sample's time changes by as much as the clock's frequency, so this moves it by twice what a row promises (1 %).
 * Clocks that boost wander by 1 % all the time, and the times with them: that is the machine, not a disturbance of
 * it. */
#define FREQUENCY_SHARE 0.02
#define NOISY_SHARE 0.05

/* Tukey's fences: beyond 1.5 interquartile ranges from the quartiles mild, beyond 3 severe. Quartiles need 20. */
static void mark_outliers(lb_samples *s) {
    double range = s->stats.p75 - s->stats.p25;
    if (isnan(range)) return;
    for (int64_t i = 0; i < s->n; i++) {
        double off = fmax(s->stats.p25 - s->ns[i], s->ns[i] - s->stats.p75);
        if (off > 3 * range) s->marks[i] |= LB_MARK_OUTLIER_SEVERE;
        else if (off > 1.5 * range) s->marks[i] |= LB_MARK_OUTLIER_MILD;
    }
}

static void mark_frequencies(lb_sampling *m) {
    lb_stats ghz;
    lb_stats_of(m->ghz, m->s.n, &ghz);
    m->s.frequency_ghz = ghz.median;
    if (isnan(ghz.median)) return;
    for (int64_t i = 0; i < m->s.n; i++) {
        if (fabs(m->ghz[i] - ghz.median) > FREQUENCY_SHARE * ghz.median) m->s.marks[i] |= LB_MARK_FREQUENCY;
    }
}

void lb_sampling_judge(lb_sampling *m) {
    lb_samples *s = &m->s;
    lb_stats_of(s->ns, s->n, &s->stats);
    s->precise = lb_half_width(&s->stats) <= m->o->precision * s->stats.median;    /* false for NaN */
    mark_outliers(s);
    mark_frequencies(m);
    s->involuntary_switches = m->disturbance.switches;
    s->major_faults = m->disturbance.faults;
    s->migrations = m->disturbance.migrations;
    s->run_delay_ns = m->disturbance.run_delay_ns;
    s->throttled_ns = m->disturbance.throttled_ns;
    s->joules_per_run = (m->energy.count || m->on_gpu) && m->energy_runs > 0 ? m->joules / m->energy_runs : NAN;
    s->steal_ns = lb_watcher_steal_ns(&m->watcher);
    const uint32_t shape = LB_MARK_OUTLIER_MILD | LB_MARK_OUTLIER_SEVERE;    /* all other marks have a cause */
    for (int64_t i = 0; i < s->n; i++) {
        s->disturbed_samples += (s->marks[i] & ~shape) != 0;
        s->contended_samples += (s->marks[i] & ~(shape | LB_MARK_FREQUENCY)) != 0;
    }
    s->noisy = (double)s->disturbed_samples > NOISY_SHARE * (double)s->n;
    /* once more: the host decides from the first graph on that the device refused */
    lb_plan_conditions_seen(m->plan, m->o->eager && !m->o->isolated, s->conditions, sizeof s->conditions);
}

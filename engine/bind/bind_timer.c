/* bind_timer.c: clocks, samples of plans, interleaved comparison. The timed loops are in measure.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "../measure.h"
#include "bind.h"
#include "bind_timer.h"

typedef struct lb_timer {
    lb_device *device;      /* retained */
    uint64_t started_ns, total_ns;
    bool running;
} lb_timer;

static void release(void *object) {
    lb_timer *t = object;
    lb_device_release(t->device);
    free(t);
}

static lb_timer *check_timer(lua_State *L, int arg) { return bind_check(L, arg, &bind_timer); }

/* ---- the timer ---------------------------------------------------------------------------------------------- */

/* lb.timer([device]) */
static int new_timer(lua_State *L) {
    lb_device *d = bind_device_at(L, 1);
    void **box = bind_box(L, &bind_timer);
    lb_timer *t = calloc(1, sizeof *t);
    if (!t) return luaL_error(L, "not enough memory");
    t->device = lb_device_retain(d);
    *box = t;
    return 1;
}

static int now_ns(lua_State *L) {
    check_timer(L, 1);
    lua_pushnumber(L, (double)lb_now_ns());
    return 1;
}

static int resolution_ns(lua_State *L) {
    check_timer(L, 1);
    lua_pushnumber(L, lb_clock_info_get()->resolution_ns);
    return 1;
}

static int cost_ns(lua_State *L) {
    check_timer(L, 1);
    lua_pushnumber(L, lb_clock_info_get()->cost_ns);
    return 1;
}

static int start(lua_State *L) {
    lb_timer *t = check_timer(L, 1);
    if (t->running) return luaL_error(L, "timer:start: it runs already");
    t->running = true;
    t->started_ns = lb_now_ns();
    lua_settop(L, 1);
    return 1;
}

/* timer:stop(): ns since start. */
static int stop(lua_State *L) {
    uint64_t now = lb_now_ns();
    lb_timer *t = check_timer(L, 1);
    if (!t->running) return luaL_error(L, "timer:stop: it was not started");
    t->running = false;
    t->total_ns += now - t->started_ns;
    lua_pushnumber(L, (double)(now - t->started_ns));
    return 1;
}

/* timer:total_ns(): of all start-stop pairs. */
static int total_ns(lua_State *L) {
    lua_pushnumber(L, (double)check_timer(L, 1)->total_ns);
    return 1;
}

/* ---- options and results of a measurement ------------------------------------------------------------------- */

void bind_measure_opts(lua_State *L, int index, lb_measure_opts *o) {
    static const char *const names[] = { "precision", "max_time_s", "min_samples", "samples", "warmup", "warmup_min_s",
                                         "warmup_max_s", "cache", "mode", "seed", "extra_work", "isolated", "unchecked",
                                         NULL };
    lb_measure_defaults(o);
    bind_check_keys(L, index, "measure", names);
    if (!lua_istable(L, index)) return;
    o->precision = bind_opt_number(L, index, "precision", o->precision);
    o->max_time_s = bind_opt_number(L, index, "max_time_s", o->max_time_s);
    if (!(o->precision > 0)) luaL_error(L, "precision: a number over 0 expected, got %f", o->precision);
    if (!(o->max_time_s > 0 && o->max_time_s < 1e7)) {
        luaL_error(L, "max_time_s: seconds over 0 expected, got %f", o->max_time_s);
    }
    o->min_samples = bind_opt_integer(L, index, "min_samples", o->min_samples, 1, 10000000);
    o->samples = bind_opt_integer(L, index, "samples", o->samples, 0, 10000000);
    o->warmup = bind_opt_integer(L, index, "warmup", o->warmup, -1, 10000000);
    o->warmup_min_s = bind_opt_number(L, index, "warmup_min_s", o->warmup_min_s);
    o->warmup_max_s = bind_opt_number(L, index, "warmup_max_s", o->warmup_max_s);
    if (!(o->warmup_min_s >= 0 && o->warmup_max_s >= 0 && o->warmup_max_s < 1e7)) {
        luaL_error(L, "warmup_min_s, warmup_max_s: seconds of at least 0 expected");
    }
    const char *cache = bind_opt_string(L, index, "cache");
    if (cache && !lb_cache_parse(cache, &o->cache)) {
        luaL_error(L, "cache: \"hot\", \"weights-cold\" or \"all-cold\" expected, got \"%s\"", cache);
    }
    const char *mode = bind_opt_string(L, index, "mode");
    if (mode && strcmp(mode, "eager") != 0 && strcmp(mode, "plan") != 0 && strcmp(mode, "fused") != 0) {
        luaL_error(L, "mode: \"eager\", \"plan\" or \"fused\" expected, got \"%s\"", mode);
    }
    o->eager = mode && strcmp(mode, "eager") == 0;
    lua_getfield(L, index, "isolated");
    o->isolated = lua_toboolean(L, -1);
    lua_getfield(L, index, "unchecked");
    o->unchecked = lua_toboolean(L, -1);
    lua_pop(L, 2);
    o->seed = (uint64_t)bind_opt_integer(L, index, "seed", (int64_t)o->seed, 0, BIND_INT_MAX);
}

static void set_count(lua_State *L, const char *key, int64_t v) {
    if (v >= 0) bind_set_number(L, key, (double)v);
}

static void push_marks(lua_State *L, const lb_samples *s) {
    lua_createtable(L, (int)s->n, 0);
    for (int64_t i = 0; i < s->n; i++) {
        lua_pushnumber(L, s->marks ? (double)s->marks[i] : 0.0);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_disturbance(lua_State *L, const lb_samples *s) {
    lua_newtable(L);
    set_count(L, "involuntary_switches", s->involuntary_switches);
    set_count(L, "major_faults", s->major_faults);
    set_count(L, "migrations", s->migrations);
    bind_set_known(L, "steal_ns", s->steal_ns);
    bind_set_known(L, "run_delay_ns", s->run_delay_ns);
    bind_set_known(L, "throttled_ns", s->throttled_ns);
    bind_set_known(L, "frequency_ghz", s->frequency_ghz);
    set_count(L, "disturbed_samples", s->disturbed_samples);
    set_count(L, "contended_samples", s->contended_samples);
    bind_set_boolean(L, "noisy", s->noisy);
}

static void set_interval(lua_State *L, const char *key, double lo, double hi) {
    if (lo != lo || hi != hi) return;
    lua_createtable(L, 2, 0);
    lua_pushnumber(L, lo);
    lua_rawseti(L, -2, 1);
    lua_pushnumber(L, hi);
    lua_rawseti(L, -2, 2);
    lua_setfield(L, -2, key);
}

static void set_stats(lua_State *L, const lb_stats *t) {
    bind_set_known(L, "median", t->median);
    bind_set_known(L, "mean", t->mean);
    bind_set_known(L, "std", t->std);
    bind_set_known(L, "min", t->min);
    bind_set_known(L, "max", t->max);
    bind_set_known(L, "mad", t->mad);
    bind_set_known(L, "p10", t->p10);
    bind_set_known(L, "p25", t->p25);
    bind_set_known(L, "p75", t->p75);
    bind_set_known(L, "p90", t->p90);
    bind_set_known(L, "p95", t->p95);
    bind_set_known(L, "p99", t->p99);
    set_interval(L, "ci95", t->ci_lo, t->ci_hi);
    static const char *const names[] = { "p10", "p25", "p75", "p90", "p95", "p99" };
    lua_newtable(L);
    for (int i = 0; i < 6; i++) set_interval(L, names[i], t->percentile_ci[i][0], t->percentile_ci[i][1]);
    lua_setfield(L, -2, "percentiles_ci95");
}

static void push_numbers(lua_State *L, const double *x, int64_t n) {
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_pushnumber(L, x[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Absent where nothing was counted. */
static void set_counters(lua_State *L, const lb_counts *c) {
    if (c->runs <= 0 || c->reason[0]) return;
    lua_newtable(L);
    for (int i = 0; i < LB_COUNTER_COUNT; i++) bind_set_known(L, lb_counter_name((lb_counter)i), c->per_run[i]);
    bind_set_known(L, "running_share", c->running_share);
    bind_set_number(L, "runs", (double)c->runs);
    lua_setfield(L, -2, "counters");
}

void bind_push_samples(lua_State *L, const lb_samples *s) {
    lua_newtable(L);
    bind_set_string(L, "unit", "ns");
    set_stats(L, &s->stats);
    bind_set_number(L, "samples", (double)s->n);
    bind_set_number(L, "iterations", (double)s->iterations);
    push_numbers(L, s->ns, s->n);
    lua_setfield(L, -2, "samples_ns");
    push_marks(L, s);
    lua_setfield(L, -2, "marks");
    bind_set_number(L, "warmup_epochs", (double)s->warmup_epochs);
    bind_set_boolean(L, "warmup_stable", s->warmup_stable);
    bind_set_number(L, "elapsed_s", s->elapsed_s);
    bind_set_boolean(L, "precise", s->precise);
    if (s->unchecked) bind_set_boolean(L, "unchecked", true);
    bind_set_number(L, "launches", (double)s->launches);
    if (*s->conditions) bind_set_string(L, "conditions", s->conditions);
    lua_newtable(L);
    bind_set_number(L, "sets", s->rotation.sets);
    bind_set_number(L, "touched_bytes", s->rotation.touched_bytes);
    bind_set_number(L, "copied_bytes", s->rotation.copied_bytes);
    bind_set_boolean(L, "capped", s->rotation.capped);
    lua_setfield(L, -2, "rotation");
    push_disturbance(L, s);
    lua_setfield(L, -2, "disturbance");
    bind_set_known(L, "joules_per_run", s->joules_per_run);
    set_counters(L, &s->counts);
}

/* The field extra_work of the options: nil, a number (of one plan), or a list of one number a plan. Fills `extra`. */
const double *bind_extra_work(lua_State *L, int opts, double *extra, size_t count) {
    if (!lua_istable(L, opts)) return NULL;
    lua_getfield(L, opts, "extra_work");
    int at = lua_gettop(L);
    bool given = !lua_isnil(L, at);
    if (lua_istable(L, at)) {
        for (size_t i = 0; i < count; i++) {
            lua_rawgeti(L, at, (int)i + 1);
            extra[i] = lua_isnil(L, -1) ? 0 : bind_number(L, lua_gettop(L), "extra_work");
            lua_pop(L, 1);
        }
    } else if (given) {
        if (count > 1) luaL_error(L, "extra_work: a list with a share for each plan expected");
        extra[0] = bind_number(L, at, "extra_work");
    }
    lua_settop(L, at - 1);
    return given ? extra : NULL;
}

/* ---- measuring ---------------------------------------------------------------------------------------------- */

static void samples_done(void *block) { lb_samples_done(block); }

static int measure_at(lua_State *L, int plan, int opts) {
    lb_measure_opts o;
    lb_plan *p = bind_check(L, plan, &bind_plan);
    bind_measure_opts(L, opts, &o);
    if (lb_plan_steps(p) == 0) return luaL_error(L, "measure: the plan has no steps");
    double extra[1];
    o.extra_work = bind_extra_work(L, opts, extra, 1);
    lb_samples *s = bind_guard(L, sizeof *s, samples_done);
    BIND_TRY(L, lb_measure(p, &o, s));
    bind_push_samples(L, s);
    bind_guard_done(L, -2);
    return 1;
}

/* lb.measure(plan[, opts]) */
static int measure(lua_State *L) { return measure_at(L, 1, 2); }

/* timer:measure(plan[, opts]) */
static int timer_measure(lua_State *L) {
    check_timer(L, 1);
    return measure_at(L, 2, 3);
}

#define MAX_INTERLEAVED 64

typedef struct many { int n; lb_samples s[MAX_INTERLEAVED]; } many;

static void many_done(void *block) {
    many *m = block;
    for (int i = 0; i < m->n; i++) lb_samples_done(&m->s[i]);
}

/* core.measure_interleaved({ plans }[, opts]): a list of results, sample j of all from the same round. */
static int measure_interleaved(lua_State *L) {
    lb_measure_opts o;
    lb_plan *plans[MAX_INTERLEAVED];
    if (!lua_istable(L, 1))
        return luaL_error(L, "measure_interleaved: a list of plans expected, got %s", bind_type_name(L, 1));
    bind_measure_opts(L, 2, &o);
    size_t n = lua_objlen(L, 1);
    if (n < 1 || n > MAX_INTERLEAVED)
        return luaL_error(L, "measure_interleaved: 1 to %d plans expected", MAX_INTERLEAVED);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        plans[i] = bind_check_value(L, lua_gettop(L), &bind_plan, "measure_interleaved");
        lua_pop(L, 1);
        if (lb_plan_steps(plans[i]) == 0) return luaL_error(L, "measure_interleaved: plan %d has no steps", (int)i + 1);
    }
    double extra[MAX_INTERLEAVED] = { 0 };
    o.extra_work = bind_extra_work(L, 2, extra, n);
    many *m = bind_guard(L, sizeof *m, many_done);
    m->n = (int)n;
    BIND_TRY(L, lb_measure_interleaved(plans, (int)n, &o, m->s));
    int block = lua_gettop(L);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        bind_push_samples(L, &m->s[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    bind_guard_done(L, block);
    return 1;
}

/* ---- statistics ------------------------------------------------------------------------------------------------- */

/* core.stats({ numbers }): median, ci95, mean, std, ...; what the numbers cannot support is absent. */
static int stats(lua_State *L) {
    if (!lua_istable(L, 1)) return luaL_error(L, "stats: a list of numbers expected, got %s", bind_type_name(L, 1));
    size_t n = lua_objlen(L, 1);
    double *x = lua_newuserdata(L, (n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        x[i] = bind_number(L, lua_gettop(L), "stats");
        lua_pop(L, 1);
    }
    lb_stats s;
    lb_stats_of(x, (int64_t)n, &s);
    lua_newtable(L);
    bind_set_number(L, "n", (double)s.n);
    set_stats(L, &s);
    return 1;
}

/* core.enough(n, half_width, wanted, end): done, end (lb_stats_enough); half_width nil = unknown, end nil at first. */
static int enough(lua_State *L) {
    lua_settop(L, 4);
    int64_t end = lua_isnil(L, 4) ? 0 : bind_integer(L, 4, "end", -1, BIND_INT_MAX);
    double half_width = lua_isnil(L, 2) ? NAN : bind_number(L, 2, "half_width");
    lua_pushboolean(L, lb_stats_enough(bind_integer(L, 1, "n", 1, BIND_INT_MAX), half_width,
                                       bind_number(L, 3, "wanted"),
                                       &end));
    lua_pushnumber(L, (double)end);
    return 2;
}

static int clock_now(lua_State *L) {
    lua_pushnumber(L, (double)lb_now_ns());
    return 1;
}

static int clock_info(lua_State *L) {
    const lb_clock_info *c = lb_clock_info_get();
    lua_newtable(L);
    bind_set_string(L, "name", c->name);
    bind_set_number(L, "resolution_ns", c->resolution_ns);
    bind_set_number(L, "cost_ns", c->cost_ns);
    return 1;
}

static int tostring(lua_State *L) {
    const lb_timer *t = bind_peek(L, 1, &bind_timer);
    if (!t) lua_pushliteral(L, "timer (closed)");
    else lua_pushfstring(L, "timer of %s: %s, resolution %f ns, %f ns a call", lb_device_name(t->device),
                         lb_clock_info_get()->name, lb_clock_info_get()->resolution_ns, lb_clock_info_get()->cost_ns);
    return 1;
}

static void push_device(lua_State *L, void *o) { bind_push_device(L, lb_device_retain(((lb_timer *)o)->device)); }

static const luaL_Reg methods[] = { { "now_ns", now_ns }, { "resolution_ns", resolution_ns }, { "cost_ns", cost_ns },
                                    { "start", start },   { "stop", stop }, { "total_ns", total_ns },
                                    { "measure", timer_measure }, { NULL, NULL } };
static const luaL_Reg meta[] = { { "__tostring", tostring }, { NULL, NULL } };
static const bind_field fields[] = { { "device", push_device }, { NULL, NULL } };
const bind_class bind_timer = { "timer", release, methods, meta, fields };

void bind_open_timer(lua_State *L) {
    static const luaL_Reg functions[] = { { "timer", new_timer }, { "measure", measure },
                                          { "measure_interleaved", measure_interleaved },
                                          { "stats", stats }, { "enough", enough }, { "now_ns", clock_now },
                                          { "clock", clock_info },
                                          { NULL, NULL } };
    bind_class_register(L, &bind_timer);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}

/* bind_trace.c: a traced run of a plan as tables. */
#include <string.h>

#include "../trace.h"
#include "bind.h"

static void read_opts(lua_State *L, int index, lb_trace_opts *o) {
    static const char *const names[] = { "cache", "mode", "runs", "max_time_s", NULL };
    lb_trace_defaults(o);
    bind_check_keys(L, index, "trace", names);
    if (!lua_istable(L, index)) return;
    const char *cache = bind_opt_string(L, index, "cache");
    if (cache && !lb_cache_parse(cache, &o->cache))
        luaL_error(L, "cache: \"hot\", \"weights-cold\" or \"all-cold\" expected, got \"%s\"", cache);
    const char *mode = bind_opt_string(L, index, "mode");
    if (mode && strcmp(mode, "eager") != 0 && strcmp(mode, "plan") != 0 && strcmp(mode, "fused") != 0)
        luaL_error(L, "mode: \"eager\", \"plan\" or \"fused\" expected, got \"%s\"", mode);
    o->eager = mode && strcmp(mode, "eager") == 0;
    o->runs = (int)bind_opt_integer(L, index, "runs", o->runs, 1, 99);
    o->max_time_s = bind_opt_number(L, index, "max_time_s", o->max_time_s);
    if (!(o->max_time_s >= 0 && o->max_time_s < 1e7))
        luaL_error(L, "max_time_s: seconds of at least 0 expected, got %f", o->max_time_s);
}

static void push_span(lua_State *L, const lb_trace *t, const lb_span *s) {
    lua_createtable(L, 0, 7);
    bind_set_number(L, "step", s->step + 1);
    bind_set_number(L, "pick", s->pick);
    bind_set_number(L, "phase", s->phase + 1);
    bind_set_number(L, "thread", s->part + 1);
    bind_set_string(L, "kind", s->kind == LB_SPAN_WAIT ? "wait" : "launch");
    /* from the run's begin: doubles hold no nanoseconds since boot after 104 days */
    bind_set_number(L, "begin_ns", (double)(int64_t)(s->begin_ns - t->begin_ns));
    bind_set_number(L, "end_ns", (double)(int64_t)(s->end_ns - t->begin_ns));
}

static void push_step(lua_State *L, const lb_step_work *w) {
    lua_newtable(L);
    bind_set_boolean(L, "ran", w->ran);
    if (!w->ran) return;
    bind_set_string(L, "kernel", w->kernel->name);
    bind_set_number(L, "pick", w->pick);
    bind_set_number(L, "flops", w->flops);
    bind_set_number(L, "bytes", w->bytes);
    bind_set_number(L, "weight_bytes", w->weight_bytes);
    bind_set_number(L, "first_bytes", w->first_bytes);
    bind_set_number(L, "first_distance", w->first_distance);
    bind_set_number(L, "again_bytes", w->again_bytes);
    bind_set_number(L, "again_distance", w->again_distance);
    lua_newtable(L);
    for (int i = 0; i < LB_COMPUTE_COUNT; i++)
        if (w->flops_by[i] > 0) bind_set_number(L, lb_compute_name((lb_compute)i), w->flops_by[i]);
    lua_setfield(L, -2, "flops_by");
}

static void push_trace(lua_State *L, const lb_trace *t) {
    lua_newtable(L);
    bind_set_number(L, "wall_ns", (double)(t->end_ns - t->begin_ns));
    bind_set_number(L, "threads", t->threads);
    bind_set_number(L, "runs", t->runs);
    bind_set_number(L, "sets", t->rotation.sets);
    bind_set_boolean(L, "capped", t->rotation.capped);
    lua_createtable(L, (int)t->count, 0);
    for (int64_t i = 0; i < t->count; i++) {
        push_span(L, t, &t->spans[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "spans");
    lua_createtable(L, t->step_count, 0);
    for (int i = 0; i < t->step_count; i++) {
        push_step(L, &t->steps[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "work");
}

static void trace_done(void *block) { lb_trace_done(block); }

/* core.trace(plan[, { cache =, mode =, runs =, max_time_s = }]): { wall_ns, threads, runs, sets, capped,
 * spans = { { step, pick, phase, thread, kind, begin_ns, end_ns } ... } with times from the run's begin
 * and picks as their tensors hold them, from 0,
 * work = { { ran, kernel, pick, flops, flops_by, bytes, weight_bytes, first_bytes, first_distance, again_bytes,
 * again_distance } ... } of each step }. */
static int trace(lua_State *L) {
    lb_trace_opts o;
    lb_plan *p = bind_check(L, 1, &bind_plan);
    read_opts(L, 2, &o);
    lb_trace *t = bind_guard(L, sizeof *t, trace_done);
    BIND_TRY(L, lb_trace_take(p, &o, t));
    push_trace(L, t);
    bind_guard_done(L, -2);
    return 1;
}

void bind_open_trace(lua_State *L) {
    lua_pushcfunction(L, trace);
    lua_setfield(L, -2, "trace");
}

/* bind_sampler.c: a measurement in pieces: core.sampler(plan[, opts]). */
#include "bind_timer.h"

static void release(void *object) { lb_sampler_free(object); }
static lb_sampler *check_sampler(lua_State *L) { return bind_check(L, 1, &bind_sampler); }

/* core.sampler(plan[, opts]): sized and warmed up. */
static int new_sampler(lua_State *L) {
    lb_measure_opts o;
    double extra[1];
    lua_settop(L, 2);
    lb_plan *p = bind_check(L, 1, &bind_plan);
    bind_measure_opts(L, 2, &o);
    o.extra_work = bind_extra_work(L, 2, extra, 1);
    void **box = bind_box(L, &bind_sampler);
    BIND_TRY(L, lb_sampler_new(p, &o, (lb_sampler **)box));
    return 1;
}

/* sampler:take(samples[, iterations[, quantum]]) */
static int take(lua_State *L) {
    lb_sampler *s = check_sampler(L);
    int64_t samples = bind_integer(L, 2, "samples", 1, 10000000);
    int64_t iterations = lua_isnoneornil(L, 3) ? 0 : bind_integer(L, 3, "iterations", 1, (int64_t)1 << 40);
    int64_t quantum = lua_isnoneornil(L, 4) ? 0 : bind_integer(L, 4, "quantum", 1, LB_QUANTUM_MOST);
    lb_status status = lb_sampler_take(s, samples, iterations, quantum);
    if (status) return bind_raise(L, status);
    lua_settop(L, 1);
    return 1;
}

static void samples_done(void *block) { lb_samples_done(block); }

/* sampler:finish(): what lb.measure returns. */
static int finish(lua_State *L) {
    lb_sampler *s = check_sampler(L);
    lb_samples *out = bind_guard(L, sizeof *out, samples_done);
    lb_status status = lb_sampler_finish(s, out);
    if (status) return bind_raise(L, status);
    bind_push_samples(L, out);
    bind_guard_done(L, -2);
    return 1;
}

static void push_iterations(lua_State *L, void *o) { lua_pushnumber(L, (double)lb_sampler_iterations(o, NULL)); }
static void push_run_ns(lua_State *L, void *o) { lua_pushnumber(L, lb_sampler_run_ns(o)); }
static void push_quantum(lua_State *L, void *o) {
    int64_t quantum;
    lb_sampler_iterations(o, &quantum);
    lua_pushnumber(L, (double)quantum);
}

static void push_share(lua_State *L, void *o) { lua_pushnumber(L, (double)lb_sampler_share(o)); }

static int tostring(lua_State *L) {
    lb_sampler *s = bind_peek(L, 1, &bind_sampler);
    if (!s) lua_pushliteral(L, "sampler (closed)");
    else lua_pushfstring(L, "sampler of %f runs a sample", (double)lb_sampler_iterations(s, NULL));
    return 1;
}

static const luaL_Reg methods[] = { { "take", take }, { "finish", finish }, { NULL, NULL } };
static const luaL_Reg meta[] = { { "__tostring", tostring }, { NULL, NULL } };
static const bind_field fields[] = { { "iterations", push_iterations }, { "quantum", push_quantum },
                                     { "share", push_share }, { "run_ns", push_run_ns }, { NULL, NULL } };
const bind_class bind_sampler = { "sampler", release, methods, meta, fields };

void bind_open_sampler(lua_State *L) {
    bind_class_register(L, &bind_sampler);
    lua_pushcfunction(L, new_sampler);
    lua_setfield(L, -2, "sampler");
}

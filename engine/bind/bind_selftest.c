/* bind_selftest.c: core.selftest: what the self-test needs to disturb a measurement on purpose, and to look at it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "../clock.h"
#include "../device.h"
#include "../disturbance.h"
#include "../measure.h"
#include "../topology.h"
#include "bind.h"

static void watcher_done(void *block) { lb_watcher_done(block); }

static void push_marks(lua_State *L, uint32_t marks) {
    static const struct { uint32_t bit; const char *name; } names[] = {
        { LB_MARK_SWITCHED, "switched" }, { LB_MARK_FAULTED, "faulted" }, { LB_MARK_MIGRATED, "migrated" },
        { LB_MARK_DELAYED, "delayed" }, { LB_MARK_THROTTLED, "throttled" } };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (marks & names[i].bit) bind_set_boolean(L, names[i].name, true);
    lua_setfield(L, -2, "marks");
}

/* core.selftest.watch(f): calls f() as if it were a sample; { elapsed_ns, involuntary_switches, major_faults,
 * migrations, run_delay_ns, marks = { switched = true, ... } }; what is unknown is absent. */
static int watch(lua_State *L) {
    lb_snapshot before, after;
    lb_disturbance d;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lb_watcher *w = bind_guard(L, sizeof *w, watcher_done);
    lb_watcher_init(w, 1);
    lb_disturbance_init(&d);
    lb_watcher_read(w, &before);
    uint64_t start = lb_now_ns();
    lua_pushvalue(L, 1);
    lua_call(L, 0, 0);
    double elapsed = (double)(lb_now_ns() - start);
    lb_watcher_read(w, &after);
    uint32_t marks = lb_disturbance_add(&d, &before, &after, elapsed);
    lua_newtable(L);
    bind_set_number(L, "elapsed_ns", elapsed);
    if (d.switches >= 0) bind_set_number(L, "involuntary_switches", (double)d.switches);
    if (d.faults >= 0) bind_set_number(L, "major_faults", (double)d.faults);
    if (d.migrations >= 0) bind_set_number(L, "migrations", (double)d.migrations);
    bind_set_known(L, "run_delay_ns", d.run_delay_ns);
    push_marks(L, marks);
    bind_guard_done(L, 2);
    return 1;
}

static _Thread_local cpu_set_t own;
static _Thread_local bool moved;

static bool pin(int cpu) {
    cpu_set_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE) return false;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static void keep_own(lua_State *L) {
    if (!moved && sched_getaffinity(0, sizeof own, &own) != 0)
        luaL_error(L, "the CPUs of this thread cannot be read: %s", strerror(errno));
    moved = true;
}

/* core.selftest.move(): puts the calling thread on another CPU than it is on, until back(). false = there is none. */
static int move(lua_State *L) {
    const lb_topology *t = lb_topology_get();
    int here = sched_getcpu();
    keep_own(L);
    for (int i = 0; i < t->count; i++) {
        if (t->cpus[i] == here || !pin(t->cpus[i])) continue;
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    return 1;
}

/* core.selftest.pin(): keeps the calling thread where it is now, until back(). */
static int pin_here(lua_State *L) {
    keep_own(L);
    lua_pushboolean(L, pin(sched_getcpu()));
    return 1;
}

/* core.selftest.back(): undoes move() and pin(). */
static int back(lua_State *L) {
    if (moved && sched_setaffinity(0, sizeof own, &own) != 0)
        return luaL_error(L, "the CPUs of this thread cannot be set: %s", strerror(errno));
    moved = false;
    return 0;
}

/* core.selftest.flip(tensor, byte): turns all bits of a stored byte, from 1: a weight block that went wrong. */
static int flip(lua_State *L) {
    lb_tensor *t = bind_check_tensor(L, 1);
    size_t bytes = lb_tensor_size_bytes(t);
    if (bytes == 0) return luaL_error(L, "the tensor is empty");
    if (t->dtype != LB_QUANT && !lb_tensor_is_dense(t)) return luaL_error(L, "the tensor is a view with gaps");
    int64_t at = bind_integer(L, 2, "byte", 1, (int64_t)bytes);
    unsigned char *p = (unsigned char *)lb_tensor_data(t) + at - 1;
    *p = (unsigned char)~*p;
    return 0;
}

/* core.selftest.evict(path): writes a file back and asks the kernel to drop it from memory. */
static int evict(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return luaL_error(L, "%s: %s", path, strerror(errno));
    bool fine = fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
    close(fd);
    lua_pushboolean(L, fine);
    return 1;
}

void bind_open_selftest(lua_State *L) {
    static const luaL_Reg functions[] = { { "watch", watch }, { "move", move }, { "pin", pin_here }, { "back", back },
                                          { "flip", flip },   { "evict", evict }, { NULL, NULL } };
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_setfield(L, -2, "selftest");
}

/* bind_os.c: the operating system for Lua: time of day, terminals, directories, files replaced whole, locks, and what
 * is known of the machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined __GLIBC__
#include <malloc.h>
#endif

#include "../counters.h"
#include "../energy.h"
#include "../huge.h"
#include "../machine.h"
#include "../measure.h"
#include "../os.h"
#include "bind.h"

/* core.sleep(seconds): true if interrupted. */
static int sleep_s(lua_State *L) {
    double s = bind_number(L, 1, "seconds");
    if (!(s >= 0 && s < 1e7)) return luaL_error(L, "seconds: 0 to 1e7 expected, got %f", s);
    lua_pushboolean(L, lb_sleep_ms(s * 1e3));
    return 1;
}

static int time_iso(lua_State *L) {
    char text[32];
    lb_time_iso(text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

static int time_s(lua_State *L) {
    lua_pushnumber(L, lb_time_wall_s());
    return 1;
}

static int is_tty(lua_State *L) {
    lua_pushboolean(L, lb_isatty((int)bind_integer(L, 1, "fd", 0, 1 << 20)));
    return 1;
}

/* core.terminal_width(fd): columns; nil = unknown. */
static int terminal_width(lua_State *L) {
    int width = lb_terminal_width(lua_isnoneornil(L, 1) ? 1 : (int)bind_integer(L, 1, "fd", 0, 1 << 20));
    if (width > 0) lua_pushinteger(L, width);
    else lua_pushnil(L);
    return 1;
}

static int exe_path(lua_State *L) {
    char path[4096];
    lb_exe_path(path, sizeof path);
    lua_pushstring(L, path);
    return 1;
}

/* core.lua_root(): the folder that holds luabench/. */
static int lua_root(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.root");
    return 1;
}

/* core.lua_memory_mib(): what Lua's own tables and strings may take. */
static int lua_memory_mib(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.memory_mib");
    return 1;
}

static int mkdir_p(lua_State *L) {
    BIND_TRY(L, lb_mkdir_p(bind_path(L, 1, "path")));
    return 0;
}

/* ---- directories -------------------------------------------------------------------------------------------- */

typedef struct entry { struct entry *next; bool directory; char name[]; } entry;
typedef struct listing { entry *first, **end; bool failed; } listing;

static void listing_done(void *block) {
    listing *l = block;
    for (entry *e = l->first, *next; e; e = next) {
        next = e->next;
        free(e);
    }
}

static void listing_add(void *ctx, const char *name, bool directory) {
    listing *l = ctx;
    size_t n = strlen(name) + 1;
    entry *e = malloc(sizeof *e + n);
    if (!e) {
        l->failed = true;
        return;
    }
    e->next = NULL;
    e->directory = directory;
    memcpy(e->name, name, n);
    *l->end = e;
    l->end = &e->next;
}

/* core.list_dir(path): { { name =, directory = }, ... }, sorted */
static int list_dir(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    listing *l = bind_guard(L, sizeof *l, listing_done);
    l->end = &l->first;
    lb_status s = lb_dir_list(path, listing_add, l);
    if (s) return bind_raise(L, s);
    if (l->failed) return luaL_error(L, "not enough memory");
    lua_newtable(L);
    int n = 0;
    for (entry *e = l->first; e; e = e->next) {
        lua_newtable(L);
        bind_set_string(L, "name", e->name);
        bind_set_boolean(L, "directory", e->directory);
        lua_rawseti(L, -2, ++n);
    }
    bind_guard_done(L, -2);
    return 1;
}

/* core.stat(path): { kind = "file"|"directory"|"other", bytes, modified_s, id } or nil; two names with one id are the
 * same file. */
static int stat_path(lua_State *L) {
    struct stat st;
    char id[48];
    if (stat(bind_path(L, 1, "path"), &st) != 0) return lua_pushnil(L), 1;
    lua_newtable(L);
    bind_set_string(L, "kind", S_ISREG(st.st_mode) ? "file" : S_ISDIR(st.st_mode) ? "directory" : "other");
    bind_set_number(L, "bytes", (double)st.st_size);
    snprintf(id, sizeof id, "%llx:%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    bind_set_string(L, "id", id);
    bind_set_number(L, "modified_s", (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec);
    return 1;
}

/* core.write_file(path, text): readers see the old or the new content, never a part. */
static int write_file(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    bind_string(L, 2, "text");
    size_t n = 0;
    const char *text = lua_tolstring(L, 2, &n);
    lb_status s = lb_file_replace(path, text, n);
    if (s) return bind_raise(L, s);
    return 0;
}

static int tempdir(lua_State *L) {
    char path[4096];
    const char *prefix = lua_isnoneornil(L, 1) ? "luabench-" : bind_path(L, 1, "prefix");
    BIND_TRY(L, lb_tempdir_new(prefix, path, sizeof path));
    lua_pushstring(L, path);
    return 1;
}

/* core.tempdir_sweep([prefix]): removes what dead processes of this user left; how many directories. */
static int tempdir_sweep(lua_State *L) {
    const char *prefix = lua_isnoneornil(L, 1) ? "luabench-" : bind_path(L, 1, "prefix");
    lua_pushinteger(L, lb_tempdir_sweep(prefix));
    return 1;
}

static int tempdir_remove(lua_State *L) {
    lb_status s = lb_tempdir_remove(bind_path(L, 1, "path"));
    if (s) return bind_raise(L, s);
    return 0;
}

/* core.lock(path[, timeout_s]): a lock number for core.unlock, or nil and why not. */
static int lock(lua_State *L) {
    const char *path = bind_path(L, 1, "path");
    double timeout_s = lua_isnoneornil(L, 2) ? 0 : bind_number(L, 2, "timeout_s");
    if (timeout_s != timeout_s) return luaL_error(L, "timeout_s: a number of seconds expected, got NaN");
    int fd = -1;
    lb_status s = lb_lock_take(path, timeout_s, &fd);
    if (s) {
        lua_pushnil(L);
        lua_pushstring(L, lb_error());
        return 2;
    }
    lua_pushinteger(L, fd);
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.locks");     /* only our own descriptors can be unlocked */
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, "luabench.locks");
    }
    lua_pushboolean(L, 1);
    lua_rawseti(L, -2, fd);
    lua_pop(L, 1);
    return 1;
}

static int unlock(lua_State *L) {
    int fd = (int)bind_integer(L, 1, "lock", 0, 1 << 20);
    lua_getfield(L, LUA_REGISTRYINDEX, "luabench.locks");
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, fd);
        if (lua_toboolean(L, -1)) {
            lua_pushnil(L);
            lua_rawseti(L, -3, fd);
            lb_lock_release(fd);
            return 0;
        }
    }
    return luaL_error(L, "lock: %d is no lock that core.lock gave", fd);
}

static int setenv_(lua_State *L) {
    const char *name = bind_path(L, 1, "name");
    if (strchr(name, '=')) return luaL_error(L, "name: a variable's name has no '=', got '%s'", name);
    int failed = lua_isnil(L, 2) ? unsetenv(name) : setenv(name, bind_string(L, 2, "value"), 1);
    if (failed) return luaL_error(L, "cannot set %s: %s", name, strerror(errno));
    return 0;
}

static int pid(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)getpid());
    return 1;
}

/* core.pwd(): the current directory. */
static int pwd(lua_State *L) {
    char path[4096];
    if (!getcwd(path, sizeof path)) return luaL_error(L, "the current directory is unknown: %s", strerror(errno));
    lua_pushstring(L, path);
    return 1;
}

void bind_open_os(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "sleep", sleep_s }, { "time_iso", time_iso }, { "time_s", time_s }, { "isatty", is_tty },
        { "terminal_width", terminal_width }, { "exe_path", exe_path }, { "lua_root", lua_root },
        { "lua_memory_mib", lua_memory_mib }, { "mkdir_p", mkdir_p },
        { "list_dir", list_dir }, { "stat", stat_path }, { "write_file", write_file },
        { "tempdir", tempdir }, { "tempdir_remove", tempdir_remove }, { "tempdir_sweep", tempdir_sweep },
        { "lock", lock },
        { "unlock", unlock }, { "setenv", setenv_ }, { "pid", pid }, { "pwd", pwd }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}

/* ---- the machine -------------------------------------------------------------------------------------------- */

static void set_text(lua_State *L, const char *key, const char *v) {
    if (v[0]) bind_set_string(L, key, v);
}
static void set_count(lua_State *L, const char *key, double v) {
    if (v >= 0) bind_set_number(L, key, v);
}

/* core.machine(): what is known; the unknown is absent. */
static int machine(lua_State *L) {
    const lb_machine *m = lb_machine_get();
    lua_newtable(L);
    set_text(L, "cpu", m->cpu);
    set_text(L, "isa", m->isa);
    set_text(L, "kernel", m->kernel);
    set_text(L, "governor", m->governor);
    set_text(L, "hostname", m->hostname);
    set_text(L, "os", m->os);
    set_text(L, "thp", m->thp);
    set_text(L, "clocksource", m->clocksource);
    set_count(L, "cores_physical", m->cores_physical);
    set_count(L, "cores_logical", m->cores_logical);
    set_count(L, "cores_usable", m->cores_usable);
    set_count(L, "numa_nodes", m->numa_nodes);
    set_count(L, "smt", m->smt);
    lua_newtable(L);
    set_count(L, "l1d_bytes", (double)m->l1d_bytes);
    set_count(L, "l1i_bytes", (double)m->l1i_bytes);
    set_count(L, "l2_bytes", (double)m->l2_bytes);
    set_count(L, "l3_bytes", (double)m->l3_bytes);
    set_count(L, "llc_total_bytes", (double)m->llc_total_bytes);
    set_count(L, "l1d_cpus", m->l1d_cpus);
    set_count(L, "l1i_cpus", m->l1i_cpus);
    set_count(L, "l2_cpus", m->l2_cpus);
    set_count(L, "l3_cpus", m->l3_cpus);
    lua_setfield(L, -2, "caches");
    set_count(L, "memory_bytes", (double)m->memory_bytes);
    set_count(L, "memory_available_bytes", (double)m->memory_available_bytes);
    set_count(L, "cgroup_memory_bytes", (double)m->cgroup_memory_bytes);
    set_count(L, "load1", m->load1);
    set_count(L, "memory_pressure_percent", m->memory_pressure);
    if (m->boost >= 0) bind_set_boolean(L, "boost", m->boost != 0);
    if (m->virtualized >= 0) bind_set_boolean(L, "virtualized", m->virtualized != 0);
    return 1;
}

/* core.energy(): { zones = { names } } of the energy counters, or { reason }. */
static int energy(lua_State *L) {
    lb_energy e;
    lb_energy_open(&e, NULL);
    lua_newtable(L);
    if (e.reason[0]) bind_set_string(L, "reason", e.reason);
    if (e.count) lua_newtable(L);
    for (int i = 0; i < e.count; i++) {
        lua_pushstring(L, e.zones[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    if (e.count) lua_setfield(L, -2, "zones");
    lb_energy_close(&e);
    return 1;
}

/* core.counters(): { names = { of the performance counters } }, or { reason }. */
static int counters(lua_State *L) {
    const char *why = lb_counters_reason();
    lua_newtable(L);
    if (*why) return bind_set_string(L, "reason", why), 1;
    lua_newtable(L);
    for (int i = 0; i < LB_COUNTER_COUNT; i++) {
        lua_pushstring(L, lb_counter_name((lb_counter)i));
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "names");
    return 1;
}

/* core.machine_warnings(): a list of lines for people. */
static int machine_warnings(lua_State *L) {
    char text[4096];
    lb_machine_warnings(text, sizeof text);
    lua_newtable(L);
    int n = 0;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        if (length) {
            lua_pushlstring(L, line, length);
            lua_rawseti(L, -2, ++n);
        }
        line += length + (end ? 1 : 0);
    }
    return 1;
}

/* core.memory(): { now_bytes, peak_bytes } of engine buffers in this process. */
static int memory(lua_State *L) {
    lua_newtable(L);
    bind_set_number(L, "now_bytes", (double)lb_memory_now());
    bind_set_number(L, "peak_bytes", (double)lb_memory_peak());
    return 1;
}

static int memory_peak_reset(lua_State *L) {
    (void)L;
    lb_memory_peak_reset();
    return 0;
}

/* core.memory_trim(): gives the system what freed buffers left behind: whole huge pages, and the C library's heap. */
static int memory_trim(lua_State *L) {
    (void)L;
    lb_huge_trim();
#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__
    malloc_trim(0);
#endif
    return 0;
}

void bind_open_machine(lua_State *L) {
    static const luaL_Reg functions[] = { { "machine", machine }, { "machine_warnings", machine_warnings },
                                          { "energy", energy }, { "counters", counters },
                                          { "memory", memory }, { "memory_peak_reset", memory_peak_reset },
                                          { "memory_trim", memory_trim }, { NULL, NULL } };
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}

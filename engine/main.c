/* main.c: the program: finds its Lua files, makes a Lua state that cannot crash it, and hands over to Lua.
 *
 * Exit status: 0 all good; 1 a case or a script failed; 2 the command line or a script on it is wrong; 130 interrupted.
 * `-e CODE` takes a short way that loads neither the runner nor the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "bind/bind.h"
#include "bind/lineedit.h"
#include "measure.h"
#include "os.h"

/* ---- Lua's own memory: bounded, so that a script that grows for ever gets an error and not the kernel's killer -- */

typedef struct limiter {
    lua_Alloc alloc;
    void *ud;
    size_t used, limit;
} limiter;

static void *limited(void *ud, void *p, size_t old_bytes, size_t new_bytes) {
    limiter *m = ud;
    if (!p) old_bytes = 0;
    if (new_bytes > old_bytes && new_bytes - old_bytes > m->limit - (m->used < m->limit ? m->used : m->limit))
        return NULL;
    void *q = m->alloc(m->ud, p, old_bytes, new_bytes);
    if (q || new_bytes == 0) m->used = m->used - old_bytes + new_bytes;
    return q;
}

static size_t cgroup_limit(void) {
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    unsigned long long bytes = 0;
    if (!f) return SIZE_MAX;
    if (fscanf(f, "%llu", &bytes) != 1 || bytes == 0) bytes = SIZE_MAX;
    fclose(f);
    return (size_t)bytes;
}

/* A quarter of the memory, 256 MiB to 2 GiB (tensors are not in it); LUABENCH_LUA_MEMORY_MB overrides. */
static size_t lua_memory_limit(void) {
    const char *text = getenv("LUABENCH_LUA_MEMORY_MB");
    if (text) {
        char *end = NULL;
        unsigned long long mb = strtoull(text, &end, 10);
        if (end != text && *end == 0 && mb >= 16 && mb < 1u << 30) return (size_t)mb << 20;
    }
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE), group = cgroup_limit();
    if (group < bytes) bytes = group;
    bytes /= 4;
    if (bytes > (size_t)2 << 30) return (size_t)2 << 30;
    return bytes < (size_t)256 << 20 ? (size_t)256 << 20 : bytes;
}

/* ---- where the Lua files are --------------------------------------------------------------------------------- */

static bool has_lua(const char *root) {
    char path[4200];
    int n = snprintf(path, sizeof path, "%s/luabench/init.lua", root);
    return n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0;
}

/* $LUABENCH_LUA, else next to the program: in the tree <exe>/../lua, installed <exe>/../share/luabench/lua. */
static bool find_root(char *root, size_t bytes) {
    static const char *const places[] = { "../lua", "../share/luabench/lua", "lua", "../../lua" };
    const char *given = getenv("LUABENCH_LUA");
    char exe[4096];
    if (given && *given) {
        snprintf(root, bytes, "%s", given);
        return has_lua(root);
    }
    lb_exe_path(exe, sizeof exe);
    char *slash = strrchr(exe, '/');
    if (!slash) return false;
    *slash = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char try[4200], *real;
        snprintf(try, sizeof try, "%s/%s", exe, places[i]);
        if (!has_lua(try) || !(real = realpath(try, NULL))) continue;
        snprintf(root, bytes, "%s", real);
        free(real);
        return true;
    }
    return false;
}

/* Our folder first, then the system's for Lua 5.1; C modules are left to what LuaJIT knows. */
static void set_paths(lua_State *L, const char *root) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s;/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua", root, root,
                    lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 1);
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_luabench_core);
    lua_setfield(L, -2, "luabench.core");
    lua_pushcfunction(L, luaopen_luabench_lineedit);
    lua_setfield(L, -2, "luabench.lineedit");
    lua_pop(L, 2);
    lua_pushstring(L, root);
    lua_setfield(L, LUA_REGISTRYINDEX, "luabench.root");
    lua_pushnumber(L, (lua_Number)(lua_memory_limit() >> 20));
    lua_setfield(L, LUA_REGISTRYINDEX, "luabench.memory_mib");
}

/* ---- running -------------------------------------------------------------------------------------------------- */

typedef struct job {
    int argc;
    char **argv;
    bool debug;       /* --log-level debug: errors with a traceback */
    int status;
    const char *root;
} job;

static bool wants_debug(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--log-level=debug") == 0) return true;
        if (strcmp(argv[i], "--log-level") == 0 && i + 1 < argc && strcmp(argv[i + 1], "debug") == 0) return true;
    }
    return false;
}

static int with_traceback(lua_State *L) {
    if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

static void say(const char *text) {
    fflush(stdout);
    fprintf(stderr, "luabench: %s\n", text);
}

static void report(lua_State *L) {
    if (lua_type(L, -1) == LUA_TSTRING) {
        say(lua_tostring(L, -1));
        if (strstr(lua_tostring(L, -1), "not enough memory")) {
            fprintf(stderr, "a script's own tables and strings may take %zu MiB (tensors are apart), which "
                            "LUABENCH_LUA_MEMORY_MB=N changes\n", lua_memory_limit() >> 20);
        }
    } else if (luaL_callmeta(L, -1, "__tostring") && lua_isstring(L, -1)) {
        say(lua_tostring(L, -1));
    } else {
        fprintf(stderr, "luabench: the script raised a %s instead of a message\n", luaL_typename(L, -1));
    }
}

static void set_arg(lua_State *L, int argc, char **argv, int script) {
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

/* Calls the function below `nargs` arguments; false = an error, whose message is on the stack. */
static bool call(lua_State *L, const job *j, int nargs, int nresults) {
    int handler = 0;
    if (j->debug) {
        handler = lua_gettop(L) - nargs;
        lua_pushcfunction(L, with_traceback);
        lua_insert(L, handler);
    }
    bool ok = lua_pcall(L, nargs, nresults, handler) == 0;
    if (handler) lua_remove(L, handler);
    return ok;
}

/* require(module)[name] on the stack. */
static bool push_function(lua_State *L, const job *j, const char *module, const char *name) {
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    if (!call(L, j, 1, 1)) return false;
    if (lua_istable(L, -1)) lua_getfield(L, -1, name);
    if (lua_isfunction(L, -1)) return true;
    lua_pushfstring(L, "the Lua file of %s is damaged: it has no function '%s'", module, name);
    return false;
}

/* luabench [--unsafe] -e CODE [ARG ...]: loads as text in the scripts' environment, runs it; argv[code] is CODE. */
static int run_code(lua_State *L, job *j, int code) {
    if (j->argc <= code) {
        say("-e needs the code to run, as in: luabench -e 'print(lb.randn({2, 3}))'");
        return 2;
    }
    set_arg(L, j->argc, j->argv, code);
    if (code > 2 && (!push_function(L, j, "luabench.sandbox", "allow_unsafe") || !call(L, j, 0, 0)))
        return report(L), 2;
    if (!push_function(L, j, "luabench.sandbox", "load")) return report(L), 2;
    lua_pushstring(L, j->argv[code]);
    lua_pushliteral(L, "=(command line)");
    if (!call(L, j, 2, 2)) return report(L), 2;
    if (lua_isnil(L, -2)) return report(L), 2;
    lua_pop(L, 1);
    for (int i = code + 1; i < j->argc; i++) lua_pushstring(L, j->argv[i]);
    if (!call(L, j, j->argc - code - 1, 0)) return report(L), 1;
    return 0;
}

static int run_cli(lua_State *L, job *j) {
    set_arg(L, j->argc, j->argv, 0);
    if (!push_function(L, j, "luabench.cli", "main")) return report(L), 2;
    lua_getglobal(L, "arg");
    if (!call(L, j, 1, 1)) return report(L), 2;
    if (lua_isnil(L, -1)) return 0;
    if (lua_isboolean(L, -1)) return lua_toboolean(L, -1) ? 0 : 1;
    if (lua_type(L, -1) != LUA_TNUMBER) return say("the command line's main returned no exit status"), 2;
    return (int)lua_tointeger(L, -1);
}

static int protected_main(lua_State *L) {
    job *j = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_openlibs(L);
    set_paths(L, j->root);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_pop(L, 1);
    lua_pushcfunction(L, luaopen_luabench_core);
    lua_call(L, 0, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "luabench.core");
    lua_pop(L, 2);
    lua_getfield(L, -1, "interrupt");
    lua_pushliteral(L, "raise");
    lua_call(L, 1, 0);
    lua_settop(L, 0);
    int at = 1;
    while (at < j->argc && strcmp(j->argv[at], "--unsafe") == 0) at++;
    j->status = at < j->argc && strcmp(j->argv[at], "-e") == 0 ? run_code(L, j, at + 1) : run_cli(L, j);
    return 0;
}

/* Reached only if an error escapes every protected call: says so and leaves in order. */
static int panic(lua_State *L) {
    const char *text = lua_tostring(L, -1);
    fflush(stdout);
    fprintf(stderr, "luabench: error outside of protected code: %s\n", text ? text : "(no message)");
    lb_tempdir_remove_all();
    _exit(1);
    return 0;
}

int main(int argc, char **argv) {
    char root[4400] = "";
    if (!find_root(root, sizeof root)) {
        const char *given = getenv("LUABENCH_LUA");
        fprintf(stderr, "luabench: cannot find my Lua files: no luabench/init.lua %s%s\n",
                given ? "in $LUABENCH_LUA = " : "in ../lua or ../share/luabench/lua next to the program",
                    given ? given : "");
        return 2;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fprintf(stderr, "luabench: not enough memory for a Lua state\n");
        return 1;
    }
    limiter memory = { .limit = lua_memory_limit() };
    memory.alloc = lua_getallocf(L, &memory.ud);
    memory.used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024;
    lua_setallocf(L, limited, &memory);
    lua_atpanic(L, panic);
    job j = { .argc = argc, .argv = argv, .debug = wants_debug(argc, argv), .root = root };
    if (lua_cpcall(L, protected_main, &j) != 0) {
        report(L);
        j.status = 1;
    }
    if (lb_interrupted) j.status = 130;
    if (fflush(stdout) != 0 && j.status == 0) {
        fprintf(stderr, "luabench: cannot write to standard output: %s\n", strerror(errno));
        j.status = 1;
    }
    lua_sethook(L, NULL, 0, 0);
    bind_eager_clear();
    lua_close(L);
    lb_tempdir_remove_all();
    return j.status;
}

/* bind_process.c: child processes for the runner: spawn, lines of their output, limits, ends. */
#include <signal.h>
#include <string.h>

#include "../measure.h"
#include "../process.h"
#include "bind.h"

#define MAX_STRINGS 4096
#define MAX_POLLED 256

static void release(void *object) { lb_process_free(object); }
static lb_process *check_process(lua_State *L, int arg) { return bind_check(L, arg, &bind_process); }

/* A list of strings as a NULL-terminated array in a userdata on the stack; the strings belong to the table. */
static const char *const *read_strings(lua_State *L, int index, const char *name) {
    if (!lua_istable(L, index)) luaL_error(L, "%s: a list of strings expected, got %s", name, bind_type_name(L, index));
    size_t n = lua_objlen(L, index);
    if (n > MAX_STRINGS) luaL_error(L, "%s: at most %d strings, got %d", name, MAX_STRINGS, (int)n);
    const char **list = lua_newuserdata(L, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING) {     /* a number would be converted to a string that nobody holds */
            luaL_error(L, "%s[%d]: a string expected, got %s", name, (int)i + 1, bind_type_name(L, -1));
        }
        list[i] = lua_tostring(L, -1);
        if (strlen(list[i]) != lua_objlen(L, -1)) luaL_error(L, "%s[%d] contains a zero byte", name, (int)i + 1);
        lua_pop(L, 1);
    }
    list[n] = NULL;
    return list;
}

static lb_io read_io(lua_State *L, const char *name, bool merge) {
    static const char *const names[] = { "inherit", "pipe", "null", "merge" };
    const char *text = bind_opt_string(L, 1, name);
    if (!text) return LB_IO_INHERIT;
    for (int i = 0; i < (merge ? 4 : 3); i++)
        if (strcmp(text, names[i]) == 0) return (lb_io)i;
    luaL_error(L, "%s: \"inherit\", \"pipe\"%s or \"null\" expected, got \"%s\"", name, merge ? ", \"merge\"" : "",
               text);
    return LB_IO_INHERIT;
}

/* core.spawn{ argv = {...}, env = { "A=b" }, cwd =, stdin =, stdout =, stderr =, memory_limit_bytes =, cpu_limit_s =,
 * pinned = true to stay on the CPUs of this thread } */
static int spawn(lua_State *L) {
    static const char *const keys[] = { "argv", "env", "cwd", "stdin", "stdout", "stderr", "memory_limit_bytes",
                                        "cpu_limit_s", "pinned", NULL };
    lua_settop(L, 1);
    luaL_checktype(L, 1, LUA_TTABLE);
    bind_check_keys(L, 1, "spawn", keys);
    lb_process_opts o;
    memset(&o, 0, sizeof o);
    lua_getfield(L, 1, "argv");
    o.argv = read_strings(L, 2, "argv");
    if (!o.argv[0]) return luaL_error(L, "argv: the program's name is missing");
    lua_getfield(L, 1, "env");
    if (!lua_isnil(L, -1)) o.env = read_strings(L, lua_gettop(L), "env");
    o.cwd = bind_opt_string(L, 1, "cwd");
    o.in = read_io(L, "stdin", false);
    o.out = read_io(L, "stdout", false);
    o.err = read_io(L, "stderr", true);
    o.memory_limit_bytes = bind_opt_integer(L, 1, "memory_limit_bytes", 0, 0, BIND_INT_MAX);
    o.cpu_limit_s = bind_opt_integer(L, 1, "cpu_limit_s", 0, 0, BIND_INT_MAX);
    lua_getfield(L, 1, "pinned");
    o.pinned = lua_toboolean(L, -1);
    void **box = bind_box(L, &bind_process);
    BIND_TRY(L, lb_process_spawn(&o, (lb_process **)box));
    return 1;
}

static double seconds_at(lua_State *L, int arg, double otherwise) {
    if (lua_isnoneornil(L, arg)) return otherwise;
    double s = bind_number(L, arg, "timeout_s");
    if (s != s) luaL_error(L, "timeout_s: a number of seconds expected, got NaN");
    return s;
}

/* process:write(text[, timeout_s]) */
static int write_text(lua_State *L) {
    lb_process *p = check_process(L, 1);
    bind_string(L, 2, "text");
    size_t n = 0;
    const char *text = lua_tolstring(L, 2, &n);
    lb_status s = lb_process_write(p, text, n, seconds_at(L, 3, -1));
    if (s) return bind_raise(L, s);
    return 0;
}

static int close_stdin(lua_State *L) {
    lb_process_close_stdin(check_process(L, 1));
    return 0;
}

static int stream_at(lua_State *L, int arg) {
    return lua_isnoneornil(L, arg) ? 1 : (int)bind_integer(L, arg, "stream", 1, 2);
}

/* process:line([stream]): the next whole line that was read, or nil. */
static int line(lua_State *L) {
    lb_process *p = check_process(L, 1);
    const char *text = NULL;
    size_t n = 0;
    if (!lb_process_line(p, stream_at(L, 2), &text, &n)) return lua_pushnil(L), 1;
    lua_pushlstring(L, text, n);
    return 1;
}

static int eof(lua_State *L) {
    lua_pushboolean(L, lb_process_eof(check_process(L, 1), stream_at(L, 2)));
    return 1;
}

/* process:kill([signal]): SIGKILL by default; a number from 1 to 64. */
static int kill_group(lua_State *L) {
    lb_process *p = check_process(L, 1);
    lb_process_kill(p, lua_isnoneornil(L, 2) ? SIGKILL : (int)bind_integer(L, 2, "signal", 1, 64));
    return 0;
}

static int push_exit(lua_State *L, const lb_exit *e) {
    lua_newtable(L);
    bind_set_boolean(L, "running", e->running);
    if (!e->running && e->code >= 0) bind_set_number(L, "code", e->code);
    if (e->signal) {
        bind_set_number(L, "signal", e->signal);
        bind_set_string(L, "signal_name", e->signal_name ? e->signal_name : lb_signal_name(e->signal));
    }
    if (e->max_rss_bytes >= 0) bind_set_number(L, "max_rss_bytes", (double)e->max_rss_bytes);
    bind_set_known(L, "user_s", e->user_s);
    bind_set_known(L, "system_s", e->system_s);
    return 1;
}

/* process:state(): { running, code, signal, signal_name, max_rss_bytes, user_s, system_s } */
static int state(lua_State *L) {
    lb_exit e;
    lb_process_state(check_process(L, 1), &e);
    return push_exit(L, &e);
}

/* process:wait([timeout_s]): the same, after its end or the time-out. */
static int wait_end(lua_State *L) {
    lb_process *p = check_process(L, 1);
    lb_exit e;
    lb_status s = lb_process_wait(p, seconds_at(L, 2, -1), &e);
    if (s) return bind_raise(L, s);
    return push_exit(L, &e);
}

/* core.poll({ processes }[, timeout_s]): waits for lines or ends; how many processes have news. nil when
 * interrupted. */
static int poll_all(lua_State *L) {
    lb_process *list[MAX_POLLED];
    if (!lua_istable(L, 1)) return luaL_error(L, "poll: a list of processes expected, got %s", bind_type_name(L, 1));
    size_t n = lua_objlen(L, 1);
    if (n > MAX_POLLED) return luaL_error(L, "poll: at most %d processes, got %d", MAX_POLLED, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        list[i] = bind_check_value(L, lua_gettop(L), &bind_process, "poll");
        lua_pop(L, 1);
    }
    int ready = 0;
    lb_status s = lb_process_poll(list, (int)n, seconds_at(L, 2, -1), &ready);
    if (s == LB_EINTERRUPTED) return lua_pushnil(L), 1;
    if (s) return bind_raise(L, s);
    lua_pushinteger(L, ready);
    return 1;
}

static int signal_name(lua_State *L) {
    lua_pushstring(L, lb_signal_name((int)bind_integer(L, 1, "signal", 0, 1000)));
    return 1;
}

static void push_pid(lua_State *L, void *o) { lua_pushinteger(L, lb_process_pid(o)); }

static int tostring(lua_State *L) {
    lb_process *p = bind_peek(L, 1, &bind_process);
    if (!p) return lua_pushliteral(L, "process (closed)"), 1;
    lua_pushfstring(L, "process %d", lb_process_pid(p));
    return 1;
}

static const luaL_Reg methods[] = { { "write", write_text }, { "close_stdin", close_stdin }, { "line", line },
                                    { "eof", eof }, { "kill", kill_group }, { "state", state }, { "wait", wait_end },
                                    { NULL, NULL } };
static const luaL_Reg meta[] = { { "__tostring", tostring }, { NULL, NULL } };
static const bind_field fields[] = { { "pid", push_pid }, { NULL, NULL } };
const bind_class bind_process = { "process", release, methods, meta, fields };

void bind_open_process(lua_State *L) {
    static const luaL_Reg functions[] = { { "spawn", spawn }, { "poll", poll_all }, { "signal_name", signal_name },
                                          { NULL, NULL } };
    bind_class_register(L, &bind_process);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
}

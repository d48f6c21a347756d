/* core.c: the module "luabench.core": everything that the engine gives to Lua. lua/luabench/init.lua makes the public
 * face from it. Opening it touches no device, file or library. */
#include "bind.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../measure.h"
#include "../process.h"

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------- */

static lua_State *interrupt_state;

static void raise_hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    alarm(0);
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

static void end_now(int sig) {
    (void)sig;
    lb_process_kill_all();
    _exit(130);
}

/* First Ctrl-C: the running script gets an error at its next instruction. Second: the program ends at once. A compiled
 * loop does not look at hooks: if the script did not stop within 3 s, the program ends too. */
static void on_interrupt(int sig) {
    if (lb_interrupted) end_now(sig);
    lb_interrupted = 1;
    alarm(3);
    lua_sethook(interrupt_state, raise_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void install(int sig, void (*handler)(int)) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    sigemptyset(&a.sa_mask);
    sigaction(sig, &a, NULL);
}

/* core.interrupt(mode): what Ctrl-C does. "raise": an error in the script (the program's default); "flag": only
 * core.interrupted() turns true and waiting calls return; "default": ends the program. */
static int interrupt(lua_State *L) {
    const char *mode = bind_string(L, 1, "mode");
    lua_State *main_state = interrupt_state ? interrupt_state : L;
    if (strcmp(mode, "raise") == 0) {
        interrupt_state = main_state;
        install(SIGINT, on_interrupt);
        install(SIGTERM, on_interrupt);
        install(SIGALRM, end_now);
    } else if (strcmp(mode, "flag") == 0) {
        lb_interrupt_install();
    } else if (strcmp(mode, "default") == 0) {
        install(SIGINT, SIG_DFL);
        install(SIGTERM, SIG_DFL);
    } else {
        return luaL_error(L, "mode: \"raise\", \"flag\" or \"default\" expected, got \"%s\"", mode);
    }
    return 0;
}

static int interrupted(lua_State *L) {
    lua_pushboolean(L, lb_interrupted != 0);
    return 1;
}

static int interrupt_clear(lua_State *L) {
    lb_interrupted = 0;
    alarm(0);
    lua_sethook(L, NULL, 0, 0);
    return 0;
}

/* core.sandbox(env_or_nil, opts): the environment for scripts; see lua/luabench/sandbox.lua. */
static int sandbox(lua_State *L) {
    int n = lua_gettop(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "luabench.sandbox");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "environment");
    lua_insert(L, 1);
    lua_pop(L, 1);
    lua_call(L, n, 1);
    return 1;
}

int luaopen_luabench_core(lua_State *L) {
    static const luaL_Reg functions[] = { { "classes", bind_core_classes },       { "interrupt", interrupt },
                                          { "interrupted", interrupted },
                                          { "interrupt_clear", interrupt_clear },
                                          { "sandbox", sandbox },                 { NULL, NULL } };
    if (!interrupt_state) interrupt_state = L;
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    bind_open_device(L);
    bind_open_tensor(L);
    bind_open_tensor_make(L);
    bind_open_originals(L);
    bind_open_registry(L);
    bind_open_source(L);
    bind_open_plan(L);
    bind_open_eager(L);
    bind_open_oracle(L);
    bind_open_timer(L);
    bind_open_sampler(L);
    bind_open_contrast(L);
    bind_open_ceilings(L);
    bind_open_trace(L);
    bind_open_selftest(L);
    bind_open_os(L);
    bind_open_process(L);
    bind_open_machine(L);
    bind_open_text(L);
    bind_open_files(L);
    bind_open_model_file(L);
    bind_open_tokenizer(L);
    return 1;
}

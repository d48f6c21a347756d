/* lineedit.c: line editing with history for the REPL, through libedit, which is loaded when a REPL starts. */
#include "lineedit.h"

#include <dlfcn.h>
#include <errno.h>
#include <histedit.h>
#include <lauxlib.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "../measure.h"

/* The few functions of libedit that are used; the types are those of histedit.h. */
static struct {
    void *handle;
    __typeof__(&el_init) init;
    __typeof__(&el_end) end;
    __typeof__(&el_set) set;
    __typeof__(&el_gets) gets;
    __typeof__(&el_line) line;
    __typeof__(&el_insertstr) insert;
    __typeof__(&el_deletestr) erase;
    __typeof__(&history_init) history_init;
    __typeof__(&history_end) history_end;
    __typeof__(&history) history;
} lib;

static EditLine *editor;
static History *past;
static char *history_path;
static const char *prompt_text = "";
static lua_State *reader;            /* the state that is inside read(), for the completion callback */
static volatile sig_atomic_t interrupted;

enum { HISTORY_LINES = 2000, CANDIDATES_SHOWN = 120 };

static int load_library(lua_State *L) {
    static const char *const names[] = { "libedit.so.2", "libedit.so.0", "libedit.so", "libedit.3.dylib" };
    for (size_t i = 0; !lib.handle && i < sizeof names / sizeof *names; i++)
        lib.handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib.handle) {
        lua_pushnil(L);
        lua_pushfstring(L, "libedit is not there: %s", dlerror());
        return 2;
    }
#define FIND(field, symbol) lib.field = (__typeof__(lib.field))dlsym(lib.handle, symbol)
    FIND(init, "el_init"), FIND(end, "el_end"), FIND(set, "el_set"), FIND(gets, "el_gets");
    FIND(line, "el_line"), FIND(insert, "el_insertstr"), FIND(erase, "el_deletestr");
    FIND(history_init, "history_init"), FIND(history_end, "history_end"), FIND(history, "history");
#undef FIND
    if (lib.init && lib.end && lib.set && lib.gets && lib.line && lib.insert && lib.erase && lib.history_init &&
        lib.history_end && lib.history)
        return 0;
    lua_pushnil(L);
    lua_pushliteral(L, "libedit lacks a function that luabench needs");
    return 2;
}

static char *prompt_of(EditLine *e) {
    (void)e;
    return (char *)prompt_text;
}

/* One byte of input at a time, as a wide character; returns -1 when a signal came, so that Ctrl-C ends the line. */
static int get_character(EditLine *e, wchar_t *out) {
    (void)e;
    static mbstate_t state;
    for (;;) {
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n == 0) return 0;
        if (n < 0 && errno == EINTR && !interrupted) continue; /* a resized window, say */
        if (n < 0) return -1;
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used == (size_t)-2) continue; /* more bytes of this character to come */
        if (used != (size_t)-1) return 1;
        memset(&state, 0, sizeof state);
        *out = L'?';
        return 1;
    }
}

static void show_candidates(lua_State *L, int list, size_t count) {
    fputc('\n', stdout);
    for (size_t i = 1; i <= count && i <= CANDIDATES_SHOWN; i++) {
        lua_rawgeti(L, list, (int)i);
        const char *s = lua_tostring(L, -1);
        fprintf(stdout, "%s%s", i > 1 ? "  " : "", s ? s : "");
        lua_pop(L, 1);
    }
    if (count > CANDIDATES_SHOWN) fprintf(stdout, "  ... %zu more", count - CANDIDATES_SHOWN);
    fputc('\n', stdout);
    fflush(stdout);
}

/* Replaces the word before the cursor by what all candidates share. True if that changed anything. */
static int insert_common(lua_State *L, EditLine *e, int list, size_t count, size_t word) {
    lua_rawgeti(L, list, 1);
    size_t common = 0;
    const char *first = lua_tolstring(L, -1, &common);
    char text[512];
    if (!first || common >= sizeof text) {
        lua_pop(L, 1);
        return 0;
    }
    memcpy(text, first, common + 1);
    lua_pop(L, 1);
    for (size_t i = 2; i <= count; i++) {
        lua_rawgeti(L, list, (int)i);
        const char *s = lua_tostring(L, -1);
        size_t same = 0;
        while (s && same < common && s[same] == text[same]) same++;
        common = same;
        lua_pop(L, 1);
    }
    text[common] = 0;
    const LineInfo *info = lib.line(e);
    if (common < word || (common == word && !strncmp(info->cursor - word, text, word))) return 0;
    if (word) lib.erase(e, (int)word);
    if (*text) lib.insert(e, text);
    return 1;
}

static unsigned char complete(EditLine *e, int key) {
    (void)key;
    lua_State *L = reader;
    if (!L || !lua_isfunction(L, 2)) return CC_ERROR;
    const LineInfo *info = lib.line(e);
    int top = lua_gettop(L);
    lua_pushvalue(L, 2);
    lua_pushlstring(L, info->buffer, (size_t)(info->lastchar - info->buffer));
    lua_pushinteger(L, info->cursor - info->buffer);
    unsigned char result = CC_ERROR;
    if (!lua_pcall(L, 2, 2, 0) && lua_istable(L, top + 1)) {
        size_t count = lua_objlen(L, top + 1), word = (size_t)lua_tointeger(L, top + 2);
        if (count && word <= (size_t)(info->cursor - info->buffer)) {
            if (insert_common(L, e, top + 1, count, word)) {
                result = CC_REFRESH;
            } else if (count > 1) {
                show_candidates(L, top + 1, count);
                result = CC_REDISPLAY;
            }
        }
    }
    lua_settop(L, top);
    return result;
}

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

static int edit_open(lua_State *L) {
    const char *path = luaL_optstring(L, 1, NULL);
    if (editor) {
        lua_pushboolean(L, 1);
        return 1;
    }
    int failed = load_library(L);
    if (failed) return failed;
    setlocale(LC_CTYPE, "");
    HistEvent event;
    editor = lib.init("luabench", stdin, stdout, stderr);
    past = lib.history_init();
    if (!editor || !past) return luaL_error(L, "libedit could not start on this terminal");
    lib.history(past, &event, H_SETSIZE, HISTORY_LINES);
    lib.history(past, &event, H_SETUNIQUE, 1);
    lib.set(editor, EL_PROMPT, prompt_of);
    lib.set(editor, EL_EDITOR, "emacs");
    lib.set(editor, EL_HIST, lib.history, past);
    lib.set(editor, EL_GETCFN, get_character);
    lib.set(editor, EL_SIGNAL, 0);
    lib.set(editor, EL_ADDFN, "lb-complete", "completes names", complete);
    lib.set(editor, EL_BIND, "^I", "lb-complete", NULL);
    lib.set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    lib.set(editor, EL_BIND, "\033[1~", "ed-move-to-beg", NULL);
    lib.set(editor, EL_BIND, "\033[4~", "ed-move-to-end", NULL);
    lib.set(editor, EL_BIND, "\033[H", "ed-move-to-beg", NULL);
    lib.set(editor, EL_BIND, "\033[F", "ed-move-to-end", NULL);
    lib.set(editor, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    if (path) {
        history_path = strdup(path);
        lib.history(past, &event, H_LOAD, path); /* a first session has none */
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int edit_read(lua_State *L) {
    prompt_text = luaL_checkstring(L, 1);
    if (!editor) return luaL_error(L, "lineedit.open was not called");
    lua_settop(L, 2);
    struct sigaction action = { .sa_handler = on_interrupt }, before;
    sigaction(SIGINT, &action, &before); /* without SA_RESTART: read() must return */
    interrupted = 0;
    reader = L;
    int count = 0;
    const char *line = lib.gets(editor, &count);
    reader = NULL;
    sigaction(SIGINT, &before, NULL);
    if (interrupted) {
        lib.set(editor, EL_PREP_TERM, 0);
        fputs("^C\n", stdout);
        fflush(stdout);
        lua_pushnil(L);
        lua_pushliteral(L, "interrupt");
        return 2;
    }
    if (!line || count <= 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "eof");
        return 2;
    }
    if (line[count - 1] == '\n') count--;
    lua_pushlstring(L, line, (size_t)count);
    return 1;
}

static int edit_remember(lua_State *L) {
    const char *line = luaL_checkstring(L, 1);
    HistEvent event;
    if (past && *line) lib.history(past, &event, H_ENTER, line);
    return 0;
}

static int edit_close(lua_State *L) {
    (void)L;
    HistEvent event;
    if (past && history_path) lib.history(past, &event, H_SAVE, history_path);
    if (past) lib.history_end(past);
    if (editor) lib.end(editor);
    free(history_path);
    past = NULL, editor = NULL, history_path = NULL;
    return 0;
}

/* ---- Ctrl-C while a line runs ---- */

static lua_State *guarded;

static void stop_here(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted!");
}

/* lua_sethook may be called from a signal handler; the interpreter raises at its next instruction. Engine loops look at
 * lb_interrupted. A second Ctrl-C means that neither helped: the process ends as any other would. */
static void on_interrupt_running(int signal_number) {
    if (lb_interrupted) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    lb_interrupted = 1;
    if (guarded) lua_sethook(guarded, stop_here, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static int edit_guard(lua_State *L) {
    luaL_checkany(L, 1);
    struct sigaction action = { .sa_handler = on_interrupt_running }, before;
    lb_interrupted = 0;
    guarded = L;
    sigaction(SIGINT, &action, &before);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    sigaction(SIGINT, &before, NULL);
    guarded = NULL;
    lua_sethook(L, NULL, 0, 0);
    lb_interrupted = 0;
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

int luaopen_luabench_lineedit(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "open", edit_open }, { "read", edit_read },   { "remember", edit_remember },
        { "close", edit_close }, { "guard", edit_guard }, { NULL, NULL },
    };
    lua_createtable(L, 0, 5);
    luaL_register(L, NULL, functions);
    return 1;
}

/* lineedit.c: line editing with history for the REPL, through libedit, which is loaded when a REPL starts. */
#include "lineedit.h"

#include <dlfcn.h>
#include <errno.h>
#include <histedit.h>
#include <lauxlib.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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
static volatile sig_atomic_t interrupted, terminated;

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

/* Waits for input; false when Ctrl-C or SIGTERM came. Both are blocked but while waiting, so that one that comes just
 * before the wait ends it too. */
static bool wait_for_input(void) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    int ready = 0;
    while (ready <= 0 && !interrupted && !terminated) {
        ready = ppoll(&input, 1, NULL, &before);
        if (ready < 0 && errno != EINTR) break; /* read() will say what is wrong */
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !interrupted && !terminated;
}

/* One byte of input at a time, as a wide character; returns -1 when a signal came, so that Ctrl-C ends the line. */
static int get_character(EditLine *e, wchar_t *out) {
    (void)e;
    static mbstate_t state;
    for (;;) {
        char byte;
        if (!wait_for_input()) return -1;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n == 0) return 0;
        if (n < 0 && errno == EINTR && !interrupted && !terminated) continue; /* a resized window, say */
        if (n < 0) return -1;
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used == (size_t)-2) continue; /* more bytes of this character to come */
        if (used != (size_t)-1) return 1;
        memset(&state, 0, sizeof state);
        *out = L'?';
        return 1;
    }
}

/* Columns on the screen of a UTF-8 string, taking one for each character. */
static int columns_of(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* In columns, as wide as the terminal allows, read row by row. */
static void show_candidates(lua_State *L, int list, size_t count) {
    struct winsize size = { 0 };
    int width = 80, widest = 1;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col > 0) width = size.ws_col;
    size_t shown = count < CANDIDATES_SHOWN ? count : CANDIDATES_SHOWN;
    for (size_t i = 1; i <= shown; i++) {
        lua_rawgeti(L, list, (int)i);
        const char *s = lua_tostring(L, -1);
        if (s && columns_of(s) > widest) widest = columns_of(s);
        lua_pop(L, 1);
    }
    size_t per_row = width > widest + 2 ? (size_t)(width / (widest + 2)) : 1;
    for (size_t i = 1; i <= shown; i++) {
        lua_rawgeti(L, list, (int)i);
        const char *s = lua_tostring(L, -1);
        bool last = i % per_row == 0 || i == shown;
        fprintf(stdout, "%s%s%*s", (i - 1) % per_row == 0 ? "\n" : "", s ? s : "",
                last || !s ? 0 : widest + 2 - columns_of(s), "");
        lua_pop(L, 1);
    }
    if (count > shown) fprintf(stdout, "\n... %zu more", count - shown);
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
    const char *c = info->buffer;
    while (c < info->cursor && (*c == ' ' || *c == '\t')) c++;
    if (c == info->cursor) { /* nothing to complete: indentation, typed or pasted */
        lib.insert(e, "  ");
        return CC_REFRESH;
    }
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
    if (signal_number == SIGINT) interrupted = 1;
    else terminated = 1;
}

static struct sigaction int_before, term_before;

/* Without SA_RESTART: read() must return. */
static void catch(void (*handler)(int), struct sigaction *for_int, struct sigaction *for_term) {
    struct sigaction action = { .sa_handler = handler };
    sigaction(SIGINT, &action, for_int);
    sigaction(SIGTERM, &action, for_term);
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
    catch(on_interrupt, &int_before, &term_before);
    lua_pushboolean(L, 1);
    return 1;
}

static int edit_read(lua_State *L) {
    prompt_text = luaL_checkstring(L, 1);
    if (!editor) return luaL_error(L, "lineedit.open was not called");
    lua_settop(L, 2);
    const char *line = NULL;
    int count = 0;
    interrupted = 0;
    if (!terminated) {
        lib.set(editor, EL_PREP_TERM, 1); /* before the prompt is there, or a quick Ctrl-D is lost */
        reader = L;
        line = lib.gets(editor, &count);
        reader = NULL;
    }
    if (terminated) {
        lib.set(editor, EL_PREP_TERM, 0);
        lua_pushnil(L);
        lua_pushliteral(L, "terminated");
        return 2;
    }
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
    if (past && history_path) lib.history(past, &event, H_SAVE, history_path); /* now: a session may end badly */
    return 0;
}

static int edit_close(lua_State *L) {
    (void)L;
    if (editor) sigaction(SIGINT, &int_before, NULL), sigaction(SIGTERM, &term_before, NULL);
    if (past) lib.history_end(past);
    if (editor) lib.end(editor);
    free(history_path);
    past = NULL, editor = NULL, history_path = NULL;
    return 0;
}

/* ---- Ctrl-C while a line runs ---- */

static lua_State *guarded;
static bool was_interrupted;

enum { GRACE = 100000 }; /* instructions that cleaning up after the first error may take */
static int raised;

/* Stays set: whoever swallows the first error gets a second one after a while, and then one at each instruction, so
 * that a loop around pcall ends too. Message handlers are safe from it, they run inside of the hook. */
static void stop_here(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, stop_here, LUA_MASKCOUNT, raised++ ? 1 : GRACE);
    luaL_error(L, "interrupted!");
}

/* lua_sethook may be called from a signal handler; the interpreter raises at its next instruction. Engine loops look at
 * lb_interrupted. A second Ctrl-C while neither helped warns, a third ends the process as it would any other. */
static void on_interrupt_running(int signal_number) {
    static const char warning[] = "\nstill busy; Ctrl-C once more ends luabench\n";
    if (signal_number == SIGTERM) terminated = 1;
    if (lb_interrupted >= 2) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    lb_interrupted = lb_interrupted + 1;
    if (lb_interrupted == 2 && write(STDERR_FILENO, warning, sizeof warning - 1) < 0) return;
    if (guarded) lua_sethook(guarded, stop_here, LUA_MASKCOUNT, 1); /* no calls: C handlers are called */
}

/* Takes the hook away before the handler in its upvalue runs: an error that C code raised because of Ctrl-C gets here
 * with the hook still waiting for its next instruction. */
static int message_handler(lua_State *L) {
    lua_sethook(L, NULL, 0, 0);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int edit_guard(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, message_handler, 1);
    lua_insert(L, 1);
    lua_remove(L, 3); /* the handler below f and its arguments */
    struct sigaction for_int, for_term;
    lb_interrupted = 0;
    raised = 0;
    guarded = L;
    catch(on_interrupt_running, &for_int, &for_term);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
    sigaction(SIGINT, &for_int, NULL);
    sigaction(SIGTERM, &for_term, NULL);
    guarded = NULL;
    lua_sethook(L, NULL, 0, 0);
    was_interrupted = lb_interrupted != 0;
    lb_interrupted = 0;
    lua_pushboolean(L, status == 0);
    lua_replace(L, 1);
    return lua_gettop(L);
}

static int edit_interrupted(lua_State *L) {
    lua_pushboolean(L, was_interrupted);
    return 1;
}

int luaopen_luabench_lineedit(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "open", edit_open }, { "read", edit_read },   { "remember", edit_remember },
        { "close", edit_close }, { "guard", edit_guard },
        { "interrupted", edit_interrupted }, { NULL, NULL },
    };
    lua_createtable(L, 0, 6);
    luaL_register(L, NULL, functions);
    return 1;
}

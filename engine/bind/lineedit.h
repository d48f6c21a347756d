/* lineedit.h: the module "luabench.lineedit": line editing with history for the REPL, through libedit. */
#pragma once
#include <lua.h>

/* Loader of the module:
 *   open(history_path or nil) -> true | nil, reason   loads libedit (not before it is needed) and the history
 *   read(prompt, complete) -> line | nil, "eof" | nil, "interrupt" (Ctrl-C) | nil, "terminated" (SIGTERM)
 *        complete(line, cursor) -> list of replacements of the word before the cursor, length of that word
 *   remember(line)      adds to the history and writes it
 *   close()             gives the terminal and the signals back; idempotent
 *   guard(f, handler, ...) -> as xpcall, but Ctrl-C raises "interrupted!" inside f, also out of loops without calls,
 *        and again where a pcall swallows it; needs the JIT compiler off, compiled loops see no hook
 *   interrupted() -> was the last guard() interrupted?
 */
int luaopen_luabench_lineedit(lua_State *L);

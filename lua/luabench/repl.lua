-- repl.lua: the read-eval-print loop: `luabench`, `luabench -i SCRIPT`, or lines piped to it.
--
-- A line is an expression (its values are shown), a statement, or the beginning of either, continued on the next line.
-- Ctrl-C comes back to the prompt, also from an endless loop: the JIT compiler is off here, because compiled loops do
-- not look for signals; plans run in C all the same.
local places = require "luabench.places"
local show = require "luabench.show"
local M = {}

local PROMPT, CONTINUED = "> ", ">> "
local LEAVE = {} -- raised by exit()

local function state_path(core)
  local base = os.getenv "XDG_STATE_HOME"
  if not base or base == "" then
    local home = os.getenv "HOME"
    if not home or home == "" then return nil end
    base = home .. "/.local/state"
  end
  local dir = base .. "/luabench"
  if not pcall(core.mkdir_p, dir) then return nil end
  return dir .. "/history"
end

-- ---- what was typed ------------------------------------------------------------------------------------------------

-- `local x = 1` would be forgotten at the end of its line; at the prompt it makes a variable that stays.
local function without_local(text)
  local rest = text:match "^%s*local%s+(function%s.*)$"
  if rest then return rest end
  local names, value = text:match "^%s*local%s+([%a_][%w_%s,]*)(=.*)$"
  if names then return names .. value end
  names = text:match "^%s*local%s+([%a_][%w_%s,]*)$"
  if names and loadstring(text) then return names .. " = nil" end
  return nil
end

-- What people type who know other prompts: a bare help, help X, ?X, X?, exit. X is a variable or else a name.
local function shorthand(text, env)
  if text:find "^%s*help%s*$" then return "help()" end
  if text:find "^%s*exit%s*$" or text:find "^%s*quit%s*$" then return "exit()" end
  local name = text:match "^%s*help%s+([%w_][%w_.:-]*)%s*$" or text:match "^%s*%?%s*([%w_][%w_.:-]*)%s*$"
    or text:match "^%s*([%a_][%w_.:]*)%s*%?%s*$"
  if not name then return text end
  local root = name:match "^([%a_][%w_]*)%.?[%w_.]*$"
  return (root and rawget(env, root) ~= nil and "help(%s)" or "help(%q)"):format(name)
end

local function unfinished(message)
  if message:find("unfinished string", 1, true) then return false end
  return message:find "near '<eof>'$" or message:find("unfinished long", 1, true)
end

-- Where a line of the input stands: so many empty lines before its text, and a name that says how many thousands more
-- there are. With empty lines alone the whole input would be read again for every line of it.
local BLOCK = 1000
local function chunk_at(first)
  local before = first - 1
  local blocks = before - before % BLOCK
  return ("\n"):rep(before - blocks), blocks == 0 and "=input" or ("=input+%d"):format(blocks)
end

-- "input+2000:5" is line 2005.
local function true_lines(text)
  return (text:gsub("input%+(%d+):(%d+)", function(blocks, line) return ("input:%d"):format(blocks + line) end))
end

-- The line is called with a function that it hands its values to: a plain `return f(x)` would be a tail call, and
-- errors of f would have no place to name.
local function compile_expression(source, name)
  local f, message = loadstring("return " .. source, name)
  if not f then return nil, message end
  local close = source:find("--", 1, true) and "\n)" or ")" -- a comment must not swallow it
  return loadstring("return (...)(" .. source .. close, name) or f
end

--- Compiles a line: as an expression first, then as statements.
-- Returns a function, or nil and the message, or nil and nil if more lines are needed. A third value says that a
-- leading `local` was taken away. `first`: the number of its first line, for messages; 1 if not given.
function M.compile(text, env, first)
  text = shorthand(text, env)
  local dropped = without_local(text)
  local source, asked = (dropped or text):gsub("^%s*=", "", 1)
  local lines_before, name = chunk_at(first or 1)
  source = lines_before .. source
  local f, as_expression = compile_expression(source, name)
  local message
  if not f then f, message = loadstring(asked == 1 and "return " .. source or source, name) end
  if f then return setfenv(f, env), nil, dropped ~= nil end
  if unfinished(message) or unfinished(as_expression) then return nil, nil end
  return nil, true_lines(message)
end

-- ---- errors and values ---------------------------------------------------------------------------------------------

local function message_of(err)
  if type(err) == "string" then return err end
  local mt = type(err) == "table" and getmetatable(err)
  if type(mt) == "table" and mt.__tostring then return tostring(err) end
  return "error object: " .. show.value(err)
end

-- A file that cannot be compiled is a wrong command line: status 2 where the session cannot go on.
local Wrong = { __tostring = function(e) return e.message end }

-- Runs where the error was raised: the message with the user's own frames below it.
local function handler(err)
  if type(err) == "table" and (err[1] == LEAVE or getmetatable(err) == Wrong) then return err end
  local message = true_lines(message_of(err))
  local frames = {}
  for level = 2, 40 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    local path = info.short_src
    if info.currentline > 0 and not places.ours(info.source) then
      frames[#frames + 1] = true_lines(("%s:%d"):format(path, info.currentline))
    end
  end
  if frames[1] and message:find(frames[1] .. ":", 1, true) then table.remove(frames, 1) end
  if #frames > 0 and not (#frames == 1 and frames[1]:find "^input:%d+$") then
    message = message .. "\n  called from " .. table.concat(frames, ", ", 1, math.min(#frames, 6))
  end
  return message
end

local function shown(env, out, ...)
  local n = select("#", ...)
  if n > 0 and (...) ~= nil then rawset(env, "_", (...)) end
  for i = 1, n do out:write(show.value((select(i, ...))), "\n") end
  out:flush()
  return true
end

-- What a compiled expression hands its values to, see compile_expression.
local function values(...) return ... end

--- Runs a compiled line and shows its values, or the error. Returns true if it went well, else false; a number is the
-- exit status of exit().
function M.execute(f, env, guard, out, err)
  local ok, message = guard(function() return shown(env, out, f(values)) end, handler)
  if ok then return true end
  if type(message) == "table" and message[1] == LEAVE then return message.status end
  out:flush()
  message = message_of(message)
  local typed_over = M.terminal and message:find "interrupted" -- the terminal shows ^C, without an end of line
  err:write(typed_over and "\n" or "", "error: ", message, "\n")
  return false
end

-- ---- names at the prompt -------------------------------------------------------------------------------------------

local function leave(status)
  if status == nil or status == true then status = 0 end
  if status == false then status = 1 end
  if type(status) ~= "number" then error("exit: a status number expected, got " .. type(status), 3) end
  error({ LEAVE, status = status }, 0)
end

local function leaver()
  return setmetatable({}, { __call = function(_, status) leave(status) end,
                            __tostring = function() return "exit() or Ctrl-D leaves" end })
end

--- What the prompt's names are: those of scripts, lb, help, reload and exit; reading an unknown one raises.
local function environment(given)
  local env = given or require("luabench.sandbox").environment()
  rawset(env, "lb", require "luabench")
  rawset(env, "help", require("luabench.help").help)
  rawset(env, "reload", function() return M.reload(env) end)
  rawset(env, "exit", leaver())
  rawset(env, "quit", env.exit)
  return env
end

-- Modules that hold the session itself, or C objects' metatables.
local KEEP = { ["luabench.core"] = true, ["luabench.lineedit"] = true, ["luabench.repl"] = true,
  ["luabench.hot"] = true,
  ["luabench.cli"] = true, ["luabench.sandbox"] = true }

local function forget(loaded, wanted, kept)
  local names = {}
  for name, value in pairs(loaded) do
    if type(name) == "string" and wanted(name) then
      names[#names + 1], kept[name] = name, value
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do loaded[name] = nil end
  return names
end

local function ours(name)
  if KEEP[name] then return false end
  return name:find "^luabench%." or name == "luabench" or name:find "^models%." or name:find "^strategies%."
    or name:find "^outputs%." or name:find "^commands%."
end

--- Reads changed files again: our modules, those that the script required, and the script of -i. Variables stay; if a
-- file has an error, everything stays as it was and the error is raised.
function M.reload(env)
  local theirs = type(env.package) == "table" and env.package.loaded or {}
  if theirs == package.loaded then theirs = {} end
  local kept, kept_theirs = {}, {}
  local names = forget(package.loaded, ours, kept)
  local user_names = forget(theirs, function(name) return not M.at_start[name] end, kept_theirs)
  local ok, message = pcall(function()
    for _, name in ipairs(names) do require(name) end
    for _, name in ipairs(user_names) do env.require(name) end
    if M.script then M.run_script(M.script, env) end
  end)
  if not ok then
    for name, value in pairs(kept) do package.loaded[name] = value end
    for name, value in pairs(kept_theirs) do theirs[name] = value end
    error("nothing was reloaded: " .. message_of(message), 0)
  end
  rawset(env, "lb", require "luabench")
  rawset(env, "help", require("luabench.help").help)
  return ("reloaded %d modules%s"):format(#names + #user_names, M.script and " and " .. M.script or "")
end

--- Runs a file with the prompt's names. What it returns (a scenario, say) is then called `script`.
function M.run_script(path, env)
  local file, problem = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  if not text then error(("cannot read %s: %s"):format(path, problem or "it is not a file"), 0) end
  local f, message = load((text:gsub("^#[^\n]*", "", 1)), "@" .. path, "t", env)
  if not f then error(setmetatable({ message = message }, Wrong), 0) end
  local value = f()
  if value ~= nil then rawset(env, "script", value) end
end

-- ---- the loops -----------------------------------------------------------------------------------------------------

--- Lines from a pipe: no prompt, no history; status 1 if any of them failed, 130 after Ctrl-C.
local function piped(env, edit)
  local status, pending, number, first = 0, nil, 0, 1
  for line in io.stdin:lines() do
    number = number + 1
    if not pending then first = number end
    local text = pending and pending .. "\n" .. line or line
    local f, message = M.compile(text, env, first)
    pending = nil
    if f then
      local result = M.execute(f, env, edit.guard, io.stdout, io.stderr)
      if type(result) == "number" then return result end
      if edit.interrupted() then return 130 end
      if not result then status = 1 end
    elseif message then
      io.stdout:flush()
      io.stderr:write("error: ", message, "\n")
      status = 1
    else
      pending = text
    end
  end
  if pending and pending:find "%S" then
    io.stdout:flush()
    io.stderr:write(("error: input:%d: the input ends inside a statement that begins with: %s\n"):format(first,
      pending:match "[^\n]*"))
    status = 1
  end
  return status
end

local told_of_locals = false

-- One line typed: what is still unfinished then, and an exit status if it was exit().
local function typed(env, edit, text)
  if not text:find "%S" then return nil end
  local f, message, was_local = M.compile(text, env)
  if not f and not message then return text end
  if not f then
    io.stderr:write("error: ", message, "\n")
    return nil
  end
  if was_local and not told_of_locals then
    told_of_locals = true
    io.stdout:write "note: locals would end with their line; here `local` is left out, so that the name stays\n"
  end
  local result = M.execute(f, env, edit.guard, io.stdout, io.stderr)
  return nil, type(result) == "number" and result or nil
end

local function interactive(env, edit)
  local complete = require("luabench.complete").completer(env)
  local pending, status
  repeat
    local line, why = edit.read(pending and CONTINUED or PROMPT, complete)
    if line then
      if line:find "%S" then edit.remember(line) end
      pending, status = typed(env, edit, pending and pending .. "\n" .. line or line)
    elseif why == "interrupt" then
      pending = nil
    else
      io.stdout:write "\n"
      status = why == "terminated" and 143 or 0
    end
  until status
  return status
end

function M.banner(core, env)
  local m, v = core.machine(), core.version()
  local cores = m.cores_usable == 1 and "1 core" or tostring(m.cores_usable or "?") .. " cores"
  local lines = { ("luabench %s on %s, %s"):format(v.version or "?", m.cpu or "an unknown processor", cores),
                  "help() explains, Tab completes, Ctrl-C stops a line, Ctrl-D leaves" }
  if rawget(env, "script") ~= nil then lines[#lines + 1] = ("what %s returned is `script`"):format(M.script) end
  return table.concat(lines, "\n") .. "\n"
end

-- false if the script failed and the session cannot go on.
local function first_script(path, env, edit, keep_going)
  M.script = path
  local ok, err = edit.guard(M.run_script, handler, path, env)
  if ok then return true end
  if type(err) == "table" and err[1] == LEAVE then return false, err.status end
  io.stdout:flush()
  io.stderr:write("error: ", message_of(err), "\n")
  return keep_going, getmetatable(err) == Wrong and 2 or 1
end

--- opts.script: run first, its globals stay. opts.env: another environment than that of scripts. Returns an exit
--- status.
function M.run(opts)
  opts = opts or {}
  local core = require "luabench.core"
  local edit = require "luabench.lineedit"
  require "luabench"
  jit.flush()
  jit.off()
  local env = environment(opts.env)
  M.at_start = { ["luabench"] = true }
  for name in pairs(type(env.package) == "table" and env.package.loaded or {}) do M.at_start[name] = true end
  local terminal = core.isatty(0) and core.isatty(1)
  if terminal then
    local ok, reason = edit.open(state_path(core))
    if not ok then
      io.stderr:write("luabench: no line editing: ", reason, "\n")
      terminal = false
    end
  end
  if opts.script then
    local ok, status = first_script(opts.script, env, edit, terminal)
    if not ok then
      edit.close()
      return status
    end
  end
  M.terminal = terminal
  if not terminal then return piped(env, edit) end
  io.stdout:write(M.banner(core, env))
  local ok, status = pcall(interactive, env, edit)
  edit.close()
  if not ok then error(status, 0) end
  return status
end

return M

-- repl.lua: the read-eval-print loop: `luabench`, `luabench -i SCRIPT`, or lines piped to it.
--
-- A line is an expression (its values are shown), a statement, or the beginning of either, continued on the next line.
-- Ctrl-C comes back to the prompt, also from an endless loop: the JIT compiler is off here, because compiled loops do
-- not look for signals; plans run in C all the same.
local show = require "luabench.show"
local M = {}

local PROMPT, CONTINUED = "> ", ">> "

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

--- Compiles a line: as an expression first, then as statements.
-- Returns a function, or nil and the message, or nil and nil if more lines are needed.
function M.compile(text, env)
  local source = text:gsub("^%s*=", "return ", 1)
  local f = loadstring("return " .. source, "=input")
  local message
  if not f then
    f, message = loadstring(source, "=input")
  end
  if f then return setfenv(f, env) end
  if message:find("'<eof>'", 1, true) or message:find("unfinished long", 1, true) then return nil, nil end
  return nil, message
end

--- What the prompt's names are: globals of the script, lb, help and reload; reading an unknown one raises.
local function environment(script_env)
  local env = script_env or {}
  local help = require "luabench.help"
  rawset(env, "lb", require "luabench")
  rawset(env, "help", help.help)
  rawset(env, "reload", function(...) return M.reload(env, ...) end)
  return env
end

local function message_of(err)
  if type(err) == "string" then return err end
  local mt = getmetatable(err)
  if mt and mt.__tostring then return tostring(err) end
  return "error object: " .. show.value(err)
end

local function handler(err)
  local message = message_of(err)
  local trace = debug.traceback("", 2)
  local places = {}
  for line in trace:gmatch "[^\n]+" do -- only the user's own frames
    local place = line:match "^%s+(%S+:%d+):" or line:match "^%s+(input:%d+):"
    if place and not place:find("luabench/", 1, true) and not place:find("^%[") then places[#places + 1] = place end
  end
  if #places > 1 then message = message .. "\n  called from " .. table.concat(places, ", ", 2, math.min(#places, 6)) end
  return message
end

local function print_values(out, n, ...)
  for i = 1, n do out:write(show.value((select(i, ...))), "\n") end
end

--- Runs a compiled line; shows values or the error. True if it went well.
function M.execute(f, guard, out, err)
  local function finish(guarded, ok, ...)
    if guarded and ok then
      print_values(out, select("#", ...), ...)
      out:flush()
      return true
    end
    err:write("error: ", message_of(guarded and (...) or ok), "\n")
    return false
  end
  return finish(guard(xpcall, f, handler))
end

--- Forgets modules that came from files, so that the next require reads them again, and runs the script of -i anew.
-- State of the prompt (variables, tensors) stays.
function M.reload(env)
  local names = {}
  for name, value in pairs(package.loaded) do
    if type(value) == "table" and not M.keep[name] and (name:find "^luabench" or not M.at_start[name]) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do package.loaded[name] = nil end
  rawset(env, "lb", require "luabench")
  rawset(env, "help", require("luabench.help").help)
  if M.script then M.run_script(M.script, env) end
  return ("reloaded %d modules%s"):format(#names, M.script and " and " .. M.script or "")
end

function M.run_script(path, env)
  local f, message = loadfile(path)
  if not f then error(message, 0) end
  return setfenv(f, env)()
end

--- Lines from a pipe: no prompt, no history; status 1 if any of them failed.
local function piped(env, guard)
  local good, pending = true, nil
  for line in io.lines() do
    local text = pending and pending .. "\n" .. line or line
    local f, message = M.compile(text, env)
    if f then
      good = M.execute(f, guard, io.stdout, io.stderr) and good
      pending = nil
    elseif message then
      io.stderr:write("error: ", message, "\n")
      good, pending = false, nil
    else
      pending = text
    end
  end
  if pending and pending:find "%S" then
    io.stderr:write("error: the input ends in the middle of a statement\n")
    good = false
  end
  return good and 0 or 1
end

local function interactive(env, edit, core)
  local ok, reason = edit.open(state_path(core))
  if not ok then
    io.stderr:write("luabench: no line editing: ", reason, "\n")
    return piped(env, edit.guard)
  end
  local complete = require("luabench.complete").completer(env)
  io.stdout:write(M.banner(core))
  local pending
  while true do
    local line, why = edit.read(pending and CONTINUED or PROMPT, complete)
    if line then
      local text = pending and pending .. "\n" .. line or line
      if line:find "%S" then edit.remember(line) end
      if text:find "%S" then
        local f, message = M.compile(text, env)
        if f then
          M.execute(f, edit.guard, io.stdout, io.stderr)
          pending = nil
        elseif message then
          io.stderr:write("error: ", message, "\n")
          pending = nil
        else
          pending = text
        end
      end
    elseif why == "interrupt" then
      pending = nil
    else
      break
    end
  end
  io.stdout:write "\n"
  edit.close()
  return 0
end

function M.banner(core)
  local m = core.machine()
  return ("luabench %s: %s, %s\nhelp() explains, Tab completes, Ctrl-D leaves\n"):format(tostring(core.version or ""),
    m.cpu or "unknown processor", (m.cores_usable or 1) == 1 and "1 core" or tostring(m.cores_usable) .. " cores")
end

--- opts.script: run first, its globals stay. opts.env: the environment scripts get. Returns an exit status.
function M.run(opts)
  opts = opts or {}
  local core = require "luabench.core"
  local edit = require "luabench.lineedit"
  M.keep = { ["luabench.core"] = true, ["luabench.lineedit"] = true, ["luabench.repl"] = true, ["luabench.hot"] = true,
             ["luabench.cli"] = true }
  M.at_start = {}
  for name in pairs(package.loaded) do M.at_start[name] = true end
  local env = environment(opts.env)
  if opts.script then
    M.script = opts.script
    local ok, err = xpcall(M.run_script, handler, opts.script, env)
    if not ok then
      io.stderr:write("error: ", message_of(err), "\n")
      if not core.isatty(0) then return 1 end
    end
  end
  jit.flush()
  jit.off()
  if core.isatty(0) and core.isatty(1) then return interactive(env, edit, core) end
  return piped(env, edit.guard)
end

return M

-- cli.lua: the command line: a script, a command, the REPL, or help. main(argv) returns the exit status.
--
-- Commands are the files of lua/commands/: { about =, usage =, run = function(argv) return status end }.
local loader = require "luabench.loader"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

local USAGE = 2

local function complain(message)
  io.stdout:flush()
  io.stderr:write("luabench: ", message, "\n")
  return USAGE
end
M.complain = complain

local function help_text()
  local lines = {
    "luabench: a benchmark engine for LLM inference",
    "",
    "  luabench SCRIPT.lua [options]    run a scenario (--help lists its options); scenarios/ has some",
    "  luabench                         an interactive prompt",
    "  luabench -i SCRIPT.lua           the prompt after a script",
    "  luabench -e CODE                 run code",
    "  luabench --version",
    "",
    "Commands (luabench COMMAND --help says more):",
  }
  for _, name in ipairs(loader.names "commands") do
    local ok, c = pcall(loader.load, "commands", name)
    if not ok then c = { about = "broken: " .. sys.clean(c):match "[^%s][^\n]*$" } end
    lines[#lines + 1] = ("  %-32s %s"):format("luabench " .. (c.usage or name), c.about or "")
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "--unsafe anywhere: scripts get all of LuaJIT, ffi included; a mistake can then crash them."
  lines[#lines + 1] = "Exit status: 0 all good; 1 a case failed, was invalid, crashed or timed out, or a regression;"
  lines[#lines + 1] = "2 the command line or a file given on it is wrong; 130 interrupted."
  return table.concat(lines, "\n") .. "\n"
end

local function version_text()
  local v = sys.version()
  local parts = { "luabench " .. tostring(v.version or "?") }
  if v.commit and v.commit ~= "" then
    parts[#parts + 1] = ("(%s%s)"):format(v.commit, v.dirty and ", changed" or "")
  end
  return table.concat(parts, " ") .. "\n"
end

-- A script named like it, in the same folder or among the scenarios.
local function script_hint(path)
  local folder, name = path:match("^(.*/)([^/]*)$")
  folder, name = folder or "", name or path
  local places, names = {}, {}
  local function add(where, list)
    for _, e in ipairs(list) do
      if e:find("%.lua$") and not places[e] then
        places[e] = where .. e
        names[#names + 1] = e
      end
    end
  end
  local ok, entries = pcall(sys.list_directory, folder == "" and "." or folder)
  add(folder, ok and entries or {})
  for _, scenario in ipairs(loader.scenarios()) do add("scenarios/", { scenario .. ".lua" }) end
  local near = suggest.nearest(name, names, 1)
  return near[1] and ('; did you mean "%s"?'):format(places[near[1]]) or ""
end

-- nil if the script can be read, else the message.
function M.script_problem(path)
  if sys.is_directory(path) then return ("%s is a directory, not a script"):format(path) end
  if sys.exists(path) then return nil end
  return ("no such file: %s%s"):format(path, script_hint(path))
end

local function run_script(path, argv)
  local problem = M.script_problem(path)
  if problem then return complain(problem) end
  sys.flag_interrupts()
  return require("luabench.runner").run { { script = path, argv = argv } }
end

local function repl(script)
  if script then
    local problem = M.script_problem(script)
    if problem then return complain(problem) end
  end
  return require("luabench.repl").run { script = script } or 0
end

local function command(name, rest)
  if not name:find("^[%w_-]+$") then return nil end
  local file = name:gsub("-", "_")
  for _, n in ipairs(loader.names "commands") do
    if n == file then return loader.load("commands", n).run(rest) or 0 end
  end
end

local function unknown(name)
  if name:sub(1, 1) == "-" then
    return complain(("unknown option %s%s; an option of a scenario stands after its script"):format(name,
      suggest.hint(name, { "--help", "--version", "-e", "-i", "--unsafe" })))
  end
  local names = loader.names "commands"
  local near = suggest.nearest(name, names)
  local scenario = loader.scenario_path(name)
  if scenario then return complain(("%s is no command; to run the scenario: luabench run %s"):format(name, name)) end
  return complain(("no command or script %q; %s"):format(name,
    near[1] and ('did you mean "%s"?'):format(near[1]) or "the commands are: " .. table.concat(names, ", ")))
end

-- argv = list of the arguments, the program apart.
function M.main(argv)
  local list = {}
  for _, a in ipairs(argv) do
    if a == "--unsafe" then require("luabench.sandbox").allow_unsafe() else list[#list + 1] = a end
  end
  local first = list[1]
  if first == nil then return repl() end
  if first == "--worker" then return require("luabench.worker").main() end
  if first == "--help" or first == "-h" or first == "help" and not list[2] then
    io.stdout:write(help_text())
    return 0
  end
  if first == "--version" then
    io.stdout:write(version_text())
    return 0
  end
  if first == "-i" then
    if not list[2] then return complain "-i needs a script, as in: luabench -i scenarios/gemm_formats.lua" end
    return repl(list[2])
  end
  local rest = {}
  for i = 2, #list do rest[i - 1] = list[i] end
  if first == "help" then return command(rest[1], { "--help" }) or unknown(rest[1]) end
  if first:find("%.lua$") or first:find("/", 1, true) or sys.exists(first) and not sys.is_directory(first) then
    return run_script(first, rest)
  end
  return command(first, rest) or unknown(first)
end

return M

-- selftest.lua: `luabench selftest [--quick] [-o FILE.json]`: does this engine tell the truth on this machine?
local json = require "luabench.json"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { usage = "selftest [--quick]", about = "validate the measurement itself on this machine" }

local HELP = [=[
luabench selftest [--quick] [-o FILE.json] [--only PART[,PART]] [--threads N] [--seed N] [--quiet]
  the whole test takes up to half an hour; --quick, with fewer trials and wider limits, under three minutes
  parts: %s
Exit status: 0 this engine's verdicts hold on this machine; 1 they do not, or a fault was not seen.
]=]

local FLAGS = { "--quick", "--output", "--only", "--threads", "--seed", "--quiet", "--help" }
local VALUES = { ["--output"] = "output", ["-o"] = "output", ["--only"] = "only", ["--threads"] = "threads",
  ["--seed"] = "seed" }

local function fail(...) error({ message = "selftest: " .. (...):format(select(2, ...)) }, 0) end

local function convert(o, name)
  if not o[name] then return end
  local options = require "luabench.options"
  local value, why = options.convert(options.common_by_name[name], o[name])
  if value == nil then fail("%s", why) end
  o[name] = value
end

local function parts_of(text)
  local parts, known = {}, require("luabench.selftest").parts
  for name in text:gmatch "[^,]+" do
    local found = false
    for _, k in ipairs(known) do found = found or k == name end
    if not found then fail("no part %q%s; there are %s", name, suggest.hint(name, known), table.concat(known, ", ")) end
    parts[#parts + 1] = name
  end
  if #parts == 0 then fail("--only needs the name of a part; there are %s", table.concat(known, ", ")) end
  return parts
end

local function parse(argv)
  local o, i = {}, 1
  while i <= #argv do
    local a = argv[i]
    local flag, value = a:match "^(%-%-[^=]+)=(.*)$"
    local name = VALUES[flag or a]
    if name then
      if not value then
        i = i + 1
        value = argv[i] or fail("%s needs a value", a)
      end
      o[name] = value
    elseif a == "--quick" then o.quick = true
    elseif a == "--quiet" then o.quiet = true
    elseif a == "--help" or a == "-h" then o.help = true
    else fail("unknown argument %s%s", a, suggest.hint(a, FLAGS)) end
    i = i + 1
  end
  convert(o, "threads")
  convert(o, "seed")
  if o.only then o.parts = parts_of(o.only) end
  if o.output then
    if not o.output:find "%.json$" and not o.output:find "%.json%.gz$" then
      fail("--output %s: the name should end in .json or .json.gz", o.output)
    end
    local fine, why = require("luabench.outputs").check(o.output, {})
    if not fine then fail("%s", why) end
  end
  return o
end

local COLOURS = { ok = "\27[32m", FAILED = "\27[31m", ["-"] = "\27[2m" }

local function paint(text, on) return on and COLOURS[text] and COLOURS[text] .. text .. "\27[0m" or text end

-- A line a check: "ok     clock        resolution: 20 ns ...".
local function line_of(c, colour)
  local state = c.passed and "ok" or c.passed == nil and "-" or "FAILED"
  return ("%s%s %-12s %s: %s"):format(paint(state, colour), (" "):rep(6 - #state), c.part, c.name,
    (tostring(c.text):gsub("%s*\n%s*", "; ")))
end

-- What is going on, on a terminal's standard error; wiped before each line.
local function progress(quiet)
  local shown = false
  local on = not quiet and sys.isatty(2)
  local function clear()
    if shown then io.stderr:write "\r\27[K" end
    shown = false
  end
  local function say(text, fraction)
    if not on then return end
    clear()
    io.stderr:write(text, fraction and (" %d %%"):format(math.floor(fraction * 100)) or "")
    io.stderr:flush()
    shown = true
  end
  return say, clear
end

local function counts(checks)
  local passed, failed, open = 0, 0, 0
  for _, c in ipairs(checks) do
    if c.passed then passed = passed + 1 elseif c.passed == nil then open = open + 1 else failed = failed + 1 end
  end
  local text = ("%d passed, %d failed"):format(passed, failed)
  return open > 0 and ("%s, %d cannot be shown here"):format(text, open) or text
end

local ORDER = { "schema", "passed", "fitness", "quick", "seed", "threads", "started", "seconds", "run", "machine",
  "checks" }

local function write(path, result)
  local version = sys.version()
  result.run = { argv = json.array(sys.argv()), version = version.version, commit = version.commit,
    dirty = version.dirty, flags = version.flags }
  result.machine = require("luabench.machine").block()
  result.fitness.lines = json.array(result.fitness.lines)
  local text = json.encode(result, { pretty = true, order = ORDER }) .. "\n"
  sys.replace_file(path, path:find "%.gz$" and sys.gzip(text) or text)
end

local function run(o)
  local no_color = os.getenv "NO_COLOR"
  local colour = sys.isatty(1) and (no_color == nil or no_color == "")
  local say, clear = progress(o.quiet)
  local result = require("luabench.selftest").run { quick = o.quick, seed = o.seed, threads = o.threads,
    parts = o.parts, tools = o.tools, on_progress = say, on_check = function(c)
      clear()
      if o.quiet and c.passed ~= false then return end
      io.stdout:write(line_of(c, colour), "\n")
      io.stdout:flush()
    end }
  clear()
  if not o.quiet then
    io.stdout:write("\n", counts(result.checks), " in ", units.duration(result.seconds), "\n")
    for _, line in ipairs(result.fitness.lines) do io.stdout:write(line, "\n") end
    io.stdout:write("verdict on this machine: ", result.fitness.verdict, "\n")
  end
  if o.output then write(o.output, result) end
  return result.passed and 0 or 1
end

-- tools: replacements for what is tested (see selftest/init.lua), for tests of the self-test itself.
function M.run(argv, tools)
  local ok, o = pcall(parse, argv)
  if not ok then
    if type(o) ~= "table" then error(o, 0) end
    return require("luabench.cli").complain(o.message)
  end
  if o.help then
    io.stdout:write(HELP:format(table.concat(require("luabench.selftest").parts, ", ")))
    return 0
  end
  o.tools = tools
  sys.flag_interrupts()
  local fine, status = pcall(run, o)
  if fine then return status end
  if sys.interrupted() then return 130 end
  error(status, 0)
end

return M

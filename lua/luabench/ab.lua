-- ab.lua: what the A and B of `luabench ab A B` are: kernels, luabench programs, cases of scenarios, or command lines.
--
-- M.resolve(text_a, text_b, opt) -> { kind =, a = label, b = label, what = what is timed, take = for pairs.run,
-- close = function() }; raises { message = } for what the command line has wrong.
local coordinator = require "luabench.coordinator"
local json = require "luabench.json"
local loader = require "luabench.loader"
local pairs_of = require "luabench.pairs"
local record = require "luabench.record"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

local function fail(...) error({ message = (...):format(select(2, ...)) }, 0) end

-- ---- which kind ----

local function is_kernel(text)
  for _, name in ipairs(require("luabench.core").kernels()) do
    if name == text then return true end
  end
  return false
end

-- The program of a build: itself, or the one in a folder; nil if this is no build.
local function program_of(text)
  if sys.is_directory(text) then
    for _, inner in ipairs { "/luabench", "/build/luabench", "/bin/luabench" } do
      local path = text:gsub("/+$", "") .. inner
      if sys.exists(path) and not sys.is_directory(path) then return path end
    end
    fail("%s is a folder without a luabench program in it", text)
  end
  if text:find "/" and text:find "[^%s/]*luabench[^%s/]*$" and not text:find "%s" and sys.exists(text) then
    return text
  end
end

-- Words of a command line, with '...' and "..." around those that have spaces.
function M.words(text)
  local words, i = {}, 1
  while true do
    i = text:find("%S", i)
    if not i then return words end
    local word = {}
    while i <= #text and not text:find("^%s", i) do
      local quote = text:match("^[\"']", i)
      local piece, after
      if quote then
        piece, after = text:match("^" .. quote .. "([^" .. quote .. "]*)" .. quote .. "()", i)
        if not piece then fail("a %s is not closed in: %s", quote, text) end
      else
        piece, after = text:match("^([^%s\"']+)()", i)
      end
      word[#word + 1], i = piece, after
    end
    words[#words + 1] = table.concat(word)
  end
end

local function script_of(text)
  local first = text:match "^%s*(%S+)"
  if not first then return nil end
  if first:find "%.lua$" and sys.exists(first) then return first end
  return loader.scenario_path(first)
end

local function in_path(program)
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if sys.exists(folder .. "/" .. program) then return true end
  end
  return false
end

-- "kernel" | "build" | "case" | "command"
local function kind_of(text)
  if not text:find "%S" then fail("an empty text is neither a kernel nor a program, a scenario or a command") end
  if is_kernel(text) then return "kernel" end
  if program_of(text) then return "build" end
  if script_of(text) then return "case" end
  if not text:find "%s" then
    local found = text:find("/", 1, true) and sys.exists(text) or in_path(text)
    if not found then
      local near = suggest.nearest(text, require("luabench.core").kernels())
      fail("%q is no kernel, no luabench program, no scenario and no command%s", text,
        near[1] and ('; did you mean "%s"?'):format(near[1]) or "; `luabench list kernels` shows the kernels")
    end
  end
  return "command"
end

local KINDS = { kernel = "a kernel", build = "a luabench program", case = "a scenario", command = "a command line" }

-- ---- cases of scenarios ----

local function expand(script, argv, timeout)
  local c = coordinator.new { isolation = true }
  local reply = c:call({ cmd = "expand", script = script, argv = json.array(argv) }, timeout)
  c:close()
  if reply.kind == "interrupted" then error("interrupted", 0) end
  if reply.kind ~= "done" then fail("%s", reply.message or reply.reason) end
  if reply.value.kind ~= "scenario" then fail("%s returns no scenario", script) end
  local job, kept = reply.value.job, {}
  local matches = job.opt.only and record.matcher(job.opt.only, job.names) or function() return true end
  for _, axes in ipairs(reply.value.cases) do
    if matches(axes) then kept[#kept + 1] = axes end
  end
  if #kept == 0 then fail("%s: no case is left of %d", script, #reply.value.cases) end
  return { script = script, argv = argv, names = job.names, cases = kept }
end

-- Names of cases that both sides have; axes in `apart` are not compared.
local function keys_of(expanded, apart)
  local names, list = {}, {}
  for _, n in ipairs(expanded.names) do
    if not apart[n] then names[#names + 1] = n end
  end
  for i, axes in ipairs(expanded.cases) do list[i] = record.case_id(axes, names) end
  return list
end

local function match(a, b, apart)
  local keys_a, keys_b, list, where = keys_of(a, apart), keys_of(b, apart), {}, {}
  if #keys_a == 1 and #keys_b == 1 then
    local key = keys_a[1]
    if key ~= keys_b[1] then key = ("%s against %s"):format(key, keys_b[1]) end
    return { { key = key, axes_a = a.cases[1], axes_b = b.cases[1] } }
  end
  for i, key in ipairs(keys_b) do where[key] = b.cases[i] end
  for i, key in ipairs(keys_a) do
    if not where[key] then fail("A has the case \"%s\", B has not; --only chooses cases", key) end
    list[i] = { key = key, axes_a = a.cases[i], axes_b = where[key] }
    where[key] = nil
  end
  local left = next(where)
  if left then fail("B has the case \"%s\", A has not; --only chooses cases", left) end
  return list
end

-- sides = { a = { script, argv, kernel }, b = ... } -> what M.resolve returns.
local function of_cases(sides, opt, apart)
  local ea = expand(sides.a.script, sides.a.argv, opt.timeout)
  local eb = expand(sides.b.script, sides.b.argv, opt.timeout)
  local cases = {}
  for i, m in ipairs(match(ea, eb, apart or {})) do
    local function side(s, axes, extra)
      return { script = s.script, argv = s.argv, axes = axes, kernel = s.kernel, label = s.label, extra_work = extra }
    end
    cases[i] = { key = m.key, a = side(sides.a, m.axes_a), b = side(sides.b, m.axes_b, opt.extra_work) }
  end
  local directory = sys.tempdir()
  return { a = sides.a.label, b = sides.b.label, what = "median of a process's samples",
    take = pairs_of.workers { cases = cases, prepared = directory, process_time = opt.process_time, seed = opt.seed,
      timeout = opt.timeout, on_tick = opt.on_tick, on_print = opt.on_print },
    close = function() pcall(sys.tempdir_remove, directory) end }
end

local function joined(...)
  local out = {}
  for _, list in ipairs { ... } do
    for _, v in ipairs(list) do out[#out + 1] = v end
  end
  return out
end

local function scenario_of(opt, otherwise)
  local name = opt.scenario or otherwise
  if not name then fail("two luabench programs need a scenario to run: --scenario NAME") end
  local path = script_of(name)
  if not path then fail("--scenario %s: there is no such script%s", name, suggest.hint(name, loader.scenarios())) end
  return path
end

local resolve = {}

function resolve.kernel(a, b, opt)
  local script = scenario_of(opt, "kernel")
  local op_a, op_b = a:match "^[^.]+", b:match "^[^.]+"
  if op_a ~= op_b then fail("%s does %s and %s does %s; kernels of one operation can be compared", a, op_a, b, op_b) end
  local axis = false
  local own = opt.scenario and expand(script, joined(opt.rest, opt.a), opt.timeout).names or { "kernel" }
  for _, n in ipairs(own) do axis = axis or n == "kernel" end
  local function side(name, more)
    return { script = script, label = name, kernel = not axis and name or nil,
      argv = joined(opt.rest, more, axis and { "--kernel=" .. name } or {}) }
  end
  return of_cases({ a = side(a, opt.a), b = side(b, opt.b) }, opt, { kernel = axis })
end

function resolve.case(a, b, opt)
  if opt.scenario then fail("--scenario goes with kernels and luabench programs; A and B name scenarios themselves") end
  local function side(text, more)
    local words = M.words(text)
    table.remove(words, 1)
    return { script = script_of(text), label = text, argv = joined(words, opt.rest, more) }
  end
  return of_cases({ a = side(a, opt.a), b = side(b, opt.b) }, opt)
end

-- Options that say how long a luabench program measures; without one of them it is told to be quick.
local LENGTHS = { ["--quick"] = true, ["--full"] = true, ["--precision"] = true, ["--max-time"] = true,
  ["--measurement-iterations"] = true }

function resolve.build(a, b, opt)
  local script = scenario_of(opt)
  if #opt.a > 0 or #opt.b > 0 or opt.extra_work then
    fail("two luabench programs run the same scenario with the same options; --a, --b and --extra-work go with kernels "
      .. "and scenarios")
  end
  local argv, told = joined(opt.rest), false
  for _, word in ipairs(argv) do told = told or LENGTHS[word:match "^[^=]*"] end
  if not told then argv[#argv + 1] = "--quick" end
  local directory = sys.tempdir()
  return { a = a, b = b, what = "median of a process's samples",
    take = pairs_of.builds { a = program_of(a), b = program_of(b), label_a = a, label_b = b, script = script,
      argv = argv,
      directory = directory, timeout = opt.timeout, on_tick = opt.on_tick },
    close = function() pcall(sys.tempdir_remove, directory) end }
end

function resolve.command(a, b, opt)
  if opt.scenario or #opt.rest > 0 or #opt.a > 0 or #opt.b > 0 or opt.extra_work then
    fail("%s: options of a scenario do not go with command lines; put a command and its options between quotes",
      opt.scenario and "--scenario" or opt.extra_work and "--extra-work" or opt.rest[1] or opt.a[1] or opt.b[1])
  end
  local sides = { a = { "sh", "-c", a }, b = { "sh", "-c", b } }
  -- once each before any pair: files come into the page cache, and what fails fails now
  for _, name in ipairs { "a", "b" } do
    if not pairs_of.execute(sides[name], opt.timeout, name:upper(), opt.on_tick) then error("interrupted", 0) end
  end
  return { a = a, b = b, what = "wall time of the whole command", close = function() end,
    take = pairs_of.commands { a = sides.a, b = sides.b, timeout = opt.timeout, on_tick = opt.on_tick } }
end

-- opt = { scenario, rest = words for the scenario of both, a, b = words for one, timeout, process_time, seed,
-- extra_work, on_tick, on_print }
function M.resolve(a, b, opt)
  local kind, other = kind_of(a), kind_of(b)
  if kind ~= other then fail("A is %s and B is %s; both have to be of one kind", KINDS[kind], KINDS[other]) end
  local out = resolve[kind](a, b, opt)
  out.kind = kind
  return out
end

return M

-- worker.lua: the process that touches scripts and devices: expands a grid, runs cases, finishes a scenario.
--
-- Requests come as JSON lines on the standard input. Replies are JSON lines on the standard output that begin with the
-- byte 30 (record separator), so that what a script prints cannot be taken for one:
--   {"event":"phase","phase":"measure"}, {"event":"progress","text":...,"fraction":...},
--   {"event":"done","value":...}, {"event":"error","message":...}
-- Without isolation the coordinator calls M.handle in its own process.
local json = require "luabench.json"
local sys = require "luabench.sys"

local M = {}

M.MARK = "\30"

local loaded = {}      -- the last script, so that many cases do not load it anew

local Failure = { __tostring = function(e) return e.message end }
local function fail(message) error(setmetatable({ message = message }, Failure), 0) end

local function trace(e)
  if getmetatable(e) == Failure then return e end
  return { message = sys.error_text(e) }
end

-- Compiles and runs a script; text only. Returns its first value.
local function run_script(path, argv)
  local text, why = sys.read_file(path)
  if not text then fail(("cannot read %s: %s"):format(path, tostring(why))) end
  local chunk, err = require("luabench.sandbox").load_file(path)
  if not chunk then fail(tostring(err)) end
  local ok, value = xpcall(function() return chunk(unpack(argv)) end, trace)
  if not ok then
    -- `return lb.scenario{...}` is a tail call: Lua has forgotten the script's line, so the file is named here
    local message = value.message or tostring(value)
    if not message:find("^[^\n]-:%d+:") then message = path .. ": " .. message end
    fail(message)
  end
  return value, text
end

local function base_name(path) return (path:gsub("^.*/", ""):gsub("%.lua$", "")) end

local function check_names(what, list, names)
  local suggest = require "luabench.suggest"
  for _, name in ipairs(list) do
    local found = false
    for _, n in ipairs(names) do found = found or n == name end
    if not found then fail(("%s: no axis %q%s"):format(what, tostring(name), suggest.hint(name, names))) end
  end
end

-- The axes that the grid has with default options, so that --axis can be parsed before the grid is known.
local function default_axes(s)
  local grid = s.grid
  if type(grid) == "function" then
    local values = {}
    local options = require "luabench.options"
    for _, o in ipairs(options.common) do values[o.name] = o.default end
    for _, o in ipairs(s.options) do values[o.name] = o.default end
    local ok, g = pcall(grid, values)
    if not ok or not require("luabench.grid").is_grid(g) then return {} end
    grid = g
  end
  local axes = {}
  for i, name in ipairs(grid:axes()) do axes[i] = { name = name, values = grid.by_name[name].values } end
  return axes
end

-- Does the scenario declare an option or have an axis of this name?
local function declares(s, name)
  for _, o in ipairs(s.options) do
    if o.name == name then return true end
  end
  for _, axis in ipairs(default_axes(s)) do
    if axis.name == name then return true end
  end
  return false
end

local function build_grid(s, opt, given)
  local g = s.grid
  if type(g) == "function" then
    local ok, made = xpcall(function() return s.grid(opt) end, trace)
    if not ok then
      local message = made.message or "?"
      -- one that begins with an option is about the command line, and needs no other place
      fail(message:find "^%-%-?%a" and message or "grid: " .. message)
    end
    if not require("luabench.grid").is_grid(made) then
      fail("the scenario's grid function should return lb.grid{...}, got " .. type(made))
    end
    g = made
  end
  for _, name in ipairs(g:axes()) do
    if given[name] and type(opt[name]) == "table" then
      local ok, e = pcall(g.override, g, name, opt[name])
      if not ok then fail(tostring(e)) end
    end
  end
  return g
end

local function keyed_options(s, opt)
  local options = require "luabench.options"
  local keyed = {}
  for _, o in ipairs(options.common) do
    if o.case then keyed[o.name] = opt[o.name] end
  end
  for _, o in ipairs(s.options) do keyed[o.name] = opt[o.name] end
  for name, value in pairs(require("luabench.journal").circumstances()) do keyed[name] = value end
  return keyed
end

local function layout(s, names)
  local columns = require "luabench.columns"
  if s.group then check_names("group", { s.group }, names) end
  if s.baseline then check_names("baseline", require("luabench.suggest").keys(s.baseline), names) end
  if s.together then
    local known = { unpack(names) }
    for _, o in ipairs(s.options) do known[#known + 1] = o.name end
    check_names("together", s.together, known)
  end
  local ok, e = pcall(columns.validate, s.columns, names)
  if not ok then fail(tostring(e)) end
  return { about = s.about, group = s.group, sort = s.sort, columns = s.columns, names = names, baseline = s.baseline }
end

-- Loads a scenario with a command line (kept for the next request of the same): { job=, scenario=, grid=, layout= },
-- or { kind = "help" | "plain" }.
local function load_scenario(path, argv, columns)
  local id = path .. "\0" .. table.concat(argv, "\0")
  if loaded.id == id then return loaded end
  loaded = {}
  local scenario = require "luabench.scenario"
  local options = require "luabench.options"
  local s, text = run_script(path, argv)
  if s == nil then return { kind = "plain" } end
  if not scenario.is_scenario(s) then
    fail(("%s returned a %s that is no scenario; return lb.scenario{...}, or nothing"):format(path, type(s)))
  end
  local opt, given = options.parse(argv, { name = "luabench " .. path, about = s.about, options = s.options,
    axes = default_axes(s), columns = columns, hint = ("\n`luabench %s --help` lists the options"):format(path) })
  if opt == nil then fail(given) end
  if opt == "help" then return { kind = "help", text = given } end
  local takes_dtype = declares(s, "dtype")
  if given.dtype and not takes_dtype then
    fail(("--dtype %s: %s makes its tensors of the types that it names itself; a script takes --dtype by declaring the "
      .. 'option "dtype", or an axis of that name, and using it'):format(opt.dtype, path))
  end
  if s.ab then opt.ab = true end
  if opt.ab and not (s.baseline and next(s.baseline)) then
    fail(("--ab: %s names no baseline to compare with; a scenario does with baseline = { axis = value }"):format(path))
  end
  local grid = build_grid(s, opt, given)
  for name in pairs(options.shared) do
    -- the option's list went to the axis of the same name
    if type(opt[name]) == "table" then opt[name] = nil end
  end
  local names = grid:axes()
  loaded = { kind = "scenario", id = id, scenario = s, grid = grid, given = given, layout = layout(s, names),
    job = { name = base_name(path), script = path, argv = json.array(argv), names = json.array(names), opt = opt,
      takes_dtype = takes_dtype,
      checksum = require("luabench.record").hash(text), keyed = keyed_options(s, opt) } }
  return loaded
end

local commands = {}

-- A device or a number of threads on the command line that this machine lacks is an error of the command line.
local function check_device(loaded)
  local job, axes = loaded.job, loaded.grid.by_name
  if axes.device then return end
  if axes.threads then
    for _, n in ipairs(loaded.given.threads and axes.threads.values or {}) do
      local ok, e = pcall(sys.device, job.opt.device, n)
      if not ok then fail(("--threads %s: %s"):format(tostring(n), sys.clean(e))) end
    end
    return
  end
  local ok, e = pcall(sys.device, job.opt.device, job.opt.threads)
  if not ok then fail(("--device %s%s: %s"):format(job.opt.device,
    job.opt.threads and (" --threads %d"):format(job.opt.threads) or "", sys.clean(e))) end
end

function commands.expand(request)
  local l = load_scenario(request.script, request.argv, request.columns)
  if l.kind ~= "scenario" then return { kind = l.kind, text = l.text } end
  check_device(l)
  local ok, cases = xpcall(function() return l.grid:expand() end, trace)
  if not ok then fail("grid: " .. (cases.message or "?")) end
  return { kind = "scenario", job = l.job, layout = l.layout, cases = json.array(cases),
    finish = l.scenario.finish ~= nil, together = json.array(l.scenario.together or {}) }
end

commands["case"] = function(request, emit)
  local prepared = require "luabench.prepared"
  local l = load_scenario(request.script, request.argv)
  prepared.directory = request.prepared
  prepared.report = function(text, fraction) emit { event = "progress", text = text, fraction = fraction } end
  return require("luabench.life").run({ scenario = l.scenario, job = l.job, trace = request.trace,
    phase = function(name) emit { event = "phase", phase = name } end }, request.axes)
end

-- A case that takes turns with one in another process: "open", "take" as often as wanted, "close" (see turns.lua).
function commands.turn(request, emit)
  local turns = require "luabench.turns"
  if request.step ~= "open" then return turns[request.step](request) end
  local prepared = require "luabench.prepared"
  turns.prefer(request)                 -- before the script runs: it may record plans
  local l = load_scenario(request.script, request.argv)
  prepared.directory = request.prepared
  prepared.report = function(text, fraction) emit { event = "progress", text = text, fraction = fraction } end
  return turns.open({ scenario = l.scenario, job = l.job,
    phase = function(name) emit { event = "phase", phase = name } end }, request)
end

-- Which kernels are the fastest for a case (luabench tune): { forms = what tuning.lua found } or { skipped = reason }.
function commands.tune(request, emit)
  local prepared, scenario = require "luabench.prepared", require "luabench.scenario"
  local l = load_scenario(request.script, request.argv)
  prepared.directory = request.prepared
  prepared.report = function(text, fraction) emit { event = "progress", text = text, fraction = fraction } end
  local opt = require("luabench.life").parts.case_options({ scenario = l.scenario, job = l.job }, request.axes)
  local case = scenario.normalize(l.scenario.case(request.axes, opt))
  if scenario.is_skip(case) then return { skipped = case.reason, forms = json.array {} } end
  local forms = require("luabench.tuning").tune(case.plan, { again = request.again, max_time = request.kernel_time,
    cache = case.cache or opt.cache, seed = opt.seed,
    progress = function(done, total, form)
      emit { event = "progress", text = ("%d of %d: %s"):format(done + 1, total, form) }
    end })
  if case.close then case.close() end
  local list = {}
  for i, q in ipairs(forms) do list[i] = q end
  return { forms = json.array(list), problem = forms.problem }
end

-- One model in this process, step by step (see model_bench/session.lua).
function commands.model(request, emit)
  return require("luabench.model_bench.session").handle(request, emit)
end

function commands.finish(request)
  local l = load_scenario(request.script, request.argv)
  local lines = l.scenario.finish(request.cases)
  if type(lines) == "string" then lines = { lines } end
  local metrics = {}
  for i, c in ipairs(request.cases) do metrics[i] = c.metrics or {} end
  return { lines = lines, metrics = json.array(metrics) }
end

-- A GPU whose context a fault has destroyed is of no more use in this process: the reply says so, and another is
-- started.
local function device_lost()
  local d = require("luabench.prepared").device
  local ok, lost = pcall(function() return d and d.lost end)
  return ok and lost or nil
end

-- Runs one request. Returns the reply; emit gets events on the way.
function M.handle(request, emit)
  local command = commands[request.cmd]
  local ok, value = xpcall(function()
    if not command then fail("unknown request " .. tostring(request.cmd)) end
    return command(request, emit)
  end, trace)
  if ok then return { event = "done", value = value, lost = device_lost() } end
  if sys.interrupted() then return { event = "interrupted" } end
  local message = value.message or tostring(value)
  return { event = "error", message = sys.with_memory_hint(message) }
end

-- The worker's main loop; returns the exit status.
function M.main()
  local last = 0
  local function send(event)
    io.stdout:write("\n", M.MARK, json.encode(event), "\n")
    io.stdout:flush()
  end
  local function emit(event)
    if event.event == "progress" and event.fraction and event.fraction < 1 then
      local now = sys.now_s()
      if now - last < 0.1 then return end
      last = now
    end
    send(event)
  end
  for line in io.stdin:lines() do
    local ok, request = pcall(sys.json_decode, line)
    if not ok or type(request) ~= "table" then
      send { event = "error", message = "a request could not be read" }
    else
      send(M.handle(request, emit))
    end
  end
  return 0
end

return M

-- tune.lua: `luabench tune [SCENARIO]`: measures, for the operands of a scenario's cases, which kernel is the fastest
-- where several fit, and keeps it for this machine and build. What it does with one plan is in luabench/tuning.lua.
local choices = require "luabench.choices"
local cli = require "luabench.cli"
local coordinator = require "luabench.coordinator"
local json = require "luabench.json"
local loader = require "luabench.loader"
local options = require "luabench.options"
local record = require "luabench.record"
local sys = require "luabench.sys"
local tuning = require "luabench.tuning"
local units = require "luabench.units"

local M = { usage = "tune [SCENARIO]", about = "measure which kernel is the fastest where several fit, and keep it" }

local DEFAULT = "kernel_choice"

local HELP = [[
luabench tune [SCENARIO.lua|NAME] [options] [options of the scenario]
  For each case of the scenario (default: kernel_choice) the kernels that could do a step are checked, and timed by
  turns; the fastest is kept as the choice for operands of that form. Runs then use it (--kernels priority: not), and
  say so: `why` in a record's path, lb.explain(plan), luabench list kernels. A kernel takes the place of the one of
  highest priority only if it is faster beyond doubt, by over 1 %. Known forms are not measured again. Another build of
  luabench, another machine or number of threads starts anew.

]]

local OPTIONS = {
  { name = "kernel_time", type = "number", min = 0.001, max = 3600, default = tuning.MAX_TIME, metavar = "SECONDS",
    help = "sampling of each kernel, for each form" },
  { name = "again", type = "boolean", help = "measure known forms again" },
  { name = "show", type = "boolean", help = "only show what is kept (--device, --threads: for these)" },
  { name = "forget", type = "boolean", help = "forget what is kept of this machine (--device, --threads)" },
  { name = "json", type = "boolean", help = "results as JSON on the standard output" },
}

local function help()
  local out = { HELP }
  for _, o in ipairs(OPTIONS) do
    local flag = options.flag(o.name) .. (o.metavar and " " .. o.metavar or "")
    out[#out + 1] = ("  %-24s %s%s\n"):format(flag, o.help,
      o.default and (" (default %s)"):format(tostring(o.default)) or "")
  end
  out[#out + 1] = "\n  Unknown options, and all after --, go to the scenario.\n"
  return table.concat(out)
end

local function fail(...) error({ message = (...):format(select(2, ...)) }, 0) end

-- Own options, the scenario, and what is left for it.
local function split(argv)
  local name
  local function other(rest, i)
    local a = argv[i]
    if i == 1 and a:sub(1, 1) ~= "-" then name = a else rest[#rest + 1] = a end
    return i
  end
  local values, rest = options.split(argv, OPTIONS, other, function(text, ...) fail("tune: " .. text, ...) end)
  return values, name, rest
end

local function find_script(name)
  local path = loader.scenario_path(name)
  if path then return path end
  local problem = cli.script_problem(name)
  if problem then fail("tune: %s%s", problem, require("luabench.suggest").hint(name, loader.scenarios())) end
  return name
end

-- --device and --threads of a command line, for --show and --forget.
local function device_of(rest)
  local given = {}
  for i, a in ipairs(rest) do
    local name, value = a:match "^%-%-(%a+)=?(.*)$"
    if name == "device" or name == "threads" then given[name] = value ~= "" and value or rest[i + 1] end
  end
  local threads
  if given.threads then
    local why
    threads, why = options.convert(options.common_by_name.threads, given.threads)
    if not threads then fail("tune: %s", why) end
  end
  local ok, device = pcall(sys.device, given.device or "cpu", threads)
  if not ok then fail("tune: %s", sys.clean(device)) end
  return device
end

local function entry_lines(form, e)
  io.stdout:write(form, "\n  ", e.kernel == e.default and "the default, " or "", e.kernel,
    e.ratio and (": %.3f of the time of %s"):format(e.ratio, e.default) or "", "\n  ", tuning.times_text(e.ns), "\n")
  for _, name in ipairs(require("luabench.suggest").keys(e.left or {})) do
    io.stdout:write("  not timed further: ", name, ": ", e.left[name], "\n")
  end
end

local function show(device, as_json)
  local forms, stale = choices.known(device)
  local names = require("luabench.suggest").keys(forms)
  if as_json then
    io.stdout:write(json.encode({ path = choices.path(), device = device.name, threads = device.threads,
      build = choices.build(),
      forms = forms, stale = stale }, { pretty = true }), "\n")
    return
  end
  for _, form in ipairs(names) do entry_lines(form, forms[form]) end
  io.stdout:write(("%d form%s of %s with %d threads, in %s%s\n"):format(#names, #names == 1 and "" or "s", device.name,
    device.threads, choices.path(), stale > 0 and ("; %d of another build do not count"):format(stale) or ""))
end

local function tell(text)
  io.stderr:write(text, "\n")
end

local function make_coordinator()
  local tty = sys.isatty(2)
  return coordinator.new { isolation = true,
    on_progress = function(text) if tty then io.stderr:write("\r\27[K", text) end end,
    on_print = tell, on_stderr = tell }
end

-- One case: what was found, or why not.
local function one(c, job, axes, values, prepared)
  local reply = c:call({ cmd = "tune", script = job.script, argv = job.argv, axes = axes, prepared = prepared,
    kernel_time = values.kernel_time, again = values.again }, math.max(600, job.opt.timeout))
  if sys.isatty(2) then io.stderr:write "\r\27[K" end
  return reply
end

local function case_lines(id, reply, as_json)
  if as_json then return end
  if reply.kind ~= "done" then
    io.stdout:write(("%s: %s\n"):format(id, sys.clean(reply.message or reply.reason or reply.kind)))
  elseif reply.value.skipped then
    io.stdout:write(("%s: skipped: %s\n"):format(id, reply.value.skipped))
  else
    for _, q in ipairs(reply.value.forms) do
      if not q.known then entry_lines(q.form, q) end
    end
  end
  io.stdout:flush()
end

local function run(values, name, rest)
  local c = make_coordinator()
  local script, argv = find_script(name or DEFAULT), json.array(rest)
  local expanded = c:call({ cmd = "expand", script = script, argv = argv }, 120)
  if expanded.kind == "interrupted" then return 130 end
  if expanded.kind ~= "done" then fail("%s", expanded.message or expanded.reason or "?") end
  if expanded.value.kind == "help" then
    io.stdout:write(help(), "\n", expanded.value.text, "\n")
    return 0
  end
  if expanded.value.kind ~= "scenario" then fail("tune: %s is no scenario", script) end
  local job, all, status, forms, asked, kept = expanded.value.job, {}, 0, 0, 0, "kept in " .. choices.path()
  local wanted = job.opt.only and record.matcher(job.opt.only, job.names) or function() return true end
  local prepared = sys.tempdir()
  local started = sys.now_s()
  local ok, why = pcall(function()
    for i, axes in ipairs(expanded.value.cases) do
      local id = record.case_id(axes, job.names)
      if wanted(axes) then
        if not values.json then tell(("[%d/%d] %s"):format(i, #expanded.value.cases, id)) end
        local reply = one(c, job, axes, values, prepared)
        if reply.kind == "interrupted" then status = 130 break end
        if reply.kind ~= "done" or reply.value.problem then status = 1 end
        if reply.kind == "done" and reply.value.problem then
          kept = "not kept"
          tell("luabench: " .. reply.value.problem)
        end
        case_lines(id, reply, values.json)
        for _, q in ipairs(reply.kind == "done" and reply.value.forms or {}) do
          forms, asked = forms + 1, asked + (q.known and 0 or 1)
          all[#all + 1] = q
        end
      end
    end
  end)
  c:close()
  sys.tempdir_remove(prepared)
  if not ok then error(why, 0) end
  if values.json then
    io.stdout:write(json.encode({ path = choices.path(), forms = json.array(all) }, { pretty = true }), "\n")
  end
  tell(("%d form%s met, %d measured in %s, %s"):format(forms, forms == 1 and "" or "s", asked,
    units.time((sys.now_s() - started) * 1e9), kept))
  return status
end

function M.run(argv)
  for _, a in ipairs(argv) do
    if (a == "--help" or a == "-h") and (#argv == 1 or argv[1]:sub(1, 1) == "-") then
      io.stdout:write(help())
      return 0
    end
  end
  local ok, status = pcall(function()
    local values, name, rest = split(argv)
    if values.forget then
      local device = device_of(rest)
      local n = choices.forget(device)
      io.stdout:write(("%d form%s of %s with %d threads forgotten\n"):format(n, n == 1 and "" or "s", device.name,
        device.threads))
      return 0
    end
    if values.show then
      show(device_of(rest), values.json)
      return 0
    end
    sys.flag_interrupts()
    return run(values, name, rest)
  end)
  if ok then return status end
  if sys.interrupted() then return 130 end
  return cli.complain(sys.clean(type(status) == "table" and status.message or status))
end

return M

-- runner.lua: runs scenarios: expand, filter, shuffle, resume, cases, speed-ups, finish, outputs, exit status.
local columns = require "luabench.columns"
local coordinator = require "luabench.coordinator"
local journal = require "luabench.journal"
local json = require "luabench.json"
local life = require "luabench.life"
local outputs = require "luabench.outputs"
local progress = require "luabench.progress"
local record = require "luabench.record"
local sys = require "luabench.sys"
local versus = require "luabench.versus"

local M = {}

M.OK, M.BAD, M.USAGE, M.INTERRUPTED = 0, 1, 2, 130

-- A message for the user and the status to leave with.
local function complain(message)
  io.stderr:write("luabench: ", sys.clean(message), "\n")
  return M.USAGE
end

-- xorshift32 from a seed: the order of cases is the same on every machine.
local function generator(seed)
  local bit = require "bit"
  local state = bit.bxor(bit.tobit(seed % 2 ^ 32), bit.tobit(math.floor(seed / 2 ^ 32) * 40503), 0x2545f491)
  if state == 0 then state = 0x2545f491 end
  return function(n)
    state = bit.bxor(state, bit.lshift(state, 13))
    state = bit.bxor(state, bit.rshift(state, 17))
    state = bit.bxor(state, bit.lshift(state, 5))
    return state % 2 ^ 32 % n + 1
  end
end

-- Fisher-Yates in place.
function M.shuffle(list, seed)
  local random = generator(seed)
  for _ = 1, 16 do random(2) end
  for i = #list, 2, -1 do
    local j = random(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

-- Value of an option in a raw command line, before the scenario is known.
local function peek(argv, flag)
  for i, a in ipairs(argv) do
    if a == flag then return argv[i + 1] or "" end
    local value = a:match("^" .. flag:gsub("%-", "%%-") .. "=(.*)$")
    if value then return value end
  end
end

local function has_flag(argv, flag)
  for _, a in ipairs(argv) do
    if a == flag then return true end
  end
  return false
end

local function load_timeout(argv)
  local options = require "luabench.options"
  local o = options.common_by_name.timeout
  local text = peek(argv, "--timeout")
  if not text then return o.default end
  return options.convert(o, text)
end

-- Expands one job in the worker. Returns it filled in, or nil and an exit status.
local function expand(c, job)
  local timeout, message = load_timeout(job.argv)
  if not timeout then return nil, complain(message) end
  local reply = c:call({ cmd = "expand", script = job.script, argv = json.array(job.argv),
    columns = sys.terminal_width(1) }, timeout)
  if reply.kind == "interrupted" then return nil, M.INTERRUPTED end
  if reply.kind == "error" then return nil, complain(reply.message) end
  if reply.kind ~= "done" then
    return nil, complain(("%s: loading the script: %s"):format(job.script, reply.reason))
  end
  local value = reply.value
  if value.kind == "plain" then return nil, M.OK end
  if value.kind == "help" then
    io.stdout:write(value.text, "\n")
    return nil, M.OK
  end
  for k, v in pairs(value.job) do job[k] = v end
  job.layout, job.finish, job.together = value.layout, value.finish, value.together
  job.layout.names = job.names
  job.cases = {}
  for i, axes in ipairs(value.cases) do job.cases[i] = { axes = axes, index = i, job = job } end
  return job
end

local function filter(job)
  if not job.opt.only then return true end
  local matches = record.matcher(job.opt.only, job.names)
  local kept = {}
  for _, case in ipairs(job.cases) do
    if matches(case.axes) then kept[#kept + 1] = case end
  end
  local all = job.cases
  job.cases = kept
  if #kept > 0 then return true end
  return false, ("--only %s: no case of %s has it; the axes are %s; a case is \"%s\"%s"):format(job.opt.only, job.name,
    table.concat(job.names, ", "), all[1] and record.case_id(all[1].axes, job.names) or "",
    record.only_hint(job.opt.only, job.names))
end

-- A case in a worker, and what became of it as a record.
local function run_once(run, case)
  local job = case.job
  local reply = run.coordinator:call({ cmd = "case", script = job.script, argv = job.argv, axes = case.axes,
    prepared = run.prepared, trace = case.trace }, job.opt.timeout)
  if reply.kind == "interrupted" then return nil end
  if reply.kind == "done" then return reply.value end
  local status = reply.kind == "error" and "failed" or reply.kind
  return record.new(job, case.axes, status, reply.reason or reply.message)
end

local function median_of(list)
  local copy = {}
  for i, v in ipairs(list) do copy[i] = v end
  table.sort(copy)
  local n = #copy
  if n == 0 then return nil end
  return n % 2 == 1 and copy[(n + 1) / 2] or (copy[n / 2] + copy[n / 2 + 1]) / 2
end
M.median_of = median_of

-- N records of the same case from N processes as one: the process is the unit, so the time is the median of the
-- processes' medians and its interval the sign interval over them; below 6 processes there is none at 95 %. How it
-- stands against the ceiling is taken from the process of the middle median: each was judged against the ceiling next
-- to it, and a fraction of one process with the time of another could exceed 1.
local function middle_of(records)
  local sorted = {}
  for i, r in ipairs(records) do sorted[i] = r end
  table.sort(sorted, function(a, b) return a.time.median < b.time.median end)
  return sorted[math.floor((#sorted + 1) / 2)]
end

-- A row is noisy if more of its samples than this were disturbed (engine/measure.h).
local NOISY_SHARE = 0.05

-- Counters add up over the processes (unknown in one = unknown); the frequency is the middle process's.
local function merge_disturbance(records, middle)
  local d = {}
  for k, v in pairs(middle.disturbance or {}) do d[k] = v end
  for _, name in ipairs { "involuntary_switches", "major_faults", "migrations", "steal_ns", "run_delay_ns",
      "disturbed_samples", "contended_samples" } do
    local sum = 0
    for _, r in ipairs(records) do sum = sum and (r.disturbance or {})[name] and sum + r.disturbance[name] or nil end
    d[name] = sum
  end
  local samples = 0
  for _, r in ipairs(records) do
    d.noisy = d.noisy or r.disturbance and r.disturbance.noisy
    samples = samples and r.time.samples and samples + r.time.samples or nil
  end
  -- the engine's rule for the samples of one process, for those of all: of ten processes one is often disturbed
  if d.disturbed_samples and samples and samples > 0 then d.noisy = d.disturbed_samples > NOISY_SHARE * samples end
  return d
end

-- A metric that every process has is the median of theirs, and keeps them: its own statistics were of one process.
local function merge_metrics(records)
  local against = {}
  for i, r in ipairs(records) do against[i] = (r.metrics or {}).versus end
  for name, m in pairs(records[1].metrics or {}) do
    local values = {}
    for i, r in ipairs(records) do
      local one = (r.metrics or {})[name]
      values[i] = type(one) == "table" and type(one.median) == "number" and one.median or nil
    end
    if #values == #records then
      local across = sys.stats(values)
      local merged = { median = median_of(values), ci95 = across.ci95, processes = json.array(values) }
      for k, v in pairs(m) do
        if type(v) ~= "number" and type(v) ~= "table" then merged[k] = v end
      end
      records[1].metrics[name] = merged
    end
  end
  if #against == #records then records[1].metrics.versus = versus.merge(against) end
end

-- A percentile across processes is the median of theirs: it has an interval, the only one that holds where the process
-- is what repeats, and it is null where there are too few processes for one or where one of them had too few samples.
local function percentiles_across(records, t)
  t.percentiles_ci95 = {}
  for _, name in ipairs { "p10", "p25", "p75", "p90", "p95", "p99" } do
    local list = {}
    for _, r in ipairs(records) do list[#list + 1] = r.time[name] end
    local across = #list == #records and sys.stats(list) or {}
    t[name], t.percentiles_ci95[name] = nil, across.ci95
    if across.ci95 then t[name] = median_of(list) end
  end
end

function M.merge_processes(records)
  local first = records[1]
  for _, r in ipairs(records) do
    if r.status ~= "ok" then return r end
  end
  if #records == 1 then
    first.processes = { { median_ns = first.time.median, samples_ns = first.samples_ns } }
    return first
  end
  local medians, pooled, marks, processes = {}, {}, {}, {}
  for i, r in ipairs(records) do
    medians[i] = r.time.median
    processes[i] = { median_ns = r.time.median, samples_ns = r.samples_ns }
    for _, x in ipairs(r.samples_ns or {}) do pooled[#pooled + 1] = x end
    for _, x in ipairs(r.marks or {}) do marks[#marks + 1] = x end
  end
  local all, across = sys.stats(pooled), sys.stats(medians)
  local t, middle = first.time, middle_of(records)
  percentiles_across(records, t)
  for _, name in ipairs { "mean", "std", "min", "max", "mad" } do t[name] = all[name] end
  t.samples = #pooled
  t.median = median_of(medians)
  t.ci95, t.precise = across.ci95, nil
  first.energy, first.counters = middle.energy, middle.counters
  first.sol, first.ceilings, first.disturbance = middle.sol, middle.ceilings, merge_disturbance(records, middle)
  merge_metrics(records)
  first.samples_ns, first.processes, first.marks = pooled, processes, #marks == #pooled and marks or nil
  life.fill_rates(first)
  return first
end

local function run_case(run, case)
  local n = case.job.opt.processes
  if not n or not run.coordinator.isolation then return run_once(run, case) end
  local records = {}
  for i = 1, n do
    run.coordinator:stop()
    records[i] = run_once(run, case)
    case.trace = nil          -- one process of a case is traced, the first
    if not records[i] then return nil end
    if records[i].status ~= "ok" then break end
  end
  return M.merge_processes(records)
end

-- Speed-up over the case that has the baseline's axes and is else the same.
function M.add_speedups(job, cases)
  local base = job.layout.baseline
  if not base or next(base) == nil then return end
  local by_id = {}
  for _, c in ipairs(cases) do by_id[record.case_id(c.axes, job.names)] = c end
  for _, c in ipairs(cases) do
    local axes = {}
    for k, v in pairs(c.axes) do axes[k] = v end
    for k, v in pairs(base) do axes[k] = v end
    local b = by_id[record.case_id(axes, job.names)]
    if b and b.status == "ok" and c.status == "ok" and b.time and c.time then
      c.metrics = c.metrics or {}
      c.metrics.speedup = { unit = "x", median = b.time.median / c.time.median, over = b.case }
    end
  end
end

-- The scenario's own finish() over all its records, in a worker. Returns lines to show.
local function finish_job(run, job, cases)
  if not job.finish or #cases == 0 then return {} end
  local reply = run.coordinator:call({ cmd = "finish", script = job.script, argv = job.argv,
    cases = json.array(cases) }, job.opt.timeout)
  if reply.kind ~= "done" then
    return { ("%s: finish: %s"):format(job.name, reply.message or reply.reason or reply.kind) }, true
  end
  for i, m in ipairs(reply.value.metrics or {}) do
    if type(m) == "table" and next(m) then cases[i].metrics = m end
  end
  return reply.value.lines or {}
end

local function make_coordinator(jobs, state)
  return coordinator.new {
    isolation = not has_flag(jobs[1].argv, "--no-isolation"),
    on_phase = function(name) if state.bar then state.bar:set_phase(name) end end,
    on_progress = function(text, fraction)
      if state.bar then state.bar:set_phase(text, fraction)
      elseif fraction == nil then io.stderr:write(text, "\n") end
    end,
    on_print = function(line)
      if state.bar then state.bar:clear() end
      -- what a script prints must not land in the middle of a result for a program
      local stream = state.clean_stdout and io.stderr or io.stdout
      stream:write(line, "\n")
      stream:flush()
    end,
    on_stderr = function(line)
      if state.bar then state.bar:clear() end
      io.stderr:write(line, "\n")
    end,
    on_tick = function() if state.bar then state.bar:draw() end end,
  }
end

-- Cases ({ axes = }) in the order in which they run: shuffled by the seed, but those that agree in the axes `together`
-- one after the other, where the first of them came. A name that is no axis of theirs tells none apart.
function M.order(cases, together, seed)
  local shuffled, groups, by = {}, {}, {}
  for i, case in ipairs(cases) do shuffled[i] = case end
  for _, case in ipairs(M.shuffle(shuffled, seed)) do
    local shared = {}
    for i, name in ipairs(together) do shared[i] = tostring(case.axes[name]) end
    local key = #together > 0 and table.concat(shared, "\0") or case
    if not by[key] then
      by[key] = {}
      groups[#groups + 1] = by[key]
    end
    table.insert(by[key], case)
  end
  local list = {}
  for _, group in ipairs(groups) do
    for _, case in ipairs(group) do list[#list + 1] = case end
  end
  return list
end

-- All cases of all jobs in the order in which they run: scenario by scenario.
local function schedule(jobs, seed)
  local list = {}
  for _, job in ipairs(jobs) do
    for _, case in ipairs(M.order(job.cases, job.together, seed)) do list[#list + 1] = case end
  end
  return list
end

local function run_cases(run, list, state, done)
  for _, case in ipairs(list) do
    local key = record.key(case.job, case.axes)
    local old = done[key]
    if old then
      case.record = old
      state.bar:finish(old, true)
    else
      state.bar:start(record.case_id(case.axes, case.job.names))
      case.trace = run.trace and run.trace:case()
      local rec = run_case(run, case)
      if not rec or sys.interrupted() and rec.status ~= "ok" then return true end
      case.record = rec
      run.journal:add(key, rec, function(text) state.bar:log("error", text) end)
      state.bar:finish(rec)
    end
  end
  return false
end

-- Records in the grid's order, with what is computed across cases. Returns the result to write and whether finish()
-- failed.
local function collect(run, jobs, head, interrupted)
  local result = { run = head, cases = {}, layout = {}, notes = {} }
  local broken = false
  for _, job in ipairs(jobs) do
    local cases = {}
    for _, case in ipairs(job.cases) do
      if case.record then cases[#cases + 1] = case.record end
    end
    M.add_speedups(job, cases)
    versus.judge(cases)
    if not interrupted then
      local lines, failed = finish_job(run, job, cases)
      broken = broken or failed
      for _, line in ipairs(lines) do table.insert(result.notes, line) end
    end
    for _, c in ipairs(cases) do table.insert(result.cases, c) end
    result.layout[job.name] = job.layout
    job.records = cases
  end
  result.machine = require("luabench.machine").block()
  return result, broken
end

local function exit_status(result)
  for _, c in ipairs(result.cases) do
    if record.bad[c.status] then return M.BAD end
  end
  return M.OK
end

-- Writes what --output, --output-dir and configurations ask for, then the standard output. Returns false on failure.
local function write_all(result, jobs, opt)
  local fine = true
  local function write(target, shown)
    local ok, err = pcall(outputs.write_file, target, shown, opt)
    if not ok then
      complain(tostring(err))
      fine = false
    end
  end
  local to_stdout = false
  for _, target in ipairs(opt.output) do
    to_stdout = to_stdout or target == "-"
    write(target, result)
  end
  for _, job in ipairs(jobs) do
    for _, target in ipairs(job.outputs or {}) do
      write(target, { run = result.run, machine = result.machine, cases = job.records, layout = result.layout,
        notes = result.notes })
    end
  end
  if opt.output_dir then
    local name = ("%s/%s-%s.%s"):format(opt.output_dir, jobs[1].name, result.run.id,
      outputs.ending_of(opt.format or "json"))
    local ok, err = pcall(sys.mkdir_p, opt.output_dir)
    if ok then write(name, result) else
      complain(tostring(err))
      fine = false
    end
  end
  if not to_stdout and not opt.quiet then outputs.show(opt.format or "table", result) end
  return fine
end

local function prepare_jobs(run, jobs)
  local opened = {}
  for _, job in ipairs(jobs) do
    local filled, status = expand(run.coordinator, job)
    if not filled then
      if status ~= M.OK then return nil, status end
    else
      if job.opt.processes and not run.coordinator.isolation then
        return nil, complain("--processes needs processes of its own, which --no-isolation forbids; give one of them")
      end
      local ok, message = filter(job)
      if not ok then return nil, complain(message) end
      for _, target in ipairs(job.outputs or {}) do
        local fine, why = outputs.check(target, job.opt)
        if not fine then return nil, complain(why) end
      end
      opened[#opened + 1] = job
    end
  end
  if #opened == 0 then return nil, M.OK end
  for _, target in ipairs(opened[1].opt.output) do
    local fine, why = outputs.check(target, opened[1].opt)
    if not fine then return nil, complain(why) end
  end
  if opened[1].opt.trace then
    local fine, why = require("luabench.trace").check(opened[1].opt.trace)
    if not fine then return nil, complain(why) end
  end
  return opened
end

local function names_of(jobs)
  local names = {}
  for i, j in ipairs(jobs) do names[i] = j.name end
  return names
end

local function open_journal(opt, jobs, head)
  local keyed = {}
  for i, job in ipairs(jobs) do keyed[i] = { script = job.name, options = job.keyed } end
  return journal.begin { outputs = opt.output, names = names_of(jobs), resume = opt.resume, run = head,
    fingerprint = record.hash(json.encode(json.array(keyed))):sub(1, 10) }
end

-- The trace file, and the tables of time by operation after the results. Returns false on failure.
local function write_trace(run, result, opt, state)
  if not run.trace then return true end
  local ok, count = pcall(run.trace.write, run.trace)
  if not ok then
    complain(("--trace %s: %s"):format(opt.trace, tostring(count)))
    return false
  end
  if count == 0 then
    io.stderr:write("luabench: no case was traced, so there is no trace file; a case from the journal has none\n")
  end
  if opt.quiet then return true end
  local stream = state.clean_stdout and io.stderr or io.stdout
  stream:write(require("luabench.trace").report(result.cases))
  return true
end

local function execute(run, jobs, state)
  local opt = jobs[1].opt
  local head = record.head(opt.seed)
  run.journal = open_journal(opt, jobs, head)
  run.trace = opt.trace and require("luabench.trace").collector(opt.trace, run.prepared)
  local list = schedule(jobs, opt.seed)
  state.clean_stdout = opt.format ~= nil
  for _, target in ipairs(opt.output) do state.clean_stdout = state.clean_stdout or target == "-" end
  state.bar = progress.new { total = #list, quiet = opt.quiet, level = opt.log_level }
  local interrupted = run_cases(run, list, state, run.journal.records)
  state.bar:close()
  local result, broken = collect(run, jobs, head, interrupted)
  state.bar:close()
  local written = write_all(result, jobs, opt)
  written = write_trace(run, result, opt, state) and written
  if interrupted then
    io.stderr:write(("luabench: interrupted with %d of %d cases done; --resume runs the rest\n"):format(#result.cases,
      #list))
    return M.INTERRUPTED
  end
  if not written then return M.USAGE end
  return broken and M.BAD or exit_status(result)
end

-- jobs = list of { script =, argv =, outputs = list or nil }. Returns the exit status.
function M.run(jobs)
  local state, run = {}, {}
  run.coordinator = make_coordinator(jobs, state)
  local directory
  local ok, status = xpcall(function()
    local opened, early = prepare_jobs(run, jobs)
    if not opened then return early end
    directory = sys.tempdir()
    run.prepared = directory
    return execute(run, opened, state)
  end, function(e)
    return type(e) == "string" and e or tostring(e)
  end)
  if state.bar then state.bar:close() end
  run.coordinator:close()
  if run.journal then run.journal:close() end
  if directory then pcall(sys.tempdir_remove, directory) end
  if not ok then
    if sys.interrupted() then return M.INTERRUPTED end
    return complain(status)
  end
  return status
end

return M

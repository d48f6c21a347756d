-- life.lua: the life of a case in a worker: prepare, check, measure, check again, judge. Returns its record's fields.
--
-- ctx = { scenario =, job = { name, script, argv, names, opt }, phase = function(name), trace = { path, pid } or nil }
local ceilings = require "luabench.ceilings"
local judge = require "luabench.judge"
local loss = require "luabench.loss"
local record = require "luabench.record"
local scenario = require "luabench.scenario"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

-- Fails the case: raised with error(), caught in M.run.
local Failure = {}
local function fail(reason, status)
  error(setmetatable({ reason = reason, status = status or "failed" }, Failure), 0)
end
M.fail = fail

local function measure_opts(opt, cache)
  local o = { precision = opt.precision, max_time = opt.max_time, samples = opt.measurement_iterations,
    warmup = opt.warmup_iterations, cache = cache, eager = opt.mode == "eager", seed = opt.seed }
  if opt.quick then o.min_samples, o.warmup_min, o.warmup_max = 10, 0.05, 0.5 end
  if opt.full then o.min_samples, o.warmup_min, o.warmup_max = 40, 0.5, 5 end
  return o
end

-- The options as this case sees them: axes named as common options win; the device is opened.
local function case_options(ctx, axes)
  local opt = {}
  for k, v in pairs(ctx.job.opt) do opt[k] = v end
  for name in pairs(require("luabench.options").shared) do
    if axes[name] ~= nil then opt[name] = axes[name] end
  end
  opt.device_name = opt.device
  opt.device = sys.device(opt.device_name, opt.threads)
  ceilings.prepare(opt.device)
  require("luabench.force").apply(opt)
  require("luabench.prepared").device = opt.device
  opt.threads = opt.device.threads
  return opt
end

local function check_reason(c)
  if c.reason and c.reason ~= "" then return c.reason end
  return ("wrong result: NMSE %.3g, at most %.3g is allowed"):format(c.nmse or 0 / 0, c.tolerance or 0 / 0)
end

local function run_check(plan, rec)
  local c = sys.check(plan)
  rec.check = { oracle = "f64 on the operands that each step saw", nmse = c.nmse, max_abs = c.max_abs,
    cosine = c.cosine, tolerance = c.tolerance, passed = c.passed and true or false,
    steps_checked = c.steps_checked, steps_skipped = c.steps_skipped, worst_op = c.op, worst_kernel = c.kernel,
    worst_label = c.label }
  return c.passed, check_reason(c)
end

-- Calls the extra checks; each gives {name, nmse, tolerance, passed, reason} or a list of them. The first that fails
-- ends it: a later one may keep the outputs for other cases to be compared with.
local function run_extra(list, rec, ...)
  local all, failed = {}, nil
  for _, f in ipairs(list) do
    if failed then break end
    local got = f(...)
    if got ~= nil then
      if type(got) ~= "table" then fail("an extra check returned a " .. type(got) .. " instead of a table") end
      if got.passed ~= nil then got = { got } end
      for _, one in ipairs(got) do
        if type(one.passed) ~= "boolean" then
          fail(("the extra check %q does not say whether it passed"):format(tostring(one.name)))
        end
        all[#all + 1] = { name = one.name, nmse = one.nmse, tolerance = one.tolerance, passed = one.passed,
          reason = one.reason }
        if not one.passed then failed = failed or one end
      end
    end
  end
  if #all > 0 then rec.check.extra = all end
  if not failed then return true end
  rec.check.passed = false
  return false, ("check %q: %s"):format(tostring(failed.name), failed.reason
    or ("NMSE %.3g, at most %.3g is allowed"):format(failed.nmse or 0 / 0, failed.tolerance or 0 / 0))
end

local function extra_checks(ctx, case, rec, axes, opt)
  local extra = {}
  for _, f in ipairs(case.extra_checks or {}) do extra[#extra + 1] = function() return f(case.plan) end end
  local own = ctx.scenario.check
  if own then extra[#extra + 1] = function() return own(case.plan, axes, opt) end end
  return run_extra(extra, rec)
end

local function check_before(ctx, case, rec, axes, opt)
  ctx.phase "check before"
  local passed, reason = run_check(case.plan, rec)
  if passed then passed, reason = extra_checks(ctx, case, rec, axes, opt) end
  if not passed then fail(reason) end
end

-- After the timed runs: the outputs that they left must be, bit for bit, those of the checked run, and the extra checks
-- hold on them. Running the plan step by step once more would prove nothing about what was timed: it has other
-- barriers, and would replace the very outputs that are in doubt.
local function check_again(ctx, case, rec, axes, opt)
  ctx.phase "check after"
  local same, reason = sys.verify(case.plan)
  rec.check.after = same and "same bits" or "other bits"
  if same then same, reason = extra_checks(ctx, case, rec, axes, opt) end
  if not same then
    rec.check.passed = false
    fail("after the timed runs: " .. reason)
  end
end

-- The mode that really runs: a plan with a fused operation is "fused", whatever was asked; asking for "fused" where
-- nothing is fused is no case.
local function mode_of(opt, account)
  local fused = false
  for _, entry in ipairs(account.path) do fused = fused or sys.op_is_fused(entry.op) end
  if opt.mode == "fused" and not fused then
    fail("nothing in this case is fused; --mode plan or eager runs it", "skipped")
  end
  return opt.mode == "plan" and fused and "fused" or opt.mode
end

-- Of a kernel of one's own the record says what it was made of.
local function path_of(account)
  for _, entry in ipairs(account.path) do
    if entry.kernel and not sys.kernel_is_builtin(entry.kernel) then entry.source = sys.kernel_source(entry.kernel) end
  end
  return account.path
end

local function fill_work(rec, case, account)
  rec.path = path_of(account)
  local own = case.work or {}
  suggest.check_keys(own, { flops = true, bytes = true }, "case.work", 0)
  rec.work = { flops = own.flops or account.flops, bytes = own.bytes or account.bytes_min, items = case.items,
    item = case.item }
  local memory = case.memory or {}
  rec.memory = { weights_bytes = memory.weights_bytes or case.weights_bytes or account.weight_bytes,
    weights_touched_bytes = account.weight_bytes, weights_streamed_bytes = account.weight_bytes_streamed,
    peak_bytes = memory.peak_bytes or sys.memory_peak() }
end

local STATISTICS = { "unit", "median", "ci95", "mean", "std", "min", "max", "p10", "p25", "p75", "p90", "p95", "p99",
  "mad", "percentiles_ci95", "samples", "iterations", "precise", "warmup_epochs", "warmup_stable" }

local function fill_time(rec, samples)
  rec.time = {}
  for _, name in ipairs(STATISTICS) do rec.time[name] = samples[name] end
  rec.samples_ns, rec.marks = samples.samples_ns, samples.marks
  rec.conditions = samples.conditions
  rec.disturbance, rec.rotation, rec.counters = samples.disturbance, samples.rotation, samples.counters
end

-- Of the whole package while this ran, whoever else used it too.
local function fill_energy(rec, samples)
  local joules, items = samples.joules_per_run, rec.work.items
  rec.energy = {}                                       -- null where it is not counted: `luabench info` says why
  if not joules then return end
  rec.energy = { joules_per_run = joules, joules_per_item = items and items > 0 and joules / items or nil,
    watts = joules / (rec.time.mean * 1e-9) }
end

-- Rates follow from the median time.
function M.fill_rates(rec)
  local t, w = rec.time and rec.time.median, rec.work or {}
  local function per_second(x) return x and x > 0 and t and t > 0 and x / t * 1e9 or nil end
  rec.rate = { flops_per_s = per_second(w.flops), bytes_per_s = per_second(w.bytes), items_per_s = per_second(w.items) }
end

-- Do caches give some of what a run reads? Then their rates, too, are measured next to it.
local function needs_curve(account, cache)
  if account.weight_bytes_streamed <= 0 then return false end
  return cache == "hot" or account.weight_bytes_streamed > 1.02 * account.weight_bytes
end

-- Against the ceilings before and after; before anything is called invalid the ceiling is measured harder.
local function fill_sol(ctx, rec, account, samples, device, before, types)
  local capacity = sys.cache_capacity(device)
  local reads, cold_bytes = judge.reads(account, rec.cache, samples.rotation, capacity)
  local work = { flops_by = account.flops_by, launches = account.launches, launch_ns = ceilings.launch_ns(device),
    reads = reads, cold_bytes = cold_bytes, capacity_bytes = capacity }
  local curve = before.curve ~= nil
  ctx.phase "ceiling after"
  local near = judge.merge(before, ceilings.measure(device, ceilings.QUICK_S, true, types, curve))
  local sol, invalid = judge.judge(work, rec.time.median, near, ceilings.best(device))
  for attempt = 1, 3 do
    if not invalid and sol.ceiling_from ~= "best" then break end
    ctx.phase "ceiling once more"
    -- how fast the machine can be: what ten samples reach stays what it was, lest it grow where a case comes out fast
    local again = ceilings.measure(device, 0.3 * 2 ^ attempt, true, types, curve)
    near.best = judge.merge(near.best, again.best)
    near.curve = judge.merge(near, { ops_per_s = {}, curve = again.curve }).curve
    sol, invalid = judge.judge(work, rec.time.median, near, ceilings.best(device))
  end
  -- What the launches read of weights, counted every time, against the same ceiling: how fast the kernels stream. The
  -- fraction above counts a byte once per stay in the cache; this one may pass 1 where the cache helps, and where a
  -- case is faster than ten samples reach.
  if account.weight_bytes_streamed and near.read_bytes_per_s > 0 then
    sol.streamed_fraction = account.weight_bytes_streamed / rec.time.median * 1e9 / near.read_bytes_per_s
  end
  -- the best samples beside the case are what a fraction of 1 is judged by
  near.best_read_bytes_per_s, near.best_ops_per_s = near.best.read_bytes_per_s, near.best.ops_per_s
  near.best, near.method = nil, ceilings.METHOD
  rec.sol, rec.ceilings = sol, near
  return invalid
end

local function value_of(x, ...)
  if type(x) == "function" then return x(...) end
  return x
end

local function fill_metrics(rec, case, samples, lost)
  -- the outputs are still those of the check: metrics() may run other plans
  local q = value_of(case.quantization_error)
  if q == nil and lost then q = loss.after(case.plan, lost) end
  if q ~= nil and type(q) ~= "table" then
    fail("case.quantization_error gave a " .. type(q) .. " instead of a table")
  end
  rec.quantization_error = q
  local metrics = value_of(case.metrics, samples)
  if metrics ~= nil then
    if type(metrics) ~= "table" then fail("case.metrics gave a " .. type(metrics) .. " instead of a table") end
    rec.metrics = {}
    for _, name in ipairs(suggest.keys(metrics)) do
      local m = metrics[name]
      rec.metrics[name] = type(m) == "table" and m or { median = m }
    end
  end
  if case.after then case.after(samples) end
end

local function compute_types(account)
  local types = {}
  for name, flops in pairs(account.flops_by or {}) do
    if flops > 0 and name ~= "none" then types[name] = true end
  end
  return types
end

-- One traced run, after all that was timed and checked. Its spans go to the run's directory; what cannot be traced is
-- no failure of the case, but said.
local function trace(ctx, case, rec, device, types)
  ctx.phase "trace"
  local tracing = require "luabench.trace"
  local ok, e = pcall(function()
    local near = judge.merge(rec.ceilings, ceilings.near(device, true, types, rec.ceilings.curve ~= nil))
    local t = tracing.take(case.plan, { cache = rec.cache, mode = rec.mode }, tracing.limits(device, near))
    local events = tracing.events(t, t.steps, ctx.trace.pid, rec.scenario .. "  " .. rec.case)
    sys.replace_file(ctx.trace.path, table.concat(events, "\n") .. "\n")
    rec.trace = tracing.summary(t)
  end)
  if ok then return end
  if sys.interrupted() then error(e, 0) end
  rec.trace = { reason = tostring(e) }
end

-- What case() gives: a case with a plan. Kept, so that it is closed.
local function recorded(ctx, axes, opt, keep)
  local case = scenario.normalize(loss.recording(ctx.scenario.case, axes, opt))
  if scenario.is_skip(case) then fail(case.reason, "skipped") end
  keep.case = case
  if not sys.is_plan(case.plan) then fail("case() should give a plan, got " .. type(case.plan)) end
  return case
end

-- --tune: the choices that this case needs are measured first; where one changes, the case is recorded anew.
local function tuned(ctx, case, axes, opt, keep)
  ctx.phase "tune"
  local r = require("luabench.tuning").tune(case.plan, { seed = opt.seed, cache = case.cache or opt.cache,
    progress = function(done, total, form)
      ctx.phase(("tune %d of %d: %s"):format(done + 1, total, form:sub(1, 60)))
    end })
  for _, q in ipairs(r) do
    if q.kernel ~= q.chosen and q.why ~= "asked for" and q.why ~= "preferred" then
      if case.close then case.close() end
      keep.case = nil
      ctx.phase "prepare"
      return recorded(ctx, axes, opt, keep)
    end
  end
  return case
end

local function live(ctx, axes, rec, keep)
  sys.memory_peak_reset()
  ctx.phase "prepare"
  local opt = case_options(ctx, axes)
  rec.device, rec.threads, rec.mode, rec.cache = opt.device.name, opt.threads, opt.mode, opt.cache
  local case = recorded(ctx, axes, opt, keep)
  if opt.tune then case = tuned(ctx, case, axes, opt, keep) end
  keep.lost = case.quantization_error == nil and loss.before(case.plan) or nil
  loss.stop()
  rec.cache, rec.note = case.cache or opt.cache, case.note
  local device = sys.plan_device(case.plan)
  rec.device, rec.threads = device.name, device.threads
  sys.snapshot_updates(case.plan)
  check_before(ctx, case, rec, axes, opt)
  sys.snapshot_outputs(case.plan)
  ctx.phase "account"
  local account = sys.account(case.plan)
  rec.mode = mode_of(opt, account)
  local missing = require("luabench.force").missing(opt, account, case.plan)
  if missing then fail(missing, "skipped") end
  fill_work(rec, case, account)
  ctx.phase "ceiling before"
  local types = compute_types(account)
  local before = ceilings.near(device, true, types, needs_curve(account, rec.cache))
  ctx.phase "measure"
  local samples = sys.measure(case.plan, measure_opts(opt, rec.cache))
  fill_time(rec, samples)
  fill_energy(rec, samples)
  if samples.rotation and samples.rotation.capped then
    local why = ("only %d copies rotate, too few for weights this small or memory this short: they may still be in the"
      .. " cache"):format(samples.rotation.sets)
    rec.note = rec.note and rec.note .. "; " .. why or why
  end
  rec.memory.peak_bytes = (case.memory or {}).peak_bytes or sys.memory_peak()
  rec.memory.huge_page_bytes, rec.pinning = sys.huge_page_bytes(), device.pinning
  -- reading it walks all page tables: only where there is something to tell
  if (sys.machine().numa_nodes or 1) > 1 then rec.memory.numa_node_bytes = sys.numa_node_bytes() end
  local invalid = fill_sol(ctx, rec, account, samples, device, before, types)
  check_again(ctx, case, rec, axes, opt)
  M.fill_rates(rec)
  ctx.phase "metrics"
  fill_metrics(rec, case, samples, keep.lost)
  if opt.ab then
    ctx.phase "against the baseline"
    rec.metrics = rec.metrics or {}
    rec.metrics.versus = require("luabench.versus").measure(ctx, case, axes, opt, measure_opts(opt, rec.cache))
  end
  if ctx.trace then trace(ctx, case, rec, device, types) end
  if invalid then fail(invalid, "invalid") end
end

local NO_TIME = { "time", "samples_ns", "marks", "rate", "sol", "disturbance", "energy", "counters" }

local function traceback(e)
  if getmetatable(e) == Failure then return e end
  return { reason = sys.error_text(e) }
end

-- A reason on one line, with the script's place kept.
local function one_line(text) return (sys.clean(text):gsub("([:;,])%s*\n%s*", "%1 "):gsub("%s*\n%s*", "; ")) end

-- The parts of a life that a case measured in turns (turns.lua) has too.
M.parts = { measure_opts = measure_opts, case_options = case_options, check_before = check_before,
  check_again = check_again, mode_of = mode_of }

-- Runs one case; never raises but on interruption. Returns the record.
function M.run(ctx, axes)
  local rec = record.new(ctx.job, axes, "ok")
  local keep = {}
  local ok, e = xpcall(function() live(ctx, axes, rec, keep) end, traceback)
  loss.stop()
  keep.lost = nil
  if keep.case and keep.case.close then
    local fine, err = pcall(keep.case.close)
    if not fine and ok then ok, e = false, { reason = "close: " .. tostring(err) } end
  end
  if not ok then
    if sys.interrupted() then error("interrupted", 0) end
    if type(e) ~= "table" then e = { reason = sys.error_text(e) } end
    local reason = one_line(sys.with_memory_hint(e.reason))
    rec.status, rec.reason = e.status or "failed", reason
    if rec.status ~= "invalid" then
      for _, name in ipairs(NO_TIME) do rec[name] = nil end
    end
  end
  keep.case = nil
  collectgarbage()
  collectgarbage()
  return rec
end

return M

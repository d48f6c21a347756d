-- versus.lua: a case against the scenario's baseline, interleaved (--ab, or `ab = true` in the scenario).
--
-- After a case has been measured on its own, its plan and that of the case with the baseline's axes run in turn in the
-- same process, as lb.compare does, and the verdict goes to metrics.versus:
--   { unit = "x", median = time over the baseline's, ci95, verdict, epsilon, p_difference, p_same, p_flip, detectable,
--     rounds, over = the baseline's case }     or { unit = "x", reason = } where there is nothing to compare with
-- The coordinator puts the verdicts of all cases of a scenario under Holm (family, p_difference_holm, p_same_holm).
-- With
-- --processes N the values are the N processes' ratios (n = N), and fewer than 6 decide nothing.
local record = require "luabench.record"
local scenario = require "luabench.scenario"
local sys = require "luabench.sys"
local verdict = require "luabench.verdict"

local M = {}

local FIELDS = { "verdict", "ci95", "epsilon", "p_difference", "p_same", "p_flip", "detectable" }

local function metric_of(r, more)
  local m = { unit = "x", median = r.ratio, n = r.n }
  for _, name in ipairs(FIELDS) do m[name] = r[name] end
  for k, v in pairs(more) do m[k] = v end
  return m
end

-- The axes of the case to compare with; nil if this one is it, or if there is no baseline.
function M.axes(baseline, axes)
  if not baseline or next(baseline) == nil then return nil end
  local out, differs = {}, false
  for k, v in pairs(axes) do out[k] = v end
  for k, v in pairs(baseline) do
    differs = differs or out[k] ~= v
    out[k] = v
  end
  return differs and out or nil
end

local function prepare(base, cache, opt)
  if scenario.is_skip(base) then return "the baseline is skipped: " .. base.reason end
  if not sys.is_plan(base.plan) then return "the baseline's case gives no plan" end
  if (base.cache or opt.cache) ~= cache then return "the baseline runs with other caches" end
  sys.snapshot_updates(base.plan)
  local c = sys.check(base.plan)
  if not c.passed then return "the baseline's result is wrong: " .. (c.reason or "?") end
end

local function measured(plans, o, id)
  o.precision, o.max_time = math.log(1 + verdict.EPSILON) / 2, o.max_time
  local samples = sys.measure_interleaved(plans, o)
  local r = verdict.paired(samples[1].samples_ns, samples[2].samples_ns, { seed = o.seed })
  return metric_of(r, { rounds = r.n, over = id, noisy = samples[1].disturbance.noisy or samples[2].disturbance.noisy })
end

-- ctx as in life.lua; o = options of sys.measure. Returns the metric, or nil where the case is the baseline.
function M.measure(ctx, case, axes, opt, o)
  local base_axes = M.axes(ctx.scenario.baseline, axes)
  if not base_axes then return nil end
  local base = scenario.normalize(ctx.scenario.case(base_axes, opt))
  local id = record.case_id(base_axes, ctx.job.names)
  local reason = prepare(base, case.cache or opt.cache, opt)
  local out = reason and { unit = "x", reason = reason, over = id } or measured({ base.plan, case.plan }, o, id)
  if not scenario.is_skip(base) and base.close then base.close() end
  return out
end

-- Of the same case in several processes: their ratios are the values.
function M.merge(metrics)
  local logs, ratios = {}, {}
  for i, m in ipairs(metrics) do
    if not m.median then return m end
    logs[i], ratios[i] = math.log(m.median), m.median
  end
  return metric_of(verdict.paired_logs(logs), { over = metrics[1].over, processes = ratios })
end

-- Holm over the records of a scenario.
function M.judge(cases)
  local results, owners = {}, {}
  for _, c in ipairs(cases) do
    local m = c.status == "ok" and c.metrics and c.metrics.versus
    if m and m.p_difference then
      results[#results + 1] = { ratio = m.median, ci95 = m.ci95, p_difference = m.p_difference, p_same = m.p_same }
      owners[#results] = m
    end
  end
  if #results < 2 then return end
  verdict.holm(results)
  for i, r in ipairs(results) do
    local m = owners[i]
    m.verdict, m.family, m.p_difference_holm, m.p_same_holm = r.verdict, r.family, r.p_difference_holm, r.p_same_holm
  end
end

return M

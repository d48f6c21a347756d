-- compare.lua: lb.compare{ a =, b =, ... }: plans against one another in this process, interleaved, with equal
-- iterations.
--
-- Blocks of as many rounds as there are plans; in a block every plan is once in every place (two plans: ABBA or BAAB),
-- in an order drawn anew from the seed. The loop is C's (engine/measure.h). The statistic is the median over rounds of
-- ln(time of b / time of a) with its exact sign interval; verdicts are verdict.lua's, under Holm where there are more
-- than two plans. It ends when that interval is within +-precision (default: half of epsilon) or the time is up, never
-- because a difference has become significant.
--
-- While they take turns the plans work in one workspace and, with hot caches, read operands that are equal (form and
-- bytes) from the same memory, so that a difference is the code's and not that of where things lie. Still, one process
-- is one draw of page placement and alignment: a difference that has to hold in the next one too wants `luabench ab`.
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"
local verdict = require "luabench.verdict"

local M = {}
local Comparison = {}
Comparison.__index = Comparison

local FIELDS = { a = true, b = true, rounds = true, min_rounds = true, precision = true, max_time = true, cache = true,
  mode = true, seed = true, epsilon = true, check = true, tolerance = true, warmup = true, warmup_min = true,
  warmup_max = true, extra_work = true }

-- NMSE up to which two sides are said to agree: rounding activations to int8 differs from f32 by some 1e-4.
M.AGREE = 1e-3

local function fail(...) error("lb.compare: " .. (...):format(select(2, ...)), 4) end

local function plans_of(o)
  local plans, names = {}, {}
  for _, name in ipairs(suggest.keys(o)) do
    if sys.is_plan(o[name]) then
      names[#names + 1] = name
      plans[#plans + 1] = o[name]
    elseif FIELDS[name] == nil or name == "a" or name == "b" then
      if #tostring(name) == 1 then fail("%s should be a plan, got %s", tostring(name), type(o[name])) end
      fail("there is no option %q%s", tostring(name), suggest.hint(name, suggest.keys(FIELDS)))
    end
  end
  if #plans < 2 then fail("at least two plans are needed, got %d", #plans) end
  return plans, names
end

local function check_number(o, name, low, what)
  local v = o[name]
  if v ~= nil and (type(v) ~= "number" or not (v >= low)) then
    fail("%s should be %s, got %s", name, what, tostring(v))
  end
end

local function check_options(o)
  if type(o) ~= "table" then fail("a table { a = plan, b = plan } expected, got %s", type(o)) end
  local plans, names = plans_of(o)
  for _, name in ipairs { "rounds", "min_rounds" } do
    check_number(o, name, 6, "a whole number of at least 6")
    if o[name] and o[name] ~= math.floor(o[name]) then fail("%s should be a whole number, got %g", name, o[name]) end
  end
  check_number(o, "tolerance", 0, "a number of at least 0")
  local e = o.epsilon
  if e ~= nil and (type(e) ~= "number" or not (e > 0 and e < 1)) then
    fail("epsilon should be between 0 and 1, got %s", tostring(e))
  end
  if o.extra_work ~= nil and type(o.extra_work) ~= "table" then
    fail("extra_work should be a table { b = 0.02 }, got %s", type(o.extra_work))
  end
  for name in pairs(o.extra_work or {}) do
    if not sys.is_plan(o[name]) then fail("extra_work: no plan %q%s", tostring(name), suggest.hint(name, names)) end
  end
  return plans, names
end

-- The last output of a plan against the first plan's.
local function compare_output(first, other, tolerance)
  if not first or not other then return { agree = false, reason = "a plan has no output to compare" } end
  local ok, nmse = pcall(sys.nmse, other, first)
  if not ok then return { agree = false, reason = sys.clean(nmse) } end
  local same, equal = pcall(function() return other:equal(first) end)
  if same and equal then return { nmse = 0, same_bits = true, tolerance = tolerance, agree = true } end
  -- all zero on both sides is no NMSE, and NaN agrees with nothing
  return { nmse = nmse, same_bits = false, tolerance = tolerance, agree = nmse <= tolerance }
end

local function check_plans(plans, names)
  for i, p in ipairs(plans) do
    sys.snapshot_updates(p)
    local c = sys.check(p)
    if not c.passed then
      error(("lb.compare: the result of plan %s is wrong, so its time means nothing: %s"):format(names[i],
        c.reason or "?"), 3)
    end
    sys.snapshot_outputs(p)
  end
end

local function verify_plans(plans, names)
  for i, p in ipairs(plans) do
    local same, reason = sys.verify(p)
    if not same then
      error(("lb.compare: after the timed runs the result of plan %s is not the checked one: %s"):format(names[i],
        reason or "?"), 3)
    end
  end
end

local function measure(plans, names, o, epsilon)
  local extra
  if o.extra_work then
    extra = {}
    for i, name in ipairs(names) do extra[i] = o.extra_work[name] or 0 end
  end
  return sys.measure_interleaved(plans, { samples = o.rounds, min_samples = o.min_rounds,
    precision = o.precision or math.log(1 + epsilon) / 2, max_time = o.max_time, cache = o.cache,
      eager = o.mode == "eager",
    seed = o.seed, warmup = o.warmup, warmup_min = o.warmup_min, warmup_max = o.warmup_max, extra_work = extra })
end

-- Options, all optional:
--   rounds       exactly so many (6 or more; rounded up to whole blocks); else min_rounds (20), until precision or
--                max_time
--   precision    half-width of the interval of the log ratio that is tight enough; half of epsilon by default
--   max_time     seconds of sampling for each plan (5)
--   epsilon      0.01: what counts as a difference, either way
--   tolerance    NMSE between outputs up to which they agree (1e-3); above it the result says so
--   cache, mode, seed     as in a run;  warmup, warmup_min, warmup_max     samples, seconds, seconds
--   check        false: the plans are not checked before and after (the caller has done it)
--   extra_work   { b = 0.02 }: plan b does 2 % more runs than are counted, in the timed loop; what the self-test
--                injects
-- Returns a printable table:
--   names, times (statistics by name), samples (ns, by name: entry i of all is of round i),
--   pairs        by name, each against the first: a result of verdict.lua
--   outputs      by name, each against the first: { nmse, same_bits, tolerance, agree } or { agree = false, reason }
--   noisy        over 5 % of a side's samples were disturbed;  seconds (spent sampling)
function M.compare(o)
  local plans, names = check_options(o)
  local epsilon = o.epsilon or verdict.EPSILON
  if o.check ~= false then check_plans(plans, names)                 -- which ran them, and took back what moves on
  else
    for _, p in ipairs(plans) do sys.run_plan(p) end
  end
  local self = setmetatable({ names = names, times = {}, pairs = {}, outputs = {}, samples = {}, epsilon = epsilon },
    Comparison)
  local first = sys.last_output(plans[1])
  for i = 2, #plans do
    self.outputs[names[i]] = compare_output(first, sys.last_output(plans[i]), o.tolerance or M.AGREE)
  end
  local samples = measure(plans, names, o, epsilon)
  if o.check ~= false then verify_plans(plans, names) end
  local results = {}
  for i, name in ipairs(names) do
    self.times[name], self.samples[name] = samples[i], samples[i].samples_ns
    self.noisy = self.noisy or samples[i].disturbance.noisy
    self.seconds = samples[i].elapsed_s
    if i > 1 then
      results[#results + 1] = verdict.paired(samples[1].samples_ns, samples[i].samples_ns,
        { epsilon = epsilon, seed = o.seed })
      self.pairs[name] = results[#results]
    end
  end
  if #results > 1 then verdict.holm(results) end
  return self
end

local function output_text(out)
  if out.same_bits then return "outputs: the same bits" end
  if out.reason then return "outputs NOT COMPARED: " .. out.reason end
  if out.agree then return ("outputs agree: NMSE %.2g"):format(out.nmse) end
  return ("outputs DIFFER: NMSE %.2g, over %.2g"):format(out.nmse, out.tolerance)
end

function Comparison:__tostring()
  local lines = {}
  for _, name in ipairs(self.names) do
    local t = self.times[name]
    local ci = t.ci95 and (" ±%.2f %%"):format((t.ci95[2] - t.ci95[1]) / 2 / t.median * 100) or ""
    lines[#lines + 1] = ("%-4s %s%s"):format(name, units.time(t.median), ci)
  end
  local first = self.names[1]
  for i = 2, #self.names do
    local name = self.names[i]
    lines[#lines + 1] = ("%s against %s: %s"):format(name, first, verdict.text(self.pairs[name], "rounds"))
    lines[#lines + 1] = "  " .. output_text(self.outputs[name])
  end
  if self.noisy then lines[#lines + 1] = "noisy: over 5 % of a side's samples were disturbed" end
  return table.concat(lines, "\n")
end

return M

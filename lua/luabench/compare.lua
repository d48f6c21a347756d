-- compare.lua: lb.compare{ a =, b =, ... }: plans against one another, interleaved, with equal iterations.
--
-- Every round runs all plans in a fresh order. The statistic is the median over rounds of ln(time of b / time of a),
-- with the exact order-statistic (sign) interval at 95 %. b is "faster" or "slower" if the interval clears +-epsilon,
-- "same" if it lies inside, else "inconclusive".
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = {}
local Comparison = {}
Comparison.__index = Comparison

local FIELDS = { a = true, b = true, rounds = true, precision = true, max_time = true, cache = true, eager = true,
  seed = true, epsilon = true, check = true, names = true }

local function check_options(o)
  if type(o) ~= "table" then error("lb.compare takes a table { a = plan, b = plan }, got " .. type(o), 3) end
  local plans, names = {}, {}
  for _, name in ipairs(suggest.keys(o)) do
    if sys.is_plan(o[name]) then
      names[#names + 1] = name
      plans[#plans + 1] = o[name]
    elseif FIELDS[name] == nil or name == "a" or name == "b" then
      if #tostring(name) == 1 then
        error(("lb.compare: %s should be a plan, got %s"):format(tostring(name), type(o[name])), 3)
      end
      error(("lb.compare has no option %q%s"):format(tostring(name), suggest.hint(name, suggest.keys(FIELDS))), 3)
    end
  end
  if #plans < 2 then error(("lb.compare needs at least two plans, got %d"):format(#plans), 3) end
  if o.rounds ~= nil and (type(o.rounds) ~= "number" or o.rounds < 6 or o.rounds ~= math.floor(o.rounds)) then
    error(("lb.compare: rounds should be a whole number of at least 6, got %s"):format(tostring(o.rounds)), 3)
  end
  local e = o.epsilon
  if e ~= nil and (type(e) ~= "number" or not (e > 0 and e < 1)) then
    error(("lb.compare: epsilon should be between 0 and 1, got %s"):format(tostring(e)), 3)
  end
  return plans, names
end

-- Verdict for an interval of log ratios.
function M.verdict(lo, hi, epsilon)
  if not lo or not hi then return "inconclusive" end
  local limit = math.log(1 + epsilon)
  if hi < -limit then return "faster" end
  if lo > limit then return "slower" end
  if lo > -limit and hi < limit then return "same" end
  return "inconclusive"
end

-- Times of the rounds of a and b -> { ratio, lo, hi, verdict, rounds }; ratio = time of b over time of a.
function M.pair(a, b, epsilon)
  local n, logs = math.min(#a, #b), {}
  for i = 1, n do logs[i] = math.log(b[i] / a[i]) end
  local s = sys.stats(logs)
  local lo, hi
  if s.ci95 then lo, hi = s.ci95[1], s.ci95[2] end
  return { ratio = s.median and math.exp(s.median), lo = lo and math.exp(lo), hi = hi and math.exp(hi), rounds = n,
    epsilon = epsilon, verdict = M.verdict(lo, hi, epsilon) }
end

-- The last f32-like output of each plan, compared with the first plan's.
local function compare_outputs(plans, names)
  local first = sys.last_output(plans[1])
  local out = {}
  for i = 2, #plans do
    local other = sys.last_output(plans[i])
    if first and other then
      local ok, nmse = pcall(sys.nmse, other, first)
      if ok then out[names[i]] = { nmse = nmse } else out[names[i]] = { reason = tostring(nmse) } end
    else
      out[names[i]] = { reason = "a plan has no output to compare" }
    end
  end
  return out
end

local function check_plans(plans, names)
  for i, p in ipairs(plans) do
    local c = sys.check(p)
    if not c.passed then
      error(("lb.compare: the result of plan %s is wrong, so its time means nothing: %s"):format(names[i],
        c.reason or "?"), 3)
    end
  end
end

-- Returns a printable table: names, times (statistics by name), pairs (by name, each against the first), outputs.
-- Options: rounds (exactly so many; default: until precision or max_time), epsilon (0.01), cache, seed, check = false.
function M.compare(o)
  local plans, names = check_options(o)
  if o.check ~= false then check_plans(plans, names) end
  for _, p in ipairs(plans) do sys.run_plan(p) end
  local outputs = compare_outputs(plans, names)
  local samples = sys.measure_interleaved(plans, { samples = o.rounds, precision = o.precision, max_time = o.max_time,
    cache = o.cache, eager = o.eager, seed = o.seed })
  local epsilon = o.epsilon or 0.01
  local self = setmetatable({ names = names, times = {}, pairs = {}, outputs = outputs, samples = {} }, Comparison)
  for i, name in ipairs(names) do
    self.times[name], self.samples[name] = samples[i], samples[i].samples_ns
    if i > 1 then self.pairs[name] = M.pair(samples[1].samples_ns, samples[i].samples_ns, epsilon) end
  end
  return self
end

local function interval(p)
  if not p.lo or not p.hi then return "no interval" end
  return ("95 %% interval %.4f to %.4f"):format(p.lo, p.hi)
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
    local p, out = self.pairs[name], self.outputs[name]
    lines[#lines + 1] = ("%s against %s: %s, time ratio %s (%s, %d rounds); outputs: %s"):format(name, first, p.verdict,
      p.ratio and ("%.4f"):format(p.ratio) or "?", interval(p), p.rounds,
      out.nmse and ("NMSE %.2g"):format(out.nmse) or out.reason)
  end
  return table.concat(lines, "\n")
end

return M

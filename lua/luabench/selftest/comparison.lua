-- selftest/comparison.lua: A against A, and A against A with more work, through lb.compare, over and over.
--
-- The same recorded plan on both sides differs from itself in nothing, so that every interval without 1 is a false
-- positive; with real extra work in the timed loop the truth is known just as well. Plans recorded anew, over equal
-- operands in memory of their own, are identical code too: such sides may differ a little in truth (where memory lies),
-- and what counts is that no verdict says so.
local judge = require "luabench.selftest.judge"
local kernels = require "luabench.selftest.kernels"
local units = require "luabench.units"

local M = { name = "comparison", about = "false positives, coverage and power in one process" }

local NAMES = { "compute", "cached", "memory" }
local ROUNDS = 30               -- of the trials that ask only for intervals that tell the truth
-- A slow-down of so much has to be found in so many trials, on a kernel that nothing but its arithmetic binds, with the
-- sampling that lb.compare does by default.
local POWER = { [0.02] = 0.8, [0.05] = 0.95 }
local INJECTED = { 0.01, 0.02, 0.05 }
local QUICK_MEMORY = { 0.02, 0.05 }      -- copying takes longer than its rounds

-- Trials and seconds: { least, most, seconds }.
local function amounts(quick)
  if quick then
    return { aa = { 20, 60, 8 }, anew = { 20, 40, 6 }, truth = { 20, 40, 6 }, power = { 10, 24, 10 } }
  end
  return { aa = { 100, 400, 100 }, anew = { 100, 400, 60 }, truth = { 100, 400, 80 }, power = { 50, 200, 100 } }
end

local function percent(n, trials) return ("%d of %d (%s)"):format(n, trials, units.percent(n / trials)) end

local function compare(t, a, b, opts)
  local o = { a = a, b = b, cache = t.cache, warmup = 0, check = false, seed = t.seed * 100003 + t.trial }
  for k, v in pairs(opts) do o[k] = v end
  return t.tools.compare(o).pairs.b
end

local function excludes(p, ratio) return p.ci95 ~= nil and (p.ci95[1] > ratio or p.ci95[2] < ratio) end

local function false_positives(t, name, plan, amount)
  local checks = t:judged("A against A, " .. name, amount[1], amount[2], amount[3], function()
    local p = compare(t, plan, plan, { rounds = ROUNDS })
    return { positive = excludes(p, 1), called = p.verdict == "faster" or p.verdict == "slower", unknown = not p.ci95 }
  end, function(counts, n)
    local fine, limit = judge.false_positives(counts.positive, n)
    local called = judge.false_positives(counts.called, n)
    return { { passed = fine and called and counts.unknown == 0,
      text = ("%s of the intervals leave out the truth, at most %s; %d verdicts differ"):format(
        percent(counts.positive, n), units.percent(limit), counts.called),
      figures = { count = counts.positive, trials = n, share = counts.positive / n, limit = limit,
        verdicts = counts.called } } }
  end)
  checks[1].name = "A against A, " .. name
  t:check(checks[1])
end

local function identical_code(t, name, make, amount)
  local checks = t:judged("recorded anew, " .. name, amount[1], amount[2], amount[3], function()
    local p = compare(t, make(nil, true), make(nil, true), { rounds = ROUNDS })
    return { called = p.verdict == "faster" or p.verdict == "slower" }
  end, function(counts, n)
    local fine, limit = judge.false_positives(counts.called, n)
    return { { passed = fine, text = ("identical code was called different in %s, at most %s"):format(
      percent(counts.called, n), units.percent(limit)), figures = { count = counts.called, trials = n,
      share = counts.called / n, limit = limit } } }
  end)
  checks[1].name = "identical code, " .. name
  t:check(checks[1])
end

-- sides(share) -> plan a, plan b, extra_work or nil. least_power: nil = it is only reported.
local function injected(t, name, share, sides, opts, amount, least_power)
  local truth, title = 1 + share, ("+%g %%, %s"):format(share * 100, name)
  local checks = t:judged(title, amount[1], amount[2], amount[3], function()
    local a, b, extra = sides(share)
    local o = { extra_work = extra and { b = extra } or nil }
    for k, v in pairs(opts) do o[k] = v end
    local p = compare(t, a, b, o)
    return { missed = p.ci95 == nil or excludes(p, truth), slower = p.verdict == "slower",
      faster = p.verdict == "faster", above = p.ci95 ~= nil and p.ci95[1] > 1 }
  end, function(counts, n)
    local covered, limit = judge.coverage(n - counts.missed, n)
    local list = { { passed = covered and counts.faster == 0, name = "covered: " .. title,
      text = ("%s of the intervals hold the truth, at least %s"):format(percent(n - counts.missed, n),
        units.percent(limit)), figures = { count = n - counts.missed, trials = n, limit = limit,
        share = 1 - counts.missed / n, called_faster = counts.faster } } }
    local found = share > 0.01 and counts.slower or counts.above
    local power = { name = "found: " .. title, figures = { count = found, trials = n, share = found / n } }
    local said = share > 0.01 and "verdicts are slower" or "intervals lie above 1"
    if least_power then
      power.passed, power.figures.limit = judge.power(found, n, least_power)
      power.text = ("%s of the %s, at least %s"):format(percent(found, n), said, units.percent(power.figures.limit))
    else
      power.passed, power.text = true, ("%s of the %s"):format(percent(found, n), said)
    end
    list[2] = power
    return list
  end)
  for _, c in ipairs(checks) do t:check(c) end
  t.fitness.resolution = t.fitness.resolution or {}
  t.fitness.resolution[name] = t.fitness.resolution[name] or {}
  t.fitness.resolution[name][share] = checks[2].figures.share
end

local function of_kernel(t, name, amount)
  local make, other = kernels[name](t.device)      -- its cache regime, or why there is none
  if not make then
    return t:check { name = name, text = other }
  end
  t.cache = other or "hot"
  local plan = make()
  t.tools.measure(plan, { cache = t.cache, samples = 20, warmup_min = 0.2, warmup_max = 1 })     -- the machine wakes up
  local short = t.quick and name == "memory"
  false_positives(t, name, plan, amount.aa)
  if not short then identical_code(t, name, make, amount.anew) end
  for _, share in ipairs(short and QUICK_MEMORY or INJECTED) do
    if name == "compute" then
      -- the sampling that lb.compare does by default
      injected(t, name, share, function(extra) return plan, plan, extra end, { max_time = 1 },
        amount.power, POWER[share])
    else
      injected(t, name, share, function(extra) return plan, plan, extra end, { rounds = ROUNDS }, amount.truth)
    end
  end
end

function M.run(t)
  local amount = amounts(t.quick)
  for _, name in ipairs(t.tools.kernels or NAMES) do of_kernel(t, name, amount) end
end

return M

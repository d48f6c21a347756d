-- selftest/processes.lua: the same through pairs of fresh processes, as `luabench ab` takes and ends them.
local judge = require "luabench.selftest.judge"
local pairs_of = require "luabench.pairs"
local units = require "luabench.units"

local M = { name = "processes", about = "false positives and power in pairs of processes" }

local PROCESS_S = 0.06      -- less than ab's, so that there can be many trials
local POWER = 0.8

-- Pairs of a trial end as ab's do, but at 24 and not 60 where the interval stays wide: a trial has seconds. The quick
-- test takes ab's least.
local function most_pairs(t) return t.quick and pairs_of.LEAST or 24 end

local function script() return require("luabench.sys").lua_root() .. "/luabench/selftest/product.lua" end

-- One trial: pairs until the interval is tight. extra: nil, or the share of more work that b does.
local function trial(t, extra)
  local argv = { "--cache", "hot", "--quick", "--threads", tostring(t.device.threads) }
  local side = { script = script(), argv = argv, axes = { m = 64 } }
  local other = { script = side.script, argv = argv, axes = side.axes, extra_work = extra }
  local seed = t.seed * 100003 + t.trial * 64
  local r = t.tools.pairs { take = t.tools.workers { cases = { { key = "product", a = side, b = other } },
    process_time = PROCESS_S, seed = seed }, least = pairs_of.LEAST, most = most_pairs(t), seed = seed }
  if r.stopped == "interrupted" then error("interrupted", 0) end
  if r.failed then error({ message = r.failed }, 0) end
  return r.cases[1].result
end

local function excludes(p, ratio) return p.ci95 ~= nil and (p.ci95[1] > ratio or p.ci95[2] < ratio) end
local function percent(n, trials) return ("%d of %d (%s)"):format(n, trials, units.percent(n / trials)) end

local function identical(t, amount)
  local checks = t:judged("A against A in processes", amount[1], amount[2], amount[3], function()
    local p = trial(t)
    return { positive = excludes(p, 1), called = p.verdict == "faster" or p.verdict == "slower", unknown = not p.ci95 }
  end, function(counts, n)
    local fine, limit = judge.false_positives(counts.positive, n)
    local called = judge.false_positives(counts.called, n)
    return { { name = "A against A", passed = fine and called and counts.unknown == 0,
      text = ("%s of the intervals leave out the truth, at most %s; %d verdicts differ"):format(
        percent(counts.positive, n), units.percent(limit), counts.called), figures = { count = counts.positive,
        trials = n, share = counts.positive / n, limit = limit, verdicts = counts.called,
        most_pairs = most_pairs(t) } } }
  end)
  t:check(checks[1])
end

local function injected(t, share, amount, least_power)
  local title = ("+%g %%"):format(share * 100)
  local checks = t:judged(title .. " in processes", amount[1], amount[2], amount[3], function()
    local p = trial(t, share)
    return { missed = p.ci95 == nil or excludes(p, 1 + share), slower = p.verdict == "slower",
      faster = p.verdict == "faster" }
  end, function(counts, n)
    local covered, limit = judge.coverage(n - counts.missed, n)
    local found, least = judge.power(counts.slower, n, least_power)
    return { { name = "covered: " .. title, passed = covered and counts.faster == 0,
      text = ("%s of the intervals hold the truth, at least %s"):format(percent(n - counts.missed, n),
        units.percent(limit)), figures = { count = n - counts.missed, trials = n, share = 1 - counts.missed / n,
        limit = limit } },
      { name = "found: " .. title, passed = found, text = ("%s of the verdicts are slower, at least %s"):format(
        percent(counts.slower, n), units.percent(least)), figures = { count = counts.slower, trials = n,
        share = counts.slower / n, limit = least } } }
  end)
  for _, c in ipairs(checks) do t:check(c) end
end

function M.run(t)
  if t.quick then
    identical(t, { 6, 12, 20 })
    return injected(t, 0.05, { 5, 8, 15 }, POWER)
  end
  identical(t, { 30, 400, 300 })
  injected(t, 0.02, { 15, 60, 100 }, POWER)
  injected(t, 0.05, { 15, 60, 80 }, POWER)
end

return M

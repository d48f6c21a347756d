-- gate.lua: two saved results against one another: which cases are the same, what machines they are from, and a verdict
-- per case that statistics support. `luabench compare` shows what this says.
--
-- The process is what repeats: of a result whose cases ran in one process each, nothing is called different. With
-- --processes N on both sides the medians of the processes are compared by the exact unpaired test of verdict.lua, and
-- Holm's correction over all rows keeps the chance of any false alarm in a comparison at 5 %. Rows that were disturbed,
-- did other work, or moved with the machine's own ceilings are inconclusive. The runs were not interleaved: what the
-- machine did between them cannot be told from the program; `luabench ab` can.
local gate_metrics = require "luabench.gate_metrics"
local record = require "luabench.record"
local result_of = require "luabench.result"
local suggest = require "luabench.suggest"
local units = require "luabench.units"
local verdict = require "luabench.verdict"

local M = {}

M.THRESHOLD = 0.02
-- Best ceilings that differ by more than this are of different machines. On one and the same host they are what its
-- neighbours left (reads between 29 and 54 GB/s within a minute were seen) and have to differ by more; next to a case,
-- by more than the third they are of a machine in a different state.
M.CEILINGS, M.CEILINGS_SAME_HOST, M.CEILINGS_NEAR = 0.2, 1, 0.1

-- ---- machines ----

local function text_of(v, unit)
  if v == nil then return "unknown" end
  if unit == "B" then return units.binary_bytes(v) end
  if unit then return units.show(v, unit) end
  return tostring(v)
end

local function differ(list, what, a, b, unit)
  if a == b then return end
  list[#list + 1] = { what = what, base = a, new = b,
    text = ("%s: %s in BASE, %s in NEW"):format(what, text_of(a, unit), text_of(b, unit)) }
end

local function apart(a, b, limit)
  return type(a) == "number" and type(b) == "number" and a > 0 and b > 0
    and math.abs(math.log(a / b)) > math.log(1 + limit)
end

-- Ceilings by what was measured with how many threads: the machine's fingerprint is not compared here.
local function by_threads(ceilings)
  local list = {}
  for _, key in ipairs(suggest.keys(ceilings)) do list[key:gsub(" | machine %x+$", "")] = ceilings[key] end
  return list
end

-- Differences go to `other` beyond the limit, to `notes` if they are only worth knowing.
local function compare_ceilings(a, b, limit, other, notes)
  a, b = by_threads(a), by_threads(b)
  local function one(what, x, y, unit)
    if apart(x, y, limit) then differ(other, what, x, y, unit)
    elseif apart(x, y, M.CEILINGS) then differ(notes, what, x, y, unit) end
  end
  for _, key in ipairs(suggest.keys(a)) do
    local x, y = a[key], b[key]
    if type(x) == "table" and type(y) == "table" then
      one("read ceiling, " .. key, x.read_bytes_per_s, y.read_bytes_per_s, "B/s")
      for _, name in ipairs(suggest.keys(x.ops_per_s or {})) do
        one(("%s ceiling, %s"):format(name, key), x.ops_per_s[name], (y.ops_per_s or {})[name], "flop/s")
      end
    end
  end
end

-- What keeps a verdict from being given, and what is only worth knowing: two lists of { what, base, new, text }.
function M.machines(base, new)
  local a, b, other, notes = base.machine, new.machine, {}, {}
  local ca, cb, ka, kb = a.cores or {}, b.cores or {}, a.caches or {}, b.caches or {}
  differ(other, "CPU", a.cpu, b.cpu)
  differ(other, "instruction sets", a.isa, b.isa)
  differ(other, "physical cores", ca.physical, cb.physical)
  differ(other, "usable cores", ca.usable, cb.usable)
  differ(other, "last-level cache", ka.llc_total_bytes, kb.llc_total_bytes, "B")
  if apart(a.memory_bytes, b.memory_bytes, 0.02) then differ(other, "memory", a.memory_bytes, b.memory_bytes, "B") end
  local same_host = #other == 0 and a.hostname ~= nil and a.hostname == b.hostname and a.kernel == b.kernel
  compare_ceilings(a.ceilings or {}, b.ceilings or {}, same_host and M.CEILINGS_SAME_HOST or M.CEILINGS, other, notes)
  for _, f in ipairs { { "host", "hostname" }, { "kernel", "kernel" }, { "governor", "governor" },
      { "huge pages", "transparent_huge_pages" }, { "clock source", "clocksource" } } do
    differ(notes, f[1], a[f[2]], b[f[2]])
  end
  if base.run.id and base.run.id == new.run.id then
    notes[#notes + 1] = { what = "run", base = base.run.id, new = new.run.id, text = "BASE and NEW are the same run" }
  end
  differ(notes, "compiler flags", base.run.flags, new.run.flags)
  differ(notes, "seed", base.run.seed, new.run.seed)
  return other, notes
end

-- ---- cases ----

-- All cases of both, BASE's order first: { name =, scenario =, base = case or nil, new = case or nil }. Where a file
-- has a case several times, the first goes with the first.
function M.match(base, new)
  local list, by = {}, {}
  local function add(result, side)
    local seen = {}
    for _, case in ipairs(result.cases) do
      local key = result_of.key(case)
      seen[key] = (seen[key] or 0) + 1
      key = key .. "\0" .. seen[key]
      local pair = by[key]
      if not pair then
        pair = { scenario = case.scenario, name = case.case }
        by[key] = pair
        list[#list + 1] = pair
      end
      pair[side] = case
    end
  end
  add(base, "base")
  add(new, "new")
  return list
end

-- Why the two are not the same case at all: run in another way, or other work under the same name.
local function other_case(a, b)
  for _, name in ipairs { "device", "threads", "mode", "cache", "dtype" } do
    if a[name] ~= b[name] then
      return ("not comparable: %s %s in BASE, %s in NEW"):format(name, record.value_text(a[name]),
        record.value_text(b[name]))
    end
  end
  local x, y = a.work or {}, b.work or {}
  for _, name in ipairs { "items", "flops" } do
    if x[name] ~= y[name] then
      return ("not comparable: other work (%s %s in BASE, %s in NEW)"):format(name, record.value_text(x[name]),
        record.value_text(y[name]))
    end
  end
end

local function is_noisy(case) return case.disturbance and case.disturbance.noisy end

local function noisy(a, b)
  local where = is_noisy(a) and (is_noisy(b) and "both" or "BASE") or is_noisy(b) and "NEW"
  return where and "noisy in " .. where or nil
end

-- The ceiling next to each that bounds the case, as the time ratio that it alone would explain; nil where it did not
-- move much, is unknown, or was measured by another method (records of before have none).
local function ceiling_ratio(a, b)
  local sol = b.sol or {}
  local x, y = a.ceilings or {}, b.ceilings or {}
  if x.method ~= y.method then return nil end
  local p, q
  if sol.bound == "memory" then p, q = x.read_bytes_per_s, y.read_bytes_per_s
  elseif sol.bound == "compute" and sol.compute_type then
    p, q = (x.ops_per_s or {})[sol.compute_type], (y.ops_per_s or {})[sol.compute_type]
  end
  return apart(p, q, M.CEILINGS_NEAR) and p / q or nil
end

-- Did the machine's ceiling move the way the time did, far enough to explain the claim?
local function explained(row, a, b, threshold)
  local r = ceiling_ratio(a, b)
  if not r or not row.ci95 then return nil end
  local slower = row.ratio > 1
  if (r > 1) ~= slower then return nil end
  local left = slower and row.ci95[1] / r or row.ci95[2] / r
  if slower and left > 1 + threshold or not slower and left < 1 / (1 + threshold) then return nil end
  local moved = units.significant(math.abs(1 / r - 1) * 100, 2)
  return ("the machine moved: the ceiling next to it was %s %% %s"):format(moved, r > 1 and "lower in NEW"
    or "higher in NEW")
end

-- ---- verdicts ----

local function words(metric)
  if metric.name == "time" then return "slower", "faster" end
  return "worse", "better"
end

-- The verdict of verdict.lua ("slower" = the number grew) in the metric's own words.
local function worded(metric, v)
  if v ~= "slower" and v ~= "faster" then return v end
  if not metric.better then return "changed" end
  local bad, good = words(metric)
  return (v == "slower") == (metric.better == "less") and bad or good
end

-- Of numbers that do not scatter.
local function exact(row, metric, threshold)
  local a, b = row.base, row.new
  if a == b then row.verdict = "same" return end
  if a > 0 and b > 0 then
    row.ratio = b / a
    if not apart(a, b, threshold) then row.verdict = "same" return end
  end
  row.verdict = worded(metric, b > a and "slower" or "faster")
end

local function few(n, m)
  return n <= 1 and m <= 1 and "one process each" or ("%d and %d processes are too few"):format(n, m)
end

-- Fills a row's numbers; a row that may be judged with others gets `test`, the result of verdict.unpaired.
local function judge(row, pair, metric, threshold)
  local a, b = pair.base, pair.new
  row.base, row.new = metric.value(a), metric.value(b)
  if row.base == nil and row.new == nil then row.verdict = nil return end
  if row.base == nil or row.new == nil then
    row.verdict, row.reason = "inconclusive", ("%s is unknown in %s"):format(metric.title, row.base and "NEW" or "BASE")
    return
  end
  if row.base > 0 and row.new > 0 then row.ratio = row.new / row.base end
  row.verdict, row.reason = "inconclusive", other_case(a, b)
  if row.reason then row.comparable = false return end
  if metric.exact then return exact(row, metric, threshold) end
  local values = metric.processes or function() end
  local x, y = values(a) or { row.base }, values(b) or { row.new }
  row.n, row.m = #x, #y
  row.reason = noisy(a, b)
  if row.ratio == nil then row.reason = row.reason or "not positive" return end
  if not metric.better then row.reason = row.reason or "which way is better is unknown: --metric NAME:less or :more" end
  local r = verdict.unpaired(x, y, { epsilon = threshold })
  if r.ci95 then
    row.ratio, row.ci95, row.detectable = r.ratio, r.ci95, r.detectable
  else
    row.reason, row.few = row.reason or few(#x, #y), true
  end
  if not row.reason then row.test = r end
end

-- After Holm: the words, and what speaks against a claim.
local function settle(row, pair, metric, threshold)
  local r = row.test
  row.p_difference, row.p_holm, row.family = r.p_difference, r.p_difference_holm, r.family
  row.verdict = worded(metric, r.verdict)
  if row.verdict ~= "same" and row.verdict ~= "inconclusive" then
    row.reason = explained(row, pair.base, pair.new, threshold)
    if row.reason then row.verdict = "inconclusive" end
  elseif row.verdict == "inconclusive" then
    row.reason = r.detectable and ("a change of %.2g %% would have been found"):format(r.detectable * 100) or nil
  end
  row.test = nil
end

-- A case that is not ok on both sides: a row for it, or nil.
local function status_row(pair)
  local a, b = pair.base.status, pair.new.status
  if a == "ok" and b == "ok" then return nil end
  local row = { scenario = pair.scenario, name = pair.name, statuses = { a, b } }
  if a == "ok" then
    row.verdict, row.worse = "broken", true
    row.reason = b .. (pair.new.reason and ": " .. pair.new.reason or "")
  elseif b == "ok" then
    row.verdict, row.reason = "fixed", "was " .. a .. (pair.base.reason and ": " .. pair.base.reason or "")
  else
    row.verdict, row.reason = "still " .. b, pair.new.reason or pair.base.reason
  end
  return row
end

local BAD = { slower = true, worse = true }

-- base and new are loaded results; opts = { threshold = 0.02, metrics = { "time" }, no_verdict = bool }. Returns
--   { threshold, rows = { { metric, scenario, name, base, new, ratio, ci95, n, m, verdict, reason, worse } },
--     statuses = rows of cases that are not ok in one of them, missing = names, added = names,
--     counts = { verdict = n }, few = did some row lack processes,
--     machine = { other = list, notes = list }, regression = bool }
function M.compare(base, new, opts)
  opts = opts or {}
  local threshold = opts.threshold or M.THRESHOLD
  local other, notes = M.machines(base, new)
  local out = { threshold = threshold, rows = {}, statuses = {}, missing = {}, added = {}, counts = {}, metrics = {},
    machine = { other = other, notes = notes }, regression = false }
  local pairs_of, tests, metric_of = {}, {}, {}
  local matched = M.match(base, new)
  for _, name in ipairs(opts.metrics or { "time" }) do
    out.metrics[#out.metrics + 1] = gate_metrics.find(name, { base, new })
  end
  local common = false
  for _, pair in ipairs(matched) do common = common or pair.base ~= nil and pair.new ~= nil end
  if not common then error("the results have no case in common: cases are matched by scenario and axes", 0) end
  for _, pair in ipairs(matched) do
    local title = pair.scenario .. (pair.name ~= "" and " " .. pair.name or "")
    if not pair.new then table.insert(out.missing, title)
    elseif not pair.base then table.insert(out.added, title)
    else table.insert(out.statuses, status_row(pair)) end
  end
  for _, metric in ipairs(out.metrics) do
    for _, pair in ipairs(matched) do
      if pair.base and pair.new and pair.base.status == "ok" and pair.new.status == "ok" then
        local row = { metric = metric.name, scenario = pair.scenario, name = pair.name }
        judge(row, pair, metric, threshold)
        if row.verdict then
          table.insert(out.rows, row)
          pairs_of[row], metric_of[row] = pair, metric
          if row.test then table.insert(tests, row.test) end
        end
      end
    end
  end
  verdict.holm(tests)
  for _, row in ipairs(out.rows) do
    if row.test then settle(row, pairs_of[row], metric_of[row], threshold) end
    if opts.no_verdict then row.verdict, row.reason = "none", nil end
    row.worse = BAD[row.verdict] or false
    out.few = out.few or row.few or false
  end
  for _, list in ipairs { out.rows, out.statuses } do
    for _, row in ipairs(list) do
      out.counts[row.verdict] = (out.counts[row.verdict] or 0) + 1
      out.regression = out.regression or row.worse or false
    end
  end
  return out
end

return M

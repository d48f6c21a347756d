-- test_gate.lua: `luabench compare`: matching, machines, verdicts, what speaks against a claim, and how it is shown.
-- Results are made here from seeded numbers.
local lu = require "luaunit"
local gate = require "luabench.gate"
local gate_metrics = require "luabench.gate_metrics"
local json = require "luabench.json"
local show = require "luabench.gate_show"
local sys = require "luabench.sys"

local T = {}

-- Normal numbers from a seed, the engine's.
local function normals(seed, n) return require("luabench").randn({ n }, { seed = seed }):totable() end

local CASES = { { m = 1, quant = "a" }, { m = 8, quant = "a" }, { m = 64, quant = "a" }, { m = 1, quant = "b" } }

-- opts: seed, n processes (10), scatter (0.003), scale = function(axes) -> factor, edit = function(case)
local function result(opts)
  local r = { run = { id = "r" .. opts.seed, version = "1" }, cases = {},
    machine = { cpu = "C", cores = { physical = 2 }, memory_bytes = 8e9, ceilings = { k = { read_bytes_per_s = 5e10,
      ops_per_s = { f32 = 1e12 } } } } }
  for i, axes in ipairs(CASES) do
    local n = opts.n or 10
    local z, processes, medians = normals(opts.seed * 100 + i, n), {}, {}
    for k = 1, n do
      medians[k] = 1e5 * axes.m * (opts.scale and opts.scale(axes) or 1) * (1 + (opts.scatter or 0.003) * z[k])
      processes[k] = { median_ns = medians[k] }
    end
    local case = { scenario = "s", case = ("m=%d quant=%s"):format(axes.m, axes.quant), axes = axes, status = "ok",
      device = "cpu", threads = 2, mode = "plan", cache = "hot", time = { median = sys.stats(medians).median },
      processes = processes, work = { flops = 1e6 * axes.m, items = axes.m }, sol = { bound = "memory" },
      ceilings = { read_bytes_per_s = 4e10, ops_per_s = {} }, check = { nmse = 1e-14 },
        disturbance = { noisy = false } }
    if opts.edit then opts.edit(case) end
    r.cases[i] = case
  end
  return r
end

local function verdicts(report)
  local list = {}
  for i, row in ipairs(report.rows) do list[i] = row.verdict end
  return table.concat(list, " ")
end

local function reason(report, i) return report.rows[i].reason or "" end

local function is(m) return function(axes) return axes.m == m and 1.05 or 1 end end

function T.test_the_same_program_twice()
  local report = gate.compare(result { seed = 1 }, result { seed = 2 })
  lu.assertEquals(verdicts(report), "same same same same")
  lu.assertFalse(report.regression)
  lu.assertEquals(report.counts, { same = 4 })
end

function T.test_a_regression_and_a_gain()
  local function scale(axes) return axes.m == 8 and 1.05 or axes.m == 64 and 0.95 or 1 end
  local report = gate.compare(result { seed = 1 }, result { seed = 2, scale = scale })
  lu.assertEquals(verdicts(report), "same slower faster same")
  lu.assertTrue(report.regression and report.rows[2].worse and not report.rows[3].worse)
  lu.assertAlmostEquals(report.rows[2].ratio, 1.05, 0.004)
  lu.assertTrue(report.rows[2].ci95[1] > 1.02 and report.rows[2].p_holm <= 0.05)
  lu.assertEquals(show.regressions(report), { "slower: s m=8 quant=a" })
end

-- A large change between two saved single-process runs proves nothing: the process is what repeats.
function T.test_single_processes_are_never_significant()
  for _, n in ipairs { 1, 2, 3 } do
    local report = gate.compare(result { seed = 1, n = n }, result { seed = 2, n = n, scale = is(8) })
    lu.assertEquals(verdicts(report), "inconclusive inconclusive inconclusive inconclusive")
    lu.assertStrContains(reason(report, 2), n == 1 and "one process each" or "are too few")
    lu.assertFalse(report.regression)
  end
  -- samples of one process do not count, however many
  local report = gate.compare(result { seed = 1, n = 1, edit = function(c) c.samples_ns = normals(1, 100) end },
    result { seed = 2, n = 1, scale = is(1), edit = function(c) c.samples_ns = normals(2, 100) end })
  lu.assertFalse(report.regression)
  lu.assertStrContains(show.text(report, { file = "a", result = result { seed = 1 } },
    { file = "b", result = result { seed = 2 } }),
    "nothing can be decided")
end

function T.test_records_without_processes_are_single_ones()
  local function old(c) c.processes = nil end
  local report = gate.compare(result { seed = 1, edit = old }, result { seed = 2, edit = old, scale = is(8) })
  lu.assertFalse(report.regression)
  lu.assertEquals(report.counts, { inconclusive = 4 })
end

-- Two runs of the same program, with any difference counting: over a whole comparison at most 5 % may raise an alarm.
function T.test_false_alarms()
  local alarms, trials = 0, 200
  for t = 1, trials do
    local report = gate.compare(result { seed = 2 * t }, result { seed = 2 * t + 1 }, { threshold = 1e-9 })
    if report.regression or report.counts.faster then alarms = alarms + 1 end
  end
  lu.assertTrue(alarms <= 18, alarms .. " alarms")          -- P(more than 18 | 200, 5 %) < 1 %
end

function T.test_noisy_rows_decide_nothing()
  local report = gate.compare(result { seed = 1 }, result { seed = 2, scale = is(8),
    edit = function(c) c.disturbance.noisy = true end })
  lu.assertEquals(report.counts, { inconclusive = 4 })
  lu.assertEquals(reason(report, 2), "noisy in NEW")
  lu.assertFalse(report.regression)
end

function T.test_a_machine_that_moved_explains_a_change()
  local function ceiling(x) return function(c) c.ceilings.read_bytes_per_s = x end end
  local function slow() return 1.3 end
  local report = gate.compare(result { seed = 1 }, result { seed = 2, scale = slow, edit = ceiling(3e10) })
  lu.assertEquals(report.counts, { inconclusive = 4 })
  lu.assertStrContains(reason(report, 1), "lower in NEW")
  -- the ceiling fell by less than the time rose, or moved the other way: the claim stands
  lu.assertEquals(gate.compare(result { seed = 1 }, result { seed = 2, scale = slow, edit = ceiling(3.5e10) }).counts,
    { slower = 4 })
  lu.assertEquals(gate.compare(result { seed = 1 }, result { seed = 2, scale = slow, edit = ceiling(5e10) }).counts,
    { slower = 4 })
  -- one that is bound by compute asks the compute ceiling
  local function compute(c)
    c.sol, c.ceilings.ops_per_s = { bound = "compute", compute_type = "f32" }, { f32 = 1e12 }
  end
  local function halved(c) compute(c) c.ceilings.ops_per_s.f32 = 5e11 end
  lu.assertEquals(gate.compare(result { seed = 1, edit = compute },
    result { seed = 2, scale = slow, edit = halved }).counts,
    { inconclusive = 4 })
  -- ceilings of another method, or of records without one, are not compared
  local function method(x, n) return function(c) c.ceilings.read_bytes_per_s, c.ceilings.method = x, n end end
  for base, counts in pairs { [6] = { inconclusive = 4 }, [5] = { slower = 4 }, [0] = { slower = 4 } } do
    lu.assertEquals(gate.compare(result { seed = 1, edit = method(4e10, base > 0 and base or nil) },
      result { seed = 2, scale = slow, edit = method(3e10, 6) }).counts, counts)
  end
end

function T.test_other_work_or_another_way_is_not_compared()
  for message, edit in pairs {
    ["threads 2 in BASE, 4 in NEW"] = function(c) c.threads = 4 end,
    ["mode plan in BASE, eager in NEW"] = function(c) c.mode = "eager" end,
    ["other work (flops 1000000 in BASE, 2000000 in NEW)"] = function(c) c.work.flops = 2 * c.work.flops end,
  } do
    local report = gate.compare(result { seed = 1 }, result { seed = 2, scale = is(1), edit = edit })
    lu.assertEquals(report.counts, { inconclusive = 4 })
    lu.assertStrContains(reason(report, 1), message)
  end
end

function T.test_cases_that_break_appear_or_go()
  local base, new = result { seed = 1 }, result { seed = 2 }
  new.cases[1].status, new.cases[1].reason = "invalid", "faster than this machine"
  base.cases[2].status, base.cases[2].reason = "crashed", "killed by SIGSEGV"
  base.cases[3].status, new.cases[3].status = "skipped", "skipped"
  new.cases[4].axes = { m = 1, quant = "c" }
  local report = gate.compare(base, new)
  lu.assertEquals(#report.rows, 0)
  lu.assertEquals({ report.statuses[1].verdict, report.statuses[2].verdict, report.statuses[3].verdict },
    { "broken", "fixed", "still skipped" })
  lu.assertEquals(report.statuses[1].reason, "invalid: faster than this machine")
  lu.assertEquals({ #report.missing, #report.added }, { 1, 1 })
  lu.assertTrue(report.regression)
  lu.assertErrorMsgContains("no case in common", gate.compare, base, { run = {}, machine = {}, cases = {} })
end

function T.test_axes_are_matched_whatever_their_order_and_doubles_in_turn()
  local base, new = result { seed = 1 }, result { seed = 2 }
  new.cases[1], new.cases[4] = new.cases[4], new.cases[1]
  table.insert(base.cases, base.cases[1])
  local matched = gate.match(base, new)
  lu.assertEquals(#matched, 5)
  lu.assertIs(matched[1].new, new.cases[4])
  lu.assertNil(matched[5].new)
end

function T.test_machines()
  local function other(edit)
    local base, new = result { seed = 1 }, result { seed = 2 }
    edit(new.machine, new.run)
    return gate.machines(base, new)
  end
  lu.assertEquals(#other(function() end), 0)
  lu.assertEquals(other(function(m) m.cpu = "D" end)[1].text, "CPU: C in BASE, D in NEW")
  lu.assertEquals(other(function(m) m.cpu = nil end)[1].text, "CPU: C in BASE, unknown in NEW")
  lu.assertStrContains(other(function(m) m.ceilings.k.read_bytes_per_s = 4e10 end)[1].text,
    "read ceiling, k: 50.0 GB/s in BASE, 40.0 GB/s")
  lu.assertEquals(#other(function(m) m.ceilings.k.read_bytes_per_s = 4.5e10 end), 0)
  lu.assertStrContains(other(function(m) m.ceilings.k.ops_per_s.f32 = 2e12 end)[1].text, "f32 ceiling")
  lu.assertEquals(#other(function(m) m.memory_bytes = 16e9 end), 1)
  -- on the same host ceilings move with its neighbours: told, and refused only beyond a factor of two
  local function same_host(read)
    local base, new = result { seed = 1 }, result { seed = 2 }
    base.machine.hostname, new.machine.hostname = "h", "h"
    new.machine.ceilings.k.read_bytes_per_s = read
    local list, told = gate.machines(base, new)
    return #list, #told
  end
  lu.assertEquals({ same_host(3e10) }, { 0, 1 })
  lu.assertEquals({ same_host(2e10) }, { 1, 0 })
  local differences, notes = other(function(m, run) m.hostname, run.flags = "h", "-O0" end)
  lu.assertEquals({ #differences, #notes }, { 0, 2 })
end

function T.test_other_metrics()
  local function own(better, factor)
    return function(c)
      local z = normals(c.axes.m, 10)
      for i = 1, 10 do z[i] = factor * (1 + 0.001 * z[i]) end
      c.metrics = { score = { median = factor, processes = z, better = better } }
    end
  end
  local function run(metric, edit, edit2)
    return gate.compare(result { seed = 1, edit = edit }, result { seed = 2, scale = is(8), edit = edit2 or edit },
      { metrics = { metric } })
  end
  local work = function(c) c.work.items = c.axes.m c.rate = { items_per_s = c.work.items / c.time.median * 1e9 } end
  lu.assertEquals(verdicts(run("items_per_s", work)), "same worse same same")
  lu.assertTrue(run("items_per_s", work).regression)
  -- numbers that do not scatter need no processes
  local report = run("nmse", function() end, function(c) c.check.nmse = c.axes.m == 1 and 2e-14 or c.axes.m == 8
    and 1.001e-14 or 5e-15 end)
  lu.assertEquals(verdicts(report), "worse same better worse")
  lu.assertEquals(verdicts(run("score", own("less", 1), own("less", 1.1))), "worse worse worse worse")
  lu.assertEquals(verdicts(run("score", own("more", 1), own("more", 1.1))), "better better better better")
  report = run("score", own(nil, 1), own(nil, 1.1))
  lu.assertFalse(report.regression)
  lu.assertStrContains(reason(report, 1), "which way is better is unknown")
  lu.assertEquals(verdicts(run("score:less", own(nil, 1), own(nil, 1.1))), "worse worse worse worse")
  lu.assertErrorMsgContains('did you mean "nmse"', gate_metrics.find, "nmze", {})
  lu.assertErrorMsgContains('is "less" or "more"', gate_metrics.find, "score:up", {})
end

function T.test_an_unknown_metric_is_answered_with_a_list_of_each_once()
  local gate_metrics = require "luabench.gate_metrics"
  local cases = {}
  for i = 1, 3 do cases[i] = { metrics = { speedup = { median = 1 } } } end
  local ok, message = pcall(gate_metrics.find, "foo", { { cases = cases }, { cases = cases } })
  lu.assertFalse(ok)
  lu.assertEquals(select(2, message:gsub("speedup", "")), 1)
end

function T.test_shown_as_text_markdown_and_json()
  local base, new = result { seed = 1 }, result { seed = 2, scale = is(8),
    edit = function(c) c.case = c.case:gsub("a$", "a_|b") end }
  new.cases[4].status, new.cases[4].reason = "failed", "wrong | result"
  local report = gate.compare(base, new)
  local a, b = { file = "a.json", result = base }, { file = "b.json", result = new }
  local text = show.text(report, a, b)
  for _, part in ipairs { "BASE  a.json: 4 cases", "+5.", "slower", "REGRESSION: 1 slower, 1 broken, 2 same",
    "ab` interleaves" } do
    lu.assertStrContains(text, part)
  end
  lu.assertNotStrContains(text, "\27")
  lu.assertStrContains(show.text(report, a, b, { colour = true }), "\27[31m")
  local md = show.markdown(report, a, b)
  for _, part in ipairs { "### luabench: REGRESSION", "| **slower** |", "<details>", "failed: wrong \\| result",
    "#### s: time" } do
    lu.assertStrContains(md, part)
  end
  for line in md:gmatch "[^\n]+" do
    if line:sub(1, 1) == "|" then
      local _, bars = line:gsub("\\|", ""):gsub("|", "")
      lu.assertEquals(bars, 8, line)
    end
  end
  local back = sys.json_decode(show.json(report, a, b))
  lu.assertEquals({ back.schema, back.regression, #back.rows, back.rows[2].verdict },
    { "luabench-compare/1", true, 3, "slower" })
  lu.assertEquals(back.statuses[1].new, "failed")
  lu.assertEquals(json.encode(back.missing), "[]")
end

return T

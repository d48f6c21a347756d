-- test_life.lua: the life of a case: what the timed runs left behind is what counts, and one case's failure is its own.
local lu = require "luaunit"
local lb = require "luabench"
local life = require "luabench.life"

local T = {}

local function plan_and_output()
  local out = lb.zeros({ 1, 64 }, { dtype = "f32" })
  local plan = lb.plan(lb.device "cpu")
  plan:gemm { x = lb.randn({ 1, 256 }, { seed = 1 }), w = lb.randn({ 64, 256 }, { seed = 2 }), out = out }
  return plan, out
end

local function run(case, phase)
  local opt = { device = "cpu", threads = 1, mode = "plan", cache = "hot", quick = true, precision = 0.5,
    max_time = 0.05,
    seed = 1 }
  return life.run({ scenario = { case = case }, phase = phase or function() end,
    job = { name = "x", script = "x.lua", argv = {}, names = {}, opt = opt } }, {})
end

function T.test_bytes_on_memory_nodes()
  local sys = require "luabench.sys"
  local text = "7f00 default anon=3 dirty=3 active=0 N0=1 N1=2 kernelpagesize_kB=4\n" ..
    "7f10 default file=/x/N5=9 mapped=1 N1=1 kernelpagesize_kB=2048\n7f20 default\n"
  lu.assertEquals(sys.numa_node_bytes(text), { 4096, 2 * 4096 + 2 ^ 21 })
  lu.assertEquals(sys.numa_node_bytes "7f00 default N2=1 kernelpagesize_kB=4", { 0, 0, 4096 })
  lu.assertNil(sys.numa_node_bytes "7f20 default\n")
end

function T.test_a_right_plan_passes()
  local r = run(function() return (plan_and_output()) end)
  lu.assertEquals(r.status, "ok", r.reason)
  lu.assertEquals(r.check.after, "same bits")
  lu.assertTrue(r.check.passed)
end

-- A script may raise anything.
function T.test_what_a_script_raises_is_said()
  local sys = require "luabench.sys"
  lu.assertEquals(sys.error_text "text", "text")
  lu.assertEquals(sys.error_text {}, "error() was given a table, not a message")
  lu.assertEquals(sys.error_text(nil), "error() was given a nil, not a message")
  lu.assertEquals(sys.error_text(setmetatable({}, { __tostring = function() return "an object" end })), "an object")
  lu.assertStrContains(sys.with_memory_hint "s.lua: not enough memory", "memory exhausted: s.lua: not enough memory; ")
  lu.assertStrContains(sys.with_memory_hint "not enough memory", ("may take %d MiB"):format(lb.core.lua_memory_mib()))
  lu.assertEquals(sys.with_memory_hint "else", "else")
end

-- A stale or torn output of the timed runs is not healed by running the plan once more.
function T.test_other_bits_after_timing_fail()
  local out
  local r = run(function()
    local plan, o = plan_and_output()
    out = o
    return plan
  end, function(name)
    if name == "check after" then out:copy(lb.full({ 1, 64 }, 7, { dtype = "f32" })) end
  end)
  lu.assertEquals(r.status, "failed")
  lu.assertStrContains(r.reason, "after the timed runs")
  lu.assertFalse(r.check.passed)
  lu.assertNil(r.time)
end

-- A later check may keep the outputs for other cases to agree with: it must not see those of a case that failed.
function T.test_the_first_failed_extra_check_ends_them()
  local called = false
  local r = run(function()
    return { plan = (plan_and_output()), extra_checks = {
      function() return { name = "first", passed = false, reason = "wrong on purpose" } end,
      function() called = true return { name = "second", passed = true } end,
    } }
  end)
  lu.assertEquals(r.status, "failed")
  lu.assertStrContains(r.reason, "wrong on purpose")
  lu.assertFalse(called)
end

-- --ab: the baseline's case runs in turn with this one; the same work is never called different by chance here (epsilon
-- is 1 %, so it may be left open), and eight times the work is.
function T.test_against_the_baseline()
  local opt = { device = "cpu", threads = 1, mode = "plan", cache = "hot", quick = true, precision = 0.5,
    max_time = 0.2,
    seed = 1, ab = true }
  local function versus(n, closed)
    local r = life.run({ phase = function() end,
      scenario = { baseline = { n = 1 }, case = function(g, o)
        if g.n == 3 then return lb.skip "no" end
        return { plan = lb.plan(o.device):peak { rounds = 200 * g.n },
          close = function() closed[#closed + 1] = g.n end }
      end },
      job = { name = "x", script = "x.lua", argv = {}, names = { "n" }, opt = opt } }, { n = n })
    lu.assertEquals(r.status, "ok", r.reason)
    return r.metrics.versus
  end
  local closed = {}
  lu.assertNil(versus(1, closed))
  local m = versus(8, closed)
  lu.assertEquals(m.verdict, "slower")
  lu.assertTrue(m.median > 2, tostring(m.median))       -- on a busy machine the longer run is interrupted more often
  lu.assertEquals({ m.over, m.unit, m.rounds >= 6 }, { "n=1", "x", true })
  lu.assertEquals(closed, { 1, 1, 8 })
end

function T.test_verdicts_of_a_grid_are_under_holm()
  local versus = require "luabench.versus"
  local cases = {}
  for i = 1, 7 do
    cases[i] = { status = "ok", metrics = { versus = { median = 1.05, ci95 = { 1.03, 1.07 }, p_difference = 0.0078125,
      p_same = 1, verdict = "slower" } } }
  end
  cases[8] = { status = "ok", metrics = { versus = { reason = "the baseline is skipped: no" } } }
  cases[9] = { status = "failed" }
  versus.judge(cases)
  for i = 1, 7 do
    lu.assertEquals(cases[i].metrics.versus.verdict, "inconclusive")
    lu.assertEquals(cases[i].metrics.versus.family, 7)
  end
  lu.assertNil(cases[8].metrics.versus.verdict)
  local of_processes = {}
  for i = 1, 10 do of_processes[i] = { median = 1.03 + 0.001 * (i % 3), over = "n=1" } end
  local m = versus.merge(of_processes)
  lu.assertEquals({ m.verdict, m.n, m.over, #m.processes }, { "slower", 10, "n=1", 10 })
  lu.assertEquals(versus.merge { of_processes[1], of_processes[2] }.verdict, "inconclusive")
end

function T.test_the_ceilings_kernels_can_be_checked()
  local peak, read = lb.plan(lb.device "cpu"), lb.plan(lb.device "cpu")
  peak:peak { rounds = 1 }
  read:peak_read { x = lb.randn({ 5000 }, { seed = 1 }) }
  for _, plan in ipairs { peak, read } do
    local c = plan:check()
    lu.assertTrue(c.passed, c.reason)
  end
end

return T

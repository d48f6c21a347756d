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
  local opt = { device = "cpu", threads = 1, mode = "plan", cache = "hot", quick = true, precision = 0.5, max_time = 0.05,
    seed = 1 }
  return life.run({ scenario = { case = case }, phase = phase or function() end,
    job = { name = "x", script = "x.lua", argv = {}, names = {}, opt = opt } }, {})
end

function T.test_a_right_plan_passes()
  local r = run(function() return (plan_and_output()) end)
  lu.assertEquals(r.status, "ok", r.reason)
  lu.assertEquals(r.check.after, "same bits")
  lu.assertTrue(r.check.passed)
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

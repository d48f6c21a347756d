-- test_selftest.lua: the self-test can fail: one thing after another is broken, and its part has to say so.
local lu = require "luaunit"
local lb = require "luabench"
local judge = require "luabench.selftest.judge"
local selftest = require "luabench.selftest"
local verdict = require "luabench.verdict"

local T = {}

local function run(part, tools) return selftest.run { quick = true, parts = { part }, tools = tools } end

-- Names of the checks that failed, sorted, as one text.
local function failed(result)
  local names = {}
  for _, c in ipairs(result.checks) do
    if c.passed == false then names[#names + 1] = c.name end
  end
  table.sort(names)
  return table.concat(names, "; ")
end

local function assert_fails(name, result)
  lu.assertFalse(result.passed, name)
  lu.assertStrContains(failed(result), name)
  lu.assertEquals(result.fitness.verdict, "not fit")
end

function T.test_limits_widen_with_fewer_trials()
  lu.assertTrue(judge.false_positives(28, 400))
  lu.assertFalse(judge.false_positives(29, 400))
  lu.assertTrue(judge.false_positives(0, 400))
  lu.assertTrue(judge.false_positives(6, 60))
  lu.assertFalse(judge.false_positives(7, 60))
  lu.assertFalse(judge.coverage(371, 400))
  lu.assertTrue(judge.coverage(372, 400))
  lu.assertFalse(judge.power(0, 24, 0.8))
  lu.assertTrue(judge.power(24, 24, 0.8))
end

-- ---- the clock ----

function T.test_a_coarse_or_costly_clock_fails()
  local function clock(resolution_ns, cost_ns)
    return { clock = function() return { name = "c", resolution_ns = resolution_ns, cost_ns = cost_ns } end }
  end
  assert_fails("resolution", run("clock", clock(4e6, 20)))
  assert_fails("cost of a call", run("clock", clock(20, 5e4)))
end

function T.test_a_clock_that_goes_backwards_stands_still_or_runs_fast_fails()
  local now, n = lb.core.now_ns, 0
  assert_fails("monotonic", run("clock", { now_ns = function()
    n = n + 1
    return now() - (n == 1000 and 1e6 or 0)
  end }))
  assert_fails("monotonic", run("clock", { now_ns = function() return 5 end }))
  local ticks = 0               -- of 10 us, in both clocks: nothing here depends on how busy the machine is
  local function tick()
    ticks = ticks + 1
    return ticks * 1e4
  end
  local function with(rate)
    return { now_ns = function() return tick() * rate end, wall_s = function() return tick() * 1e-9 end }
  end
  assert_fails("speed", run("clock", with(1.05)))
  assert_fails("speed", run("clock", with(0.95)))
  lu.assertNotStrContains(failed(run("clock", with(1))), "speed")
end

function T.test_clocks_of_cpus_that_differ_fail()
  local tools = selftest.tools()
  if lb.device().threads < 2 then return end
  assert_fails("the same on every CPU", run("clock", { trace = function(...)
    local t = tools.trace(...)
    for _, s in ipairs(t.spans) do
      if s.thread == 2 then s.begin_ns, s.end_ns = s.begin_ns + 5e6, s.end_ns + 5e6 end
    end
    return t
  end }))
end

function T.test_samples_that_are_too_short_fail()
  assert_fails("sizing", run("clock", { measure = function() return { min = 100, iterations = 10 } end }))
end

-- ---- rotation ----

function T.test_a_rotation_that_does_not_rotate_fails()
  local r = run("rotation", {
    rotate = function() return { sets = 1, touched_bytes = 256 * 1024 * 4, capped = false } end,
    measure = function() return { median = 1e5 } end })
  assert_fails("copies", r)
  assert_fails("hot comes from a cache", r)
end

function T.test_weights_that_stay_in_the_cache_fail()
  assert_fails("weights-cold comes from memory", run("rotation", { measure = function() return { median = 1 } end }))
end

-- ---- the oracle ----

function T.test_the_oracle_part_passes()
  local r = run("oracle")
  lu.assertEquals(failed(r), "")
  lu.assertTrue(r.passed)
end

-- A life that looks at no result: everything is fine, everything has a time.
function T.test_a_life_without_checks_fails()
  local r = run("oracle", { life = function(ctx)
    ctx.scenario.case()
    for _, phase in ipairs { "check before", "check after" } do ctx.phase(phase) end
    return { status = "ok", time = { median = 1 }, check = { nmse = 0, tolerance = 1 } }
  end })
  for _, name in ipairs { "a corrupted block of q8_0", "a corrupted block of q4_k", "NaN in the activations",
      "one wrong value in the weights", "stale outputs after timing" } do assert_fails(name, r) end
end

function T.test_a_life_that_refuses_what_is_right_fails()
  assert_fails("a right result of f32 is timed", run("oracle", { life = function()
    return { status = "failed", reason = "always" }
  end }))
end

-- Outputs that are not looked at after timing.
function T.test_a_check_only_before_timing_fails()
  local life = selftest.tools().life
  local r = run("oracle", { life = function(ctx, axes)
    local phase = ctx.phase
    ctx.phase = function(name) if name ~= "check after" then phase(name) end end
    return life(ctx, axes)
  end })
  assert_fails("stale outputs after timing", r)
  lu.assertNotStrContains(failed(r), "a corrupted block of q4_k")
end

-- ---- disturbances ----

function T.test_deaf_detectors_fail()
  local tools = selftest.tools()
  local function deaf(f)
    local got = tools.watch(f)
    return { elapsed_ns = got.elapsed_ns, involuntary_switches = 0, major_faults = 0, migrations = 0, run_delay_ns = 0,
      marks = {} }
  end
  local function calm(plan, o)
    local s = tools.measure(plan, o)
    s.disturbance.noisy, s.disturbance.involuntary_switches, s.disturbance.frequency_ghz = false, 0, 50
    return s
  end
  local r = run("disturbance", { watch = deaf, measure = calm })
  local shown = {}
  for _, c in ipairs(r.checks) do shown[c.name] = c.passed ~= nil end
  local names = { "a burner on the same CPU", "a busy neighbour on the same cores", "frequency" }
  if shown["migration to another CPU"] then names[#names + 1] = "migration to another CPU" end
  if shown["major faults of a mapped file"] then names[#names + 1] = "major faults of a mapped file" end
  for _, name in ipairs(names) do assert_fails(name, r) end
end

function T.test_detectors_that_cry_wolf_fail()
  local tools = selftest.tools()
  assert_fails("silent when nothing happens", run("disturbance", { watch = function(f)
    local got = tools.watch(f)
    got.marks = { switched = true, delayed = true, migrated = true, faulted = true }
    return got
  end }))
end

-- ---- comparisons: samplers that are made up, judged by the real verdicts ----

local function generator(seed)
  local values = lb.randn({ 200000 }, { seed = seed }):totable()
  local i = 0
  return function()
    i = i % #values + 1
    return values[i]
  end
end

-- noise: scatter of a round's log ratio; between: of a whole trial's, which no interval of its rounds knows of.
local function sampler(o)
  local normal = generator(7)
  return function(c)
    local logs, shift = {}, math.log(1 + ((c.extra_work or {}).b or 0) * (o.heed or 1)) + (o.between or 0) * normal()
    for i = 1, c.rounds or 100 do logs[i] = shift + o.noise * normal() end
    local p = verdict.paired_logs(logs, { epsilon = 0.01 })
    return { pairs = { b = o.change and o.change(p) or p } }
  end
end

local function compared(o)
  return run("comparison", { compare = sampler(o), measure = function() end, kernels = { "compute" } })
end

function T.test_an_honest_sampler_passes()
  local r = compared { noise = 0.01 }
  lu.assertEquals(failed(r), "")
  lu.assertEquals(r.fitness.resolves.compute, 0.01)
  lu.assertEquals(#r.checks, 8)
end

function T.test_scatter_between_trials_fails()          -- what A, then B, is
  assert_fails("A against A, compute", compared { noise = 0.01, between = 0.01 })
end

function T.test_always_inconclusive_fails()
  local r = compared { noise = 0.01, change = function(p)
    return { ci95 = { 0.2, 5 }, ratio = p.ratio, verdict = "inconclusive", n = p.n }
  end }
  assert_fails("found: +2 %, compute", r)
  assert_fails("found: +5 %, compute", r)
  lu.assertNotStrContains(failed(r), "covered")
end

function T.test_no_interval_at_all_fails()
  local r = compared { noise = 0.01, change = function() return { verdict = "inconclusive", n = 3 } end }
  assert_fails("A against A, compute", r)
  assert_fails("covered: +1 %, compute", r)
end

function T.test_work_that_is_not_seen_fails()
  local r = compared { noise = 0.003, heed = 0 }
  assert_fails("covered: +5 %, compute", r)
  assert_fails("found: +5 %, compute", r)
end

function T.test_verdicts_the_wrong_way_round_fail()
  local r = compared { noise = 0.003, change = function(p)
    p.verdict = p.verdict == "slower" and "faster" or p.verdict
    return p
  end }
  assert_fails("found: +5 %, compute", r)
end

-- ---- processes ----

local function paired(o)
  local normal = generator(9)
  return run("processes", { workers = function(w) return w end, pairs = function(p)
    local extra, logs = p.take.cases[1].b.extra_work or 0, {}
    for i = 1, p.most do logs[i] = math.log(1 + extra) + (o.bias or 0) + o.noise * normal() end
    return { stopped = o.failed and "failed" or "pairs", failed = o.failed,
      cases = { { result = verdict.paired_logs(logs, { epsilon = 0.01 }) } } }
  end })
end

function T.test_honest_processes_pass()
  lu.assertEquals(failed(paired { noise = 0.004 }), "")
end

function T.test_processes_that_favour_a_side_fail()
  assert_fails("A against A", paired { noise = 0.004, bias = 0.02 })
end

function T.test_processes_that_see_nothing_fail()
  assert_fails("found: +5 %", paired { noise = 0.5 })
end

function T.test_processes_that_crash_fail()
  local r = paired { noise = 0.004, failed = "A: killed by SIGSEGV" }
  assert_fails("runs to its end", r)
  lu.assertStrContains(r.checks[1].text, "SIGSEGV")
end

-- A first attempt that fails is followed by a second one of twice as many trials, which is said.
function T.test_one_unlucky_attempt_is_not_the_end()
  local calls = 0
  local honest = sampler { noise = 0.01 }
  local r = run("comparison", { measure = function() end, kernels = { "compute" }, compare = function(c)
    calls = calls + 1
    if calls <= 60 then return { pairs = { b = { ci95 = { 1.1, 1.2 }, verdict = "slower", n = 30 } } } end
    return honest(c)
  end })
  lu.assertEquals(failed(r), "")
  lu.assertStrContains(r.checks[1].text, "a first attempt of 60 trials had 60")
  lu.assertEquals(r.checks[1].figures.trials, 120)
end

return T

-- test_pairs.lua: pairs of processes: orders, when it stops and when it must not, failures, and real workers.
local lu = require "luaunit"
local pairs_of = require "luabench.pairs"
local sys = require "luabench.sys"

local T = {}

-- A take() whose ratios go round a list; counts its calls.
local function fake(ratios, key)
  local calls = { n = 0, orders = {} }
  return function(order)
    calls.n = calls.n + 1
    calls.orders[calls.n] = order
    return { { key = key or "x", a = 100, b = 100 * ratios[(calls.n - 1) % #ratios + 1] } }
  end, calls
end

function T.test_orders_are_balanced_and_drawn_from_the_seed()
  local orders = pairs_of.orders(40, 1)
  local first, swaps = 0, 0
  for i = 1, 40, 2 do
    lu.assertTrue(orders[i] ~= orders[i + 1])
    if orders[i] == "ab" then first = first + 1 end
    if i > 1 and orders[i] ~= orders[i - 2] then swaps = swaps + 1 end
  end
  lu.assertTrue(first > 3 and first < 17 and swaps > 3)
  lu.assertEquals(pairs_of.orders(40, 1), orders)
  lu.assertNotEquals(pairs_of.orders(40, 2), orders)
end

function T.test_stops_when_precise_and_not_before_ten_pairs()
  local take, calls = fake { 1.001, 0.999, 1 }
  local r = pairs_of.run { take = take }
  lu.assertEquals({ r.pairs, r.stopped, calls.n }, { 10, "precision", 10 })
  lu.assertEquals(r.cases[1].result.verdict, "same")
  lu.assertEquals(#r.cases[1].a_ns, 10)
  lu.assertEquals(r.cases[1].orders, calls.orders)
end

-- 4 % slower in all pairs is significant after six of them; the interval is too wide, so it goes on.
function T.test_significance_does_not_stop_it()
  local take = fake { 1.02, 1.06, 1.025, 1.055, 1.03, 1.05 }
  local r = pairs_of.run { take = take, most = 30 }
  lu.assertEquals({ r.pairs, r.stopped }, { 30, "pairs" })
  lu.assertEquals(r.cases[1].result.verdict, "slower")
  lu.assertTrue(r.cases[1].result.p_flip < 0.001)
end

-- An interval of a tenth of a great effect is as good as a narrow one.
function T.test_a_great_effect_needs_no_narrow_interval()
  local r = pairs_of.run { take = (fake { 1.98, 2.02, 2 }) }
  lu.assertEquals({ r.pairs, r.stopped, r.cases[1].result.verdict }, { 10, "precision", "slower" })
  r = pairs_of.run { take = (fake { 1.9, 2.1, 2 }) }        -- narrow, but not by far: once more as many have to say so
  lu.assertEquals({ r.pairs, r.stopped, r.cases[1].result.verdict }, { 20, "precision", "slower" })
end

function T.test_time_ends_it_after_the_least_pairs()
  local r = pairs_of.run { take = (fake { 0.9, 1.1, 1 }), max_time = 0, least = 8, most = 50 }
  lu.assertEquals({ r.pairs, r.stopped, r.cases[1].result.verdict }, { 8, "time", "inconclusive" })
end

function T.test_several_cases_and_skips()
  local n = 0
  local r = pairs_of.run { most = 12, take = function()
    n = n + 1
    return { { key = "one", a = 100, b = 103 + n % 3 * 0.01 }, { key = "two", a = 100, b = 100 },
      n == 1 and { key = "three", skipped = "no such thing" } or nil }
  end }
  lu.assertEquals(#r.cases, 3)
  lu.assertEquals(r.cases[1].result.verdict, "slower")
  lu.assertEquals(r.cases[1].result.family, 2)
  lu.assertEquals(r.cases[2].result.verdict, "same")
  lu.assertEquals(r.cases[3].skipped, "no such thing")
  lu.assertNil(r.cases[3].result)
end

-- What is done is kept.
function T.test_a_failure_and_an_interruption_keep_what_is_done()
  local take, n = fake { 1.03, 1.031 }, 0
  local r = pairs_of.run { take = function(order)
    n = n + 1
    if n == 8 then error({ message = "B: it broke" }, 0) end
    return take(order)
  end }
  lu.assertEquals({ r.pairs, r.stopped, r.failed }, { 7, "failed", "B: it broke" })
  lu.assertEquals(r.cases[1].result.verdict, "slower")
  n = 0
  r = pairs_of.run { take = function(order)
    n = n + 1
    return n < 4 and take(order) or nil
  end }
  lu.assertEquals({ r.pairs, r.stopped, r.cases[1].result.verdict }, { 3, "interrupted", "inconclusive" })
  lu.assertErrorMsgContains("at least 6", pairs_of.run, { take = take, least = 3 })
  lu.assertErrorMsgContains("at most 7", pairs_of.run, { take = take, most = 7 })
end

function T.test_programs_that_fail_give_no_time()
  local ok, e = pcall(pairs_of.execute, { "sh", "-c", "echo why >&2; exit 3" }, 10, "B")
  lu.assertFalse(ok)
  lu.assertStrContains(e.message, "B ended with status 3")
  lu.assertStrContains(e.message, "why")
  ok, e = pcall(pairs_of.execute, { "sh", "-c", "kill -SEGV $$" }, 10, "A")
  lu.assertFalse(ok)
  lu.assertStrContains(e.message, "SIGSEGV")
  ok, e = pcall(pairs_of.execute, { "sleep", "30" }, 0.2, "A")
  lu.assertFalse(ok)
  lu.assertStrContains(e.message, "no end within 0.2 s")
  lu.assertFalse((pcall(pairs_of.execute, { "no-such-program-here" }, 1, "A")))
  local done = pairs_of.execute({ "sleep", "0.05" }, 10, "A")
  lu.assertTrue(done.wall_ns > 5e7 and done.wall_ns < 1e10)
end

function T.test_command_lines()
  local r = pairs_of.run { least = 6, most = 6,
    take = pairs_of.commands { a = { "sleep", "0.01" }, b = { "sleep", "0.2" } } }
  lu.assertEquals({ r.pairs, r.cases[1].result.verdict }, { 6, "slower" })
end

local SCRIPT = [[
local lb = require "luabench"
return lb.scenario { about = "x", options = { wrong = { "fail", false } }, grid = lb.grid { n = { 1, 2 } },
  case = function(g, opt)
    if g.n == 2 then return lb.skip "not two" end
    if opt.wrong then error "broken on purpose" end
    local w = lb.prepared("w", function() return { w = lb.randn({ 64, 64 }, { seed = 1 }) } end).w
    return lb.plan(opt.device):gemm { x = lb.randn({ 1, 64 }, { seed = 2 }), w = w }
  end }
]]

-- Other work silences a verdict; a clock that wanders is remarked on; a build that tells no difference is taken at its
-- word.
function T.test_what_silences_a_verdict()
  local function judged(disturbed, contended)
    local s = { samples_ns = {}, disturbance = { disturbed_samples = disturbed, contended_samples = contended } }
    for i = 1, 100 do s.samples_ns[i] = 1 end
    local calm = { samples_ns = s.samples_ns, disturbance = { disturbed_samples = 0, contended_samples = 0 } }
    local c = { details = { { a = calm, b = s } }, result = { verdict = "slower" } }
    pairs_of.refuse_noisy { c }
    return c.result
  end
  local r = judged(6, 6)
  lu.assertEquals({ r.verdict, r.noisy, r.wandered }, { "inconclusive", true })
  lu.assertStrContains(r.reason, "6 % of B's samples were disturbed")
  r = judged(30, 2)
  lu.assertEquals({ r.verdict, r.noisy }, { "slower" })
  lu.assertAlmostEquals(r.wandered, 0.28, 1e-9)
  r = judged(5, 0)
  lu.assertEquals({ r.verdict, r.noisy, r.wandered }, { "slower" })
  lu.assertTrue(judged(6, nil).noisy)
end

-- Runs come in multiples that suit both sides, so that extra work is whole on one and graphs are on the other.
function T.test_runs_of_both_sides()
  local function plan(a, b, run_ns)
    local function side(quantum) return { iterations = 100, quantum = quantum, run_ns = run_ns or 1e3 } end
    local iterations, quantum = pairs_of.plan_turns({ process_time = 0.1 }, side(a), side(b))
    lu.assertEquals(iterations % quantum, 0)
    lu.assertTrue(iterations >= 100 or run_ns ~= nil)
    return quantum
  end
  lu.assertEquals(plan(1, 1), 1)
  lu.assertEquals(plan(1929, 1), 1929)
  lu.assertEquals(plan(50, 8), 200)
  lu.assertEquals(plan(8, 50), 200)
  lu.assertEquals(plan(1929, 1000), 1929)           -- both in one sample: two seconds
  lu.assertEquals(plan(50, 8, 1e6), 50)
  lu.assertEquals(plan(1000, 1929), 1929)
end

-- Whole graphs yield to the length of a sample, whole extra work does not.
function T.test_runs_of_a_slow_side()
  local function plan(share, quantum, run_ns)
    local slow = { iterations = 1, quantum = 1, share = 1, run_ns = run_ns }
    local fast = { iterations = 8000, quantum = quantum, share = share, run_ns = 2000 }
    local iterations, multiple, turns, samples = pairs_of.plan_turns({ process_time = 0.15 }, fast, slow)
    lu.assertEquals(iterations % share, 0)
    lu.assertTrue(turns >= 2 and samples >= 1)
    lu.assertEquals({ pairs_of.plan_turns({ process_time = 0.15 }, slow, fast) },
      { iterations, multiple, turns, samples })
    return iterations, multiple
  end
  lu.assertEquals({ plan(1, 8000, 5e7) }, { 2, 1 })
  lu.assertEquals({ plan(50, 96450, 5e7) }, { 50, 50 })
  lu.assertEquals({ plan(50, 6400, 1e4) }, { 6400, 6400 })
  lu.assertEquals({ plan(50, 96450, 2e4) }, { 5000, 50 })
end

-- Workers in turn: fresh for each pair, equal runs, checked; half as much work again is found.
function T.test_workers_take_turns()
  local folder = sys.tempdir()
  local path = folder .. "/s.lua"
  sys.replace_file(path, SCRIPT)
  local function side(more)
    local s = { script = path, argv = { "--threads", "1", "--cache", "hot" }, axes = { n = 1 } }
    for k, v in pairs(more or {}) do s[k] = v end
    return s
  end
  local function run(a, b, n)
    return pairs_of.run { least = 6, most = 6, take = pairs_of.workers { process_time = 0.01, prepared = folder,
      cases = { { key = "n=1", a = a, b = b } } } }
  end
  local r, c
  for _ = 1, 4 do                          -- six short pairs on a loaded machine may be too few
    r = run(side(), side { extra_work = 0.5 })
    lu.assertNil(r.failed)
    c = r.cases[1]
    if c.result.verdict == "slower" then break end
  end
  lu.assertEquals(c.result.verdict, "slower", tostring(c.result.ratio))
  lu.assertEquals(c.about.a.path[1].op, "gemm")
  for i = 1, 6 do
    local d = c.details[i]
    lu.assertEquals(#d.a.samples_ns, #d.b.samples_ns)
    lu.assertEquals(d.a.iterations, d.b.iterations)
    lu.assertEquals(d.a.check.after, "same bits")
    lu.assertTrue(d.a.disturbance.contended_samples <= d.a.disturbance.disturbed_samples)
  end
  r = run(side { kernel = "gemm.any.portable" }, side())
  lu.assertNil(r.failed)
  lu.assertEquals(r.cases[1].about.a.path[1].kernel, "gemm.any.portable")
  lu.assertNotEquals(r.cases[1].about.b.path[1].kernel, "gemm.any.portable")
  r = run(side(), side { kernel = "swiglu.f32.portable", label = "swiglu" })
  lu.assertStrContains(r.failed, "swiglu: kernel swiglu.f32.portable does not run in this case: it has no swiglu")
  r = run(side { kernel = "gemm.q4_0.avx512" }, side())
  lu.assertStrContains(r.failed, "A: kernel gemm.q4_0.avx512 does not run in this case: ")
  r = run(side(), side { argv = { "--wrong" } })
  lu.assertStrContains(r.failed, "broken on purpose")
  r = run(side(), side { axes = { n = 2 } })
  lu.assertStrContains(r.cases[1].skipped, "not two")
  sys.tempdir_remove(folder)
end

return T

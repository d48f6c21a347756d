-- test_compare.lua: lb.compare: rounds and blocks, verdicts of real plans, extra work found, outputs, refusals.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}

local function gemm(seed, rows)
  local x, w = lb.randn({ rows or 2, 64 }, { seed = 1 }), lb.randn({ 32, 64 }, { seed = seed or 2 })
  return lb.plan():gemm { x = x, w = w }
end
local function peak(rounds) return lb.plan(lb.device("cpu", { threads = 1 })):peak { rounds = rounds } end

function T.test_rounds_are_taken_together_and_in_whole_blocks()
  local c = lb.compare { a = gemm(), b = gemm(), c = gemm(), rounds = 8, cache = "hot", warmup = 1 }
  for _, name in ipairs { "a", "b", "c" } do
    lu.assertEquals(#c.samples[name], 9)
    lu.assertEquals(c.times[name].iterations, c.times.a.iterations)
    lu.assertEquals(c.times[name].launches, c.times.a.launches)
  end
  lu.assertEquals(c.pairs.b.n, 9)
  lu.assertEquals(c.pairs.b.family, 2)
  lu.assertNil(c.pairs.a)
  lu.assertStrContains(tostring(c), "b against a: ")
end

function T.test_outputs_are_compared()
  local c = lb.compare { a = gemm(), b = gemm(), rounds = 6, cache = "hot", warmup = 1 }
  lu.assertEquals(c.outputs.b, { nmse = 0, same_bits = true, tolerance = 1e-3, agree = true })
  c = lb.compare { a = gemm(2), b = gemm(3), rounds = 6, cache = "hot", warmup = 1 }
  lu.assertFalse(c.outputs.b.agree)
  lu.assertTrue(c.outputs.b.nmse > 0.1)
  lu.assertStrContains(tostring(c), "DIFFER")
  c = lb.compare { a = gemm(2), b = gemm(3), rounds = 6, cache = "hot", warmup = 1, tolerance = 100 }
  lu.assertTrue(c.outputs.b.agree)
  c = lb.compare { a = gemm(2, 2), b = gemm(2, 3), rounds = 6, cache = "hot", warmup = 1 }
  lu.assertFalse(c.outputs.b.agree)
  lu.assertStrContains(tostring(c), "NOT COMPARED")
end

-- A comparison that says so. Where others take the processor for longer than a round it may say "inconclusive", never
-- the opposite: then it is asked again.
local function compare_until(verdict, o)
  local c
  for _ = 1, 6 do
    c = lb.compare(o)
    if c.pairs.b.verdict ~= "inconclusive" then break end
  end
  lu.assertEquals(c.pairs.b.verdict, verdict, tostring(c))
  return c
end

-- Half as much work again, in the timed loop: whatever else the machine does, this is found, in both directions.
function T.test_extra_work_is_found()
  local o = { a = peak(2000), b = peak(2000), rounds = 60, cache = "hot", warmup = 2, extra_work = { b = 0.5 } }
  local c = compare_until("slower", o)
  lu.assertTrue(c.pairs.b.ratio > 1.1 and c.pairs.b.ratio < 2, tostring(c))
  o.extra_work = { a = 0.5 }
  compare_until("faster", o)
end

function T.test_more_work_is_slower()
  local o = { a = peak(2000), b = peak(4000), rounds = 40, cache = "hot", warmup = 1, check = false }
  local c = compare_until("slower", o)
  lu.assertTrue(c.pairs.b.detectable > 0.01)
end

function T.test_stops_when_the_interval_is_tight()
  local c = lb.compare { a = peak(2000), b = peak(2000), cache = "hot", precision = 0.4, epsilon = 0.8, warmup = 1 }
  lu.assertTrue(c.pairs.b.n >= 20)
  -- on a machine that others use the interval may never get tight; two equal plans are not called different
  lu.assertTrue(c.pairs.b.verdict == "same" or c.pairs.b.verdict == "inconclusive", c.pairs.b.verdict)
end

-- A pass moves lengths and caches on: both sides begin each time where they began.
function T.test_passes_of_a_model()
  local m, plans = lb.model.load "tests/fixtures/models/tiny-llama", {}
  for name, fused in pairs { a = false, b = true } do
    plans[name] = lb.plan()
    m:forward(plans[name], { tokens = 1, past = 5, fused = fused })
  end
  local c = lb.compare { a = plans.a, b = plans.b, rounds = 6, cache = "hot", warmup = 1 }
  lu.assertTrue(c.outputs.b.same_bits)
end

function T.test_refusals()
  local p = gemm()
  local function refuses(o, what)
    lu.assertErrorMsgContains(what, lb.compare, o)
  end
  refuses({ a = p }, "at least two plans")
  refuses({ a = p, b = p, round = 8 }, 'did you mean "rounds"')
  refuses({ a = p, b = p, rounds = 2 }, "at least 6")
  refuses({ a = p, b = p, rounds = 7.5 }, "whole number")
  refuses({ a = p, b = 5 }, "b should be a plan")
  refuses({ a = p, b = p, epsilon = 2 }, "epsilon")
  refuses({ a = p, b = p, extra_work = { c = 0.1 } }, "extra_work")
  refuses({ a = p, b = p, extra_work = { b = 0.0203701 }, rounds = 6 }, "extra work")
  refuses(7, "a table")
  refuses({ a = p, b = lb.plan(), check = false }, "step")
end

return T

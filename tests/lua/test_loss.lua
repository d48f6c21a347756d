-- test_loss.lua: what weights' formats cost, where a script does not say: only from known originals, and right.
local lu = require "luaunit"
local lb = require "luabench"
local core = require "luabench.core"
local loss = require "luabench.loss"

local T = {}

function T.tearDown() loss.stop() end

local function plan_of(f) return loss.recording(f) end

function T.test_one_product()
  local w, x = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 3, 256 }, { seed = 2 })
  local plan = plan_of(function() return lb.plan():gemm { x = x, w = w:quantize "q4_0" } end)
  local before = loss.before(plan)
  local e = w:quantize("q4_0"):dequantize() - w
  lu.assertAlmostEquals(before.error.rel_rmse, e:norm() / w:norm(), 1e-9)
  lu.assertAlmostEquals(before.error.sqnr_db, -20 * math.log10(e:norm() / w:norm()), 1e-6)
  lu.assertEquals(before.error.bits_per_weight, 4.5)
  plan:run()
  local want = x:to("f64"):matmul(w:to "f64", { transposed = true })
  local got = loss.after(plan, before)
  lu.assertAlmostEquals(got.output_rel_rmse, (plan:last():to "f64" - want):norm() / want:norm(), 1e-9)
  lu.assertTrue(got.output_rel_rmse > 0.01 and got.output_rel_rmse < 0.2)
end

function T.test_several_weights_are_pooled_and_each_counts_once()
  local a, b, x = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 32, 64 }, { seed = 2, std = 3 }),
    lb.randn({ 3, 256 }, { seed = 3 })
  local plan = plan_of(function()
    local qa = a:quantize "q4_0"
    local p = lb.plan():gemm { x = x, w = qa }
    return p:gemm { x = p:last(), w = b:quantize "q8_0" }:gemm { x = x, w = qa }
  end)
  local before = loss.before(plan)
  local ea, eb = a:quantize("q4_0"):dequantize() - a, b:quantize("q8_0"):dequantize() - b
  lu.assertAlmostEquals(before.error.rel_rmse,
    math.sqrt((ea:norm() ^ 2 + eb:norm() ^ 2) / (a:norm() ^ 2 + b:norm() ^ 2)), 1e-9)
  lu.assertAlmostEquals(before.error.bits_per_weight, (4.5 * 64 * 256 + 8.5 * 32 * 64) / (64 * 256 + 32 * 64), 1e-12)
  lu.assertNil(before.reference)                          -- more than one product: the output's error is not known
end

function T.test_an_original_that_is_unknown_gives_nothing()
  local w, x = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 1, 256 }, { seed = 2 })
  local early = w:quantize "q4_0"                          -- before anything was held
  lu.assertNil(loss.before(plan_of(function() return lb.plan():gemm { x = x, w = early } end)))
  lu.assertNil(loss.before(plan_of(function()             -- one of two
    return lb.plan():gemm { x = x, w = early }:gemm { x = x, w = w:quantize "q4_0" }
  end)))
  lu.assertNil(loss.before(plan_of(function() return lb.plan():gemm { x = x, w = w } end)))
  lu.assertNil(loss.before(plan_of(function()             -- a view is not what was quantized
    local q = lb.randn({ 2, 64, 256 }, { seed = 3 }):quantize "q4_0"
    return lb.plan():gemm { x = x, w = q:slice(1, 1, 1):reshape { 64, 256 } }
  end)))
  local closed = lb.randn({ 64, 256 }, { seed = 4 })
  lu.assertNil(loss.before(plan_of(function()
    local p = lb.plan():gemm { x = x, w = closed:quantize "q4_0" }
    closed:close()
    return p
  end)))
end

function T.test_originals_are_let_go()
  local q = plan_of(function() return lb.randn({ 64, 256 }, { seed = 1 }):quantize "q4_0" end)
  lu.assertEquals(core.original_of(q).shape, { 64, 256 })
  loss.stop()
  lu.assertNil(core.original_of(q))
  core.keep_originals(1000)                               -- less than one original: none is held
  q = lb.randn({ 64, 256 }, { seed = 1 }):quantize "q4_0"
  lu.assertNil(core.original_of(q))
end

function T.test_an_original_takes_the_place_of_the_one_before()
  local a, b = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 64, 256 }, { seed = 2 })
  core.keep_originals(2.5 * a:nbytes())
  local q = a:quantize "q4_0"
  for _ = 1, 4 do
    b:quantize("q4_0", { out = q })
    lu.assertTrue(rawequal(core.original_of(q), b))
  end
  local other = a:quantize "q4_0"                         -- room for a second, and for no third
  lu.assertTrue(rawequal(core.original_of(q), b) and rawequal(core.original_of(other), a))
  local third = a:quantize "q4_0"
  lu.assertNil(core.original_of(third))
  lu.assertNil(core.original_of(q))
end

function T.test_operands_of_a_step()
  local w, x = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 3, 256 }, { seed = 2 })
  local which = lb.tensor({ 0 }, { dtype = "i32" })
  local p = lb.plan():gemm { x = x, w = w }:gemm { x = x, w = { w, w * 2 }, pick = { which, 1 } }
  lu.assertTrue(p:operands(1).w:equal(w))
  lu.assertEquals(#p:operands().w, 2)
  lu.assertEquals(p:operands(1).y ~= nil or p:operands(1).out ~= nil, true)
  lu.assertError(p.operands, p, 3)
end

return T

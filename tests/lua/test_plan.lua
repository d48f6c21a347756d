-- test_plan.lua: recording, running, accounting, checking and measuring plans, and eager calls, from a script.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function operands()
  return lb.randn({ 4, 256 }, { seed = 1 }), lb.randn({ 32, 256 }, { seed = 2 })
end

function T.test_record_and_run()
  local x, w = operands()
  local p = lb.plan():gemm { x = x, w = w, label = "first" }
  lu.assertEquals(#p, 1)
  lu.assertIs(p:run(), p)
  local out = p:last "out"
  lu.assertEquals(out.shape, { 4, 32 })
  lu.assertTrue(out:allclose(x:matmul(w, { transposed = true }):to "f32", { rtol = 1e-4, atol = 1e-3 }))
  lu.assertTrue(p.outputs.out == out)
  lu.assertTrue(p:out() == out and p:out(1) == out and p:out(-1, "out") == out)
  local step = p:steps()[1]
  lu.assertEquals(step.op, "gemm")
  lu.assertEquals(step.label, "first")
  lu.assertEquals(step.operands.x, "f32[4, 256]")
  lu.assertStrContains(tostring(p), "gemm")
end

function T.test_recording_refuses()
  local x, w = operands()
  local p = lb.plan()
  raises('did you mean "w"', p.gemm, p, { x = x, ww = w })
  raises("needs the operand w", p.gemm, p, { x = x })
  raises("tensor expected, got number", p.gemm, p, { x = x, w = 1 })
  raises("one tensor expected, got a table", p.gemm, p, { x = { x }, w = w })
  raises("named operands", p.gemm, p, { x, w })
  raises("one table of operands", p.gemm, p, x)
  raises("expected", p.gemm, p, { x = x, w = x:t() })
  raises("when of gemm", p.gemm, p, { x = x, w = w, when = 1 })
  raises("1 to 3", p.gemm, p, { x = x, w = w, when = { lb.zeros({ 3 }, { dtype = "i32" }), 4 } })
  raises("did you mean", p.gemm, p, { x = x, w = w, kernel = "gemm.f32.openblaz" })
  raises("has no field 'gem'", function() return p.gem end)
  lu.assertEquals(#p, 0)
end

function T.test_call_names_the_kernel()
  local x, w = operands()
  local p = lb.plan():call("gemm.any.portable", { x = x, w = w:quantize "q8_0" })
  lu.assertEquals(p:steps()[1].kernel, "gemm.any.portable")
  lu.assertTrue(p:check().passed)
  raises("no field 'kernel'", p.call, p, "gemm.any.portable", { x = x, w = w, kernel = "gemm.f32.openblas" })
end

function T.test_when_and_pick_read_tensors()
  local x, w = operands()
  local flags = lb.tensor({ 0, 1 }, { dtype = "i32" })
  local which = lb.tensor({ 1 }, { dtype = "i32" })
  local a, b = lb.zeros { 4, 32 }, lb.zeros { 4, 32 }
  local p = lb.plan():gemm { x = x, w = w, out = a, when = { flags, 1 } }
    :gemm { x = x, w = { w, w * 2 }, out = b, pick = { which, 1 }, when = { flags, 2 } }
  p:run()
  lu.assertEquals(a:norm(), 0)                          -- its flag is 0
  local expected = x:matmul(w * 2, { transposed = true })
  lu.assertTrue(b:error(expected).nmse < 1e-8)
  lu.assertEquals(p:account().launches, 1)
  flags:set(1, 1)
  lu.assertEquals(p:account().launches, 2)
end

function T.test_append()
  local x, w = operands()
  local off = lb.zeros({ 1 }, { dtype = "i32" })
  local other = lb.plan():gemm { x = x, w = w }
  local p = lb.plan():append(other):append(other, { when = { off, 1 } })
  lu.assertEquals(#p, 2)
  lu.assertEquals(p:account().launches, 1)
  raises("itself", p.append, p, p)
end

function T.test_steps_count_from_1_in_messages()
  local x, w = operands()
  local p = lb.plan():gemm { x = x, w = w }
  raises("step 2", p.gemm, p, { x = lb.zeros { 2, 3 }, w = w })
  p:gemm { x = lb.full({ 1, w.shape[2] }, 0 / 0), w = w }
  local c = p:check()
  lu.assertEquals(c.step, 2)
  lu.assertStrContains(c.reason, "step 2, gemm by")
end

function T.test_check_passes_and_fails()
  local x, w = operands()
  local p = lb.plan():gemm { x = x, w = w }
  local c = p:check()
  lu.assertTrue(c.passed)
  lu.assertEquals(c.steps_checked, 1)
  lu.assertTrue(c.nmse <= c.tolerance)
  p:snapshot "outputs"
  lu.assertTrue(p:verify().passed)
  p:last "out":set(1, 1, 12345)                         -- somebody wrote into the output after it was checked
  local v = p:verify()
  lu.assertFalse(v.passed)
  lu.assertTrue(#v.reason > 0)
end

function T.test_submit_counts_launches()
  local p = lb.plan()
  for _ = 1, 10 do p:empty {} end
  local ns, launches = p:submit(7)
  lu.assertEquals(launches, 70)
  lu.assertTrue(ns > 0)
  local _, eager = p:submit_eager(3)
  lu.assertEquals(eager, 30)
  raises("whole number", p.submit, p, 0)
  raises("whole number", p.submit, p, 0 / 0)
  raises("plan expected", p.run, {})
  p:close()
  raises("the plan is closed", p.run, p)
end

function T.test_operands_outlive_their_objects()
  local x, w = operands()
  local expected = x:matmul(w, { transposed = true })
  local p = lb.plan():gemm { x = x, w = w }
  x:close()
  w:close()
  collectgarbage()
  p:run()
  lu.assertTrue(p:last():error(expected).nmse < 1e-8)
end

function T.test_eager()
  local x, w = operands()
  local expected = x:matmul(w, { transposed = true })
  local out = lb.zeros { 4, 32 }
  lu.assertIs(lb.gemm { x = x, w = w, out = out }, out)
  lu.assertTrue(out:error(expected).nmse < 1e-8)
  local a, b = lb.gemm { x = x, w = w }, nil
  x:set(1, 1, 100)
  b = lb.gemm { x = x, w = w }
  lu.assertFalse(a:equal(b))                            -- an earlier result does not change
  lu.assertTrue(a:error(expected).nmse < 1e-8)
  out:fill(0)
  lb.gemm { x = x, w = w, out = out }                   -- the kept plan runs on what the tensors hold now
  lu.assertTrue(out:equal(b))
  local ids, weights = lb.topk { logits = lb.randn { 3, 8 }, k = 2 }
  lu.assertEquals(ids.dtype, "i32")
  lu.assertEquals(weights.shape, { 3, 2 })
  raises("needs the parameter k", lb.topk, { logits = lb.randn { 3, 8 } })
end

function T.test_eager_updates_run_once()
  local y, one = lb.zeros { 8 }, lb.full({ 8 }, 1)
  local scale = lb.tensor { 2 }
  for i = 1, 3 do
    lb.axpy { x = one, scale = scale, y = y, at = 0 }
    lu.assertEquals(y:get(1), 2 * i)
  end
end

function T.test_closing_frees_what_eager_calls_kept()
  local before = lb.core.memory().now_bytes
  local x, w = lb.randn { 1, 4096 }, lb.randn { 4096, 4096 }
  local out = lb.gemm { x = x, w = w }
  x:close()
  w:close()
  out:close()
  collectgarbage()
  lu.assertTrue(lb.core.memory().now_bytes - before < 2 ^ 20)
end

function T.test_measure()
  local x, w = operands()
  local p = lb.plan():gemm { x = x, w = w }
  local r = lb.measure(p, { max_time_s = 0.3, samples = 20, warmup = 2, cache = "hot" })
  lu.assertEquals(r.samples, 20)
  lu.assertEquals(#r.samples_ns, 20)
  lu.assertEquals(#r.marks, 20)
  lu.assertTrue(r.median > 0 and r.ci95[1] <= r.median and r.median <= r.ci95[2])
  lu.assertTrue(r.min <= r.median and r.median <= r.max)
  lu.assertTrue(r.iterations >= 1 and r.launches >= 20)
  lu.assertEquals(type(r.disturbance.noisy), "boolean")
  local both = lb.core.measure_interleaved({ p, p }, { samples = 10, warmup = 1, cache = "hot" })
  lu.assertEquals(#both, 2)
  lu.assertEquals(both[1].samples, both[2].samples)
  lu.assertStrMatches(tostring(r), "median [%d.]+ %a+, 95 %% interval [%d.]+ to [%d.]+, 20 samples of %d+ runs.*")
  raises('did you mean "precision"', lb.measure, p, { precison = 1 })
  raises("no steps", lb.measure, lb.plan())
end

function T.test_statistics()
  local s = lb.core.stats { 5, 1, 3, 2, 4 }
  lu.assertEquals(s.median, 3)
  lu.assertEquals(s.mean, 3)
  lu.assertNil(s.ci95)                                  -- five samples cannot support it
  lu.assertEquals(lb.core.stats({}).n, 0)
end

function T.test_the_jit_is_used_for_hot_calls()
  lu.assertEquals(lb.core.hot, jit.status())
  local t = lb.timer()
  local last = 0
  for _ = 1, 1000 do
    local now = t:now_ns()
    lu.assertTrue(now >= last)
    last = now
  end
end

function T.test_kernels_describe_themselves()
  lu.assertTrue(#lb.kernels() > 5)
  for _, name in ipairs(lb.kernels()) do
    local k = lb.kernel(name)
    lu.assertEquals(k.name, name)
    lu.assertTrue(k.tolerance > 0 and #k.about > 0 and #k.op > 0, name)
  end
  raises("did you mean", lb.kernel, "gemm.f32.openbla")
  raises("", lb.kernel_load, "/no/such/file.so")
end

-- A plan that reads a tensor and overwrites it later begins every replay from the same state.
function T.test_what_is_read_before_it_is_written_is_kept()
  local a, b = lb.randn({ 1, 256 }, { seed = 1 }), lb.zeros({ 1, 256 }, { dtype = "f32" })
  local ids = lb.tensor({ { 2, 0 } }, { dtype = "i32" })
  local w = {}
  for e = 1, 3 do w[e] = lb.randn({ 256, 256 }, { seed = e }) end
  local plan = lb.plan()
  plan:gemm { x = a, w = w, pick = { ids, 1 }, out = b }
  plan:gemm { x = b, w = w[2], out = a }
  plan:topk { logits = lb.tensor({ { 3, 2, 1 } }, { dtype = "f32" }), ids = ids, weights = lb.zeros({ 1, 2 }), k = 2 }
  plan:snapshot "updates"
  lu.assertTrue(plan:check().passed)
  plan:snapshot "outputs"
  for runs = 1, 3 do
    plan:submit(runs)
    local after = plan:verify()
    lu.assertTrue(after.passed, after.reason)
  end
end

-- With a NaN among the operands nothing can be compared: that is no pass.
function T.test_operands_that_are_not_finite_are_refused()
  for _, bad in ipairs { 0 / 0, 1 / 0 } do
    local x = lb.full({ 1, 256 }, bad, { dtype = "f32" })
    local plan = lb.plan():gemm { x = x, w = lb.randn({ 64, 256 }, { seed = 2 }) }
    local check = plan:check()
    lu.assertFalse(check.passed)
    lu.assertStrContains(check.reason, "cannot be checked")
  end
end

-- Fused experts compute as the panels of their formats do, and are set against that type's ceiling.
function T.test_fused_experts_count_as_their_panels_compute()
  local function flops_by(format)
    local function weights()
      local list = {}
      for e = 1, 2 do list[e] = lb.randn({ 256, 256 }, { seed = e }):quantize(format) end
      return list
    end
    local function i32(...) return lb.tensor({ ... }, { dtype = "i32" }) end
    local plan, w = lb.plan(), weights()
    plan:moe_ffn { x = lb.randn({ 1, 256 }, { seed = 9 }), gate = w, up = w, down = w, offsets = i32(0, 1, 2),
      rows = i32(0, 1), class = i32(0, 0) }
    local gemm = lb.plan():gemm { x = lb.randn({ 64, 256 }, { seed = 9 }), w = w[1] }
    return plan:account().flops_by, gemm:account().flops_by
  end
  for _, format in ipairs { "q4_k", "int8wo" } do
    local fused, plain = flops_by(format)
    for name, flops in pairs(plain) do lu.assertEquals(fused[name] > 0, flops > 0, format .. " " .. name) end
  end
end

return T

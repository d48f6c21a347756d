-- test_tensor.lua: tensors, quantizers, devices and timers as a script sees them.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

function T.test_from_values()
  local t = lb.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
  lu.assertEquals(t.shape, { 2, 3 })
  lu.assertEquals(t.dtype, "f32")
  lu.assertEquals(t:totable(), { { 1, 2, 3 }, { 4, 5, 6 } })
  lu.assertEquals(#t, 2)
  lu.assertEquals(t:numel(), 6)
  lu.assertEquals(t:nbytes(), 24)
  lu.assertEquals(lb.tensor(2, 3):totable(), { { 0, 0, 0 }, { 0, 0, 0 } })
  raises("ragged", lb.tensor, { { 1, 2 }, { 3 } })
  raises("does not fit i8", lb.tensor, { 300 }, { dtype = "i8" })
  raises("does not fit u8", lb.tensor, { 0 / 0 }, { dtype = "u8" })
end

function T.test_every_dtype_round_trips()
  for _, dtype in ipairs { "f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64" } do
    local t = lb.tensor({ 1, 2, 100 }, { dtype = dtype })
    lu.assertEquals(t.dtype, dtype)
    lu.assertEquals(t:totable(), { 1, 2, 100 })
    lu.assertEquals(t:to("f64"):to(dtype):totable(), { 1, 2, 100 })
  end
  raises('did you mean "f32"', lb.zeros, { 2 }, { dtype = "f33" })
end

function T.test_makers()
  lu.assertEquals(lb.full({ 2 }, 7):totable(), { 7, 7 })
  lu.assertEquals(lb.arange({ 2, 2 }, { start = 1, step = 0.5 }):totable(), { { 1, 1.5 }, { 2, 2.5 } })
  lu.assertEquals(lb.arange(4, { dtype = "i32" }):totable(), { 0, 1, 2, 3 })
  local u = lb.uniform({ 1000 }, { seed = 3, lo = 2, hi = 4 })
  lu.assertTrue(u:min() >= 2 and u:max() < 4)
  lu.assertAlmostEquals(u:mean(), 3, 0.1)
  lu.assertEquals(lb.cat({ lb.tensor { 1 }, lb.tensor { 2, 3 } }, 1):totable(), { 1, 2, 3 })
  lu.assertEquals(lb.stack { lb.tensor { 1 }, lb.tensor { 2 } }:totable(), { { 1 }, { 2 } })
end

function T.test_randn_is_the_same_everywhere()
  local a, b = lb.randn({ 64, 64 }, { seed = 5 }), lb.randn({ 64, 64 }, { seed = 5 })
  lu.assertTrue(a:equal(b))
  lu.assertFalse(a:equal(lb.randn({ 64, 64 }, { seed = 6 })))
  lu.assertAlmostEquals(a:mean(), 0, 0.05)
  -- the documented generator, written down once: a change of the stream must not pass unnoticed
  lu.assertAlmostEquals(lb.randn({ 2, 3 }, { seed = 1 }):get(1, 1), -0.2963, 5e-5)
  local one = lb.device("cpu", { threads = 1 })
  lu.assertTrue(a:equal(lb.randn({ 64, 64 }, { seed = 5, device = one })))
end

function T.test_indexes_count_from_one()
  local t = lb.arange { 2, 3 }
  lu.assertEquals(t:get(1, 1), 0)
  lu.assertEquals(t:get(2, 3), 5)
  lu.assertEquals(t:get(-1, -1), 5)
  t:set(1, 2, 9)
  lu.assertEquals(t:get(1, 2), 9)
  raises("index 1", t.get, t, 0, 1)
  raises("index 2", t.get, t, 1, 4)
  raises("whole number", t.get, t, 1, 1.5)
  raises("2 indexes expected", t.get, t, 1)
end

function T.test_views_share_memory()
  local t = lb.arange { 4, 3 }
  local s = t:slice(1, 2, 3)
  lu.assertEquals(s:totable(), { { 3, 4, 5 }, { 6, 7, 8 } })
  s:set(1, 1, 100)
  lu.assertEquals(t:get(2, 1), 100)
  lu.assertEquals(t:reshape({ 3, -1 }).shape, { 3, 4 })
  lu.assertEquals(t:t().shape, { 3, 4 })
  lu.assertEquals(t:t():get(1, 2), 100)
  t:close()
  lu.assertEquals(s:get(1, 1), 100)        -- the view holds the buffer
  raises("dims 1 to 2", s.slice, s, 3)
end

function T.test_arithmetic()
  local a, b = lb.tensor { { 1, 2 }, { 3, 4 } }, lb.tensor { 10, 20 }
  lu.assertEquals((a + b):totable(), { { 11, 22 }, { 13, 24 } })
  lu.assertEquals((1 - a):totable(), { { 0, -1 }, { -2, -3 } })
  lu.assertEquals((a * 2 / 4):totable(), { { 0.5, 1 }, { 1.5, 2 } })
  lu.assertEquals((-a):abs():sum(), 10)
  lu.assertEquals(a:sum(1):totable(), { 4, 6 })
  lu.assertEquals(a:mean(), 2.5)
  lu.assertEquals(a:argmax(), 4)
  lu.assertEquals(a:argmax(2):totable(), { 2, 2 })
  lu.assertAlmostEquals(a:norm(), math.sqrt(30), 1e-12)
  lu.assertEquals(a:matmul(a):totable(), { { 7, 10 }, { 15, 22 } })
  lu.assertEquals(a:matmul(a, { transposed = true }):totable(), { { 5, 11 }, { 11, 25 } })
  lu.assertTrue(a:exp():log():allclose(a))
  raises("expected", function() return a + lb.tensor { 1, 2, 3 } end)
  raises("tensor expected", function() return a + "x" end)
end

function T.test_in_place()
  local t = lb.zeros { 2, 2 }
  lu.assertEquals(t:fill(3):sum(), 12)
  lu.assertEquals(t:copy(lb.tensor { 1, 2 }):totable(), { { 1, 2 }, { 1, 2 } })
end

-- A few input columns with large activations: AWQ's scales must spare their weights.
function T.test_awq()
  local w, x = lb.randn({ 24, 256 }, { seed = 1 }), lb.randn({ 40, 256 }, { seed = 2 })
  for _, column in ipairs { 3, 77, 200 } do
    local v = x:slice(2, column, column)
    v:copy(v * 40)
  end
  local wanted = x:matmul(w, { transposed = true })
  local function error_of(q, samples)
    return samples:matmul(q:dequantize(), { transposed = true }):error(wanted).rel_rmse
  end
  for _, recipe in ipairs { "awq-4-128", "awq-4-32", "uintx-3-64" } do
    local a = lb.awq(w, x, recipe)
    local plain, learned = error_of(w:quantize(recipe), x), error_of(a.weights, x / a.scales)
    lu.assertTrue(learned < 0.7 * plain, ("%s: %g, to nearest %g"):format(recipe, learned, plain))
    lu.assertAlmostEquals(a.error, learned, 1e-12)
    lu.assertAlmostEquals(a.plain_error, plain, 1e-6 * plain)
    lu.assertTrue(a.ratio > 0 and a.ratio < 1)
    lu.assertEquals(a.weights.quantizer.name, recipe)
    lu.assertEquals(a.scales.shape, { 256 })
    lu.assertAlmostEquals(a.scales:max() * a.scales:min(), 1, 1e-5)
  end
  local even = lb.awq(w, lb.full({ 4, 256 }, 2)) -- nothing to spare: the first of equals is plain rounding
  lu.assertEquals(even.ratio, 0)
  lu.assertEquals(even.error, even.plain_error)
  local silent = lb.zeros { 4, 256 }
  silent:slice(2, 1, 9):fill(1) -- columns that no sample uses
  lu.assertTrue(lb.awq(w, silent).error <= lb.awq(w, silent).plain_error)
  raises("multiple of 128", function() lb.awq(lb.zeros { 2, 96 }, lb.zeros { 2, 96 }) end)
  raises("expected sample activations [M, 256]", function() lb.awq(w, lb.zeros { 2, 96 }) end)
  raises("expected weights", function() lb.awq(w:quantize "q8_0", x) end)
  raises("awq-4-{32,64,128,256}", function() lb.awq(w, x, "awq-4-127") end)
  raises("finite", function() lb.awq(w, lb.full({ 2, 256 }, 0 / 0)) end)
  raises("at least one sample", function() lb.awq(w, lb.zeros { 0, 256 }) end)
  raises("lb.awq", function() w:quantize("awq-4-128", { calibration = x }) end)
end

function T.test_calibration()
  local w, x = lb.randn({ 16, 64 }, { seed = 1 }), lb.randn({ 32, 64 }, { seed = 2 })
  local plain, learned = w:quantize "gptq-4-32", w:quantize("gptq-4-32", { calibration = x })
  lu.assertTrue(learned:dequantize():error(plain:dequantize()).rel_rmse > 0)
  raises("no use for sample", function() w:quantize("q4_0", { calibration = x }) end)
  raises("expected dense f32[M, 64]", function() w:quantize("gptq-4-32", { calibration = lb.zeros { 4, 32 } }) end)
  raises("tensor", function() w:quantize("gptq-4-32", { calibration = 3 }) end)
end

function T.test_error_of_products()
  local w, x = lb.randn({ 16, 256 }, { seed = 1 }), lb.randn({ 5, 256 }, { seed = 2 })
  local q = w:quantize "q4_0"
  local e = q:error(w, x)
  local want = x:matmul(w, { transposed = true })
  lu.assertAlmostEquals(e.output_rel_rmse,
    x:matmul(q:dequantize(), { transposed = true }):error(want).rel_rmse, 1e-5)
  lu.assertTrue(e.output_rel_rmse > 0.5 * e.rel_rmse and e.output_rel_rmse < 2 * e.rel_rmse)
  lu.assertNil(q:error(w).output_rel_rmse)
  lu.assertEquals(w:error(w, x).output_rel_rmse, 0)
  raises("expected x [M, K] and w [N, K], got f32[5, 255]", function() q:error(w, lb.zeros { 5, 255 }) end)
  raises("tensor", function() q:error(w, 3) end)
end

function T.test_every_quantizer_round_trips()
  local n = 0
  for _, name in ipairs(lb.quantizers()) do
    local q = lb.quantizer(name)
    local w = lb.randn({ 8, q.k_multiple * math.ceil(256 / q.k_multiple) }, { seed = 1 })
    local packed = w:quantize(name)
    lu.assertEquals(packed.dtype, "quantized")
    lu.assertEquals(packed.quantizer.name, name)
    local e = packed:error(w)
    -- half of the weights dropped; one bit is next to nothing
    local most = q.bits == 1 and 2 or name:find "sparse" and 0.75 or 0.6
    lu.assertTrue(e.rel_rmse > 0 and e.rel_rmse < most, ("%s: rel_rmse %g"):format(name, e.rel_rmse))
    lu.assertAlmostEquals(packed:bits_per_weight(), q:bits_per_weight(8, w.shape[2]), 1e-9)
    lu.assertEquals(packed:dequantize():error(w).rel_rmse, e.rel_rmse)
    lu.assertStrContains(tostring(packed), name)
    n = n + 1
  end
  lu.assertTrue(n >= 10)
end

function T.test_quantize_reports_progress_and_errors()
  local w = lb.randn({ 64, 256 }, { seed = 1 })
  local last_done, last_total
  w:quantize("q8_0", { progress = function(done, total) last_done, last_total = done, total end })
  lu.assertEquals(last_done, last_total)
  raises("inside progress", w.quantize, w, "q8_0", { progress = function() error "inside progress" end })
  raises("did you mean", w.quantize, w, "q8_O")
  raises("multiple", function() return lb.randn { 4, 33 }:quantize "q8_0" end)
  raises("cannot be set", function() w:quantize("q8_0"):set(1, 1, 0) end)
end

-- Bytes between planes are zero, whatever the memory held before.
function T.test_equal_weights_are_equal_bytes()
  for _, recipe in ipairs(lb.quantizers()) do
    local w = lb.randn({ 5, 768 }, { seed = 1 })
    local ok, q = pcall(w.quantize, w, recipe)
    if not ok then w = lb.randn({ 16, 768 }, { seed = 1 }) q = w:quantize(recipe) end        -- rows in groups
    local ones = w:quantize(recipe)
    ones:bytes():fill(255)
    lu.assertTrue(w:quantize(recipe, { out = ones }):bytes():equal(q:bytes()), recipe)
  end
end

function T.test_quantize_into_a_tensor_that_is_there()
  local a, b = lb.randn({ 3, 70, 512 }, { seed = 1 }), lb.randn({ 3, 70, 512 }, { seed = 2 })
  for _, recipe in ipairs { "q3_k", "q8_0", "int4wo-128", "float8dq-tensor" } do      -- the last surveys all rows first
    local wanted, q = b:quantize(recipe), a:quantize(recipe)
    local seen = q:bytes()
    lu.assertTrue(rawequal(b:quantize(recipe, { out = q }), q))
    lu.assertTrue(q:bytes():equal(wanted:bytes()))
    lu.assertTrue(seen:equal(wanted:bytes()))                                          -- a view of the same memory
    b:slice(1, 1, 1):quantize(recipe, { out = q:slice(1, 3, 3) })
    lu.assertTrue(q:dequantize():slice(1, 3, 3):equal(wanted:dequantize():slice(1, 1, 1)))
  end
  local x = lb.randn({ 40, 64 }, { seed = 3 })
  local w, plain = lb.randn({ 8, 64 }, { seed = 4 }), lb.randn({ 8, 64 }, { seed = 4 }):quantize "gptq-4-32"
  local learned = w:quantize("gptq-4-32", { calibration = x, out = plain, progress = function() end })
  lu.assertTrue(learned:dequantize():equal(w:quantize("gptq-4-32", { calibration = x }):dequantize()))
end

function T.test_quantize_into_the_wrong_tensor_writes_nothing()
  local w, q = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 64, 256 }, { seed = 2 }):quantize "q8_0"
  local before = q:bytes():clone()
  raises("expected q4_0 of the same shape", w.quantize, w, "q4_0", { out = q })
  raises("expected q8_0 of the same shape", w.quantize, w, "q8_0", { out = w })
  raises("got q8_0[64, 256]", w.quantize, w:slice(1, 1, 32), "q8_0", { out = q })
  raises("got q8_0[64, 256]", w.quantize, w:reshape { 1, 64, 256 }, "q8_0", { out = q })
  raises("out: tensor expected, got number", w.quantize, w, "q8_0", { out = 3 })
  raises("calibration: tensor expected, got string", w.quantize, w, "gptq-4-32", { calibration = "x" })
  raises("already", w.quantize, q, "q8_0", { out = q })
  raises("no use for sample", w.quantize, w, "q8_0", { out = q, calibration = w })
  lu.assertTrue(q:bytes():equal(before))
  local packed = w:quantize "q8_0"
  if packed:pack() > 0 then raises("would keep the old", w.quantize, w, "q8_0", { out = packed }) end
  local both = lb.randn({ 2, 64, 256 }, { seed = 3 })
  local one = both:slice(1, 1, 1)
  for _, part in ipairs { "whole", "slice" } do       -- a layout of what shares the memory would keep old weights too
    local base = both:quantize "q8_0"
    local slice, was = base:slice(1, 2, 2), base:bytes():clone()
    if (part == "whole" and base or slice):pack() > 0 then
      raises("would keep the old", one.quantize, one, "q8_0", { out = slice })
      raises("would keep the old", one.quantize, one, "q8_0", { out = base:slice(1, 1, 1) })
      raises("would keep the old", both.quantize, both, "q8_0", { out = base })
      lu.assertTrue(base:bytes():equal(was))
    end
  end
  local closed = w:quantize "q8_0"
  closed:close()
  raises("closed", w.quantize, w, "q8_0", { out = closed })
end

function T.test_closing_tensors_while_they_are_quantized_is_harmless()
  local w, q = lb.randn({ 64, 256 }, { seed = 1 }), lb.randn({ 64, 256 }, { seed = 2 }):quantize "q8_0"
  pcall(w.quantize, w, "q8_0", { out = q, progress = function() w:close() q:close() end })
  raises("closed", q.nbytes, q)
end

function T.test_closed_objects_say_so()
  local t = lb.zeros { 2 }
  t:close()
  t:close()                                 -- once more is harmless
  raises("the tensor is closed", t.sum, t)
  raises("the tensor is closed", function() return t.shape end)
  raises("the tensor is closed", lb.gemm, { x = t, w = t })
  lu.assertEquals(tostring(t), "tensor (closed)")
end

function T.test_unknown_names_have_hints()
  raises('did you mean "shape"', function() return lb.zeros { 1 }.shap end)
  raises('did you mean "randn"', function() return lb.rand end)
  raises("cannot be assigned", function() lb.zeros { 1 }.x = 1 end)
  raises('did you mean "seed"', lb.randn, { 1 }, { sed = 1 })
end

function T.test_sizes_are_refused()
  raises("at least 0", lb.zeros, { -1 })
  raises("whole number", lb.zeros, { 1.5 })
  raises("whole number", lb.zeros, { 0 / 0 })
  raises("", lb.zeros, { 2 ^ 40, 2 ^ 40 })
  raises("", lb.zeros, { 2 ^ 50 })
  lu.assertEquals(lb.zeros({ 0, 4 }):numel(), 0)
end

function T.test_the_collector_knows_of_native_memory()
  local before = lb.core.memory().now_bytes
  for _ = 1, 60 do lb.zeros { 1024, 1024, 4 } end      -- 16 MiB each, all garbage
  lu.assertTrue(lb.core.memory().now_bytes - before < 700 * 2 ^ 20)
end

function T.test_device_and_timer()
  local d = lb.device()
  lu.assertEquals(d.name, "cpu")
  lu.assertTrue(d.threads >= 1 and #d.model > 0 and d.caps.threads_max >= 1)
  raises("no such", function() return lb.device "no such" end)
  local t = lb.timer()
  local a = t:now_ns()
  lu.assertTrue(t:now_ns() >= a and t:resolution_ns() > 0 and t:cost_ns() > 0)
  t:start()
  lu.assertTrue(t:stop() >= 0)
  raises("not started", t.stop, t)
end

function T.test_tostring_leaves_out_the_middle()
  local text = tostring(lb.arange { 1000, 1000 })
  lu.assertTrue(#text < 1500)
  lu.assertStrContains(text, "...")
  lu.assertStrContains(text, "f32[1000, 1000]")
  lu.assertStrContains(tostring(lb.tensor { 1, 2 }), "[1, 2]")
end

return T

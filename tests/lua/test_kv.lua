-- test_kv.lua: rope's frequencies against their published formulas; caches written and read by plans; one plan replayed
-- token by token gives what one prefill gives.
local lu = require "luaunit"
local lb = require "luabench"

local TestKv = {}

function TestKv.test_rope_plain()
  local f, scale = lb.rope_frequencies { dim = 8, base = 10000 }
  lu.assertEquals(scale, 1)
  for i, want in ipairs { 1, 0.1, 0.01, 0.001 } do lu.assertAlmostEquals(f:get(i) / want, 1, 1e-7) end
end

-- Llama 3.1: factor 8, low 1, high 4, context 8192, base 500000, dim 128. Values by hand from the definition: the first
-- stays, the last is divided by 8, 36 of 64 lies between.
function TestKv.test_rope_llama3()
  local f = lb.rope_frequencies { dim = 128, base = 500000, scaling = "llama3", factor = 8, low_freq_factor = 1,
    high_freq_factor = 4, original_context = 8192 }
  lu.assertAlmostEquals(f:get(1), 1, 1e-9)
  lu.assertAlmostEquals(f:get(64) * 8 / 500000 ^ (-126 / 128), 1, 1e-6)
  local plain = 500000 ^ (-2 * 31 / 128)
  local wave = 2 * math.pi / plain
  lu.assertTrue(wave > 2048 and wave < 8192)
  local smooth = (8192 / wave - 1) / 3
  lu.assertAlmostEquals(f:get(32) / ((1 - smooth) * plain / 8 + smooth * plain), 1, 1e-6)
end

-- gpt-oss: dim 64, base 150000, factor 32, context 4096, beta 32 and 1, not truncated: concentration 0.1 ln 32 + 1.
function TestKv.test_rope_yarn()
  local f, scale = lb.rope_frequencies { dim = 64, base = 150000, scaling = "yarn", factor = 32,
    original_context = 4096,
    truncate = false }
  lu.assertAlmostEquals(scale, 1.3465735902799727, 1e-12)
  lu.assertAlmostEquals(f:get(1), 1, 1e-7)
  lu.assertAlmostEquals(f:get(32) * 32 / 150000 ^ (-62 / 64), 1, 1e-6)
  local _, ratio = lb.rope_frequencies { dim = 64, base = 10000, scaling = "yarn", factor = 40, original_context = 4096,
    mscale = 0.707, mscale_all_dim = 0.707 }
  lu.assertAlmostEquals(ratio, 1, 1e-12)
end

function TestKv.test_rope_refuses()
  lu.assertErrorMsgContains("did you mean", lb.rope_frequencies, { dim = 8, scaling = "yarm" })
  lu.assertErrorMsgContains("needs factor", lb.rope_frequencies, { dim = 8, scaling = "linear" })
  lu.assertErrorMsgContains("odd", lb.rope_frequencies, { dim = 7 })
  lu.assertErrorMsgContains("multiples of 32", lb.kv_cache, { heads = 1, capacity = 4, dim = 40, type = "q8_0" })
  lu.assertErrorMsgContains("multiple of the page", lb.kv_cache,
    { heads = 1, capacity = 65, dim = 32, layout = "paged" })
end

-- Rows of two sequences: written by one launch, and token by token by a plan that was recorded once. Both ways the rows
-- of attention agree, in every layout and type.
local function record(plan, c, q, k, v, lengths, starts)
  plan:kv_write { x = k, cache = c.k[1], lengths = lengths, starts = starts, pages = c.pages, packed = c.packed }
  plan:kv_write { x = v, cache = c.v[1], lengths = lengths, starts = starts, pages = c.pages, packed = c.packed }
  return plan:attention { q = q, k = c.k[1], v = c.v[1], lengths = lengths, starts = starts, pages = c.pages,
    packed = c.packed }
end

function TestKv.test_replay_by_token()
  for _, layout in ipairs(require("luabench.kv").layouts) do
    for _, type in ipairs(require("luabench.kv").types) do
      local function cache()
        return lb.kv_cache { batch = 2, heads = 2, capacity = 16, dim = 64, type = type, layout = layout, page = 4,
          layers = 2 }
      end
      local q, k, v = lb.randn({ 2, 6, 4, 64 }, { seed = 1 }), lb.randn({ 2, 6, 2, 64 }, { seed = 2 }),
        lb.randn({ 2, 6, 2, 64 }, { seed = 3 })
      local function all(t) return t:reshape { 12, t.shape[3], 64 } end
      local six = lb.tensor({ 6, 6 }, { dtype = "i32" })
      local whole = record(lb.plan(), cache(), all(q), all(k), all(v), six)
      lu.assertTrue(whole:check().passed, layout .. " " .. type)
      whole:run()
      local prefill = whole:last():reshape { 2, 6, 4, 64 }
      local one = { q = lb.zeros { 2, 4, 64 }, k = lb.zeros { 2, 2, 64 }, v = lb.zeros { 2, 2, 64 } }
      local c = cache()
      local plan = lb.plan():advance { lengths = c.lengths }
      record(plan, c, one.q, one.k, one.v, c.lengths)
      for t = 1, 6 do
        for name, from in pairs { q = q, k = k, v = v } do
          one[name]:copy(from:slice(2, t, t):clone():reshape { 2, from.shape[3], 64 })
        end
        plan:run()
        local want = prefill:slice(2, t, t):clone():reshape { 2, 4, 64 }
        lu.assertTrue(plan:last():allclose(want, { rtol = 2e-2, atol = 2e-2 }),
          ("%s %s token %d"):format(layout, type, t))
      end
      lu.assertEquals(c.lengths:totable(), { 6, 6 })
    end
  end
end

-- What is not repeatable is restored: a replay leaves the cache, the residual and the draws as one run does.
function TestKv.test_state_is_restored()
  local c = lb.kv_cache { batch = 1, heads = 1, capacity = 8, dim = 32, type = "f32" }
  local h, ids = lb.zeros { 1, 32 }, lb.zeros({ 1 }, { dtype = "i32" })
  local state, x = lb.zeros({ 1 }, { dtype = "i32" }), lb.randn({ 1, 32 }, { seed = 4 })
  local plan = lb.plan():advance { lengths = c.lengths }
  plan:kv_write { x = x:reshape { 1, 1, 32 }, cache = c.k[1], lengths = c.lengths }
  plan:residual { x = x, y = h }
  plan:sample { logits = h, state = state, ids = ids, temperature = 1, seed = 7 }
  lu.assertTrue(plan:check().passed)
  plan:snapshot "updates"
  plan:submit(5)
  lu.assertEquals(c.lengths:get(1), 0)
  lu.assertEquals(state:get(1), 0)
  lu.assertEquals(h:norm(), 0)
  lu.assertEquals(c.k[1]:norm(), 0)
  plan:snapshot "outputs"
  lu.assertTrue(plan:verify().passed)
  plan:run()
  local first = ids:get(1)
  lu.assertEquals(c.lengths:get(1), 1)
  lu.assertEquals(state:get(1), 1)
  lu.assertTrue(first >= 0 and first < 32)
end

-- One dispatch for Q, K and V gives what three products do.
function TestKv.test_linear_of_several()
  local x, w = lb.randn({ 5, 256 }, { seed = 1 }), {}
  for i, recipe in ipairs { "q4_k", "q8_0", "q6_k" } do
    w[i] = lb.randn({ 64 * i, 256 }, { seed = 1 + i }):quantize(recipe)
  end
  local plan = lb.plan():linear { x = x, w = w }
  lu.assertTrue(plan:check().passed)
  local at, out = 0, plan:run():last()
  for i = 1, 3 do
    local n = 64 * i
    lu.assertTrue(out:slice(2, at + 1, at + n):clone():allclose(lb.gemm { x = x, w = w[i] },
      { rtol = 1e-4, atol = 1e-4 }))
    at = at + n
  end
  lu.assertEquals(plan:account().path[1].launches, 1)
end

-- The layer of engine/README.md, views of the QKV product and all, checked step by step.
function TestKv.test_layer()
  local T, H, G, D, K = 3, 4, 2, 32, 128
  local c = lb.kv_cache { batch = 3, heads = G, capacity = 8, dim = D, type = "q8_0", layout = "bshd" }
  local w = { norm = lb.randn({ K }, { seed = 1 }) }
  for i, n in ipairs { "q", "k", "v" } do
    w[n] = lb.randn({ (n == "q" and H or G) * D, K }, { seed = 1 + i }):quantize "q8_0"
  end
  local f, scale = lb.rope_frequencies { dim = D, base = 10000, scaling = "yarn", factor = 4, original_context = 64 }
  local x, h = lb.randn({ T, K }, { seed = 5 }), lb.randn({ T, K }, { seed = 6 })
  local plan = lb.plan():advance { lengths = c.lengths }
  local positions = plan:last "positions"
  local normed = plan:add_rms_norm { x = x, h = h, weight = w.norm }:last "out"
  local qkv = plan:linear { x = normed, w = { w.q, w.k, w.v } }:last()
  local heads = qkv:reshape { T, H + 2 * G, D }
  local q, k, v = heads:slice(2, 1, H), heads:slice(2, H + 1, H + G), heads:slice(2, H + G + 1, -1)
  plan:rope { x = q, positions = positions, frequencies = f, scale = scale }
  plan:rope { x = k, positions = positions, frequencies = f, scale = scale }
  plan:kv_write { x = k, cache = c.k[1], lengths = c.lengths, packed = c.packed }
  plan:kv_write { x = v, cache = c.v[1], lengths = c.lengths, packed = c.packed }
  plan:attention { q = q, k = c.k[1], v = c.v[1], lengths = c.lengths, packed = c.packed }
  for _ = 1, 3 do
    local check = plan:check()
    lu.assertTrue(check.passed, check.reason)
    plan:run()
  end
  lu.assertEquals(c.lengths:totable(), { 3, 3, 3 })
end

function TestKv.test_parameters_by_name()
  local x = lb.tensor { { -2, 3 } }
  lu.assertEquals(lb.activation { x = x, kind = "relu" }:totable(), { { 0, 3 } })
  lu.assertErrorMsgContains('did you mean "silu"', lb.activation, { x = x, kind = "sillu" })
  lu.assertErrorMsgContains("one of its names", lb.activation, { x = x, kind = 99 })
  lu.assertEquals(lb.plan():activation({ x = x, kind = "silu" }):steps()[1].params.kind, "silu")
end

return TestKv

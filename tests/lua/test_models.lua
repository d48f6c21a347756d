-- test_models.lua: whole models against what transformers computed (tests/fixtures/models/), as Hugging Face folders
-- and as GGUF files that luabench wrote of them; generation, modes, batches, caches, refusals (sessions are in a file
-- of their own).
local lu = require "luaunit"
local lb = require "luabench"
local convert = require "luabench.convert.run"
local core = lb.core

local T = {}
local FIXTURES = "tests/fixtures/models"
local ALL = { "deepseek_v2", "glm4", "glm4_moe_lite", "gpt_oss", "llama", "mistral", "mixtral", "qwen2", "qwen3",
  "qwen3_moe" }
local top
local SILENT = { item = function() end, rows = function() end }

function T.setUp() top = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(top) end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function folder(name) return FIXTURES .. "/" .. name end
local function expected(name)
  return lb.load(folder(name) .. "/expected.json"), lb.load(folder(name) .. "/logits.npy")
end

-- The greatest difference of a row, of the greatest logit of that row.
local function distance(got, want)
  lu.assertEquals(got.shape, want.shape)
  local worst = 0
  for t = 1, want.shape[1] do
    local g, w = got:slice(1, t, t), want:slice(1, t, t)
    local d = (g - w):abs():max() / w:abs():max()
    lu.assertTrue(d == d, "NaN in row " .. t)
    worst = math.max(worst, d)
  end
  return worst
end

local function assert_logits(m, name, opts, limit)
  local e, want = expected(name)
  local d = distance(m:logits(e.prompt, opts), want)
  lu.assertTrue(d <= (limit or 1e-4), ("%s: logits differ by %.3g of the greatest"):format(name, d))
end

local function write_gguf(name, path)
  convert.run { input = folder(name), output = path, recipe = "f32", no_tokenizer = true, report = SILENT }
end

function T.test_every_architecture_has_a_fixture()
  lu.assertEquals(lb.model.architectures(), ALL)
  for _, name in ipairs(ALL) do lu.assertEquals(lb.model_type(folder(name)).type, name) end
end

for _, name in ipairs(ALL) do
  T["test_logits_of_" .. name] = function()
    local m = lb.model.load(folder(name), { dtype = "f32" })
    assert_logits(m, name)
    assert_logits(m, name, { mode = "plan" })
    assert_logits(m, name, { mode = "eager", prompt_rows = 7 })
    assert_logits(m, name, { prompt_rows = 1 })
  end

  T["test_gguf_of_" .. name] = function()
    local path = top .. "/m.gguf"
    write_gguf(name, path)
    assert_logits(lb.model.load(path, { dtype = "f32", type = name }), name)
    -- nearer to each other than either need be to the reference: what rope pairs differs, and so the order of sums
    local e = expected(name)
    local a, b = lb.model.load(folder(name), { dtype = "f32" }), lb.model.load(path, { dtype = "f32", type = name })
    lu.assertTrue(distance(a:logits(e.prompt), b:logits(e.prompt)) <= 1e-5)
  end

  T["test_greedy_of_" .. name] = function()
    local m, e = lb.model.load(folder(name), { dtype = "f32" }), expected(name)
    for _, mode in ipairs { "eager", "plan", "fused" } do
      local r = m:generate(e.prompt, { mode = mode, max_new_tokens = #e.greedy, stop = false, cache = "f32" })
      lu.assertEquals(r.tokens, e.greedy, mode)
      lu.assertEquals(r.finish, "length")
      lu.assertEquals(#r.step_ns, #e.greedy - 1)
    end
  end
end

-- Fixtures beside those that every architecture has: groups of experts, experts in MXFP4 blocks as gpt-oss was
-- published.
function T.test_groups_of_experts()
  local name, path = "deepseek_v2_groups", top .. "/m.gguf"
  local m = lb.model.load(folder(name), { dtype = "f32" })
  lu.assertEquals(m.spec.moe.top_groups, 2)
  for _, mode in ipairs({ "eager", "fused" }) do assert_logits(m, name, { mode = mode }) end
  m.spec.moe.groups, m.spec.moe.top_groups = nil, nil                -- they do matter
  local e, want = expected(name)
  lu.assertTrue(distance(m:logits(e.prompt), want) > 1e-2)
  write_gguf(name, path)
  assert_logits(lb.model.load(path, { dtype = "f32", type = "deepseek_v2" }), name)
end

function T.test_mxfp4_blocks()
  local name, path = "gpt_oss_mxfp4", top .. "/m.gguf"
  local m = lb.model.load(folder(name), { dtype = "f32", repack = false })
  lu.assertEquals(m.layers[2].up_exps[3].quantizer.name, "mxfp4")
  assert_logits(m, name)
  -- to GGUF bit for bit, though other matrices change
  convert.run { input = folder(name), output = path, recipe = "mxfp4", no_tokenizer = true, report = SILENT,
    overrides = { "attn=f32", "token_embd=f32", "output=f32" } }
  local g = lb.model.load(path, { dtype = "f32", repack = false })
  for _, role in ipairs { "gate_exps", "up_exps", "down_exps" } do
    lu.assertEquals(core.checksum(g.layers[1][role][2]), core.checksum(m.layers[1][role][2]))
  end
  assert_logits(g, name)
  local blocks, scales = lb.zeros({ 2, 6, 1, 16 }, { dtype = "u8" }), lb.zeros({ 2, 6, 1 }, { dtype = "u8" })
  lu.assertEquals(core.mxfp4_blocks(blocks, scales, 3, 3).shape, { 2, 2, 32 })
  raises("no whole share of 6 rows", core.mxfp4_blocks, blocks, scales, 1, 4)
  raises("u8 [.., R, G, 16]", core.mxfp4_blocks, scales, blocks, 1, 1)
end

-- ---- generation ----

function T.test_batch_is_as_one_by_one()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local prompts = { e.prompt, { 5, 9, 14 }, { 100 } }
  for _, mode in ipairs { "eager", "plan", "fused" } do
    for _, rows in ipairs { 512, 5 } do                              -- in one launch; prompts that launches cut
      local all = m:generate(prompts, { max_new_tokens = 6, stop = false, cache = "f32", mode = mode,
        prompt_rows = rows })
      lu.assertEquals(all.batch, 3)
      for b, prompt in ipairs(prompts) do
        local one = m:generate(prompt, { max_new_tokens = 6, stop = false, cache = "f32", mode = mode })
        lu.assertEquals(all.sequences[b].tokens, one.tokens)
        lu.assertEquals(all.sequences[b].prompt_tokens, #prompt)
      end
    end
  end
end

function T.test_modes_agree_with_quantized_weights()
  for _, name in ipairs { "llama", "qwen3_moe", "gpt_oss", "deepseek_v2" } do
    for _, recipe in ipairs { "q8_0", "q4_0" } do
      local m, e = lb.model.load(folder(name), { dtype = "f32", quantize = function(role, shape)
        return shape[#shape] % 32 == 0 and role ~= "router" and recipe or nil
      end }), expected(name)
      local tokens
      for _, mode in ipairs { "eager", "plan", "fused" } do
        local r = m:generate(e.prompt, { max_new_tokens = 12, stop = false, mode = mode })
        tokens = tokens or r.tokens
        lu.assertEquals(r.tokens, tokens, name .. " " .. recipe .. " " .. mode)
      end
    end
  end
end

-- A folder with the same model, each matrix of its layers as a format has it, in f32.
local function rounded(name, recipe)
  local f, t = lb.model_file(folder(name)), {}
  for _, n in ipairs(f:names()) do
    local w = f:tensor(n):to "f32"
    t[n] = n:find "_proj" and w:quantize(recipe):dequantize() or w
  end
  lb.save(top .. "/model.safetensors", t)
  core.write_file(top .. "/config.json", core.file_read(folder(name) .. "/config.json"))
  return top
end

-- Where nothing is repacked, activations stay f32: what the weights' format costs is all that differs. The kernels of
-- repacked weights take activations in int8.
function T.test_quantized_weights_are_their_values()
  for _, recipe in ipairs { "q8_0", "q4_0" } do
    local e = expected "llama"
    local want = lb.model.load(rounded("llama", recipe)):logits(e.prompt)
    local m = lb.model.load(folder "llama", { dtype = "f32", quantize = recipe, repack = false })
    lu.assertEquals(m.repack_bytes, 0)
    for _, mode in ipairs { "eager", "plan", "fused" } do
      lu.assertTrue(distance(m:logits(e.prompt, { mode = mode }), want) <= 1e-4)
    end
    local packed = lb.model.load(folder "llama", { dtype = "f32", quantize = recipe })
    local d = distance(packed:logits(e.prompt), want)
    lu.assertTrue(d <= 0.15, ("%s: %.3g"):format(recipe, d))
  end
end

-- Do kernels of this run read weights as files have them?
local function reads_files_layout()
  local level = os.getenv "LUABENCH_ISA" or "amx"
  return core.machine().isa:find "avx512_vnni" ~= nil and (level == "avx512" or level == "amx")
end

-- Repacked or in the file's own layout: where kernels read that, the same bits; else one expands to f32.
function T.test_files_own_layout()
  local path, e = top .. "/t.gguf", expected "tiny-llama"
  local alike = reads_files_layout()
  for _, recipe in ipairs { "q4_0", "q8_0", "q4_k", "q5_k", "q6_k" } do
    convert.run { input = folder "tiny-llama", output = path, recipe = recipe, report = SILENT }
    local packed, native = lb.model.load(path), lb.model.load(path, { repack = false })
    lu.assertEquals(native.repack_bytes, 0)
    local d = distance(native:logits(e.prompt), packed:logits(e.prompt))
    lu.assertTrue(d <= (alike and 0 or 0.1), ("%s: %.3g"):format(recipe, d))
    local tokens
    for _, mode in ipairs { "eager", "plan", "fused" } do
      local r = native:generate(e.prompt, { max_new_tokens = 12, stop = false, mode = mode })
      tokens = tokens or r.tokens
      lu.assertEquals(r.tokens, tokens, recipe .. " " .. mode)
    end
  end
end

-- A head that is the embedding too stays as the file has it where a kernel reads that, also beside repacked layers.
function T.test_head_in_the_files_own_layout()
  local config = { model_type = "llama", num_hidden_layers = 2, hidden_size = 256, intermediate_size = 512,
    num_attention_heads = 4, vocab_size = 96, head_dim = 64, tie_word_embeddings = true }
  local function q8_0(role) return role ~= "router" and "q8_0" or nil end
  local packed = lb.model.load(config, { random_weights = true, quantize = q8_0 })
  local native = lb.model.load(config, { random_weights = true, quantize = q8_0, repack = false })
  local alike = reads_files_layout()
  lu.assertNil(packed.weights.head)
  lu.assertEquals(packed.native_head, alike)
  lu.assertNil(native.native_head)
  local prompt = { 1, 20, 33, 47, 95 }
  local d = distance(native:logits(prompt), packed:logits(prompt))
  lu.assertTrue(d <= (alike and 0 or 0.1), ("differs by %.3g"):format(d))
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local o = { max_new_tokens = 8, stop = false, mode = mode }
    local got, want = packed:generate(prompt, o).tokens, native:generate(prompt, o).tokens
    lu.assertEquals(#got, 8)
    if alike then lu.assertEquals(got, want, mode) end
  end
end

-- MLA's k_b has a K that no kernel reads in the file's own layout: it alone is repacked then, and has the same bits.
function T.test_latents_beside_the_files_own_layout()
  local config = { model_type = "glm4_moe_lite", num_hidden_layers = 2, hidden_size = 256, intermediate_size = 256,
    moe_intermediate_size = 256, num_attention_heads = 4, num_key_value_heads = 4, n_routed_experts = 4,
    n_shared_experts = 1, num_experts_per_tok = 2, first_k_dense_replace = 1, kv_lora_rank = 256, q_lora_rank = 256,
    qk_rope_head_dim = 64, qk_nope_head_dim = 192, v_head_dim = 256, vocab_size = 96, routed_scaling_factor = 1.8,
    rms_norm_eps = 1e-5, rope_theta = 1e6, max_position_embeddings = 64 }
  local alike, path = reads_files_layout(), top .. "/g.gguf"
  core.write_file(top .. "/config.json", require("luabench.json").encode(config))
  convert.run { input = top .. "/config.json", output = path, recipe = "q8_0", random = true, seed = 3,
    report = SILENT }
  local packed, native = lb.model.load(path), lb.model.load(path, { repack = false })
  local latents = native.layers[1].k_b:nbytes() + native.layers[2].k_b:nbytes()
  lu.assertEquals(native.packed_latents, alike or nil)
  if alike then
    lu.assertTrue(native.repack_bytes >= latents and native.repack_bytes < 1.2 * latents, native.repack_bytes)
    lu.assertTrue(native.repack_ns > 0)
  else
    lu.assertEquals(native.repack_bytes, 0)
  end
  local prompt = { 1, 20, 33, 47, 95 }
  -- elsewhere one takes activations in f32, the other in int8, and a router's choice may turn on that
  if alike then lu.assertEquals(distance(native:logits(prompt), packed:logits(prompt)), 0) end
  local tokens
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local r = native:generate(prompt, { max_new_tokens = 6, stop = false, mode = mode })
    tokens = tokens or r.tokens
    lu.assertEquals(r.tokens, tokens, mode)
  end
end

function T.test_types_of_caches()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local _, want = expected "llama"
  local limit = { f32 = 1e-4, f16 = 5e-3, bf16 = 4e-2 }
  for type, l in pairs(limit) do
    local d = distance(m:logits(e.prompt, { cache = type }), want)
    lu.assertTrue(d <= l, ("%s: %.3g"):format(type, d))
  end
  local wide = lb.model.load(folder "deepseek_v2", { dtype = "f32" })   -- a latent of 32 and 8 rotated: no whole blocks
  raises("multiples of 32", wide.logits, wide, { 1, 2 }, { cache = "q8_0" })
  for _, type in ipairs { "f8e4m3", "q8_0", "q4_0" } do
    local q = lb.model.load(folder "qwen3", { dtype = "f32" })
    local t, w = expected "qwen3"
    local d = distance(q:logits(t.prompt, { cache = type }), w)
    lu.assertTrue(d > 1e-4 and d < 0.5, ("%s: %.3g"):format(type, d))
  end
  for _, layout in ipairs { "bshd", "hbsd", "lbhsd" } do
    lu.assertEquals(m:generate(e.prompt, { max_new_tokens = 12, stop = false, layout = layout, cache = "f32" }).tokens,
      e.greedy)
  end
end

-- ---- tiny-llama: trained, with its tokenizer ----

local TINY = "tiny-llama"

function T.test_trained_model()
  local m = lb.model.load(folder(TINY), { dtype = "f32" })
  local e = expected(TINY)
  assert_logits(m, TINY)
  local text = "This License does not grant permission to use the"
  lu.assertEquals(m:tokenizer():encode(text, { special = true }), e.prompt)
  local streamed = {}
  local r = m:generate(text, { max_new_tokens = #e.greedy, stop = false, cache = "f32",
    on_token = function(_, _, _, part) streamed[#streamed + 1] = part end })
  lu.assertEquals(r.tokens, e.greedy)
  lu.assertEquals(r.prompt_tokens, #e.prompt)
  lu.assertStrContains(r.text, "rights to use, copy, modify, distribute")
  lu.assertEquals((r.text:find(table.concat(streamed), 1, true)), 1)  -- the last character may wait for its bytes
  local both = m:generate({ text, "The" }, { max_new_tokens = 4, stop = false })
  lu.assertEquals(#both.sequences, 2)
  lu.assertTrue(#both.sequences[2].text > 0)
end

function T.test_perplexity()
  local text, e = core.file_read(folder(TINY) .. "/text.txt"), expected(TINY)
  local function of(opts, file)
    local r = lb.model.load(file or folder(TINY), opts):perplexity(text, { context = e.perplexity.context })
    lu.assertEquals(r.tokens, e.perplexity.tokens)
    return r.perplexity
  end
  local exact = of { dtype = "f32" }
  lu.assertAlmostEquals(exact / e.perplexity.value, 1, 1e-4)
  lu.assertAlmostEquals(of {} / exact, 1, 0.01)                      -- bf16, as stored
  local function all(recipe)
    return function(role) return role ~= "embedding" and recipe or nil end
  end
  local q8, q4, q2 = of { dtype = "f32", quantize = all "q8_0" }, of { dtype = "f32", quantize = all "q4_k" },
    of { dtype = "f32", quantize = all "q2_k" }
  lu.assertAlmostEquals(q8 / exact, 1, 0.02)
  lu.assertTrue(exact < q4 and q4 < q2 and q4 / exact < 1.1, ("%g %g %g"):format(exact, q4, q2))
  -- through a file that luabench wrote, its tokenizer too
  convert.run { input = folder(TINY), output = top .. "/t.gguf", recipe = "bf16", report = SILENT }
  lu.assertAlmostEquals(of({ dtype = "f32" }, top .. "/t.gguf") / exact, 1, 1e-4)
  raises("at least two tokens", function() lb.model.load(folder(TINY)):perplexity { 1 } end)
end

-- ---- parts, names, random weights ----

function T.test_parts_by_name()
  local m = lb.model.load(folder "qwen3_moe", { dtype = "f32" })
  lu.assertEquals(m.layers[1].q.shape, { 64, 64 })
  lu.assertEquals(#m.layers[2].gate_exps, 8)
  lu.assertEquals(m.layers[2].gate_exps[8].shape, { 32, 64 })
  lu.assertTrue(m:tensor("layers.1.q"):equal(m.layers[1].q))
  lu.assertEquals(m:tensor("model.layers.0.self_attn.q_proj.weight").shape, { 64, 64 })
  lu.assertEquals(m:tensor("embedding").shape, { 160, 64 })
  raises("no.such", m.tensor, m, "no.such")
  lu.assertTrue(m.nbytes > 0 and m.parameters > 0)
end

function T.test_forward_into_a_plan()
  for _, name in ipairs(ALL) do
    local m = lb.model.load(folder(name), { dtype = "f32" })
    for _, o in ipairs { { tokens = 3, batch = 2, past = 4 }, { layer = 2, tokens = 5 },
      { past = 9, fused = false } } do
      local p = lb.plan()
      local io = m:forward(p, o)
      local c = p:check()
      lu.assertTrue(c.passed, ("%s: %s"):format(name, tostring(c.reason)))
      lu.assertEquals(io.logits and io.logits.shape, not o.layer and { (o.tokens or 1) * (o.batch or 1), 160 } or nil)
    end
  end
end

function T.test_random_weights()
  local m = lb.model.load(folder "glm4_moe_lite", { random_weights = true, seed = 3, quantize = function(role, shape)
    return shape[#shape] % 32 == 0 and role:find "_exps$" and "q4_0" or nil
  end })
  lu.assertTrue(m.random)
  lu.assertStrContains(tostring(m), "random weights")
  lu.assertEquals(m.layers[2].gate_exps[1].quantizer.name, "q4_0")
  local a = m:generate({ 1, 2, 3 }, { max_new_tokens = 5, stop = false }).tokens
  local function again(seed)
    return lb.model.load(folder "glm4_moe_lite", { random_weights = true, seed = seed, quantize = function(role, shape)
      return shape[#shape] % 32 == 0 and role:find "_exps$" and "q4_0" or nil
    end })
  end
  lu.assertEquals(again(3):generate({ 1, 2, 3 }, { max_new_tokens = 5, stop = false }).tokens, a)
  lu.assertNotEquals(core.checksum(again(4).layers[1].o), core.checksum(m.layers[1].o))
  for _, name in ipairs(ALL) do
    local r = lb.model.load(folder(name) .. "/config.json", { random_weights = true })
    local l = r:logits { 3, 4, 5 }
    lu.assertTrue(l:abs():max() < 1e4, name)
  end
  raises("random_weights = true", lb.model.load, folder "llama" .. "/config.json")
  raises("no tokenizer", m.generate, m, "text")
end

-- Weights that were made here and repacked are held once: what they were made as has gone to a file without a name,
-- whose pages were given back.
function T.test_random_weights_are_held_once()
  local config = { model_type = "llama", num_hidden_layers = 2, hidden_size = 512, intermediate_size = 1024,
    num_attention_heads = 8, vocab_size = 64, tie_word_embeddings = true }
  local m = lb.model.load(config, { random_weights = true, quantize = "q8_0" })
  lu.assertNil(m.second_copy)
  lu.assertEquals(#m.layer_load_ns, 2)
  lu.assertEquals(#m.layer_repack_ns, 2)
  local mapped, resident, current = 0, 0, false
  for line in io.lines "/proc/self/smaps" do
    if line:find "^%x+%-%x+ " then current = line:find "luabench%-weights" ~= nil end
    if current then
      mapped = mapped + (tonumber(line:match "^Size:%s*(%d+)") or 0)
      resident = resident + (tonumber(line:match "^Rss:%s*(%d+)") or 0)
    end
  end
  if m.repack_bytes == 0 then return end                             -- no panels on this machine: nothing to give back
  lu.assertTrue(mapped * 1024 > 0.9 * m.repack_bytes, mapped)
  lu.assertTrue(resident < 0.1 * mapped, ("%d of %d kB"):format(resident, mapped))
  lu.assertTrue(#m:generate({ 1, 2 }, { max_new_tokens = 3, stop = false }).tokens == 3)
end

-- A file of random weights holds what the seed gives without one.
function T.test_random_weights_as_a_file()
  for _, name in ipairs { "qwen3", "glm4_moe_lite" } do
    local path = top .. "/r.gguf"
    convert.run { input = folder(name), output = path, recipe = "f32", random = true, seed = 7, report = SILENT }
    local a = lb.model.load(path, { type = name })
    lu.assertTrue(a.random)
    lu.assertFalse(a:has_tokenizer())
    raises("no tokenizer", a.generate, a, "text")
    local b = lb.model.load(folder(name), { random_weights = true, seed = 7 })
    lu.assertTrue(distance(a:logits { 3, 4, 5 }, b:logits { 3, 4, 5 }) <= 1e-4)
  end
  raises("in a form that is not made here", convert.run, { input = folder "gpt_oss", output = top .. "/o.gguf",
    recipe = "f32", random = true, report = SILENT })
  raises("a config.json, or a folder with one", convert.run, { input = folder "llama" .. "/model.safetensors",
    output = top .. "/o.gguf", recipe = "f32", random = true, report = SILENT })
end

-- ---- refusals ----

function T.test_what_does_not_fit()
  local f = lb.model_file(folder "llama")
  local function write(change)
    local t = {}
    for _, name in ipairs(f:names()) do t[name] = f:tensor(name) end
    change(t)
    lb.save(top .. "/model.safetensors", t)
    core.write_file(top .. "/config.json", core.file_read(folder "llama" .. "/config.json"))
    return top
  end
  local first = "model.layers.0.self_attn."
  raises("k_proj.weight is missing", lb.model.load, write(function(t) t[first .. "k_proj.weight"] = nil end))
  raises("no place in a model of type llama: " .. first .. "q_proj.bias", lb.model.load,
    write(function(t) t[first .. "q_proj.bias"] = lb.zeros { 64 } end))
  raises("has the shape [64, 32]; the configuration says [64, 64]", lb.model.load,
    write(function(t) t[first .. "q_proj.weight"] = lb.zeros { 64, 32 } end))
  local m = lb.model.load(write(function() end), { dtype = "f32" })
  assert_logits(m, "llama")
  raises("token 2 is 160", m.logits, m, { 1, 160 })
  raises("the caches hold 4", m.generate, m, { 1, 2, 3, 4, 5 }, { context = 4 })
  raises("all are taken", m.generate, m, { 1, 2 }, { context = 4, max_new_tokens = 9, stop = false })
  raises('did you mean "temperature"', m.generate, m, { 1 }, { temprature = 1 })
  raises('did you mean "repack"', lb.model.load, folder "llama", { repak = true })
  raises("there are eager, plan, fused", m.generate, m, { 1 }, { mode = "compiled" })
  raises("holds a model of type llama", lb.model.load, folder "llama", { type = "qwen2" })
  raises("a model of type glm4_moe", lb.model.load, { model_type = "glm4_moe" }, { random_weights = true })
  raises("hidden_act", lb.model.load, { model_type = "llama", hidden_act = "gelu" }, { random_weights = true })
  raises("num_hidden_layers", lb.model.load, { model_type = "llama" }, { random_weights = true })
  raises("a whole number from 1 expected, got -1", lb.model.load, { model_type = "llama", num_hidden_layers = -1 },
    { random_weights = true })
  raises("3 of 8 groups have fewer", lb.model.load, { model_type = "deepseek_v2", num_hidden_layers = 1,
    hidden_size = 64, num_attention_heads = 4, vocab_size = 10, intermediate_size = 32, kv_lora_rank = 32,
    qk_nope_head_dim = 8, qk_rope_head_dim = 8, v_head_dim = 8, n_routed_experts = 8, num_experts_per_tok = 4,
    n_group = 8, topk_group = 3 }, { random_weights = true })
  -- what a configuration says is believed only as far as it makes sense
  local base = { model_type = "deepseek_v2", num_hidden_layers = 1, hidden_size = 64, num_attention_heads = 4,
    vocab_size = 10, intermediate_size = 32, kv_lora_rank = 32, qk_nope_head_dim = 8, qk_rope_head_dim = 8,
    v_head_dim = 8, n_routed_experts = 8, num_experts_per_tok = 2 }
  for _, bad in ipairs { { "scoring_func", "tanh", '"tanh" is not known; there are softmax, sigmoid' },
    { "topk_method", 3, "topk_method: 3 is not known" }, { "rope_theta", "many", "rope_theta: a number expected" },
    { "rope_theta", -1, "rope_theta: a number above 0" }, { "rms_norm_eps", 0, "rms_norm_eps: a number above 0" },
    { "rope_scaling", { type = "yarn", mscale_all_dim = 1 }, "needs a factor" },
    { "rope_scaling", { type = "yarn", factor = {} }, "factor: a number expected" },
    { "rope_scaling", { type = "yarn", factor = 2, truncate = 1 }, "truncate: true or false" },
    { "sliding_window", "all", "sliding_window: a whole number" } } do
    local c = {}
    for k, v in pairs(base) do c[k] = v end
    c[bad[1]] = bad[2]
    raises(bad[3], lb.model.load, c, { random_weights = true })
  end
  lb.model.load(base, { random_weights = true, type = "deepseek2" })
  raises('is of a model of type deepseek_v2 (config.json: model_type "deepseek_v2"), not llama', lb.model.load, base,
    { random_weights = true, type = "llama" })
  raises('there is no model type "lama"; there are deepseek_v2', lb.model.load, base,
    { random_weights = true, type = "lama" })
  raises("takes K in multiples of 256", lb.model.load, folder "llama", { quantize = "q4_k" })
  raises("a path or a configuration expected", lb.model.load, 3)
end

-- Metadata of GGUF are believed no more: another type or size of one is an error in words, or changes nothing that
-- cannot be computed.
function T.test_metadata_that_make_no_sense()
  write_gguf("deepseek_v2", top .. "/m.gguf")
  local f, tensors = lb.model_file(top .. "/m.gguf"), {}
  for _, name in ipairs(f:names()) do tensors[name] = f:tensor(name) end
  local metadata, types = f:metadata(), f:metadata_types()
  local function with(key, value, kind)
    local m, t = {}, {}
    for k, v in pairs(metadata) do m[k], t[k] = v, types[k] end
    m[key], t[key] = value, kind
    lb.save(top .. "/x.gguf", { tensors = tensors, metadata = m, types = t })
    return lb.model.load(top .. "/x.gguf"):logits { 1, 2 }
  end
  for _, bad in ipairs { { "rope.freq_base", 0, "f32", "rope.freq_base: a number above 0" },
    { "rope.freq_base", 1 / 0, "f32", "rope.freq_base: a number expected" },
    { "rope.scaling.factor", -1, "i32", "rope.scaling.factor: a number above 0" },
    { "rope.scaling.yarn_log_multiplier", 2 ^ 31, "f32", "yarn_log_multiplier: a number up to 10" },
    { "rope.dimension_count", 9, "u32", "" }, { "block_count", { 1, 2 }, "array:i32", "block_count: a whole number" },
    { "nextn_predict_layers", 3, "u32", "leaves none of" }, { "expert_used_count", 2 ^ 31, "u32", "" },
    { "attention.layer_norm_rms_epsilon", 0 / 0, "f32", "a number expected" } } do
    local ok, why = pcall(with, "deepseek2." .. bad[1], bad[2], bad[3])
    lu.assertFalse(ok, bad[1])
    lu.assertStrContains(tostring(why), bad[4])
    lu.assertNil(tostring(why):find "attempt to", tostring(why))
  end
  lu.assertTrue(with("general.architecture", true, "bool"):abs():max() < 1e4)     -- told by its tensors
end

-- Whatever is handed over: an error that says what was expected, none of Lua's own.
function T.test_wrong_arguments()
  local m = lb.model.load(folder "llama")
  local bad = { true, -1, 0 / 0, 1e300, 0.5, "x", {}, { {} }, function() end, lb.zeros { 2 }, lb.plan() }
  local function try(what, f, ...)
    local ok, why = pcall(f, ...)
    if ok then return end
    lu.assertFalse(type(why) ~= "string" or why:find "attempt to" ~= nil, what .. ": " .. tostring(why))
  end
  local methods = { "generate", "logits", "perplexity", "forward", "session", "tensor", "names", "tokenizer",
    "begin_token" }
  for i, a in ipairs(bad) do
    for _, name in ipairs(methods) do
      try(name .. " self " .. i, m[name], a)
      try(name .. " " .. i, m[name], m, a)
      for j, b in ipairs(bad) do try(("%s %d %d"):format(name, i, j), m[name], m, a, b) end
    end
    try("load " .. i, lb.model.load, a)
    for _, key in ipairs { "device", "dtype", "quantize", "repack", "random_weights", "seed", "type", "progress" } do
      try(("load %s %d"):format(key, i), lb.model.load, folder "llama", { [key] = a })
    end
    for _, key in ipairs { "max_new_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop", "on_token",
      "mode", "cache", "layout", "prompt_rows", "context", "session" } do
      try(("generate %s %d"):format(key, i), m.generate, m, { 1, 2 }, { max_new_tokens = 2, [key] = a })
    end
    for _, key in ipairs { "tokens", "batch", "past", "cache", "layout", "fused", "layer", "logits", "seed" } do
      try(("forward %s %d"):format(key, i), m.forward, m, lb.plan(), { [key] = a })
    end
    for _, key in ipairs { "batch", "capacity", "cache", "layout", "mode", "prompt_rows" } do
      try(("session %s %d"):format(key, i), m.session, m, { capacity = 8, [key] = a })
    end
  end
end

-- What a pack() of a mapped tensor gives back comes from the file again; what was written to it stays.
function T.test_pages_given_back()
  lb.save(top .. "/a.gguf", { w = lb.randn({ 512, 4096 }, { seed = 1 }):quantize "q8_0" })
  local f = lb.model_file(top .. "/a.gguf")
  local w = f:tensor "w"
  local before = core.checksum(w)
  local ns, bytes = w:pack()
  if bytes > 0 then lu.assertTrue(ns > 0) end                        -- no panels without AVX-512
  lu.assertEquals(select(1, w:pack()), 0)
  lu.assertEquals(core.checksum(w), before)
end

return T

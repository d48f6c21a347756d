-- test_quantize.lua: model files in other formats: names, permutations, stacks, metadata, tokenizers, neighbours, the
-- mixed-bits rule, overrides; what is written is read back. tests/cli/test_quantize.sh has the command itself.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core
local convert = require "luabench.convert.run"
local gguf_keys = require "luabench.convert.gguf_keys"
local names = require "luabench.convert.names"
local recipes = require "luabench.convert.recipes"
local tiny = dofile "tests/lua/tiny_models.lua"

local T = {}
local folder

function T.setUp() folder = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(folder) end

local REPORT = { item = function() end, rows = function() end }

local function run(input, output, opts)
  local o = { input = input, output = folder .. "/" .. output, report = REPORT, map = "k" }
  for k, v in pairs(opts) do o[k] = v end
  local done = convert.run(o)
  return lb.model_file(done.paths[1]), done
end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function close(a, b) lu.assertTrue(a:allclose(b, { rtol = 0, atol = 0 })) end

-- ---- names and values ----

function T.test_llama_becomes_gguf()
  local from = lb.model_file(tiny.make(folder .. "/m", "llama"))
  local to, done = run(folder .. "/m", "x.gguf", { recipe = "f32" })
  lu.assertEquals(lb.model_type(to).type, "llama")
  close(to:tensor "token_embd.weight", from:tensor "model.embed_tokens.weight")
  close(to:tensor "blk.1.ffn_down.weight", from:tensor "model.layers.1.mlp.down_proj.weight")
  close(to:tensor "blk.0.ffn_norm.weight", from:tensor "model.layers.0.post_attention_layernorm.weight")
  -- rows of a head: the first half and the second half, alternating
  local q, p = from:tensor "model.layers.0.self_attn.q_proj.weight", to:tensor "blk.0.attn_q.weight"
  for head = 0, 3 do
    for i = 0, 7 do
      for half = 0, 1 do
        local got, want = head * 16 + 2 * i + half + 1, head * 16 + half * 8 + i + 1
        close(p:slice(1, got, got), q:slice(1, want, want))
      end
    end
  end
  local k = to:tensor "blk.0.attn_k.weight"
  close(k:slice(1, 2, 2), from:tensor("model.layers.0.self_attn.k_proj.weight"):slice(1, 9, 9))
  close(to:tensor "blk.0.attn_v.weight", from:tensor "model.layers.0.self_attn.v_proj.weight")
  lu.assertEquals(#done.skipped, 0)
  lu.assertEquals(done.types[#done.types].tensors, 22)
end

function T.test_keys()
  tiny.make(folder .. "/m", "llama")
  local to = run(folder .. "/m", "x.gguf", { recipe = "q8_0" })
  local m, types = to:metadata(), to:metadata_types()
  lu.assertEquals(m["general.architecture"], "llama")
  lu.assertEquals(m["general.file_type"], 7)
  lu.assertEquals(m["llama.block_count"], 2)
  lu.assertEquals(m["llama.attention.head_count_kv"], 2)
  lu.assertEquals(types["llama.rope.freq_base"], "f32")
  lu.assertEquals(types["llama.attention.layer_norm_rms_epsilon"], "f32")
  lu.assertEquals(m["tokenizer.ggml.model"], "gpt2")
  lu.assertEquals(m["tokenizer.ggml.pre"], "llama-bpe")
  lu.assertEquals(types["tokenizer.ggml.token_type"], "array:i32")
  lu.assertEquals(#m["tokenizer.ggml.tokens"], m["llama.vocab_size"])
end

function T.test_llama3_factors()
  local c = tiny.config "llama"
  local list = gguf_keys.rope_factors(c)
  lu.assertEquals(#list, 8)
  lu.assertEquals(list[1], 1)                    -- wave 2 pi, shorter than 64 / 4
  lu.assertEquals(list[8], 8)                    -- longer than 64 / 1
  -- against the frequencies that the engine makes for this scaling
  local with = lb.rope_frequencies { dim = 16, base = 10000, scaling = "llama3", factor = 8, low_freq_factor = 1,
    high_freq_factor = 4, original_context = 64 }
  local without = lb.rope_frequencies { dim = 16, base = 10000 }
  for i = 1, 8 do lu.assertAlmostEquals(without:get(i) / with:get(i), list[i], 1e-5 * list[i]) end
  lu.assertNil(gguf_keys.rope_factors(tiny.config "llama2"))
end

function T.test_experts_are_stacked()
  local from = lb.model_file(tiny.make(folder .. "/m", "mixtral"))
  local to = run(folder .. "/m", "x.gguf", { recipe = "f16" })
  local stack = to:tensor "blk.1.ffn_up_exps.weight"
  lu.assertEquals(stack.shape, { 4, 96, 64 })
  for e = 0, 3 do
    local want = from:tensor(("model.layers.1.block_sparse_moe.experts.%d.w3.weight"):format(e)):to "f16"
    close(stack:slice(1, e + 1, e + 1):reshape { 96, 64 }, want)
  end
  lu.assertEquals(to:info("blk.0.ffn_gate_inp.weight").type, "F32")
  lu.assertEquals(to:metadata "llama.expert_used_count", 2)
end

function T.test_experts_of_gpt_oss()
  local from = lb.model_file(tiny.make(folder .. "/m", "gpt_oss"))
  local to = run(folder .. "/m", "x.gguf", { recipe = "f32" })
  local joined = from:tensor "model.layers.0.mlp.experts.gate_up_proj"        -- [E, H, 2 I], gate and up by turns
  local gate, up = to:tensor "blk.0.ffn_gate_exps.weight", to:tensor "blk.0.ffn_up_exps.weight"
  lu.assertEquals(gate.shape, { 4, 96, 64 })
  for _, at in ipairs { { 1, 1, 1 }, { 3, 7, 20 }, { 4, 96, 64 } } do
    local e, i, h = at[1], at[2], at[3]
    lu.assertEquals(gate:get(e, i, h), joined:get(e, h, 2 * i - 1))
    lu.assertEquals(up:get(e, i, h), joined:get(e, h, 2 * i))
  end
  local bias = from:tensor "model.layers.0.mlp.experts.gate_up_proj_bias"
  lu.assertEquals(to:tensor("blk.0.ffn_up_exps.bias"):get(2, 5), bias:get(2, 10))
  local down = from:tensor "model.layers.1.mlp.experts.down_proj"
  lu.assertEquals(to:tensor("blk.1.ffn_down_exps.weight"):get(2, 3, 4), down:get(2, 4, 3))
  lu.assertEquals(to:metadata "gpt-oss.attention.sliding_window", 8)
end

function T.test_every_kind_has_a_tokenizer_that_agrees()
  local texts = { "Hello, world! It's 1234 things.", "x = [y ** 2 for y in range(10)]\n", "Größe 你好 😀" }
  for _, kind in ipairs(tiny.kinds) do
    local from = lb.tokenizer(tiny.make(folder .. "/" .. kind, kind))
    local to = lb.tokenizer((run(folder .. "/" .. kind, kind .. ".gguf", { recipe = "q4_0" })))
    for _, text in ipairs(texts) do
      for _, special in ipairs { false, true } do
        lu.assertEquals(to:encode(text, { special = special }), from:encode(text, { special = special }), kind)
      end
      lu.assertEquals(to:decode(to:encode(text)), from:decode(from:encode(text)), kind)
    end
  end
end

function T.test_unknown_tensors_and_types_are_refused()
  tiny.make(folder .. "/m", "llama")
  local file = lb.model_file(folder .. "/m")
  local all = {}
  for _, name in ipairs(file:names()) do all[name] = file:tensor(name):clone() end
  file:close()
  all["model.layers.0.self_attn.wonder.weight"] = lb.zeros { 4, 4 }
  lb.save(folder .. "/m/model.safetensors", all)
  raises("no name that is known here for 1 of its tensors: model.layers.0.self_attn.wonder.weight", run, folder .. "/m",
    "x.gguf", { recipe = "q4_0" })
  lu.assertNil(core.stat(folder .. "/x.gguf"))
  raises("GGUF has no type for int4wo-32", run, folder .. "/m", "x.gguf", { recipe = "int4wo-32" })
  raises("did you mean", run, folder .. "/m", "x.gguf", { recipe = "q4_kk" })
  raises("expected a name that ends in", run, folder .. "/m", "x.bin", { recipe = "q4_0" })
  raises("not qwen2", run, folder .. "/m", "x.gguf", { recipe = "q4_0", model_type = "qwen2" })
end

function T.test_layers_after_the_last_are_left_out()
  tiny.make(folder .. "/m", "llama")
  local c = core.json_decode(core.file_read(folder .. "/m/config.json"))
  c.num_hidden_layers = 1
  lb.save(folder .. "/m/config.json", c)
  local to, done = run(folder .. "/m", "x.gguf", { recipe = "q4_0" })
  lu.assertEquals(#done.skipped, 9)
  raises("no tensor", to.info, to, "blk.1.attn_q.weight")
end

-- ---- what config.json says and GGUF cannot ----

-- A model of a kind whose config.json has other fields (false: none).
local function changed(kind, fields)
  tiny.make(folder .. "/m", kind)
  local c = core.json_decode(core.file_read(folder .. "/m/config.json"))
  for k, v in pairs(fields) do c[k] = v or nil end
  lb.save(folder .. "/m/config.json", c)
  return folder .. "/m"
end

function T.test_windows()
  local key = "qwen2.attention.sliding_window"
  local function of(fields) return (run(changed("qwen2", fields), "x.gguf", { recipe = "f32" })):metadata(key) end
  lu.assertNil(of { sliding_window = 8 })                             -- Qwen2 wants use_sliding_window too
  lu.assertEquals(of { sliding_window = 8, use_sliding_window = true, max_window_layers = 0 }, 8)
  lu.assertNil(of { sliding_window = 8, use_sliding_window = true, max_window_layers = 2 })
  raises("which layers see a sliding window only", of, { sliding_window = 8, use_sliding_window = true,
    max_window_layers = 1 })
end

function T.test_what_config_leaves_out()
  local to = run(changed("glm4", { partial_rotary_factor = false }), "x.gguf", { recipe = "f32" })
  lu.assertEquals(to:metadata "glm4.rope.dimension_count", 8)         -- of 16: the family's half
  to = run(changed("gpt_oss", { rope_theta = false }), "y.gguf", { recipe = "f32" })
  lu.assertEquals(to:metadata "gpt-oss.rope.freq_base", 150000)
end

function T.test_what_gguf_cannot_say()
  os.remove(folder .. "/x.gguf")
  local function refused(pattern, kind, fields)
    raises(pattern, run, changed(kind, fields), "x.gguf", { recipe = "f32" })
    lu.assertNil(core.stat(folder .. "/x.gguf"))
    run(folder .. "/m", "out/", { recipe = "f16" })                   -- a folder can
  end
  refused("experts: renormalize (false in config.json, true in GGUF)", "qwen3_moe", { norm_topk_prob = false })
  local yarn = { rope_type = "yarn", factor = 4, original_max_position_embeddings = 64, mscale = 1,
    mscale_all_dim = 0.5 }
  refused("the scaling of rotary embeddings", "deepseek_v2", { rope_scaling = yarn })
  yarn.mscale = 0.5
  run(changed("deepseek_v2", { rope_scaling = yarn }), "y.gguf", { recipe = "f32" })
  -- a factor of YaRN's own in the place of the usual one
  local own = { rope_type = "yarn", factor = 4, original_max_position_embeddings = 64, attention_factor = 1.25 }
  local to = run(changed("llama", { rope_scaling = own }), "z.gguf", { recipe = "f32" })
  lu.assertAlmostEquals(to:metadata "llama.rope.scaling.attn_factor" * (0.1 * math.log(4) + 1), 1.25, 1e-6)
  local _, scale = lb.rope_frequencies { dim = 16, scaling = "yarn", factor = 4, original_context = 64,
    attention_factor = 1.25 }
  lu.assertAlmostEquals(lb.model.load(folder .. "/z.gguf").rope_scale, scale, 1e-5)
end

-- tokenizer.json says what it puts before a text, whatever config.json calls its first token.
function T.test_the_token_before_a_text()
  local from = changed("llama", { bos_token_id = 1 })
  os.remove(from .. "/tokenizer_config.json")
  local t = lb.tokenizer(from)
  local to = lb.tokenizer((run(from, "x.gguf", { recipe = "q4_0" })))
  lu.assertEquals(to:encode("a", { special = true }), t:encode("a", { special = true }))
end

-- Both forms end a text with the same tokens.
function T.test_tokens_that_end_a_text()
  local from = changed("llama", { eos_token_id = { 640, 641, 7, 8 } })
  local t = lb.tokenizer(from)
  local eos = t:id "<|end|>"
  lb.save(from .. "/generation_config.json", { eos_token_id = { eos, 7, 8 } })
  local to, done = run(from, "x.gguf", { recipe = "f32" })
  lu.assertEquals(to:metadata "tokenizer.ggml.eos_token_id", eos)
  local stops = lb.model.load(folder .. "/x.gguf").spec.stop
  table.sort(stops)
  lu.assertEquals(stops, { 7, 8, eos })
  lu.assertEquals(#done.notes, 0)
  lb.save(from .. "/generation_config.json", { eos_token_id = { eos, 7, 8, 9 } })
  _, done = run(from, "y.gguf", { recipe = "f32" })
  lu.assertStrContains(done.notes[1], "no key for more tokens that end a text: 9")
end

-- ---- random weights are marked in all that comes of them ----

function T.test_random_weights_stay_marked()
  tiny.make(folder .. "/m", "llama")
  local _, made = run(folder .. "/m", "r/", { recipe = "f16", random = true })
  lu.assertTrue(made.random)
  local gguf, done = run(folder .. "/r", "x.gguf", { recipe = "q8_0" })
  lu.assertTrue(done.random)
  lu.assertTrue(lb.model.load(folder .. "/x.gguf").random)
  local _, again = run(folder .. "/x.gguf", "y.safetensors", { recipe = "f16" })
  lu.assertTrue(again.random)
  lu.assertTrue(require("luabench.model_file").is_random(lb.model_file(folder .. "/y.safetensors")))
  lu.assertTrue(gguf:metadata "luabench.random_weights")
end

function T.test_without_a_tokenizer()
  tiny.make(folder .. "/m", "llama")
  run(folder .. "/m", "x.gguf", { recipe = "q8_0", no_tokenizer = true })
  local m = lb.model.load(folder .. "/x.gguf")
  lu.assertFalse(m:has_tokenizer())
  raises("x.gguf: the file has no tokenizer", m.generate, m, "text")
end

-- ---- formats ----

function T.test_neighbours()
  for recipe, want in pairs { q2_k = "iq4_nl", q3_k = "iq4_nl", q4_k = "q5_0", q5_k = "q5_1", q6_k = "q8_0",
      iq4_xs = "iq4_nl", q4_0 = "q4_0" } do
    lu.assertEquals(recipes.fitting(recipe, 96), want)
    lu.assertEquals(recipes.fitting(recipe, 256), recipe)
    lu.assertEquals(recipes.fitting(recipe, 40), "f16")
  end
  lu.assertEquals(recipes.fitting("int4wo-128", 96), "int4wo-32")
  lu.assertEquals(recipes.fitting("int4wo-128", 40), "f16")
  lu.assertEquals(recipes.fitting("bf16", 7), "bf16")
end

function T.test_blocks_are_those_of_the_quantizer()
  local from = lb.model_file(tiny.make(folder .. "/m", "wide", { dtype = "bf16" }))
  for _, recipe in ipairs { "q4_0", "q4_k", "q6_k", "q8_0", "iq4_nl", "mxfp4" } do
    local to = run(folder .. "/m", recipe .. ".gguf", { recipe = recipe })
    local want = from:tensor("model.layers.0.mlp.up_proj.weight"):quantize(recipe)
    lu.assertEquals(core.checksum(to:tensor "blk.0.ffn_up.weight"), core.checksum(want))
    lu.assertEquals(to:info("blk.0.attn_norm.weight").type, "F32")
  end
end

function T.test_overrides()
  tiny.make(folder .. "/m", "wide")
  local to = run(folder .. "/m", "x.gguf", { recipe = "q4_0",
    overrides = { "mlp.down_proj=q6_k", "blk.1.ffn_*=q8_0", "token_embd=bf16" } })
  lu.assertEquals(to:info("blk.1.ffn_down.weight").type, "Q6_K")           -- by its name in IN, and the first that fits
  lu.assertEquals(to:info("blk.1.ffn_up.weight").type, "Q8_0")
  lu.assertEquals(to:info("blk.0.ffn_up.weight").type, "Q4_0")
  lu.assertEquals(to:info("token_embd.weight").type, "BF16")
  raises("no tensor has a name that fits", run, folder .. "/m", "y.gguf",
    { recipe = "q4_0", overrides = { "nothing=q8_0" } })
  raises("expected PATTERN=TYPE", run, folder .. "/m", "y.gguf", { recipe = "q4_0", overrides = { "q8_0" } })
  raises("no matrix, only vectors", run, folder .. "/m", "y.gguf",
    { recipe = "q4_0", overrides = { "attn_norm=q8_0" } })
end

function T.test_patterns()
  lu.assertTrue(names.fits("down", "blk.0.ffn_down.weight"))
  lu.assertTrue(names.fits("blk.?.ffn*", "blk.0.ffn_down.weight"))
  lu.assertFalse(names.fits("blk.?.ffn*", "xblk.0.ffn_down.weight"))
  lu.assertFalse(names.fits("blkx0*", "blk.0.ffn_down.weight"))
  lu.assertFalse(names.fits("*.(w", "a.w"))
end

-- s = 3 min(p99 / mean, 100) / 100 + 2 min(max / mean, 30) / 30
function T.test_outlier_bits()
  local function bits(role, p99, max, least, most)
    return recipes.outlier_bits(role, { mean_abs = 1, quantile = p99, max_abs = max }, least or 2, most or 8)
  end
  lu.assertEquals(bits("up", 3, 5), 2)                  -- 0.09 + 0.33
  lu.assertEquals(bits("up", 3, 9), 3)                  -- 0.69
  lu.assertEquals(bits("up", 3, 17), 4)                 -- 1.22
  lu.assertEquals(bits("up", 3, 1000), 5)               -- 0.09 + 2, at most 30
  lu.assertEquals(bits("up", 27, 30), 6)                -- 2.81
  lu.assertEquals(bits("up", 1000, 1000), 8)            -- 5
  lu.assertEquals(bits("attention", 3, 5), 4)
  lu.assertEquals(bits("gate", 1000, 1000), 6)
  lu.assertEquals(bits("expert_gate", 3, 5), 6)
  lu.assertEquals(bits("router", 3, 5), 8)
  lu.assertEquals(bits("head", 3, 5), 8)
  lu.assertEquals(bits("embedding", 3, 5, 2, 6), 6)
  lu.assertEquals(bits("up", 3, 5, 3), 3)
  lu.assertEquals(recipes.of_bits(7, "k"), "q8_0")
  lu.assertEquals(recipes.of_bits(3, "uniform"), "uniform-3")
end

function T.test_rule_reads_the_tensors()
  tiny.make(folder .. "/m", "wide")
  local file = lb.model_file(folder .. "/m")
  local all = {}
  for _, name in ipairs(file:names()) do all[name] = file:tensor(name):clone() end
  file:close()
  all["model.layers.0.mlp.up_proj.weight"]:set(3, 3, 1000)             -- one outlier: max / mean beyond 30
  lb.save(folder .. "/m/model.safetensors", all)
  local to, done = run(folder .. "/m", "x.gguf", { rule = true })
  lu.assertEquals(to:info("blk.0.ffn_up.weight").type, "Q5_K")
  lu.assertEquals(to:info("blk.1.ffn_up.weight").type, "Q2_K")
  lu.assertEquals(to:info("blk.1.ffn_gate.weight").type, "Q6_K")
  lu.assertEquals(to:info("blk.1.attn_q.weight").type, "Q4_K")
  lu.assertEquals(to:info("token_embd.weight").type, "Q8_0")
  local experts = run(tiny.make(folder .. "/e", "mixtral"), "e.gguf", { rule = true })
  lu.assertEquals(experts:info("blk.0.ffn_gate_inp.weight").type, "Q8_0")
  lu.assertEquals(#lb.model.load(folder .. "/e.gguf"):generate({ 1, 2 }, { max_new_tokens = 3, stop = false }).tokens,
    3)
  for _, row in ipairs(done.tensors) do
    if row.name == "blk.0.ffn_up.weight" then lu.assertEquals(row.bits, 5) end
  end
end

-- ---- other files ----

function T.test_gguf_to_gguf_keeps_metadata_and_same_types()
  tiny.make(folder .. "/m", "wide")
  local one = run(folder .. "/m", "one.gguf", { recipe = "q8_0" })
  local two, done = run(folder .. "/one.gguf", "two.gguf", { recipe = "q8_0", overrides = { "ffn_down=q4_0" } })
  lu.assertEquals(core.checksum(two:bytes "blk.0.attn_q.weight"), core.checksum(one:bytes "blk.0.attn_q.weight"))
  lu.assertEquals(two:info("blk.0.ffn_down.weight").type, "Q4_0")
  lu.assertEquals(two:metadata(), one:metadata())
  lu.assertEquals(two:metadata_types(), one:metadata_types())
  for _, row in ipairs(done.tensors) do
    lu.assertEquals(row.requantized, row.name:find "ffn_down" and "q8_0" or nil, row.name)
  end
end

function T.test_safetensors_hold_any_recipe()
  local from = lb.model_file(tiny.make(folder .. "/m", "mixtral"))
  for _, recipe in ipairs { "int4wo-32", "q4_0", "float8wo", "uniform-3", "nf4" } do
    local to, done = run(folder .. "/m", recipe .. "/", { recipe = recipe })
    local name = "model.layers.0.self_attn.q_proj.weight"
    local t, want = to:tensor(name), from:tensor(name):quantize(recipe)
    lu.assertEquals(t.quantizer.name, want.quantizer.name)
    lu.assertEquals(core.checksum(t), core.checksum(want))
    lu.assertEquals(to:info("model.norm.weight").type, "F32")
    lu.assertTrue(core.stat(folder .. "/" .. recipe .. "/config.json") ~= nil)
    lu.assertEquals(done.copied, { "config.json", "tokenizer.json", "tokenizer_config.json" })
    lu.assertEquals(lb.model_type(lb.model_file(folder .. "/" .. recipe)).type, "mixtral")
    -- once more from there, and as it is by lb.save
    lb.save(folder .. "/again.safetensors", to)
    lu.assertEquals(core.checksum(lb.load(folder .. "/again.safetensors"):tensor(name)), core.checksum(want))
  end
end

-- What luabench quantized as safetensors becomes GGUF too: blocks are taken apart where rows or experts move.
function T.test_quantized_folders_become_gguf()
  tiny.make(folder .. "/oss", "gpt_oss")
  raises("the experts of gpt-oss cannot be quantized in safetensors", run, folder .. "/oss", "o/", { recipe = "q8_0" })
  run(folder .. "/oss", "o/", { recipe = "bf16" })
  for _, kind in ipairs { "wide", "mixtral" } do
    tiny.make(folder .. "/m", kind)
    run(folder .. "/m", "q/", { recipe = "q8_0" })
    local from, before = lb.model.load(folder .. "/q", { dtype = "f32", repack = false })
    local to, done = run(folder .. "/q", "x.gguf", { recipe = "q8_0" })
    to:close()
    for _, row in ipairs(done.tensors) do
      if row.name == "blk.0.attn_q.weight" then before = row.requantized end
    end
    lu.assertEquals(before, "q8_0")
    local a, b = from:logits { 3, 4, 5 }, lb.model.load(folder .. "/x.gguf", { repack = false }):logits { 3, 4, 5 }
    lu.assertTrue((a - b):abs():max() <= 2e-2 * a:abs():max(), kind)
    for _, name in ipairs { "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json" } do
      os.remove(folder .. "/q/" .. name)
    end
  end
end

function T.test_parts()
  tiny.make(folder .. "/m", "wide")
  local whole = run(folder .. "/m", "whole.gguf", { recipe = "q8_0" })
  local _, done = run(folder .. "/m", "p.gguf", { recipe = "q8_0", split_bytes = 300000 })
  lu.assertTrue(#done.paths > 2)
  local parts = lb.model_file(done.paths[1])
  lu.assertEquals(parts.count, whole.count)
  for _, name in ipairs(whole:names()) do
    lu.assertEquals(core.checksum(parts:bytes(name)), core.checksum(whole:bytes(name)))
  end
end

function T.test_the_file_that_is_read_is_not_overwritten()
  tiny.make(folder .. "/m", "llama")
  local before = core.checksum(core.file_read(folder .. "/m/model.safetensors"))
  raises("is the file that is read", run, folder .. "/m", "m/model.safetensors", { recipe = "f16" })
  raises("is the file that is read", run, folder .. "/m", "m/", { recipe = "f16" })
  lu.assertEquals(core.checksum(core.file_read(folder .. "/m/model.safetensors")), before)
end

function T.test_numbers_that_a_type_cannot_hold()
  tiny.make(folder .. "/m", "llama")
  local file = lb.model_file(folder .. "/m")
  local all = {}
  for _, name in ipairs(file:names()) do all[name] = file:tensor(name):clone() end
  file:close()
  all["model.layers.0.mlp.up_proj.weight"]:set(3, 3, 1e6)
  lb.save(folder .. "/m/model.safetensors", all)
  raises("blk.0.ffn_up.weight has elements that f16 cannot hold", run, folder .. "/m", "x.gguf", { recipe = "f16" })
  lu.assertNil(core.stat(folder .. "/x.gguf"))
  run(folder .. "/m", "x.gguf", { recipe = "bf16" })
end

return T

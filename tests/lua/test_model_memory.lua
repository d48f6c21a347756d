-- test_model_memory.lua: what a process takes beside a model's weights and caches: nothing twice, nothing piles up.
local lu = require "luaunit"
local lb = require "luabench"
local sys = require "luabench.sys"
local programs = dofile "tests/bench/lib/programs.lua"
local core = lb.core

local T = {}
local top

function T.setUp() top = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(top) end

local function luabench(...)
  local ok, said = programs.run({ core.exe_path(), ... }, 100)
  if not ok then error(said, 0) end
end

local function memory_of(path, ...)
  luabench("model", "--original", path, "--max-new-tokens", "3", "--iterations", "1", "--no-quality", "--quiet",
    "--ignore-stop", "--threads", tostring(math.min(2, lb.device("cpu").threads)), "-o", top .. "/m.json", ...)
  return lb.load(top .. "/m.json").models.original.memory
end

-- A Llama of 99 MB in q8_0, over a third of it an embedding that is the head too. Beside weights and KV cache a
-- process takes 10 %, and what prompts of 192 rows need, whatever the model's depth: 8 buffers as wide as a layer, 10
-- where gate and up are a step of their own (by planes), workspaces for as much in int8, the plans' steps: 20 MB at
-- these sizes, or 26. The embedding alone has 35 MB; where no kernel reads the file's layout (native_head) it is
-- repacked too, and what is looked up in the file comes on top.
local CONFIG = [[{ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024,
  "intermediate_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 4,
  "head_dim": 64, "vocab_size": 32000, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
  "tie_word_embeddings": true }]]
local MORE = 26e6

local function holds_once(native, ...)
  local path = top .. "/m.gguf"
  core.write_file(top .. "/config.json", CONFIG)
  luabench("quantize", top, path, "--type", "q8_0", "--random-weights", "--quiet", "--tensor", "token_embd=q8_0")
  -- without kernels for the file's own layout the head is repacked, beside what is read of the embedding between
  local alike = lb.model.load(path).native_head
  if native and not alike then lu.skip "no kernel of this machine reads q8_0 in its file's layout" end
  local m = memory_of(path, ...)
  local held = m.weights_bytes + m.kv_bytes + (alike and 0 or 35e6)
  lu.assertTrue(m.increase_bytes <= 1.1 * held + MORE, ("%.1f MB more than %.1f MB of weights and KV cache")
    :format((m.increase_bytes - held) / 1e6, held / 1e6))
end
function T.test_a_process_holds_the_weights_once() holds_once(false) end
function T.test_a_process_holds_mapped_weights_once() holds_once(true, "--no-repack") end

-- Prompts of many lengths, the longest last: the buffers of the shorter ones, and their plans' workspaces, have gone.
function T.test_prompts_of_many_lengths()
  local m = lb.model.load({ model_type = "llama", num_hidden_layers = 2, hidden_size = 256, intermediate_size = 2048,
    num_attention_heads = 4, vocab_size = 64, head_dim = 64 }, { random_weights = true, quantize = "q8_0" })
  local function held(lengths)
    collectgarbage()
    local before, s = core.memory().now_bytes, m:session { capacity = 256 }
    for _, n in ipairs(lengths) do
      local prompt = {}
      for i = 1, n do prompt[i] = i % 64 end
      m:generate(prompt, { session = s, max_new_tokens = 2, stop = false })
    end
    collectgarbage()
    return core.memory().now_bytes - before
  end
  local one, many = held { 160 }, held { 150, 20, 60, 70, 80, 90, 100, 110, 120, 130, 140, 149, 151, 152, 160 }
  lu.assertTrue(many < 2 * one, ("%d bytes after fifteen lengths, %d after one"):format(many, one))
end

-- Tokens are the same, whether plans were kept or had to be recorded anew for larger buffers.
function T.test_plans_recorded_anew()
  local m = lb.model.load("tests/fixtures/models/llama", { dtype = "f32" })
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local s = m:session { capacity = 64, mode = mode, prompt_rows = 16 }
    for _, n in ipairs { 3, 9, 40, 4, 5, 6, 7, 3, 40 } do
      local prompt = {}
      for i = 1, n do prompt[i] = i * 7 % 50 end
      local o = { max_new_tokens = 5, stop = false, mode = mode, prompt_rows = 16 }
      local alone = m:generate(prompt, o)
      o.session = s
      lu.assertEquals(m:generate(prompt, o).tokens, alone.tokens, ("%s %d"):format(mode, n))
    end
  end
end

-- Nothing is recorded after prepare(), also where a token of all sequences has more rows than a launch of prompts.
function T.test_prepared_is_recorded()
  local m = lb.model.load("tests/fixtures/models/llama", { dtype = "f32" })
  local how = { temperature = 0, top_k = 0, top_p = 1, min_p = 0, seed = 1 }
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local s = m:session { batch = 24, capacity = 64, mode = mode, prompt_rows = 16 }
    for _, n in ipairs { 1, 3, 30 } do
      local lengths, prompts = {}, {}
      for b = 1, 24 do
        lengths[b], prompts[b] = n, {}
        for i = 1, n do prompts[b][i] = (i * 7 + b) % 50 end
      end
      s:reset()
      s:prepare(lengths, how)
      local recorded = s.record_ns
      s:prompt(prompts)
      s:first(how)
      s:next(how)
      lu.assertEquals(s.record_ns, recorded, ("%s, prompts of %d"):format(mode, n))
    end
  end
end

-- A plan that somebody has from the session goes on running, though the session's own take larger buffers.
function T.test_a_plan_that_is_held()
  local m = lb.model.load("tests/fixtures/models/llama", { dtype = "f32" })
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local how = { temperature = 0, top_k = 0, top_p = 1, min_p = 0, seed = 1 }
    local s, other = m:session { capacity = 64, mode = mode }, m:session { capacity = 64, mode = mode }
    s:prepare({ 2 }, how)
    local token, prompt = s:plan_of "token", s:plan_of("prompt", 2)
    lu.assertNil(s:plan_of("prompt", 3))
    for _, one in ipairs { s, other } do
      one:prompt { { 5, 6, 7, 8, 9, 10, 11, 12, 13 } }
      one:first(how)
    end
    token:run()
    lu.assertEquals(s.token.ids:totable(), other:next(how):totable(), mode)
    prompt:run()
  end
end

-- Bytes of files that this process has in memory through mappings.
-- Bytes of a mapped file in memory. Not RssFile of /proc/self/status, which threads add to by and by.
local function of_file(name)
  local bytes, inside = 0, false
  for line in sys.read_file("/proc/self/smaps"):gmatch "[^\n]+" do
    if line:find "^%x+%-%x+ " then inside = line:find(name, 1, true) ~= nil end
    bytes = bytes + (inside and tonumber(line:match "^Rss:%s*(%d+)") or 0) * 1024
  end
  return bytes
end

function T.test_what_was_read_of_a_file_is_given_back()
  local path, size = top .. "/a.safetensors", 2 ^ 25
  lb.save(path, { a = lb.randn({ 2 ^ 11, 2 ^ 12 }, { seed = 1 }) })
  local t = lb.model_file(path):tensor "a"
  local sum, read = t:sum(), of_file(path)
  lu.assertTrue(read >= size, ("%d bytes were read"):format(read))
  local said = t:forget()
  lu.assertTrue(said > size - 2 ^ 14 and said <= size, ("%d of %d bytes are said to be given back"):format(said, size))
  lu.assertTrue(of_file(path) <= size / 8, ("%d bytes are still there"):format(of_file(path)))
  lu.assertEquals(t:sum(), sum)
  lu.assertEquals(lb.zeros({ 1024, 1024 }):forget(), 0)
end

-- What MLA's keys and values are expanded to on loading is held once, repacked, and nothing of the way there.
function T.test_latents_are_held_once()
  local path = top .. "/m.gguf"
  core.write_file(top .. "/config.json", [[{ "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
    "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 16,
    "num_key_value_heads": 16, "kv_lora_rank": 256, "q_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32,
    "v_head_dim": 64, "n_routed_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 256,
    "n_shared_experts": 1, "first_k_dense_replace": 2, "vocab_size": 256, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "rope_theta": 10000, "topk_method": "greedy", "n_group": 1, "topk_group": 1,
    "scoring_func": "softmax", "norm_topk_prob": false, "routed_scaling_factor": 1, "tie_word_embeddings": false }]])
  luabench("quantize", top, path, "--type", "q8_0", "--random-weights", "--quiet")
  local before = core.memory().now_bytes
  local m = lb.model.load(path, { type = "deepseek_v2" })
  if m.repack_bytes == 0 then lu.skip "no kernel of this machine has a layout of its own for q8_0" end
  collectgarbage()
  local held, latents = core.memory().now_bytes - before, 0
  for _, l in ipairs(m.layers) do latents = latents + l.k_b:nbytes() + l.v_b:nbytes() end
  local other = m.repack_bytes + 2 ^ 16                              -- norms and the like
  lu.assertTrue(held <= other + latents / 4, ("%d bytes, %d repacked, %d of latents"):format(held, m.repack_bytes,
    latents))
  lu.assertEquals(#m:generate({ 1, 2, 3 }, { max_new_tokens = 3, stop = false }).tokens, 3)
end

return T

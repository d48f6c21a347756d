-- peer.lua: prompt and generation rates beside the llama-bench of ik_llama.cpp or llama.cpp, with the same GGUF file,
-- by turns. `make bench` runs it where LUABENCH_LLAMA_BENCH names that program, or PATH has it.
--
-- MODEL=file.gguf: that model; else a few layers with random weights, written here, in the RECIPES (q4_0,q8_0,q4_k; moe
-- q4_0,q4_k,mixed), of the MODELS (dense,moe): dense has Llama-3.2-1B's shapes, 4 layers and a prompt of 512, moe
-- GLM-4.7-Flash's experts (64, 4 of them a token, 2048 by 1536, fused by both sides) behind attention as Qwen3's, which
-- both sides know, 2 layers and a prompt of 256; its recipe "mixed" has gates in q6_k, ups in q2_k, downs in q3_k, the
-- commonest tuple of that model's table. LAYERS, PROMPT: others for all; GEN: tokens (32). ROUNDS (3): turns; the
-- best of each side counts. FLAGS: further flags for llama-bench, "-fa 1" if not set; where it knows -rtr, it runs both
-- without and with it. REPACK=0: both sides read weights in the file's own layout, mapped.
local programs = dofile "tests/bench/lib/programs.lua"
local core = require("luabench").core
local json = require "luabench.json"

local function number(name, default) return tonumber(os.getenv(name)) or default end
local PROMPT, GEN, ROUNDS = number("PROMPT", 512), number("GEN", 32), number("ROUNDS", 3)
local SIDES = os.getenv "REPACK" == "0" and { "" } or { "", "-rtr 1" }

local function llama_bench()
  local named = os.getenv "LUABENCH_LLAMA_BENCH"
  if named and named ~= "" then
    if not core.stat(named) then error("LUABENCH_LLAMA_BENCH: there is no " .. named, 0) end
    return named
  end
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if core.stat(folder .. "/llama-bench") then return folder .. "/llama-bench" end
  end
end

local function shapes(more)
  local c = { hidden_size = 2048, head_dim = 64, num_attention_heads = 32, num_key_value_heads = 8, vocab_size = 32000,
    max_position_embeddings = 8192, rms_norm_eps = 1e-5, rope_theta = 500000, tie_word_embeddings = true }
  for k, v in pairs(more) do c[k] = v end
  return c
end

local MODELS = {
  dense = { prompt = 512, recipes = "q4_0,q8_0,q4_k", config = shapes { architectures = { "LlamaForCausalLM" },
    model_type = "llama", intermediate_size = 8192, num_hidden_layers = number("LAYERS", 4) } },
  moe = { prompt = 256, recipes = "q4_0,q4_k,mixed", config = shapes { architectures = { "Qwen3MoeForCausalLM" },
    model_type = "qwen3_moe", intermediate_size = 6144, num_hidden_layers = number("LAYERS", 2), num_experts = 64,
    num_experts_per_tok = 4, moe_intermediate_size = 1536, norm_topk_prob = true, mlp_only_layers = {},
    decoder_sparse_step = 1 } },
}

local function write_model(folder, name, recipe)
  core.write_file(folder .. "/config.json", json.encode(MODELS[name].config))
  local path = ("%s/%s-%s.gguf"):format(folder, name, recipe)
  local argv = { core.exe_path(), "quantize", folder, path, "--type", recipe == "mixed" and "q4_k" or recipe,
    "--random-weights", "--quiet" }
  for _, type in ipairs(recipe == "mixed" and { "gate_exps=q6_k", "up_exps=q2_k", "down_exps=q3_k" } or {}) do
    argv[#argv + 1], argv[#argv + 2] = "--tensor", "ffn_" .. type
  end
  local ok, said = programs.run(argv, 600)
  if not ok then error("luabench quantize failed: " .. said, 0) end
  return path
end

-- ---- llama-bench ----

-- Rates of prompt and generation; nil where these flags are not known, or it failed.
local function theirs(program, path, threads, more)
  local argv = { program, "-m", path, "-p", tostring(PROMPT), "-n", tostring(GEN), "-r", "1", "-t", tostring(threads),
    "-o", "json" }
  for _, list in ipairs { os.getenv "FLAGS" or "-fa 1", more } do
    for word in list:gmatch "%S+" do argv[#argv + 1] = word end
  end
  local ok, said = programs.run(argv, 600)
  local list = ok and core.json_decode(said:match "%[.*%]" or "")
  if type(list) ~= "table" then return nil, said end
  local p, g
  for _, r in ipairs(list) do
    if r.n_prompt > 0 then p = r.avg_ts else g = r.avg_ts end
  end
  return p, g
end

-- This process opens no device: what it starts would inherit the processor that its thread is pinned to.
local function ours(path)
  core.setenv("MODEL", path)
  core.setenv("PROMPT", tostring(PROMPT))
  core.setenv("GEN", tostring(GEN))
  local ok, said = programs.run({ core.exe_path(), "tests/bench/lib/peer.lua" }, 600)
  if not ok then error("luabench failed: " .. said, 0) end
  return core.json_decode(said)
end

local function compare(program, path)
  local best, peer, shares, o = { 0, 0 }, { 0, 0 }, {}, nil
  local function note(side, p, g) side[1], side[2] = math.max(side[1], p or 0), math.max(side[2], g or 0) end
  for _ = 1, ROUNDS do
    for _, more in ipairs(SIDES) do
      o = ours(path)
      note(best, o.prompt, o.gen)
      for _, share in ipairs(o.shares) do shares[#shares + 1] = share end
      local p, g = theirs(program, path, o.threads, more)
      if not p and more == "" then error("llama-bench failed: " .. tostring(g), 0) end
      note(peer, p, p and g)
    end
  end
  print(("%s, %d threads; loaded in %.0f ms, and %.0f ms repacking"):format(path:match "[^/]*$", o.threads,
    1e3 * o.load_s, 1e3 * o.repack_s))
  for i, row in ipairs { { ("pp%d"):format(PROMPT), 1.5 }, { ("tg%d"):format(GEN), 1.3 } } do
    local ratio, share = best[i] / peer[i], i == 2 and #shares > 0 and programs.median(shares)
    local under = ratio < row[2] and not (share and share >= 0.9)
    print(("  %-6s %9.1f tokens/s   llama-bench %9.1f   ratio %5.2f   should be at least %.1f%s%s"):format(row[1],
      best[i], peer[i], ratio, row[2], share and (", or 90 %% of bandwidth: %.0f %%"):format(100 * share) or "",
      under and "  under" or ""))
  end
end

local program = llama_bench()
if not program then
  print "llama-bench: none on PATH, and LUABENCH_LLAMA_BENCH names none: nothing to compare with"
  return
end
local given = os.getenv "MODEL"
if given then return compare(program, given) end
programs.with_folder(function(folder)
  for name in (os.getenv "MODELS" or "dense,moe"):gmatch "[^,]+" do
    local m = MODELS[name] or error(("MODELS: no '%s'; expected dense, moe"):format(name), 0)
    PROMPT = number("PROMPT", m.prompt)
    for recipe in (os.getenv "RECIPES" or m.recipes):gmatch "[^,]+" do
      local path = write_model(folder, name, recipe)
      compare(program, path)
      os.remove(path)
      collectgarbage()
    end
  end
end)

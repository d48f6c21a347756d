-- model_modes.lua: eager, plan and fused give the same logits, bit for bit, and the same tokens, and so do weights that
-- are repacked and weights in their files' own layout (with AVX-512, and but for MLA): models of random weights, of
-- sizes that the kernels of quantized weights take. Called by test_modes.sh.
local lb = require "luabench"

local BASE = { hidden_size = 256, intermediate_size = 512, num_hidden_layers = 2, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = 64, vocab_size = 640, max_position_embeddings = 256, rms_norm_eps = 1e-5,
  rope_theta = 10000, tie_word_embeddings = false, eos_token_id = 2 }
local LATENTS = { num_key_value_heads = 4, n_routed_experts = 8, num_experts_per_tok = 2, moe_intermediate_size = 256,
  first_k_dense_replace = 1, kv_lora_rank = 256, qk_rope_head_dim = 64, v_head_dim = 64, n_group = 1, topk_group = 1 }
local KINDS = {
  { "LlamaForCausalLM", "llama" },
  { "Glm4ForCausalLM", "glm4", { partial_rotary_factor = 0.5 } },
  { "Qwen3MoeForCausalLM", "qwen3_moe", { num_experts = 8, num_experts_per_tok = 2, moe_intermediate_size = 256,
    norm_topk_prob = true } },
  { "Glm4MoeLiteForCausalLM", "glm4_moe_lite", LATENTS, { n_shared_experts = 1, q_lora_rank = 256,
    qk_nope_head_dim = 192, routed_scaling_factor = 1.8, norm_topk_prob = true, scoring_func = "sigmoid" } },
  { "DeepseekV2ForCausalLM", "deepseek_v2", LATENTS, { n_shared_experts = 2, qk_nope_head_dim = 128,
    routed_scaling_factor = 1, norm_topk_prob = false, scoring_func = "softmax", topk_method = "greedy" } },
}

local function config(kind)
  local c = { architectures = { kind[1] }, model_type = kind[2] }
  for _, fields in ipairs { BASE, kind[3] or {}, kind[4] or {} } do
    for k, v in pairs(fields) do c[k] = v end
  end
  return c
end

-- Of 11 rows, and of as many as products by planes take, which repacked weights alone have (kernels/cpu/README.md).
local prompt, long, bad = {}, {}, 0
for i = 1, 97 do long[i] = i * 37 % 600 + 3 end
for i = 1, 11 do prompt[i] = long[i] end

-- With `logits` and `tokens` of another model: the same as these. Returns what this one gave first.
local function compare(m, what, prompt, logits, tokens)
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local l = m:logits(prompt, { mode = mode })
    local t = table.concat(m:generate(prompt, { mode = mode, max_new_tokens = 8, stop = false }).tokens, " ")
    logits, tokens = logits or l, tokens or t
    if not ((l - logits):abs():max() == 0 and t == tokens) then
      print(("%s, %s: differs from the first by %g"):format(what, mode, (l - logits):abs():max()))
      bad = bad + 1
    end
  end
  return logits, tokens
end

-- Else weights that are not repacked are expanded to f32.
local level = os.getenv "LUABENCH_ISA" or "amx"
local alike = lb.core.machine().isa:find "avx512_vnni" ~= nil and (level == "avx512" or level == "amx")

for _, kind in ipairs(KINDS) do
  for _, recipe in ipairs { "q4_0", "q4_k" } do
    local logits, tokens
    for _, repack in ipairs { true, false } do
      local m = lb.model.load(config(kind), { random_weights = true, dtype = "f32", repack = repack,
        quantize = function(role, shape)
          return role ~= "router" and shape[#shape] % 256 == 0 and recipe or nil
        end })
      local l, t = compare(m, ("%s %s %s"):format(kind[2], recipe, repack and "repacked" or "native"), prompt, logits,
        tokens)
      if repack then compare(m, ("%s %s, many rows"):format(kind[2], recipe), long) end
      if alike and kind[3] ~= LATENTS then logits, tokens = l, t end  -- k_b, v_b: K is no multiple of 256
    end
  end
end
assert(bad == 0, "modes differ")

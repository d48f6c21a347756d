-- tiny_models.lua: Hugging Face folders of small models with random weights, for tests: make(folder, kind).
local lb = require "luabench"
local core = lb.core

local M = {}

local H, D, VOCAB = 64, 16, 640

local BASE = { hidden_size = H, intermediate_size = 96, num_hidden_layers = 2, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = D, vocab_size = VOCAB, max_position_embeddings = 512, rms_norm_eps = 1e-5,
  rope_theta = 10000, tie_word_embeddings = false, bos_token_id = 1, eos_token_id = 2, torch_dtype = "float32" }

-- What differs from BASE, and which tokenizer of tests/parity/tokenizers belongs to it.
local KINDS = {
  llama = { "llama3", architectures = { "LlamaForCausalLM" }, model_type = "llama",
    rope_scaling = { rope_type = "llama3", factor = 8, low_freq_factor = 1, high_freq_factor = 4,
      original_max_position_embeddings = 64 } },
  llama2 = { "llama2", architectures = { "LlamaForCausalLM" }, model_type = "llama" },
  wide = { "llama3", architectures = { "LlamaForCausalLM" }, model_type = "llama", hidden_size = 256,
    intermediate_size = 512, tie_word_embeddings = true },
  mixtral = { "mistral", architectures = { "MixtralForCausalLM" }, model_type = "mixtral", num_local_experts = 4,
    num_experts_per_tok = 2 },
  qwen2 = { "qwen2", architectures = { "Qwen2ForCausalLM" }, model_type = "qwen2", bias = true },
  qwen3_moe = { "qwen2", architectures = { "Qwen3MoeForCausalLM" }, model_type = "qwen3_moe", num_experts = 4,
    num_experts_per_tok = 2, moe_intermediate_size = 32, norm_topk_prob = true, qk_norm = true },
  deepseek_v2 = { "deepseek_v2", architectures = { "DeepseekV2ForCausalLM" }, model_type = "deepseek_v2",
    n_routed_experts = 4, num_experts_per_tok = 2, moe_intermediate_size = 32, n_shared_experts = 2, kv_lora_rank = 32,
    qk_nope_head_dim = 16, qk_rope_head_dim = 8, v_head_dim = 16, first_k_dense_replace = 1, norm_topk_prob = false,
    routed_scaling_factor = 1, scoring_func = "softmax", num_key_value_heads = 4, topk_method = "greedy", n_group = 1,
    topk_group = 1 },
  glm4_moe_lite = { "glm4", architectures = { "Glm4MoeLiteForCausalLM" }, model_type = "glm4_moe_lite",
    n_routed_experts = 4, num_experts_per_tok = 2, moe_intermediate_size = 32, n_shared_experts = 1, kv_lora_rank = 32,
    q_lora_rank = 32, qk_nope_head_dim = 24, qk_rope_head_dim = 8, v_head_dim = 16, norm_topk_prob = true,
    routed_scaling_factor = 1.8, num_key_value_heads = 4, n_group = 1, topk_group = 1,
    mlp_layer_types = { "dense", "sparse" }, first_k_dense_replace = 1 },
  glm4 = { "glm4", architectures = { "Glm4ForCausalLM" }, model_type = "glm4", partial_rotary_factor = 0.5 },
  gpt_oss = { "gpt_oss", architectures = { "GptOssForCausalLM" }, model_type = "gpt_oss", num_local_experts = 4,
    num_experts_per_tok = 2, sliding_window = 8, layer_types = { "sliding_attention", "full_attention" },
    attention_bias = true },
}

local function config_of(kind)
  local c = {}
  for k, v in pairs(BASE) do c[k] = v end
  for k, v in pairs(KINDS[kind]) do
    if k ~= 1 then c[k] = v end
  end
  return c
end
M.config = config_of

local function dense_mlp(put, p, c)
  put(p .. "mlp.gate_proj.weight", { c.intermediate_size, c.hidden_size })
  put(p .. "mlp.up_proj.weight", { c.intermediate_size, c.hidden_size })
  put(p .. "mlp.down_proj.weight", { c.hidden_size, c.intermediate_size })
end

local function experts(put, p, c, names, size)
  for e = 0, (c.num_experts or c.num_local_experts or c.n_routed_experts) - 1 do
    put(("%s%d.%s.weight"):format(p, e, names[1]), { size, c.hidden_size })
    put(("%s%d.%s.weight"):format(p, e, names[2]), { size, c.hidden_size })
    put(("%s%d.%s.weight"):format(p, e, names[3]), { c.hidden_size, size })
  end
end

local MLP = {}
function MLP.mixtral(put, p, c)
  put(p .. "block_sparse_moe.gate.weight", { c.num_local_experts, c.hidden_size })
  experts(put, p .. "block_sparse_moe.experts.", c, { "w1", "w3", "w2" }, c.intermediate_size)
end
function MLP.qwen3_moe(put, p, c)
  put(p .. "mlp.gate.weight", { c.num_experts, c.hidden_size })
  experts(put, p .. "mlp.experts.", c, { "gate_proj", "up_proj", "down_proj" }, c.moe_intermediate_size)
end
function MLP.deepseek_v2(put, p, c, layer)
  if layer < c.first_k_dense_replace then return dense_mlp(put, p, c) end
  put(p .. "mlp.gate.weight", { c.n_routed_experts, c.hidden_size })
  experts(put, p .. "mlp.experts.", c, { "gate_proj", "up_proj", "down_proj" }, c.moe_intermediate_size)
  local shared = c.moe_intermediate_size * c.n_shared_experts
  put(p .. "mlp.shared_experts.gate_proj.weight", { shared, c.hidden_size })
  put(p .. "mlp.shared_experts.up_proj.weight", { shared, c.hidden_size })
  put(p .. "mlp.shared_experts.down_proj.weight", { c.hidden_size, shared })
  if c.q_lora_rank then put(p .. "mlp.gate.e_score_correction_bias", { c.n_routed_experts }) end
end
MLP.glm4_moe_lite = MLP.deepseek_v2
function MLP.glm4(put, p, c)
  put(p .. "mlp.gate_up_proj.weight", { 2 * c.intermediate_size, c.hidden_size })
  put(p .. "mlp.down_proj.weight", { c.hidden_size, c.intermediate_size })
  put(p .. "post_self_attn_layernorm.weight", { c.hidden_size })
  put(p .. "post_mlp_layernorm.weight", { c.hidden_size })
end
function MLP.gpt_oss(put, p, c)
  local e, i, h = c.num_local_experts, c.intermediate_size, c.hidden_size
  put(p .. "mlp.router.weight", { e, h })
  put(p .. "mlp.router.bias", { e })
  put(p .. "mlp.experts.gate_up_proj", { e, h, 2 * i })
  put(p .. "mlp.experts.gate_up_proj_bias", { e, 2 * i })
  put(p .. "mlp.experts.down_proj", { e, i, h })
  put(p .. "mlp.experts.down_proj_bias", { e, h })
end

local function attention(put, p, c)
  local q, kv, h = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim, c.hidden_size
  put(p .. "self_attn.q_proj.weight", { q, h })
  put(p .. "self_attn.k_proj.weight", { kv, h })
  put(p .. "self_attn.v_proj.weight", { kv, h })
  put(p .. "self_attn.o_proj.weight", { h, q })
  if c.bias or c.attention_bias then
    put(p .. "self_attn.q_proj.bias", { q })
    put(p .. "self_attn.k_proj.bias", { kv })
    put(p .. "self_attn.v_proj.bias", { kv })
  end
  if c.attention_bias then
    put(p .. "self_attn.o_proj.bias", { h })
    put(p .. "self_attn.sinks", { c.num_attention_heads })
  end
  if c.qk_norm then
    put(p .. "self_attn.q_norm.weight", { c.head_dim })
    put(p .. "self_attn.k_norm.weight", { c.head_dim })
  end
end

local function latents(put, p, c)
  local h, n = c.hidden_size, c.num_attention_heads
  local q = n * (c.qk_nope_head_dim + c.qk_rope_head_dim)
  if c.q_lora_rank then
    put(p .. "self_attn.q_a_proj.weight", { c.q_lora_rank, h })
    put(p .. "self_attn.q_a_layernorm.weight", { c.q_lora_rank })
    put(p .. "self_attn.q_b_proj.weight", { q, c.q_lora_rank })
  else
    put(p .. "self_attn.q_proj.weight", { q, h })
  end
  put(p .. "self_attn.kv_a_proj_with_mqa.weight", { c.kv_lora_rank + c.qk_rope_head_dim, h })
  put(p .. "self_attn.kv_a_layernorm.weight", { c.kv_lora_rank })
  put(p .. "self_attn.kv_b_proj.weight", { n * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank })
  put(p .. "self_attn.o_proj.weight", { h, n * c.v_head_dim })
end

-- Tensors of a model of this kind, by name.
local function tensors_of(kind, c)
  local all, seed = {}, 100
  local function put(name, shape)
    seed = seed + 1
    local norm = name:find "norm"
    all[name] = lb.randn(shape, { seed = seed, mean = norm and 1 or 0, std = norm and 0.1 or shape[#shape] ^ -0.5 })
  end
  put("model.embed_tokens.weight", { c.vocab_size, c.hidden_size })
  put("model.norm.weight", { c.hidden_size })
  if not c.tie_word_embeddings then put("lm_head.weight", { c.vocab_size, c.hidden_size }) end
  for layer = 0, c.num_hidden_layers - 1 do
    local p = ("model.layers.%d."):format(layer)
    put(p .. "input_layernorm.weight", { c.hidden_size })
    put(p .. "post_attention_layernorm.weight", { c.hidden_size })
    if c.kv_lora_rank then latents(put, p, c) else attention(put, p, c) end
    local mlp = MLP[kind] or dense_mlp
    mlp(put, p, c, layer)
  end
  return all
end

local TEST_ONLY = { bias = true, qk_norm = true }

-- Writes config.json, tokenizer.json and model.safetensors into a folder (made if need be). opts: dtype.
function M.make(folder, kind, opts)
  local c = config_of(kind)
  core.mkdir_p(folder)
  local all = tensors_of(kind, c)
  local dtype = opts and opts.dtype
  for name, t in pairs(all) do
    if dtype then all[name] = t:to(dtype) end
  end
  lb.save(folder .. "/model.safetensors", all)
  local tokenizer = core.file_read(("tests/parity/tokenizers/%s.json"):format(KINDS[kind][1]))
  core.write_file(folder .. "/tokenizer.json", tokenizer)
  local t = lb.tokenizer(folder)
  c.vocab_size = math.max(VOCAB, t.size)
  if c.vocab_size ~= VOCAB then                                          -- once more, with rows for all tokens
    all = tensors_of(kind, c)
    for name, x in pairs(all) do all[name] = dtype and x:to(dtype) or x end
    lb.save(folder .. "/model.safetensors", all)
  end
  for key in pairs(TEST_ONLY) do c[key] = nil end
  lb.save(folder .. "/config.json", c)
  core.write_file(folder .. "/tokenizer_config.json",
    '{"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}\n')
  return folder
end

M.kinds = { "llama", "llama2", "wide", "mixtral", "qwen2", "qwen3_moe", "deepseek_v2", "glm4_moe_lite",
  "glm4", "gpt_oss" }

return M

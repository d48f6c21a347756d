-- gguf_keys.lua: config.json as the keys that GGUF has for an architecture, as llama.cpp reads them.
local config_of = require "luabench.model.config"
local json = require "luabench.json"
local loader = require "luabench.loader"

local M = {}

-- lb.model_type's name -> GGUF's architecture.
M.ARCHITECTURE = {
  llama = "llama", mistral = "llama", mixtral = "llama", qwen2 = "qwen2", qwen3 = "qwen3", qwen3_moe = "qwen3moe",
  glm4 = "glm4", glm4_moe = "glm4moe", glm4_moe_lite = "deepseek2", deepseek_v2 = "deepseek2",
  deepseek_v3 = "deepseek2", gpt_oss = "gpt-oss",
}
-- Models whose rotary embedding turns halves of a head in Hugging Face and neighbours in GGUF: rows of q and k move.
M.PERMUTED = { llama = true, mistral = true, mixtral = true }
-- GGUF's numbers for how a router scores.
local GATING = { softmax = 1, sigmoid = 2 }

local FILE_TYPES = { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 7, q5_0 = 8, q5_1 = 9, q2_k = 10, q3_k = 11,
  q4_k = 14, q5_k = 16, q6_k = 18, iq4_nl = 25, iq4_xs = 30, bf16 = 32, mxfp4 = 38 }
-- llama.cpp's number for a file that is mostly of this recipe; nil = it has none.
function M.file_type(recipe) return FILE_TYPES[recipe:find "^mxfp4" and "mxfp4" or recipe] end

-- The architecture's table of lua/models/, which has what config.json leaves out; empty where this program has none.
function M.family(kind)
  for _, name in ipairs(loader.names "models") do
    if name == kind then return loader.load("models", name) end
  end
  return {}
end

local function first(config, ...)
  for _, name in ipairs { ... } do
    local v = config[name]
    if v ~= nil and v ~= json.null then return v end
  end
end

local function number(config, ...)
  local v = first(config, ...)
  if v ~= nil and (type(v) ~= "number" or v ~= v or v < 0) then
    error(("config.json: %s is %s; a number from 0 was expected"):format(..., tostring(v)), 0)
  end
  return v
end

local function needed(config, ...)
  local v = number(config, ...)
  if v == nil then error(("config.json lacks %s, which GGUF needs"):format(table.concat({ ... }, " or ")), 0) end
  return v
end

-- rope_theta and rope_scaling, wherever this version of transformers put them: base, and the scaling's table or nil.
function M.rope(config, kind)
  local p = first(config, "rope_parameters")
  p = type(p) == "table" and p or {}
  local s = first(config, "rope_scaling")
  s = type(s) == "table" and s or p
  local scaling = s.rope_type or s.type
  local base = number(p, "rope_theta") or number(config, "rope_theta") or M.family(kind).rope_theta or 10000
  return base, scaling and scaling ~= "default" and s or nil, scaling
end

-- Sizes of heads: query heads, key heads, elements a head, of which rotary.
function M.heads(config, kind)
  local heads = needed(config, "num_attention_heads")
  local size = number(config, "head_dim") or needed(config, "hidden_size") / heads
  local p = type(config.rope_parameters) == "table" and config.rope_parameters or {}
  local share = number(p, "partial_rotary_factor") or number(config, "partial_rotary_factor")
    or M.family(kind).partial_rotary or 1
  return heads, number(config, "num_key_value_heads") or heads, size, math.floor(size * share)
end

local function rope_keys(put, config, kind)
  local base, scaling, name = M.rope(config, kind)
  put("rope.freq_base", base, "f32")
  if not scaling then return end
  if name == "llama3" then return end                    -- stands in the tensor rope_freqs
  if name ~= "yarn" and name ~= "linear" then
    error(('config.json: rope_scaling of type "%s" has no keys in GGUF that are known here'):format(tostring(name)), 0)
  end
  put("rope.scaling.type", name, "string")
  put("rope.scaling.factor", needed(scaling, "factor"), "f32")
  if name ~= "yarn" then return end
  put("rope.scaling.original_context_length", number(scaling, "original_max_position_embeddings")
    or needed(config, "max_position_embeddings"), "u32")
  if M.ARCHITECTURE[kind] == "deepseek2" then
    local of_scores = number(scaling, "mscale_all_dim")
    if of_scores and of_scores > 0 then put("rope.scaling.yarn_log_multiplier", 0.1 * of_scores, "f32") end
  elseif number(scaling, "attention_factor") then
    -- GGUF's is beside YaRN's own factor, config.json's in its place
    put("rope.scaling.attn_factor", scaling.attention_factor / (0.1 * math.log(scaling.factor) + 1), "f32")
  end
  if scaling.beta_fast then put("rope.scaling.yarn_beta_fast", scaling.beta_fast, "f32") end
  if scaling.beta_slow then put("rope.scaling.yarn_beta_slow", scaling.beta_slow, "f32") end
end

-- Does any layer see a window only? The model's own reading of its configuration says so, where there is one here.
local function has_windows(config, kind)
  local arch = M.family(kind)
  if not arch.attention then return config.use_sliding_window ~= false end
  local spec = config_of.from_hf(config, arch)
  for layer = 1, spec.layers do
    if spec.window_of(layer) then return true end
  end
  return false
end

local function attention_keys(put, config, kind)
  local heads, kv, size, rotary = M.heads(config, kind)
  put("attention.head_count", heads)
  if M.ARCHITECTURE[kind] == "deepseek2" then
    -- keys and values are expanded from their latent (attn_kv_b), so that every query head has its own
    local rope, nope = needed(config, "qk_rope_head_dim"), needed(config, "qk_nope_head_dim")
    put("attention.head_count_kv", heads)
    put("attention.kv_lora_rank", needed(config, "kv_lora_rank"))
    put("attention.q_lora_rank", number(config, "q_lora_rank"))
    put("attention.key_length", nope + rope)
    put("attention.value_length", needed(config, "v_head_dim"))
    put("rope.dimension_count", rope)
    return
  end
  put("attention.head_count_kv", kv)
  put("attention.key_length", size)
  put("attention.value_length", size)
  put("rope.dimension_count", rotary)
  local window = number(config, "sliding_window")
  if window and window > 0 and has_windows(config, kind) then put("attention.sliding_window", window) end
end

-- Layers before the first with experts.
local function dense_layers(config)
  local kinds, n = config.mlp_layer_types, 0
  if type(kinds) ~= "table" then return number(config, "first_k_dense_replace") or 0 end
  while kinds[n + 1] == "dense" do n = n + 1 end
  for i = n + 1, #kinds do
    if kinds[i] == "dense" then error("config.json: dense layers after sparse ones; GGUF cannot say so", 0) end
  end
  return n
end

local function expert_keys(put, config, kind)
  local count = number(config, "num_experts", "num_local_experts", "n_routed_experts")
  if not count or count == 0 then return end
  put("expert_count", count)
  put("expert_used_count", needed(config, "num_experts_per_tok", "experts_per_token"))
  local size = number(config, "moe_intermediate_size") or kind == "gpt_oss" and needed(config, "intermediate_size")
  put("expert_feed_forward_length", size or nil)
  if M.ARCHITECTURE[kind] ~= "deepseek2" and kind ~= "glm4_moe" then return end
  put("leading_dense_block_count", dense_layers(config))
  put("expert_shared_count", number(config, "n_shared_experts") or 0)
  put("expert_weights_scale", number(config, "routed_scaling_factor") or 1, "f32")
  local renormalize = config.norm_topk_prob
  if renormalize == nil then renormalize = (M.family(kind).moe or {}).renormalize end
  put("expert_weights_norm", renormalize == true, "bool")
  if config.topk_method ~= "greedy" then
    put("expert_group_count", number(config, "n_group"))
    put("expert_group_used_count", number(config, "topk_group"))
  end
  local scoring = first(config, "scoring_func") or kind ~= "deepseek_v2" and "sigmoid" or "softmax"
  local gating = GATING[scoring]
  if not gating then error(('config.json: scoring_func "%s" has no number in GGUF'):format(tostring(scoring)), 0) end
  put("expert_gating_func", gating)
end

-- metadata { key = value } and types { key = type } for a model of this type (lb.model_type), named so.
function M.of(config, kind, name)
  local arch = M.ARCHITECTURE[kind]
  local metadata, types = {}, {}
  local function put(key, value, t)
    if value == nil or value == false and t ~= "bool" then return end
    metadata[arch .. "." .. key], types[arch .. "." .. key] = value, t or "u32"
  end
  metadata["general.architecture"], metadata["general.type"], metadata["general.name"] = arch, "model", name
  put("block_count", needed(config, "num_hidden_layers"))
  put("context_length", needed(config, "max_position_embeddings"))
  put("embedding_length", needed(config, "hidden_size"))
  put("feed_forward_length", needed(config, "intermediate_size"))
  put("vocab_size", needed(config, "vocab_size"))
  put("attention.layer_norm_rms_epsilon", needed(config, "rms_norm_eps"), "f32")
  attention_keys(put, config, kind)
  rope_keys(put, config, kind)
  expert_keys(put, config, kind)
  return metadata, types
end

-- Factors that the frequencies of llama3's scaling are divided by, one for each pair of a head's rotary elements; nil
-- for other scalings. llama.cpp reads them as the tensor rope_freqs.weight.
function M.rope_factors(config, kind)
  local base, s, name = M.rope(config, kind)
  if name ~= "llama3" then return nil end
  local _, _, _, rotary = M.heads(config, kind)
  local factor, low, high = needed(s, "factor"), number(s, "low_freq_factor") or 1, number(s, "high_freq_factor") or 4
  local original = number(s, "original_max_position_embeddings") or 8192
  local list = {}
  for i = 0, rotary / 2 - 1 do
    local wave = 2 * math.pi * base ^ (2 * i / rotary)
    if wave < original / high then list[i + 1] = 1
    elseif wave > original / low then list[i + 1] = factor
    else
      local smooth = (original / wave - low) / (high - low)
      list[i + 1] = 1 / ((1 - smooth) / factor + smooth)
    end
  end
  return list
end

return M

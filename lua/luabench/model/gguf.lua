-- gguf.lua: a model of Hugging Face's form as a GGUF file has it: llama.cpp's names, keys and order of rows.
local config_of = require "luabench.model.config"
local core = require "luabench.core"
local kv = require "luabench.kv"
local vocabulary = require "luabench.model.vocabulary"
local weights = require "luabench.model.weights"

local M = {}

-- ---- metadata ----

local function rope_keys(put, s)
  local r = s.rope
  put("rope.dimension_count", r.dim)
  put("rope.freq_base", r.base)
  if r.scaling ~= "linear" and r.scaling ~= "yarn" then return end   -- llama3: the tensor rope_freqs
  put("rope.scaling.type", r.scaling)
  put("rope.scaling.factor", r.factor)
  put("rope.scaling.original_context_length", r.original_context)
  if r.scaling ~= "yarn" then return end
  put("rope.scaling.yarn_beta_fast", r.beta_fast)
  put("rope.scaling.yarn_beta_slow", r.beta_slow)
  if r.mscale_all_dim then put("rope.scaling.yarn_log_multiplier", 0.1 * r.mscale_all_dim) end
  if r.attention_factor then put("rope.scaling.attn_factor", r.attention_factor / (0.1 * math.log(r.factor) + 1)) end
end

local function moe_keys(put, s)
  local m = s.moe
  if not m then return end
  put("expert_count", m.experts)
  put("expert_used_count", m.top_k)
  put("expert_feed_forward_length", m.intermediate)
  put("expert_weights_norm", m.renormalize)
  put("expert_weights_scale", m.scale)
  put("expert_gating_func", m.score == "sigmoid" and 2 or m.bias == "adds" and 3 or 1)
  if m.shared > 0 then
    put("expert_shared_count", math.floor(m.shared / m.intermediate))
    put("expert_shared_feed_forward_length", m.shared)
  end
  if s.mla then put("leading_dense_block_count", m.dense) end
end

local function attention_keys(put, s)
  put("attention.head_count", s.heads)
  put("attention.layer_norm_rms_epsilon", s.eps)
  if not s.mla then
    put("attention.head_count_kv", s.kv_heads)
    put("attention.key_length", s.head_dim)
    put("attention.value_length", s.head_dim)
  else
    local m = s.mla
    put("attention.head_count_kv", 1)
    put("attention.key_length", m.kv_rank + m.rope)
    put("attention.value_length", m.kv_rank)
    put("attention.key_length_mla", m.nope + m.rope)
    put("attention.value_length_mla", m.v)
    put("attention.kv_lora_rank", m.kv_rank)
    put("attention.q_lora_rank", m.q_rank)
  end
  local window
  for layer = 1, s.layers do window = window or s.window_of(layer) end
  put("attention.sliding_window", window)
end

local function metadata_of(s, arch, name)
  local meta, types = { ["general.architecture"] = arch.gguf, ["general.name"] = name, ["general.type"] = "model" }, {}
  local function put(key, v) meta[arch.gguf .. "." .. key] = v end
  put("block_count", s.layers)
  put("context_length", s.context)
  put("embedding_length", s.hidden)
  put("feed_forward_length", s.intermediate)
  put("vocab_size", s.vocab)
  attention_keys(put, s)
  rope_keys(put, s)
  moe_keys(put, s)
  types[arch.gguf .. ".expert_weights_scale"] = "f32"
  for key in pairs(types) do
    if meta[key] == nil then types[key] = nil end
  end
  return meta, types
end

-- ---- tensors ----

-- Rows of q and k in turns: row i of the first half of a head beside row i of the second, since GGUF's Llama rotates
-- neighbours. Works for matrices and biases.
local function paired(t, heads)
  local shape = t.shape
  local n = shape[1] / heads / 2
  local dims = { heads, 2, n, shape[2] }
  return (t.dense and t or t:clone()):reshape(dims):transpose(2, 3):clone():reshape(shape)
end

-- Dense tensors of one type, stacked: [E, N, K].
local function stacked(list)
  local parts = {}
  for i, t in ipairs(list) do parts[i] = t.dense and t or t:clone() end
  return core.stack(parts)
end

local function stored_type(t)
  if t.dtype == "f64" or t.dtype == "f8e4m3" then return "f32" end
  return t.dtype
end

-- One entry: announced by its first tensor's type, made when asked for.
local function entry(name, role, get, type)
  return { name = name, role = role[1], shape = role[2], type = weights.is_vector(role) and "f32" or type,
    get = function()
      local t = get()
      local want = weights.is_vector(role) and "f32" or type
      if t.dtype ~= want then t = t:to(want) end
      return t.dense and t or t:clone()
    end }
end

local function role_entries(r, prefix, to, role, arch, s, add)
  local t = weights.stored(r, prefix, role, arch, s)
  if not t then return end
  local first = type(t) == "table" and t[1] or t
  if first.quantizer then error(("%s is quantized; originals are expected here"):format(role[1]), 0) end
  local kind = stored_type(first)
  if role[1] == "kv_b" then                                          -- as the absorbed form wants it
    local l = { kv_b = first.dtype == "f32" and first or first:to "f32" }
    arch.attention.prepare(l, s)
    local m = s.mla
    add(entry(to .. "attn_k_b.weight", { "k_b", { s.heads, m.kv_rank, m.nope } }, function() return l.k_b end, kind))
    add(entry(to .. "attn_v_b.weight", { "v_b", { s.heads, m.v, m.kv_rank } }, function() return l.v_b end, kind))
    return
  end
  if not role[4] then error("GGUF has no name for " .. role[1], 0) end
  add(entry(to .. role[4], role, function()
    if type(t) == "table" then return stacked(t) end
    local which = role[1]:match "^([qk])$" or role[1]:match "^([qk])_bias$"
    if which and arch.gguf_pairs then return paired(t, which == "q" and s.heads or s.kv_heads) end
    return t
  end, kind))
end

-- What Llama 3's scaling divides the frequencies by.
local function rope_factors(s)
  local plain = kv.rope_frequencies { dim = s.rope.dim, base = s.rope.base }
  local r = s.rope
  local scaled = kv.rope_frequencies { dim = r.dim, base = r.base, scaling = "llama3", factor = r.factor,
    low_freq_factor = r.low_freq_factor, high_freq_factor = r.high_freq_factor, original_context = r.original_context }
  return plain / scaled
end

-- { metadata, types, tensors = { { name, role, shape, type, get() } } } of an opened model of Hugging Face's form: spec,
-- arch, its reader, the folder (for the tokenizer) and the feed-forward part of each layer.
function M.describe(m, folder)
  local s, arch, r = m.spec, m.architecture, m.reader
  local meta, types = metadata_of(s, arch, folder:match "([^/]+)/*$")
  local list = {}
  local function add(e) list[#list + 1] = e end
  for _, role in ipairs(weights.top_roles(s)) do role_entries(r, "", "", role, arch, s, add) end
  if s.rope.scaling == "llama3" then
    add(entry("rope_freqs.weight", { "rope_freqs", { s.rope.dim / 2 } }, function() return rope_factors(s) end, "f32"))
  end
  for layer = 1, s.layers do
    for _, role in ipairs(weights.layer_roles(s, arch, m.feed_forward(layer))) do
      role_entries(r, weights.prefix(r, layer), ("blk.%d."):format(layer - 1), role, arch, s, add)
    end
  end
  weights.check_all_used(r, s)
  vocabulary.add(meta, types, folder, s)
  return { metadata = meta, types = types, tensors = list }
end

return M

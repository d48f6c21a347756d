-- config.lua: what a model's configuration says, under one set of names, from config.json or from GGUF metadata.
--
-- A spec has: type, layers, hidden, heads, kv_heads, head_dim, intermediate, vocab, context, eps, tied, qkv_bias,
-- o_bias, qk_norm, sinks, window_of(layer) (positions that the layer sees; nil = all), rope = { dim, base, scaling,
-- pairs, ... } (the fields of lb.rope_frequencies, and pairs: neighbours are rotated, not halves), attention_scale
-- (nil = 1 / sqrt(D)), mla = { q_rank (nil: none), kv_rank, nope, rope, v }, moe = { experts, top_k, intermediate,
-- shared (size of the shared expert's FFN; 0: none), dense (layers before the first with experts), score, bias,
-- renormalize, scale, clamp, groups, top_groups, group_sum (nil: no groups) }, stop = { tokens that
-- end a text }. Layers count from 1.
local json = require "luabench.json"

local M = {}

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- A positive whole number under one of the names; `default` where none is there; else an error.
local function count(get, names, default, least)
  for _, name in ipairs(names) do
    local v = get(name)
    if v ~= nil and v ~= json.null then
      if type(v) ~= "number" or v % 1 ~= 0 or v < (least or 1) or v > 2 ^ 31 then
        fail("%s: a whole number from %d expected, got %s", name, least or 1, tostring(v))
      end
      return v
    end
  end
  if default == nil then fail("the configuration has no %s", table.concat(names, " or ")) end
  return default or nil
end

local function number(get, name, default)
  local v = get(name)
  if v == nil or v == json.null then
    if default == nil then fail("the configuration has no %s", name) end
    return default or nil
  end
  if type(v) ~= "number" or v ~= v or math.abs(v) == math.huge then
    fail("%s: a number expected, got %s", name, tostring(v))
  end
  return v
end

-- A number above 0; nil where there is none.
local function positive(get, name)
  local v = number(get, name, false)
  if v and v <= 0 then fail("%s: a number above 0 expected, got %s", name, tostring(v)) end
  return v
end

-- A text out of a list; nil where there is none.
local function one_of(get, name, list)
  local v = get(name)
  if v == nil or v == json.null then return nil end
  for _, known in ipairs(list) do
    if v == known then return v end
  end
  fail("%s: %s is not known; there are %s", name, type(v) == "string" and '"' .. v .. '"' or tostring(v),
    table.concat(list, ", "))
end

local function truth(get, name, default)
  local v = get(name)
  if v == nil or v == json.null then return default end
  if type(v) ~= "boolean" then fail("%s: true or false expected, got %s", name, tostring(v)) end
  return v
end

-- One number or a list of them.
local function numbers(v)
  if type(v) == "number" then return { v } end
  local list = {}
  for _, n in ipairs(type(v) == "table" and v or {}) do
    if type(n) == "number" then list[#list + 1] = n end
  end
  return list
end

-- ---- config.json ----

local SCALINGS = { default = "none", none = "none", linear = "linear", llama3 = "llama3", yarn = "yarn" }

local function rope_of(config, get, head_dim, arch)
  local given = type(config.rope_parameters) == "table" and config.rope_parameters
    or type(config.rope_scaling) == "table" and config.rope_scaling or {}
  local function from(name) local v = given[name]; if v == json.null then v = nil end; return v end
  local kind = from "rope_type" or from "type" or "default"
  local scaling = SCALINGS[kind]
  if not scaling then
    fail('rope of type "%s" is not known; there are default, linear, llama3, yarn', tostring(kind))
  end
  local partial = from "partial_rotary_factor" or get "partial_rotary_factor" or arch.partial_rotary or 1
  if type(partial) ~= "number" or not (partial > 0 and partial <= 1) then
    fail("partial_rotary_factor: a number above 0, at most 1, expected")
  end
  local base = positive(from, "rope_theta") or positive(get, "rope_theta") or arch.rope_theta or 10000
  local rope = { dim = math.floor(head_dim * partial), base = base, scaling = scaling,
    pairs = arch.rope_pairs or false }
  for _, name in ipairs { "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor",
    "mscale", "mscale_all_dim" } do
    if from(name) ~= 0 then rope[name] = positive(from, name) end
    if name:find "^mscale" and (rope[name] or 0) > 100 then fail("%s: a number up to 100 expected", name) end
  end
  rope.truncate = truth(from, "truncate")
  if scaling ~= "none" then
    if not rope.factor then fail('rope of type "%s" needs a factor', kind) end
    rope.original_context = positive(from, "original_max_position_embeddings")
      or positive(get, "original_max_position_embeddings") or positive(get, "max_position_embeddings")
  end
  return rope
end

-- Which layers see a window only: by layer_types, or as the family does.
local function windows_hf(config, get, layers, arch)
  local window = count(get, { "sliding_window" }, false, 0)
  if not window or window == 0 or not truth(get, "use_sliding_window", not arch.window_opt_in) then
    return function() end
  end
  local kinds = config.layer_types
  if type(kinds) == "table" and #kinds >= layers then
    return function(layer) return kinds[layer] == "sliding_attention" and window or nil end
  end
  local full = get "use_sliding_window" and count(get, { "max_window_layers" }, 0, 0) or 0
  return function(layer) return layer > full and window or nil end
end

-- YaRN's factor on the scores (DeepSeek): mscale_all_dim stretches them, both for q and for k.
local function mla_scale(mla, rope)
  local scale = (mla.nope + mla.rope) ^ -0.5
  if rope.scaling == "yarn" and rope.mscale_all_dim and rope.factor > 1 then
    local m = 0.1 * rope.mscale_all_dim * math.log(rope.factor) + 1
    scale = scale * m * m
  end
  return scale
end

-- Experts in groups, of which the best few are selected first: by their best expert where softmax scores (DeepSeek-V2),
-- by the sum of their best two where a sigmoid does (V3).
local function grouped(moe, groups, top)
  if groups <= 1 or top >= groups then return end
  if moe.experts % groups ~= 0 then fail("%d groups do not divide %d experts", groups, moe.experts) end
  if moe.top_k > top * moe.experts / groups then
    fail("%d experts a token, and %d of %d groups have fewer", moe.top_k, top, groups)
  end
  moe.groups, moe.top_groups = groups, top
  moe.group_sum = moe.score == "sigmoid" and moe.experts / groups > 1 and 2 or 1
end

local function moe_hf(config, get, arch)
  local moe = {
    experts = count(get, { "num_experts", "num_local_experts", "n_routed_experts" }),
    top_k = count(get, { "num_experts_per_tok", "experts_per_token" }),
    intermediate = count(get, { "moe_intermediate_size", "intermediate_size" }),
    dense = count(get, { "first_k_dense_replace" }, 0, 0),
    score = one_of(get, "scoring_func", { "softmax", "sigmoid" }) or arch.moe.score,
    renormalize = truth(get, "norm_topk_prob", arch.moe.renormalize),
    scale = number(get, "routed_scaling_factor", 1), bias = arch.moe.bias,
  }
  moe.shared = count(get, { "n_shared_experts" }, 0, 0) * moe.intermediate
  if type(config.mlp_layer_types) == "table" then
    moe.dense = 0
    for i, kind in ipairs(config.mlp_layer_types) do
      if kind == "dense" then
        if moe.dense ~= i - 1 then fail("mlp_layer_types: dense layers after one with experts are not supported") end
        moe.dense = i
      end
    end
  end
  if one_of(get, "topk_method", { "greedy", "group_limited_greedy", "noaux_tc" }) ~= "greedy" then
    grouped(moe, count(get, { "n_group" }, 1), count(get, { "topk_group" }, 1))
  end
  if count(get, { "moe_layer_freq", "decoder_sparse_step" }, 1) ~= 1 or #numbers(config.mlp_only_layers) > 0 then
    fail("layers with experts that take turns with dense ones are not supported")
  end
  if arch.moe.clamp then
    moe.clamp = { alpha = number(get, "swiglu_alpha", 1.702), limit = number(get, "swiglu_limit", 7) }
  end
  return moe
end

-- The spec of a Hugging Face config.json, given as a table; `arch`: the architecture's table of lua/models/.
function M.from_hf(config, arch)
  local function get(name) local v = config[name]; if v == json.null then v = nil end; return v end
  local act = get "hidden_act" or get "hidden_activation" or "silu"
  if act ~= "silu" and act ~= "swish" then fail('hidden_act "%s" is not supported; silu is', tostring(act)) end
  local s = { type = arch.name, layers = count(get, { "num_hidden_layers" }), hidden = count(get, { "hidden_size" }),
    heads = count(get, { "num_attention_heads" }), vocab = count(get, { "vocab_size" }),
    context = count(get, { "max_position_embeddings" }, 4096), intermediate = count(get, { "intermediate_size" }),
    eps = positive(get, "rms_norm_eps") or 1e-6, tied = truth(get, "tie_word_embeddings", arch.tied or false),
    qk_norm = arch.qk_norm or false, sinks = arch.sinks or false }
  s.kv_heads = count(get, { "num_key_value_heads" }, s.heads)
  if s.heads % s.kv_heads ~= 0 then fail("%d heads cannot share %d key-value heads evenly", s.heads, s.kv_heads) end
  s.head_dim = count(get, { "head_dim" }, math.floor(s.hidden / s.heads))
  local biased = truth(get, "attention_bias", arch.qkv_bias or false) or arch.qkv_bias == "always"
  s.qkv_bias, s.o_bias = biased and true or false, biased and arch.o_bias or false
  if arch.mla then
    s.mla = { q_rank = count(get, { "q_lora_rank" }, false), kv_rank = count(get, { "kv_lora_rank" }),
      nope = count(get, { "qk_nope_head_dim" }), rope = count(get, { "qk_rope_head_dim" }),
      v = count(get, { "v_head_dim" }) }
    s.head_dim = s.mla.nope + s.mla.rope
    s.qkv_bias, s.o_bias = false, false
    if truth(get, "attention_bias", false) then fail("attention_bias with latent attention is not supported") end
  end
  s.rope = rope_of(config, get, s.mla and s.mla.rope or s.head_dim, arch)
  if get "rope_interleave" == false then s.rope.pairs = false end
  if s.mla then s.attention_scale = mla_scale(s.mla, s.rope) end
  s.window_of = windows_hf(config, get, s.layers, arch)
  if arch.moe then s.moe = moe_hf(config, get, arch) end
  return s
end

-- ---- GGUF ----

local function rope_gguf(get, head_dim, arch, file)
  local kind = get "rope.scaling.type" or "none"
  local scaling = SCALINGS[kind]
  if not scaling then fail('rope.scaling.type "%s" is not known; there are none, linear, yarn', tostring(kind)) end
  local rope = { dim = count(get, { "rope.dimension_count" }, head_dim),
    base = positive(get, "rope.freq_base") or 10000, scaling = scaling,
    pairs = arch.rope_pairs or arch.gguf_pairs or false,
    factors = file:info_or_nil "rope_freqs.weight" and "rope_freqs.weight" or nil }
  if rope.dim > head_dim then fail("rope.dimension_count is %d, and heads have %d elements", rope.dim, head_dim) end
  if scaling ~= "none" then
    rope.factor = positive(get, "rope.scaling.factor")
    if not rope.factor then fail('rope.scaling.type "%s" needs rope.scaling.factor', kind) end
    rope.original_context = count(get, { "rope.scaling.original_context_length", "context_length" })
  end
  if scaling == "yarn" then
    rope.beta_fast = positive(get, "rope.scaling.yarn_beta_fast")
    rope.beta_slow = positive(get, "rope.scaling.yarn_beta_slow")
    if arch.yarn_truncate == false then rope.truncate = false end
    local log_multiplier = positive(get, "rope.scaling.yarn_log_multiplier")
    if log_multiplier and log_multiplier > 10 then
      fail("rope.scaling.yarn_log_multiplier: a number up to 10 expected, got %g", log_multiplier)
    end
    -- DeepSeek's mscale_all_dim, times 0.1; cos and sin then keep their length
    if log_multiplier then rope.mscale, rope.mscale_all_dim = log_multiplier * 10, log_multiplier * 10 end
    local attention = positive(get, "rope.scaling.attn_factor")
    if attention then rope.attention_factor = attention * (0.1 * math.log(rope.factor) + 1) end
  end
  return rope
end

local GATING = { "softmax", "sigmoid", "softmax" }

local function moe_gguf(get, arch, file)
  local moe = { experts = count(get, { "expert_count" }), top_k = count(get, { "expert_used_count" }),
    intermediate = count(get, { "expert_feed_forward_length", "feed_forward_length" }),
    dense = count(get, { "leading_dense_block_count" }, 0, 0), bias = arch.moe.bias, score = arch.moe.score,
    renormalize = truth(get, "expert_weights_norm", arch.moe.gguf_renormalize or arch.moe.renormalize),
    scale = number(get, "expert_weights_scale", 1) }
  -- DeepSeek-V3 and GLM-4.7-Flash have the name of DeepSeek-V2 here
  if file:info_or_nil(("blk.%d.exp_probs_b.bias"):format(moe.dense)) then moe.bias = "selects" end
  local gating = number(get, "expert_gating_func", false)
  if gating then
    moe.score = GATING[gating] or fail("expert_gating_func %s is not known; there are 1, 2, 3", tostring(gating))
    if gating == 3 then moe.renormalize = true end                  -- softmax of the selected
  end
  if moe.scale == 0 then moe.scale = 1 end
  moe.shared = count(get, { "expert_shared_feed_forward_length" },
    count(get, { "expert_shared_count" }, 0, 0) * moe.intermediate, 0)
  grouped(moe, count(get, { "expert_group_count" }, 1, 0), count(get, { "expert_group_used_count" }, 1, 0))
  if arch.moe.clamp then moe.clamp = { alpha = 1.702, limit = 7 } end
  return moe
end

local function mla_gguf(get, s)
  local latent = count(get, { "attention.kv_lora_rank" })
  local key = count(get, { "attention.key_length_mla", "attention.key_length" })
  local mla = { q_rank = count(get, { "attention.q_lora_rank" }, 0, 0), kv_rank = latent,
    rope = count(get, { "rope.dimension_count" }),
    v = count(get, { "attention.value_length_mla", "attention.value_length" }) }
  if mla.q_rank == 0 then mla.q_rank = nil end
  mla.nope = key - mla.rope
  if mla.nope < 1 then fail("attention.key_length %d leaves nothing beside the %d rotated", key, mla.rope) end
  s.head_dim, s.kv_heads = key, 1
  return mla
end

-- The spec of a GGUF file.
function M.from_gguf(file, arch)
  local prefix = file:metadata "general.architecture"
  if type(prefix) ~= "string" then prefix = arch.gguf end
  local function get(name)
    local v = file:metadata(prefix .. "." .. name)
    return v
  end
  local looked = { metadata = function(_, key) return file:metadata(key) end, info_or_nil = function(_, name)
    local ok, info = pcall(file.info, file, name)
    return ok and info or nil
  end }
  local s = { type = arch.name, layers = count(get, { "block_count" }), hidden = count(get, { "embedding_length" }),
    heads = count(get, { "attention.head_count" }), context = count(get, { "context_length" }, 4096),
    intermediate = count(get, { "feed_forward_length", "expert_feed_forward_length" }),
    eps = positive(get, "attention.layer_norm_rms_epsilon") or 1e-6, qk_norm = arch.qk_norm or false,
    sinks = arch.sinks or false }
  s.layers = s.layers - count(get, { "nextn_predict_layers" }, 0, 0)
  if s.layers < 1 then fail("nextn_predict_layers leaves none of %d layers", count(get, { "block_count" })) end
  s.kv_heads = count(get, { "attention.head_count_kv" }, s.heads)
  s.head_dim = count(get, { "attention.key_length" }, math.floor(s.hidden / s.heads))
  local embedding = looked:info_or_nil "token_embd.weight"
  if not embedding then fail("there is no tensor token_embd.weight") end
  s.vocab = embedding.shape[1]
  s.tied = looked:info_or_nil "output.weight" == nil
  s.qkv_bias = looked:info_or_nil "blk.0.attn_q.bias" ~= nil
  s.o_bias = looked:info_or_nil "blk.0.attn_output.bias" ~= nil
  if arch.mla then s.mla = mla_gguf(get, s) end
  s.rope = rope_gguf(get, s.mla and s.mla.rope or s.head_dim, arch, looked)
  if s.mla then s.attention_scale = mla_scale(s.mla, s.rope) end
  local window = count(get, { "attention.sliding_window" }, 0, 0)
  s.window_of = function(layer)
    if window == 0 then return nil end
    if arch.window_every and layer % arch.window_every ~= 1 then return nil end
    return window
  end
  if arch.moe then s.moe = moe_gguf(get, arch, looked) end
  s.stop = {}
  for _, key in ipairs { "eos_token_id", "eot_token_id", "eom_token_id" } do
    s.stop[#s.stop + 1] = file:metadata("tokenizer.ggml." .. key)
  end
  return s
end

-- Tokens that end a text: generation_config.json before config.json.
function M.stop_hf(config, generation)
  local from = generation and generation.eos_token_id
  if from == nil or from == json.null then from = config.eos_token_id end
  return numbers(from)
end

return M

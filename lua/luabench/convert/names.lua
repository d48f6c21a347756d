-- names.lua: names of a model's tensors: what each is (its role), and what GGUF calls it where Hugging Face has another
-- name for it. Sources: the models' state dicts, and the tensors that llama.cpp loads for each architecture.
local M = {}

-- ---- Hugging Face to GGUF ----

-- Stems (names without their .weight or .bias) after "model.layers.N.".
local LAYER = {
  ["input_layernorm"] = "attn_norm", ["post_attention_layernorm"] = "ffn_norm",
  ["self_attn.q_proj"] = "attn_q", ["self_attn.k_proj"] = "attn_k", ["self_attn.v_proj"] = "attn_v",
  ["self_attn.o_proj"] = "attn_output", ["self_attn.q_norm"] = "attn_q_norm", ["self_attn.k_norm"] = "attn_k_norm",
  ["self_attn.q_a_proj"] = "attn_q_a", ["self_attn.q_a_layernorm"] = "attn_q_a_norm",
  ["self_attn.q_b_proj"] = "attn_q_b",
  ["self_attn.kv_a_proj_with_mqa"] = "attn_kv_a_mqa", ["self_attn.kv_a_layernorm"] = "attn_kv_a_norm",
  ["self_attn.kv_b_proj"] = "attn_kv_b",
  ["mlp.gate_proj"] = "ffn_gate", ["mlp.up_proj"] = "ffn_up", ["mlp.down_proj"] = "ffn_down",
  ["mlp.gate"] = "ffn_gate_inp", ["block_sparse_moe.gate"] = "ffn_gate_inp", ["mlp.router"] = "ffn_gate_inp",
  ["mlp.shared_experts.gate_proj"] = "ffn_gate_shexp", ["mlp.shared_experts.up_proj"] = "ffn_up_shexp",
  ["mlp.shared_experts.down_proj"] = "ffn_down_shexp",
}
local TOP = { ["model.embed_tokens"] = "token_embd", ["model.norm"] = "output_norm", ["lm_head"] = "output" }

-- Where an architecture of GGUF has another name for a layer's tensor.
local OF = {
  glm4 = { ["post_self_attn_layernorm"] = "post_attention_norm", ["post_mlp_layernorm"] = "post_ffw_norm",
    ["mlp.gate_up_proj"] = "ffn_up" },
  glm4moe = { ["post_attention_layernorm"] = "post_attention_norm" },
  ["gpt-oss"] = { ["post_attention_layernorm"] = "post_attention_norm" },
}

-- Experts of their own, that GGUF stacks: gate, up and down by the name in the file.
local EXPERT = { gate_proj = "gate", up_proj = "up", down_proj = "down", w1 = "gate", w3 = "up", w2 = "down" }

-- What a tensor of a Hugging Face model becomes in an architecture of GGUF:
--   { name = }                                          as it is
--   { name =, layer =, expert =, part = "gate" }        one expert (from 0) of a stack called `name`
--   { layer =, fused = "gate_up", ... }                 stacks whose inner order is another (see stacks.lua)
--   { skip = reason }; nil: unknown
function M.to_gguf(name, architecture)
  if name:find "rotary_emb%.inv_freq$" or name:find "%.masked_bias$" then return { skip = "computed anew" } end
  local stem, ending = name:match "^(.*)%.(weight)$"
  if not stem then stem, ending = name:match "^(.*)%.(bias)$" end
  if stem and TOP[stem] then return { name = TOP[stem] .. "." .. ending } end
  local layer, rest = name:match "^model%.layers%.(%d+)%.(.*)$"
  if not layer then return nil end
  layer = tonumber(layer)
  local function of(text) return ("blk.%d.%s"):format(layer, text) end
  if rest == "mlp.gate.e_score_correction_bias" then return { name = of "exp_probs_b.bias", layer = layer } end
  if rest == "self_attn.sinks" then return { name = of "attn_sinks.weight", layer = layer } end
  local expert, which, end_ = rest:match "experts%.(%d+)%.([%w_]+)%.(%w+)$"
  if expert and EXPERT[which] and end_ == "weight" then
    return { name = of("ffn_" .. EXPERT[which] .. "_exps.weight"), layer = layer, expert = tonumber(expert),
      part = EXPERT[which] }
  end
  local fused = rest:match "^mlp%.experts%.(.*)$"
  if fused then return { fused = fused, layer = layer } end
  stem, ending = rest:match "^(.*)%.(weight)$"
  if not stem then stem, ending = rest:match "^(.*)%.(bias)$" end
  local own = OF[architecture] and OF[architecture][stem] or LAYER[stem]
  return own and { name = of(own .. "." .. ending), layer = layer } or nil
end

-- ---- roles ----

-- By patterns of both kinds of names; the first that fits.
local ROLES = {
  { "^token_embd%.", "embedding" }, { "embed_tokens%.", "embedding" },
  { "^output%.weight$", "head" }, { "^lm_head%.", "head" },
  { "norm[%w_]*%.weight$", "norm" }, { "layernorm", "norm" }, { "%.bias$", "bias" }, { "_bias$", "bias" },
  { "sinks", "bias" }, { "rope_freqs", "bias" },
  { "ffn_gate_inp", "router" }, { "mlp%.gate%.weight$", "router" }, { "block_sparse_moe%.gate%.", "router" },
  { "mlp%.router%.", "router" },
  { "ffn_gate_exps", "expert_gate" }, { "ffn_up_exps", "expert_up" }, { "ffn_down_exps", "expert_down" },
  { "experts%.%d+%.gate_proj", "expert_gate" }, { "experts%.%d+%.up_proj", "expert_up" },
  { "experts%.%d+%.down_proj", "expert_down" }, { "experts%.%d+%.w1%.", "expert_gate" },
  { "experts%.%d+%.w3%.", "expert_up" }, { "experts%.%d+%.w2%.", "expert_down" },
  { "mlp%.experts%.gate_up", "expert_gate" }, { "mlp%.experts%.down", "expert_down" },
  { "ffn_gate", "gate" }, { "ffn_up", "up" }, { "ffn_down", "down" }, { "gate_proj", "gate" },
  { "gate_up_proj", "gate" },
  { "up_proj", "up" }, { "down_proj", "down" }, { "attn_", "attention" }, { "self_attn", "attention" },
}

-- "embedding", "head", "norm", "bias", "router", "attention", "gate", "up", "down", "expert_gate", ... or "other".
function M.role(name)
  for _, r in ipairs(ROLES) do
    if name:find(r[1]) then return r[2] end
  end
  return "other"
end

-- ---- patterns ----

-- Does a name fit a pattern? * and ? as in a shell, over the whole name; without them, a part of the name.
function M.fits(pattern, name)
  if not pattern:find "[*?]" then return name:find(pattern, 1, true) ~= nil end
  local lua = pattern:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  return name:find("^" .. lua .. "$") ~= nil
end

return M

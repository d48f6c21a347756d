-- qwen3_moe.lua: Qwen3-MoE: Qwen3's attention, and experts in every layer.
local attention = require "luabench.model.attention"

return {
  name = "qwen3_moe",
  about = "Qwen3-MoE: Qwen3's attention; experts by softmax, weights renormalized where the configuration says so",
  gguf = "qwen3moe",
  attention = attention.gqa,
  qk_norm = true,
  o_bias = true,
  window_opt_in = true,
  moe = { score = "softmax", renormalize = false, gguf_renormalize = true },
}

-- qwen3.lua: Qwen3: each head of q and k is normed before it is rotated.
local attention = require "luabench.model.attention"

return {
  name = "qwen3",
  about = "Qwen3: GQA with norms on the heads of q and k",
  gguf = "qwen3",
  attention = attention.gqa,
  qk_norm = true,
  o_bias = true,
  window_opt_in = true,
}

-- qwen2.lua: Qwen2 and 2.5: as Llama, with biases on q, k and v.
local attention = require "luabench.model.attention"

return {
  name = "qwen2",
  about = "Qwen2: GQA with biases on q, k and v",
  gguf = "qwen2",
  attention = attention.gqa,
  qkv_bias = "always",
  window_opt_in = true, -- sliding_window counts only with use_sliding_window
}

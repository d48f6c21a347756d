-- llama.lua: Llama 2 and 3.x, and what is built like them: GQA and SwiGLU without biases.
local attention = require "luabench.model.attention"

return {
  name = "llama",
  about = "Llama 2 and 3.x: GQA, SwiGLU, RoPE with Llama 3's scaling",
  gguf = "llama",
  gguf_pairs = true, -- GGUF stores the rows of q and k so that neighbours are rotated
  attention = attention.gqa,
  o_bias = true,     -- where attention_bias says so
}

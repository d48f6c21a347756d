-- mixtral.lua: Mixtral: Mistral's attention, and experts in every layer: the best two of eight.
local attention = require "luabench.model.attention"

return {
  name = "mixtral",
  about = "Mixtral: Mistral's attention; experts by softmax, weights renormalized",
  gguf = "llama",
  gguf_pairs = true,
  attention = attention.gqa,
  moe = { score = "softmax", renormalize = true },
  names = {
    router = { hf = "block_sparse_moe.gate.weight" },
    gate_exps = { hf = "block_sparse_moe.experts.%d.w1.weight" },
    up_exps = { hf = "block_sparse_moe.experts.%d.w3.weight" },
    down_exps = { hf = "block_sparse_moe.experts.%d.w2.weight" },
  },
}

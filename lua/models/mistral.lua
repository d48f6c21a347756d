-- mistral.lua: Mistral: as Llama, with a sliding window where the configuration has one.
local attention = require "luabench.model.attention"

return {
  name = "mistral",
  about = "Mistral: as Llama, with a sliding window where the configuration has one",
  gguf = "llama",
  gguf_pairs = true,
  attention = attention.gqa,
}

-- deepseek_v2.lua: DeepSeek-V2-Lite (and V2 without groups of experts): latents for keys and values, shared experts,
-- and a dense first layer.
local attention = require "luabench.model.attention"

return {
  name = "deepseek_v2",
  about = "DeepSeek-V2-Lite: MLA; experts by softmax beside shared ones, the first layer dense",
  gguf = "deepseek2",
  attention = attention.mla,
  mla = true,
  rope_pairs = true,
  moe = { score = "softmax", renormalize = false },
}

-- glm4_moe_lite.lua: GLM-4.7-Flash: DeepSeek's latents; experts by sigmoid, a bias selects and does not weigh.
local attention = require "luabench.model.attention"

return {
  name = "glm4_moe_lite",
  about = "GLM-4.7-Flash: MLA; experts by sigmoid, selected with a bias, beside a shared one; the first layer dense",
  gguf = "deepseek2",
  attention = attention.mla,
  mla = true,
  rope_pairs = true,
  moe = { score = "sigmoid", renormalize = true, bias = "selects" },
}

-- glm4.lua: GLM-4 (9B, 0414): norms behind attention and FFN too, gate and up in one matrix, half of each head rotated
-- in pairs. And, for the scenario moe_mixed, one MoE layer of GLM-4.7-Flash, whose model is glm4_moe_lite: 64 experts
-- and a shared one, top-4, mixed bits per projection. Its sizes and routing: the model's configuration; its bits: the
-- mix that metal-marlin states for its layer 1.
local attention = require "luabench.model.attention"
local feed_forward = require "luabench.model.feed_forward"

return {
  name = "glm4",
  about = "GLM-4: GQA, norms on both sides of each block; moe_mixed: the MoE layer of GLM-4.7-Flash, mixed bits",
  gguf = "glm4",
  attention = attention.gqa,
  feed_forward = feed_forward.swiglu_joined,
  sandwich = true,
  qkv_bias = true,
  rope_pairs = true,
  partial_rotary = 0.5,
  moe_layer = {
    name = "glm4",
    about = "GLM-4.7-Flash MoE layer: 2048 x 1536, 64 experts + 1 shared, top-4, mixed bits",
    hidden = 2048,
    intermediate = 1536,
    experts = 64,
    shared = 1,
    top_k = 4,
    router = { score = "sigmoid", bias = true, renormalize = true, scale = 1.8 },
    formats = "k",
    -- experts with each (gate, up, down) tuple of bits
    bits = {
      { count = 42, 6, 2, 3 },
      { count = 8, 6, 2, 2 },
      { count = 6, 6, 3, 3 },
      { count = 4, 6, 3, 4 },
      { count = 3, 6, 2, 4 },
      { count = 1, 6, 3, 2 },
    },
    shared_bits = { 6, 2, 3 }, -- the commonest tuple; the source names none for the shared expert
  },
}

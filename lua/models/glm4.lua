-- glm4.lua: one MoE layer of GLM-4.7-Flash: 64 experts and a shared one, top-4, mixed bits per projection.
-- Sizes and routing: the model's configuration. Bits: the mix that metal-marlin states for its layer 1.
return {
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
}

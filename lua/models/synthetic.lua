-- synthetic.lua: the small mixed-precision MoE layer that metal-marlin benchmarks: 8 experts, top-2.
return {
  name = "synthetic",
  about = "small mixed-bits MoE layer: 512 x 1408, 8 experts, top-2",
  hidden = 512,
  intermediate = 1408,
  experts = 8,
  shared = 0,
  top_k = 2,
  router = { score = "softmax", bias = false, renormalize = true, scale = 1.0 },
  formats = "uniform", -- 1408 is no multiple of 256, the block of the k formats
  bits = {
    { count = 5, 6, 2, 3 },
    { count = 1, 6, 2, 2 },
    { count = 1, 6, 3, 3 },
    { count = 1, 6, 2, 4 },
  },
}

-- gemm_formats.lua: matrix products of one LLM layer's size by batch size and weight format, from decode to prefill.
--   luabench scenarios/gemm_formats.lua --m 1,16 --quant q4_k,q8_0 -o gemm.json
local lb = require "luabench"

return lb.scenario {
  about = "GEMM time and error by batch size and weight format",
  options = {
    n = { help = "output columns (rows of the weights)", default = 4096, min = 1, max = 1048576 },
  },
  grid = lb.grid {
    { "k", { 4096, 11264 } },
    { "m", { 1, 8, 64, 512 } },
    { "quant", { "f32", "q4_k", "q8_0", "int4wo-128" } },
  },
  group = "m",
  baseline = { quant = "f32" },
  case = function(g, opt)
    if opt.dtype ~= "f32" then error(("--dtype %s: x and unquantized weights are f32"):format(opt.dtype), 0) end
    if g.m < 1 then error(("--m %s: a product of no rows has no time"):format(g.m), 0) end
    local w = lb.randn({ opt.n, g.k }, { seed = opt.seed, device = opt.device })
    local x = lb.randn({ g.m, g.k }, { seed = opt.seed + 1, device = opt.device })
    local packed, quantized = w, nil
    if g.quant ~= "f32" then
      local q = lb.quantizer(g.quant)
      if g.k % q.k_multiple ~= 0 then
        return lb.skip(("%s needs K to be a multiple of %d"):format(g.quant, q.k_multiple))
      end
      packed = w:quantize(g.quant)
      local error_of = packed:dequantize() - w
      local rel = error_of:norm() / w:norm()
      quantized = { bits_per_weight = q:bits_per_weight(opt.n, g.k), rel_rmse = rel,
        sqnr_db = rel > 0 and -20 * math.log10(rel) or nil }
    end
    return {
      plan = lb.plan(opt.device):gemm { x = x, w = packed },
      items = g.m, item = "token",
      quantization_error = quantized,
    }
  end,
}

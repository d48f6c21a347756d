-- gemm_formats.lua: matrix products of one LLM layer's size by batch size and weight format, from decode to prefill.
--   luabench scenarios/gemm_formats.lua --m 1,16 --quant q4_k,q8_0 -o gemm.json
local lb = require "luabench"

-- What no case could run with is an error of the command line.
local function whole(list)
  for _, v in ipairs(list) do
    if v < 1 or v ~= math.floor(v) then return false, "whole numbers from 1, separated by commas" end
  end
  return true
end

local function formats(list)
  for _, name in ipairs(list) do
    local ok, why = pcall(lb.quantizer, name)
    if name ~= "f32" and not ok then return false, ("f32 and weight formats (%s)"):format(why) end
  end
  return true
end

return lb.scenario {
  about = "GEMM time and error by batch size and weight format",
  options = {
    k = { help = "input columns", default = { 4096, 11264 }, check = whole },
    m = { help = "rows of activations", default = { 1, 8, 64, 512 }, check = whole },
    quant = { help = "formats of the weights", default = { "f32", "q4_k", "q8_0", "int4wo-128" }, check = formats },
    n = { help = "output columns (rows of the weights)", default = 4096, min = 1, max = 1048576 },
  },
  grid = function(opt) return lb.grid { { "k", opt.k }, { "m", opt.m }, { "quant", opt.quant } } end,
  group = "m",
  baseline = { quant = "f32" },
  case = function(g, opt)
    local w = lb.randn({ opt.n, g.k }, { seed = opt.seed, device = opt.device })
    local x = lb.randn({ g.m, g.k }, { seed = opt.seed + 1, device = opt.device })
    local packed = w
    if g.quant ~= "f32" then
      local q = lb.quantizer(g.quant)
      if g.k % q.k_multiple ~= 0 then
        return lb.skip(("%s needs K to be a multiple of %d"):format(g.quant, q.k_multiple))
      end
      packed = w:quantize(g.quant)
    end
    return {
      plan = lb.plan(opt.device):gemm { x = x, w = packed },
      items = g.m, item = "token",
    }
  end,
}

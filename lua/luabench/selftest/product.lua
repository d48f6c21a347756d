-- selftest/product.lua: the scenario that the self-test runs in processes of its own: one compute-bound product.
local lb = require "luabench"
return lb.scenario {
  about = "a product for the self-test",
  grid = lb.grid { m = { 64 } },
  case = function(g, opt)
    return lb.plan(opt.device):gemm { x = lb.randn({ g.m, 256 }, { seed = 1, device = opt.device }),
      w = lb.randn({ 128, 256 }, { seed = 2, device = opt.device }) }
  end,
}

-- faults.lua: kernels made wrong on purpose among good ones; every fault must be a row that says so, and no more.
--   make test-programs && build/luabench tests/faults/faults.lua --timeout 3
local lb = require "luabench"
local loaded = false   -- a worker runs many cases and can load a plug-in once

return lb.scenario {
  about = "faulty kernels beside good ones",
  options = { plugin = { "shared object with the faulty kernels", "build/tests/faulty_kernels.so" } },
  grid = lb.grid { { "kernel", { "gemm.any.portable", "gemm.f32.wrong", "gemm.f32.crash", "gemm.f32.hang",
                                 "gemm.f32.stale", "gemm.f32.nan" } }, { "m", { 1, 3 } } },
  case = function(axes, opt)
    if not loaded then lb.kernel_load(opt.plugin) end
    loaded = true
    local x = lb.randn({ axes.m, 64 }, { seed = 1, device = opt.device })
    local w = lb.randn({ 48, 64 }, { seed = 2, device = opt.device })
    return lb.plan(opt.device):gemm { x = x, w = w, kernel = axes.kernel }
  end,
}

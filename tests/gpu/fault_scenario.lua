-- fault_scenario.lua: a kernel that faults, and one after it that must find a clean worker; run by test_device.sh.
local lb = require "luabench"
return lb.scenario {
  about = "a kernel that faults",
  grid = lb.grid { kernel = { "fill.f32.fake_fault", "fill.f32.fake" } },
  case = function(g, opt)
    return lb.plan(opt.device):call(g.kernel, { out = lb.zeros({ 4, 4 }, { device = opt.device }) })
  end,
}

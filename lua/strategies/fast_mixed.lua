-- fast_mixed.lua: tokens grouped by expert, experts by their bits tuple; one grouped, fused dispatch per tuple present,
-- on a GPU all of them in one persistent launch.
local steps = require "luabench.moe.steps"

return {
  name = "fast_mixed",
  about = "tokens grouped by expert, experts by bits tuple; one grouped, fused dispatch per tuple present",
  weights = { "mixed" },
  record = function(plan, job) steps.fused(plan, job, job.layer:weights "mixed") end,
}

-- fast_uniform.lua: all experts requantized to one width; one grouped, fused dispatch.
local steps = require "luabench.moe.steps"

return {
  name = "fast_uniform",
  about = "all experts requantized from the originals to one width; one grouped dispatch",
  weights = { "uniform" },
  record = function(plan, job) steps.fused(plan, job, job.layer:weights "uniform") end,
}

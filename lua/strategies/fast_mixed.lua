-- fast_mixed.lua: tokens grouped by expert, experts by their bits tuple; one grouped, fused dispatch per tuple present.
-- On a GPU these are the parts of one persistent launch; a record's path counts what was launched.
local steps = require "luabench.moe.steps"

return {
  name = "fast_mixed",
  about = "tokens grouped by expert, experts by bits tuple; fused dispatch per tuple, on a GPU all in one launch",
  weights = { "mixed" },
  record = function(plan, job) steps.fused(plan, job, job.layer:weights "mixed") end,
}

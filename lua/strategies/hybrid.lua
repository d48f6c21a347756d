-- hybrid.lua: grouped for tuples with enough rows in this batch, sequential for the rare ones.
local steps = require "luabench.moe.steps"

local function record(plan, job, threshold)
  local weights = job.layer:weights "mixed"
  local m = job.layer.model
  local slots = job.tokens * m.top_k
  local y = steps.f32(job, slots, m.hidden)
  local g = steps.group(plan, job, weights, threshold)
  steps.grouped(plan, job, weights, g, y)
  local buf = steps.row_buffers(job)
  for slot = 1, slots do
    steps.sequence(plan, job, weights, buf, slot, y:slice(1, slot, slot), { g.rare, slot })
  end
  steps.combine(plan, job, weights, y)
end

return {
  name = "hybrid",
  about = "grouped for tuples with at least --threshold rows in the batch, sequential for the rare",
  weights = { "mixed" },
  record = function(plan, job) record(plan, job, job.threshold) end,
}

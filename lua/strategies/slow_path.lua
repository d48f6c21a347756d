-- slow_path.lua: per token, per selected expert: gate, up, activation, down, scaled add. The baseline.
local steps = require "luabench.moe.steps"

return {
  name = "slow_path",
  about = "per token, per selected expert: gate, up, activation, down, scaled add; tokens x k sequences of launches",
  weights = { "mixed" },
  record = function(plan, job)
    local weights = job.layer:weights "mixed"
    local k = job.layer.model.top_k
    if not steps.shared(plan, job, weights, job.out) then plan:fill { out = job.out, value = 0, label = "clear" } end
    local buf = steps.row_buffers(job)
    for slot = 1, job.tokens * k do
      steps.sequence(plan, job, weights, buf, slot, buf.y)
      local token = math.floor((slot - 1) / k) + 1
      plan:axpy { x = buf.y, scale = job.weights, at = slot - 1, y = job.out_rows[token], label = "expert add" }
    end
  end,
}

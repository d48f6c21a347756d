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
    local function add(slot)
      local token = math.floor((slot - 1) / k) + 1
      plan:axpy { x = buf.y, scale = job.weights, at = slot - 1, y = job.out_rows[token], label = "expert add" }
    end
    -- An output is added behind the next slot's gate and up, which then stand beside its down: one barrier less a slot.
    for slot = 1, job.tokens * k do
      steps.sequence_begin(plan, job, weights, buf, slot)
      if slot > 1 then add(slot - 1) end
      steps.sequence_end(plan, job, weights, buf, slot, buf.y)
    end
    add(job.tokens * k)
  end,
}

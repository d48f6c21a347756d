-- max_bits_padded.lua: every projection re-encoded at the layer's largest width; one dispatch; pays in bytes.
local steps = require "luabench.moe.steps"

return {
  name = "max_bits_padded",
  about = "every projection re-encoded at the layer's largest width; one grouped dispatch; pays in bytes",
  weights = { "padded" },
  record = function(plan, job) steps.fused(plan, job, job.layer:weights "padded") end,
}

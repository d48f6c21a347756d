-- auto.lua: picks a strategy per batch from measured costs; the choice is a step of the plan, and timed.
--
-- All candidates are recorded in one plan; `choose` reads how many rows and distinct experts the batch has, evaluates the
-- measured cost models, and sets the flag of one candidate; the others' steps are skipped. The price is memory: every
-- candidate's weights are held. Where the choice falls on fast_uniform or max_bits_padded the output has their
-- quantization error, not the mixed one: the record's path and metrics say which was taken.
local lb = require "luabench"
local costs_of = require "luabench.moe.costs"
local steps = require "luabench.moe.steps"

local CANDIDATES = { "slow_path", "fast_uniform", "fast_mixed", "hybrid", "max_bits_padded" }

return {
  name = "auto",
  about = "picks per batch from measured costs; reports its regret against the best of the others",
  weights = { "mixed", "uniform", "padded" },
  record = function(plan, job)
    local plans = {}
    for i, name in ipairs(CANDIDATES) do
      plans[i] = lb.plan(job.device)
      lb.strategy(name).record(plans[i], job)
    end
    local key = ("moe costs %s %d %s %d %s %s %d threads"):format(job.layer.key, job.tokens, job.routing_name, job.threshold,
      job.cache, job.mode, plan.device.threads)
    local table_of = lb.prepared(key, function()
      local costs = costs_of.measure(job, plans)
      return { costs = lb.tensor(costs, { dtype = "f32" }) }
    end, "measuring costs for auto")
    local flags = lb.zeros({ #CANDIDATES }, { dtype = "i32", device = job.device })
    local group = steps.group(plan, job, job.layer:weights "mixed")
    plan:choose { offsets = group.offsets, costs = table_of.costs:clone(), flags = flags, label = "choose" }
    for i, sub in ipairs(plans) do plan:append(sub, { when = { flags, i } }) end
    job.auto = { candidates = CANDIDATES, plans = plans, flags = flags }
  end,
}

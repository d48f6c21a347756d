-- auto.lua: picks a strategy per batch from measured costs; the choice is a step of the plan, and timed.
--
-- All candidates are recorded in one plan; `choose` reads how many rows and distinct experts the batch has, evaluates
-- the measured cost models, and sets the flag of one candidate; the others' steps are skipped. The price is memory:
-- every candidate's weights are held. Where the choice falls on fast_uniform or max_bits_padded the output has their
-- quantization error, not the mixed one: the record's path and metrics say which was taken.
local lb = require "luabench"
local costs_of = require "luabench.moe.costs"
local steps = require "luabench.moe.steps"

local CANDIDATES = { "slow_path", "fast_uniform", "fast_mixed", "hybrid", "max_bits_padded" }

local function record_all(job)
  local plans = {}
  for i, name in ipairs(CANDIDATES) do
    plans[i] = lb.plan(job.device)
    lb.strategy(name).record(plans[i], job)
  end
  return plans
end

return {
  name = "auto",
  about = "picks per batch from measured costs; reports its regret against the best of those that were near",
  weights = { "mixed", "uniform", "padded" },
  record = function(plan, job)
    local plans = record_all(job) -- each whole by itself, for measuring
    local key = ("moe costs %s %d %s %d %s %s %d threads"):format(job.layer.key, job.tokens, job.routing_name,
      job.threshold,
      job.cache, job.mode, plan.device.threads)
    local costs = lb.prepared(key, function()
      return { costs = lb.tensor(costs_of.measure(job, plans), { dtype = "f32" }) }
    end, "measuring costs for auto").costs
    local flags = lb.zeros({ #CANDIDATES }, { dtype = "i32", device = job.device })
    job.group = steps.group(plan, job, job.layer:weights "mixed")
    plan:choose { offsets = job.group.offsets, costs = costs:clone(), flags = flags, label = "choose" }
    for i, candidate in ipairs(record_all(job)) do -- the grouping is shared
      plan:append(candidate, { when = { flags, i } })
      candidate:close()
    end
    job.group = nil
    job.auto = { candidates = CANDIDATES, plans = plans, flags = flags, costs = costs }
  end,
}

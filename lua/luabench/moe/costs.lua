-- costs.lua: what each strategy costs on this machine for batches of one size, measured, as a small model.
--
-- cost(batch) = c0 + c1 * rows + c2 * distinct experts. All batches of a case have the same number of rows, so c1 is 0
-- here; c2 comes from timing the same plan under two routings with different numbers of distinct experts.
local lb = require "luabench"
local routing_of = require "luabench.moe.routing"
local steps = require "luabench.moe.steps"
local M = {}

local function distinct(ids)
  local seen, n = {}, 0
  for _, row in ipairs(ids:totable()) do
    for _, e in ipairs(row) do
      if not seen[e] then
        seen[e] = true
        n = n + 1
      end
    end
  end
  return n
end

-- Plans take turns, not sample by sample but in rounds of some samples each: the copies that make weights cold would
-- else stand in memory for all plans at once, and first touching so many pages (15 GB for five plans where caches are
-- shown as 260 MiB) took longer than all timing; one after the other they use the same pages. A model of the costs only
-- has to rank: one round. What was chosen is then held against the others to a few percent: three, so that a slow moment
-- of the machine falls on all of them. Seconds for each of the plans at most, where 2 % is not reached before.
local RANK = { rounds = 1, seconds = 0.5 }
local COMPARE = { rounds = 3, seconds = 1 }
-- Candidates whose cost by the model is more times the least than this are not compared again.
local CLOSE = 1.5

--- Medians (ns) of the plans with the ids and weights that the job's tensors hold now. how: { cache, mode }; turns:
--- { rounds, seconds }; only[i] (default: all) says whether plan i is measured.
local function medians(plans, how, turns, only)
  local taken, out = {}, {}
  for _ = 1, turns.rounds do
    for i, plan in ipairs(plans) do
      if not only or only[i] then
        local s = lb.measure(plan, { cache = how.cache, mode = how.mode, precision = 0.02,
          max_time_s = turns.seconds / turns.rounds, min_samples = 3, warmup = 1 })
        taken[i] = taken[i] or {}
        for _, ns in ipairs(s.samples_ns) do table.insert(taken[i], ns) end
      end
    end
  end
  for i, ns in pairs(taken) do out[i] = lb.core.stats(ns).median end
  return out
end

--- Puts the router's own decision (or the given routing) into job.ids and job.weights.
local function route(job)
  if job.routing.kind ~= "router" then return end
  local plan = lb.plan(job.device)
  steps.router(plan, job)
  plan:run()
  plan:close()
end

--- Costs [S, 3] as a Lua table, and the medians under the job's own routing.
function M.measure(job, plans)
  route(job)
  local own, own_distinct = medians(plans, job, RANK), distinct(job.ids)
  local costs = {}
  for i = 1, #plans do costs[i] = { own[i], 0, 0 } end
  local saved = job.ids:clone()
  local contrast = own_distinct > job.layer.model.top_k and "single" or "uniform"
  job.ids:copy((routing_of.make({ kind = contrast }, job.layer.model, job.tokens, job.layer.seed, job.device)))
  local other_distinct = distinct(job.ids)
  if other_distinct ~= own_distinct then
    local other = medians(plans, job, RANK)
    for i = 1, #plans do
      local slope = (other[i] - own[i]) / (other_distinct - own_distinct)
      costs[i] = { own[i] - slope * own_distinct, 0, slope }
    end
  end
  job.ids:copy(saved)
  return costs, own
end

--- What the model of the costs expects (ns) of each candidate for the batch that `ids` are.
function M.expected(costs, ids)
  local n, out = distinct(ids), {}
  for i, c in ipairs(costs:totable()) do out[i] = c[1] + c[2] * ids.shape[1] + c[3] * n end
  return out
end

--- Index of the fastest plan, and the medians (ns). how: { cache, mode }. Of a choice among candidates: `chosen` is the
--- plan that chooses, which is measured beside them and is no candidate, and `expected` what each should take: those
--- that should take 1.5 times the least are not measured, and have no median. Third: the median of `chosen`.
function M.fastest(plans, how, chosen, expected)
  local all, only = { unpack(plans) }, nil
  if expected then
    only = {}
    local least = math.min(unpack(expected))
    for i, ns in ipairs(expected) do only[i] = ns <= CLOSE * least end
  end
  if chosen then
    all[#all + 1] = chosen
    if only then only[#all] = true end
  end
  local t, best = medians(all, how, COMPARE, only), nil
  for i = 1, #plans do
    if t[i] and (not best or t[i] < t[best]) then best = i end
  end
  return best, t, chosen and t[#all]
end

return M

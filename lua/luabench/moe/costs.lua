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

-- Seconds for each of the plans at most, where the precision is not reached before. A rank only has to tell what is
-- near; memory's speed may wander between one plan's turn and the next, so all up to WORTH_A_LOOK times the least are
-- ranked twice. What is near is then compared.
local RANK_S, RANK_PRECISION, WORTH_A_LOOK = 0.15, 0.02, 1.5
local COMPARE_S, COMPARE_PRECISION = 1, 0.01
-- Compared again are so many candidates, those that should take the least by the model, if it is no more than so many
-- times the least.
local CLOSEST, CLOSE = 3, 1.25

local function options(how, precision, seconds, unchecked)
  return { cache = how.cache, mode = how.mode, precision = precision, max_time_s = seconds, min_samples = 7, warmup = 1,
    unchecked = unchecked }
end

local function rank(plan, how) return lb.measure(plan, options(how, RANK_PRECISION, RANK_S, true)).median end

--- Medians (ns) of the plans, one after the other, with the ids and weights that the job's tensors hold now. how:
--- { cache, mode }. Not by turns: the copies that make weights cold would stand in memory for all plans at once, and
--- first touching so many pages (15 GB for five plans where caches are shown as 260 MiB) took longer than all timing.
local function ranks(plans, how)
  local out = {}
  for i, plan in ipairs(plans) do out[i] = rank(plan, how) end
  return out
end

--- Times (ns) by which to choose among plans: the ranks, and of the near ones the ratios measured by turns times the
--- rank of their first. A choice by one round of ranks lost up to a seventh where memory's speed wandered.
--- how: { cache, mode }.
function M.times(plans, how)
  local times = ranks(plans, how)
  local least = math.min(unpack(times))
  for i, plan in ipairs(plans) do
    if times[i] <= WORTH_A_LOOK * least then times[i] = (times[i] + rank(plan, how)) / 2 end
  end
  local close, near = M.close(times), {}
  if #close == 1 then return times end
  for k, i in ipairs(close) do near[k] = plans[i] end
  local compared = M.by_turns(near, how)
  local anchor = times[close[1]]
  for k, i in ipairs(close) do times[i] = anchor * compared[k] / compared[1] end
  return times
end

--- Puts the router's own decision (or the given routing) into job.ids and job.weights.
local function route(job)
  if job.routing.kind ~= "router" then return end
  local plan = lb.plan(job.device)
  steps.router(plan, job)
  plan:run()
  plan:close()
end

--- Costs [S, 3] as a Lua table, and the times (ns) under the job's own routing.
function M.measure(job, plans)
  route(job)
  local own, own_distinct = M.times(plans, job), distinct(job.ids)
  local costs = {}
  for i = 1, #plans do costs[i] = { own[i], 0, 0 } end
  local saved = job.ids:clone()
  local contrast = own_distinct > job.layer.model.top_k and "single" or "uniform"
  job.ids:copy((routing_of.make({ kind = contrast }, job.layer.model, job.tokens, job.layer.seed, job.device)))
  local other_distinct = distinct(job.ids)
  if other_distinct ~= own_distinct then
    local other = ranks(plans, job)
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
  for i, c in ipairs(costs:totable()) do out[i] = c[1] + c[2] * ids.shape[1] * ids.shape[2] + c[3] * n end
  return out
end

--- Which of the candidates should take nearly as little as the best, by what is expected of each: a list of indices.
function M.close(expected)
  local least, order, out = math.min(unpack(expected)), {}, {}
  for i = 1, #expected do order[i] = i end
  table.sort(order, function(a, b)
    return expected[a] < expected[b] or expected[a] == expected[b] and a < b -- as `choose` takes the first of equals
  end)
  for k = 1, math.min(CLOSEST, #order) do
    if expected[order[k]] <= CLOSE * least then out[#out + 1] = order[k] end
  end
  return out
end

-- The median of the ratios y/x round by round: what wanders more slowly than a round is not in it.
local function paired_ratio(x, y)
  local ratios = {}
  for j = 1, #x do ratios[j] = y[j] / x[j] end
  return lb.core.stats(ratios).median
end

--- Times (ns) of the plans, measured by turns: the first one's median, times each one's ratio to it. how: { cache,
--- mode }.
function M.by_turns(plans, how)
  local t = {}
  local samples = lb.core.measure_interleaved(plans, options(how, COMPARE_PRECISION, COMPARE_S))
  for i, s in ipairs(samples) do t[i] = samples[1].median * paired_ratio(samples[1].samples_ns, s.samples_ns) end
  return t
end

return M

-- judge.lua: how a measured time stands against what the machine can do.
--
-- The floor of a case is the largest of three times: bytes that must come from memory over the read bandwidth, the
-- sum of operations over the peak of their compute type, and launches times the cost of an empty one. fraction =
-- floor / median. Pure functions: everything measured comes in as arguments.
local M = {}

local max = math.max

-- The higher of two ceilings, entry by entry; either may be nil.
function M.merge(a, b)
  local out = { read_bytes_per_s = 0, ops_per_s = {} }
  for _, c in ipairs { a or {}, b or {} } do
    out.read_bytes_per_s = max(out.read_bytes_per_s, c.read_bytes_per_s or 0)
    for name, rate in pairs(c.ops_per_s or {}) do
      if rate > 0 then out.ops_per_s[name] = max(out.ops_per_s[name] or 0, rate) end
    end
  end
  return out
end

-- Bytes that cannot be in a cache when a run starts, so that their time over the bandwidth is a true lower bound.
-- weights-cold: the weight part of bytes_min. It is at least what is left of bytes_min after all activation traffic.
-- hot, or a rotation that memory was too small for: what exceeds the last-level cache. nil = unknown.
function M.cold_bytes(account, cache, llc_bytes, capped)
  local bytes = account.bytes_min
  if not bytes then return nil end
  if cache == "hot" or capped then
    if not llc_bytes or llc_bytes <= 0 then return nil end
    return max(0, bytes - llc_bytes)
  end
  if cache == "all-cold" then return bytes end
  local activations = max(0, (account.bytes_streamed or bytes) - (account.weight_bytes_streamed or 0))
  return math.min(bytes, max(account.weight_bytes or 0, bytes - activations))
end

-- Floors in ns under a set of ceilings: { memory=, compute=, launch= } (absent where nothing is known), and the
-- compute type that takes the most of the compute floor.
function M.floors(work, ceilings)
  local out, dominant, most = {}, nil, 0
  if work.cold_bytes and ceilings.read_bytes_per_s and ceilings.read_bytes_per_s > 0 then
    out.memory = work.cold_bytes / ceilings.read_bytes_per_s * 1e9
  end
  local sum
  for name, flops in pairs(work.flops_by or {}) do
    local peak = ceilings.ops_per_s and ceilings.ops_per_s[name]
    if flops > 0 and peak and peak > 0 then
      local t = flops / peak * 1e9
      sum = (sum or 0) + t
      if t > most then dominant, most = name, t end
    end
  end
  out.compute = sum
  if work.launches and work.launch_ns then out.launch = work.launches * work.launch_ns end
  return out, dominant
end

local function binding(floors)
  local bound, ns
  for _, name in ipairs { "memory", "compute", "launch" } do
    if floors[name] and floors[name] > 0 and (not ns or floors[name] > ns) then bound, ns = name, floors[name] end
  end
  return bound, ns
end

-- The rate that the bound allows: bytes/s, flops/s or launches/s.
local function rate(bound, work, floor_ns)
  if not bound then return nil end
  if bound == "memory" then return work.cold_bytes / floor_ns * 1e9 end
  if bound == "compute" then
    local total = 0
    for _, flops in pairs(work.flops_by) do total = total + flops end
    return total / floor_ns * 1e9
  end
  return work.launches / floor_ns * 1e9
end

-- work = { cold_bytes=, flops_by=, launches=, launch_ns= }; near and best are ceilings. Returns the record's `sol`
-- and, where the case is faster than the best ceiling ever seen, the reason why it is invalid. sol.ceiling_from says
-- whether the ceiling is the one "near" the case in time or the "best" seen on the machine.
function M.judge(work, median_ns, near, best)
  best = M.merge(near, best)
  if work.launches and work.launch_ns and work.launches * work.launch_ns > median_ns then
    -- The cost of an empty launch was measured on a busier machine than this; a floor above the time is none.
    work = setmetatable({ launch_ns = false }, { __index = work })
  end
  local floors, compute_type = M.floors(work, near)
  local bound, floor_ns = binding(floors)
  if not bound then return { compute_type = compute_type } end
  local best_floors = M.floors(work, best)
  local best_bound, best_ns = binding(best_floors)
  local sol = { bound = bound, fraction = floor_ns / median_ns, ceiling = rate(bound, work, floor_ns),
    ceiling_best = rate(bound, work, best_floors[bound]), compute_type = compute_type,
    floors_ns = floors, ceiling_from = "near" }
  if best_ns > median_ns then
    sol.fraction = best_ns / median_ns
    sol.bound = best_bound
    sol.ceiling = rate(best_bound, work, floors[best_bound])
    sol.ceiling_best = rate(best_bound, work, best_ns)
    return sol, M.invalid_reason(sol, median_ns)
  end
  if sol.fraction > 1 then
    -- The machine was faster during the case than just before and after it: the best ever seen is the honest ceiling.
    sol.bound, sol.fraction = best_bound, best_ns / median_ns
    sol.ceiling = rate(best_bound, work, best_ns)
    sol.ceiling_best = sol.ceiling
    sol.ceiling_from = "best"
  end
  return sol
end

local UNITS = { memory = "B/s", compute = "FLOP/s" }
local CAUSES = {
  memory = "the byte model counts too much, or the weights were still in a cache",
  compute = "the operations are counted too high, or the ceiling's kernel is slower than this one",
}

function M.invalid_reason(sol, median_ns)
  local units = require "luabench.units"
  return ("faster than this machine: %s of %s at a median of %s, where the best ever seen is %s; probably %s"):format(
    units.si(sol.ceiling_best * sol.fraction, UNITS[sol.bound], 4), sol.bound, units.time(median_ns),
    units.si(sol.ceiling_best, UNITS[sol.bound], 4), CAUSES[sol.bound])
end

return M

-- judge.lua: how a measured time stands against what the machine can do.
--
-- The floor of a case is the largest of three times: the bytes that it reads at the rates that their reuse distances
-- allow, the sum of operations over the peak of their compute type, and launches times the cost of an empty one.
-- fraction = floor / median. Pure functions: everything measured comes in as arguments.
local M = {}

local max = math.max

local function same_sizes(a, b)
  if not a or not b or #a.bytes ~= #b.bytes then return false end
  for i, bytes in ipairs(a.bytes) do
    if bytes ~= b.bytes[i] then return false end
  end
  return true
end

-- The higher of two curves, point by point; of curves over other sizes, the later.
local function merge_curves(a, b)
  if not a or not b or not same_sizes(a, b) then return b or a end
  local out = { bytes = a.bytes, bytes_per_s = {} }
  for i, rate in ipairs(a.bytes_per_s) do out.bytes_per_s[i] = max(rate, b.bytes_per_s[i]) end
  for _, name in ipairs { "l1_bytes_per_s", "l2_bytes_per_s", "llc_bytes_per_s", "capacity_bytes", "swept_s" } do
    if a[name] or b[name] then out[name] = max(a[name] or 0, b[name] or 0) end
  end
  return out
end

-- The higher of two ceilings, entry by entry; either may be nil. Where one has the best of its samples apart (`best`),
-- so has what comes of both.
function M.merge(a, b)
  local out = { read_bytes_per_s = 0, ops_per_s = {} }
  if a and a.best or b and b.best then out.best = M.merge(a and a.best or a, b and b.best or b) end
  for _, c in ipairs { a or {}, b or {} } do
    out.read_bytes_per_s = max(out.read_bytes_per_s, c.read_bytes_per_s or 0)
    for name, rate in pairs(c.ops_per_s or {}) do
      if rate > 0 then out.ops_per_s[name] = max(out.ops_per_s[name] or 0, rate) end
    end
    out.curve = merge_curves(out.curve, c.curve)
  end
  return out
end

-- What a run reads, in steady state: reads = { {reuse distance, bytes}, ... } of weights, and cold_bytes of other data
-- that cannot be in a cache. Between two uses of the same copy of a weight lie the other sets of the rotation.
-- All-cold, what else rotates is cold: operands that are only read. Outputs and intermediates stay where they are: data
-- that does not rotate may be cached, but for what exceeds the caches (capacity_bytes; nil = unknown) when it alone is
-- hot.
function M.reads(account, cache, rotation, capacity_bytes)
  local reads, sets = {}, rotation and rotation.sets or 1
  for _, r in ipairs(account.reuse or {}) do reads[#reads + 1] = r end
  local between = sets > 1 and (sets - 1) * (account.weight_bytes or 0) or 0
  for _, r in ipairs(account.first or {}) do reads[#reads + 1] = { r[1] + between, r[2] } end
  local acts, cold = account.act_bytes or 0, 0
  local capped = rotation and rotation.capped
  if cache == "all-cold" and not capped then
    cold = max(0, math.min(acts, (rotation and rotation.touched_bytes or 0) - (account.weight_bytes or 0)))
  elseif (cache == "hot" or capped) and capacity_bytes then cold = max(0, acts - capacity_bytes) end
  return reads, cold
end

-- ns a byte of reading again what was read `distance` bytes ago: between the points of the curve, on the logarithm of
-- the distance. The curve falls: a dip at a smaller size is noise. Never slower than memory.
local function ns_per_byte(curve, memory_ns, distance)
  local n = #curve.bytes
  if distance >= curve.bytes[n] then return memory_ns end
  local least, above = memory_ns, memory_ns
  for i = n, 1, -1 do
    above = least
    least = math.min(least, 1e9 / curve.bytes_per_s[i])
    if curve.bytes[i] <= distance then
      local share = math.log(distance / curve.bytes[i]) / math.log(curve.bytes[i + 1] / curve.bytes[i])
      return least + share * (above - least)
    end
  end
  return least
end

-- The least time of a case's reads: { ns, dram_bytes, dram_bytes_per_s, cache_bytes, cache_bytes_per_s }; nil =
-- unknown. ns = dram_bytes / dram_bytes_per_s + cache_bytes / cache_bytes_per_s. Where a distance is served by both,
-- its bytes are split as the curve's rate between memory's and the last-level cache's says. Without a curve, bytes that
-- fit capacity_bytes are free and the others come from memory.
function M.memory(work, ceilings)
  local rate = ceilings.read_bytes_per_s or 0
  local curve = ceilings.curve
  if rate <= 0 or not (work.cold_bytes or work.reads) then return nil end
  local memory_ns = 1e9 / rate
  local dram, cached, cached_ns = work.cold_bytes or 0, 0, 0
  local llc_ns = curve and curve.llc_bytes_per_s and 1e9 / curve.llc_bytes_per_s or memory_ns
  for _, r in ipairs(work.reads or {}) do
    local distance, bytes = r[1], r[2]
    if not curve or #curve.bytes == 0 then
      if not work.capacity_bytes then return nil end
      if distance > work.capacity_bytes then dram = dram + bytes else cached = cached + bytes end
    else
      local ns = ns_per_byte(curve, memory_ns, distance)
      local share = 0
      if ns < memory_ns then
        share = llc_ns < memory_ns and math.min(1, (memory_ns - ns) / (memory_ns - llc_ns)) or 1
      end
      dram = dram + (1 - share) * bytes
      cached = cached + share * bytes
      cached_ns = cached_ns + bytes * (ns - (1 - share) * memory_ns)
    end
  end
  return { ns = dram * memory_ns + cached_ns, dram_bytes = dram, dram_bytes_per_s = rate, cache_bytes = cached,
    cache_bytes_per_s = cached_ns > 0 and cached / cached_ns * 1e9 or nil }
end

-- Floors in ns under a set of ceilings: { memory=, compute=, launch= } (absent where nothing is known), the compute
-- type that takes the most of the compute floor, and what M.memory gives.
function M.floors(work, ceilings)
  local out, dominant, most = {}, nil, 0
  local memory = M.memory(work, ceilings)
  if memory then out.memory = memory.ns end
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
  return out, dominant, memory
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
  if bound == "memory" then
    local total = work.cold_bytes or 0
    for _, r in ipairs(work.reads or {}) do total = total + r[2] end
    return total / floor_ns * 1e9
  end
  if bound == "compute" then
    local total = 0
    for _, flops in pairs(work.flops_by) do total = total + flops end
    return total / floor_ns * 1e9
  end
  return work.launches / floor_ns * 1e9
end

-- The floor that binds in ns, under the best samples of the readings near the case, and what M.memory gives of them; an
-- unknown one is never reached.
local function floor_under(near, bound, work)
  local best = { read_bytes_per_s = near.best.read_bytes_per_s, ops_per_s = near.best.ops_per_s, curve = near.curve }
  local floors, _, memory = M.floors(work, best)
  return floors[bound] or math.huge, memory
end

-- Bytes from memory and from caches, and the rates that they are held against.
function M.note_memory(sol, memory)
  if not memory then return end
  sol.dram_bytes, sol.dram_bytes_per_s = memory.dram_bytes, memory.dram_bytes_per_s
  sol.cache_bytes, sol.cache_bytes_per_s = memory.cache_bytes, memory.cache_bytes_per_s
end

-- work = { cold_bytes=, reads=, capacity_bytes=, flops_by=, launches=, launch_ns= }; near and best are ceilings.
-- Returns the record's `sol` and, where the case is faster than the best ceiling ever seen, the reason why it is
-- invalid. sol.ceiling_from says whether the ceiling is the one "near" the case in time or the "best" seen on the
-- machine. A case that is faster than the ceiling near it, but not than the best sample of the same readings
-- (near.best), has reached it: its fraction is 1, its floor the median. sol.floors_ns and sol.dram_bytes_per_s are of
-- the ceiling that was used.
function M.judge(work, median_ns, near, best)
  best = M.merge(near, best)
  if work.launches and work.launch_ns and work.launches * work.launch_ns > median_ns then
    -- The cost of an empty launch was measured on a busier machine than this; a floor above the time is none.
    work = setmetatable({ launch_ns = false }, { __index = work })
  end
  local floors, compute_type, memory = M.floors(work, near)
  local bound, floor_ns = binding(floors)
  if not bound then return { compute_type = compute_type } end
  local best_floors, _, best_memory = M.floors(work, best)
  local best_bound, best_ns = binding(best_floors)
  local sol = { bound = bound, fraction = floor_ns / median_ns, ceiling = rate(bound, work, floor_ns),
    ceiling_best = rate(bound, work, best_floors[bound]), compute_type = compute_type,
    floors_ns = floors, ceiling_from = "near" }
  M.note_memory(sol, memory)
  if best_ns > median_ns then
    sol.fraction = best_ns / median_ns
    sol.bound = best_bound
    sol.ceiling = rate(best_bound, work, floors[best_bound])
    sol.ceiling_best = rate(best_bound, work, best_ns)
    return sol, M.invalid_reason(sol, median_ns)
  end
  if sol.fraction <= 1 then return sol end
  local reached_ns, reached_memory = math.huge, nil
  if near.best then reached_ns, reached_memory = floor_under(near, bound, work) end
  if reached_ns <= median_ns then
    sol.fraction, sol.ceiling, floors[bound] = 1, rate(bound, work, median_ns), median_ns
    if bound == "memory" then M.note_memory(sol, reached_memory) end
  else
    -- The machine was faster during the case than just before and after it: the best ever seen is the honest ceiling.
    sol.bound, sol.fraction = best_bound, best_ns / median_ns
    sol.ceiling = rate(best_bound, work, best_ns)
    sol.ceiling_best = sol.ceiling
    sol.ceiling_from, sol.floors_ns = "best", best_floors
    M.note_memory(sol, best_memory)
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

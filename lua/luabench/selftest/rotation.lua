-- selftest/rotation.lua: is cold cold? Weights that a cache could hold have to come from memory under weights-cold.
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { name = "rotation", about = "weights-cold and all-cold against hot" }

-- A rate above this share of memory's is a cache's; hot must be faster than cold by so much.
local MEMORY_SHARE, HOT_OVER_COLD = 1.15, 1.3
local MEMORY_FREE = 1 / 4   -- of what is free, that copies may take (engine/plan.h)
local N, K = 256, 1024      -- f32: 1 MiB, which the caches of any machine that this runs on hold

local function rate(t, plan, cache, bytes)
  local s = t.tools.measure(plan, { cache = cache, precision = 0.02, max_time = 1, warmup_min = 0.1, warmup_max = 0.5 })
  return bytes / s.median * 1e9, s
end

local function copies(t, plan, bytes, capacity)
  local r = t.tools.rotate(plan, "weights-cold")
  t.tools.rotate(plan, "hot")
  local wanted = sys.cold_bytes(capacity)
  local passed = r.sets * bytes >= wanted and r.touched_bytes == bytes and not r.capped
  t:check { name = "copies", passed = passed, figures = { sets = r.sets, touched_bytes = r.touched_bytes,
    capacity_bytes = capacity }, text = ("%d sets of %s rotate, %s in all; %s make cold"):format(r.sets,
    units.bytes(r.touched_bytes), units.bytes(r.sets * r.touched_bytes), units.bytes(wanted)) }
end

function M.run(t)
  local lb = require "luabench"
  local ceilings = require "luabench.ceilings"
  ceilings.prepare(t.device)
  local capacity = sys.cache_capacity(t.device)
  local copied, free = sys.cold_bytes(capacity), sys.machine().memory_available_bytes
  if free and copied > MEMORY_FREE * free then
    return t:check { name = "cold", text = ("copies of weights would take %s of %s of free memory"):format(
      units.bytes(copied), units.bytes(free)) }
  end
  local bytes = N * K * 4
  local plan = lb.plan(t.device):gemm { x = lb.randn({ 1, K }, { seed = 1 }), w = lb.randn({ N, K }, { seed = 2 }) }
  copies(t, plan, bytes, capacity)
  t:say "hot and cold"
  local hot = rate(t, plan, "hot", bytes)
  local before = ceilings.measure(t.device, 0.3, true, {}).read_bytes_per_s
  local cold = rate(t, plan, "weights-cold", bytes)
  local all = rate(t, plan, "all-cold", bytes)
  local memory = math.max(before, ceilings.measure(t.device, 0.3, true, {}).read_bytes_per_s)
  for name, r in pairs { ["weights-cold"] = cold, ["all-cold"] = all } do
    t:check { name = name .. " comes from memory", passed = r <= MEMORY_SHARE * memory,
      text = ("%s, memory gives %s; at most %g times that"):format(units.si(r, "B/s"), units.si(memory, "B/s"),
        MEMORY_SHARE), figures = { bytes_per_s = r, memory_bytes_per_s = memory } }
  end
  t:check { name = "hot comes from a cache", passed = hot >= HOT_OVER_COLD * cold,
    text = ("%s, %.2f times weights-cold; at least %g times"):format(units.si(hot, "B/s"), hot / cold, HOT_OVER_COLD),
    figures = { bytes_per_s = hot, over_cold = hot / cold } }
end

return M

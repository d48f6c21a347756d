-- machine.lua: the machine block of a result: what is known of CPU, memory, devices and ceilings, and warnings.
local json = require "luabench.json"
local sys = require "luabench.sys"

local M = {}

local function positive(x) return type(x) == "number" and x > 0 and x or nil end
local function text(x) return type(x) == "string" and x ~= "" and x or nil end

-- What is unknown is left out, and written as null.
function M.block()
  local m = sys.machine()
  local ceilings = require "luabench.ceilings"
  local measured, own, devices = ceilings.stored(), {}, sys.devices()
  for key, c in pairs(measured) do
    if ceilings.is_own(key) and ceilings.is_of(key, devices) then
      own[key] = { since = c.since, read_bytes_per_s = c.read_bytes_per_s, ops_per_s = c.ops_per_s, when = c.when,
        curve = c.curve, how = "the best seen: SIMD reads of memory beyond the last-level cache; independent " ..
          "multiply-add chains; curve: reads of so many bytes over and over" }
    end
  end
  return {
    cpu = text(m.cpu),
    cores = { physical = positive(m.cores_physical), logical = positive(m.cores_logical),
      usable = positive(m.cores_usable), smt = positive(m.smt), numa_nodes = positive(m.numa_nodes) },
    isa = text(m.isa),
    caches = m.caches or {},
    memory_bytes = positive(m.memory_bytes), cgroup_memory_bytes = positive(m.cgroup_memory_bytes),
    kernel = text(m.kernel), governor = text(m.governor), os = text(m.os), hostname = text(m.hostname),
    transparent_huge_pages = text(m.thp), clocksource = text(m.clocksource), load1 = m.load1,
    energy = sys.energy(), counters = sys.counters(), memory_pressure_percent = m.memory_pressure_percent,
    boost = m.boost, virtualized = m.virtualized, clock = sys.clock(), devices = json.array(devices), ceilings = own,
    warnings = json.array(sys.warnings()),
  }
end

return M

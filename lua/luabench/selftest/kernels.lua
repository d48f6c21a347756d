-- selftest/kernels.lua: the kernels that comparisons are tried on: arithmetic, a cache and the memory bind them.
local lb = require "luabench"

local M = {}

local MEMORY_SHARE = 1 / 4      -- of what is free, that copies of weights may take
local K = 1024

-- make() records the product m x k by n x k over the same operands each time; make(nil, true) over equal ones in memory
-- of their own.
local function product(device, m, n, k)
  local function operands()
    return lb.randn({ m, k }, { seed = 1, device = device }), lb.randn({ n, k }, { seed = 2, device = device }),
      lb.zeros({ m, n }, { device = device })
  end
  local x, w, out = operands()
  return function(_, anew)
    local a, b, c = x, w, out
    if anew then a, b, c = operands() end
    return lb.plan(device):gemm { x = a, w = b, out = c }
  end
end

-- Runs of some 10 us: 100 of them make a sample of a millisecond, so that 1 % more of them are whole runs.
function M.compute(device) return product(device, 64, 128, 256) end

-- One row over weights of half a megabyte.
function M.cached(device) return product(device, 1, 128, K) end

-- One row over weights of a megabyte, of which so many copies rotate that they come from memory: what more runs read is
-- more by exactly as much, which is not true of one larger matrix (a part of it stays in the caches). Returns the cache
-- regime after make; nil and why where memory is too small for the copies of two plans.
function M.memory(device)
  local sys = require "luabench.sys"
  local capacity = sys.cache_capacity(device)
  if not capacity or capacity <= 0 then return nil, "the size of the caches is unknown" end
  local copies, free = 2 * sys.cold_bytes(capacity), sys.machine().memory_available_bytes
  if free and copies > free * MEMORY_SHARE then
    return nil, ("copies of its weights would take %s of %s of free memory"):format(lb.units.bytes(copies),
      lb.units.bytes(free))
  end
  return product(device, 1, 256, K), "weights-cold"
end

return M

-- selftest/kernels.lua: the kernels that comparisons are tried on: arithmetic, a cache and the memory bind them.
local lb = require "luabench"

local M = {}

local MEMORY_SHARE = 1 / 8      -- of what is free, that the memory-bound kernel's weights may take
local K = 1024

-- make() records the product m x k by n x k over the same operands each time; make(nil, true) over equal ones in memory of
-- their own.
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

-- One row over weights of four times what the caches hold. make(share) reads so much more: rows of the same memory, so
-- that nothing but the work differs. nil and why where memory is too small.
function M.memory(device)
  local sys = require "luabench.sys"
  local capacity = sys.cache_capacity(device)
  if not capacity or capacity <= 0 then return nil, "the size of the caches is unknown" end
  local rows = math.ceil(4 * capacity / (4 * K) / 400) * 400       -- 1, 2 and 5 % of them are whole
  local most = rows * 1.05
  local free = sys.machine().memory_available_bytes
  if free and most * 4 * K > free * MEMORY_SHARE then
    return nil, ("its weights would take %s of %s of free memory"):format(lb.units.bytes(most * 4 * K),
      lb.units.bytes(free))
  end
  local x = lb.randn({ 1, K }, { seed = 1, device = device })
  local w = lb.full({ most, K }, 0.5, { device = device })
  local out = lb.zeros({ 1, most }, { device = device })
  return function(share)
    local n = math.floor(rows * (1 + (share or 0)) + 0.5)
    return lb.plan(device):gemm { x = x, w = w:slice(1, 1, n), out = out:slice(2, 1, n) }
  end
end

return M

-- selftest/fitness.lua: what this machine can tell apart, in words: from the checks and from what the trials showed.
local units = require "luabench.units"

local M = {}

local KINDS = { { "compute", "compute-bound" }, { "cached", "cache-resident" }, { "memory", "memory-bound" } }
-- Found so often, a difference of that size counts as one that this machine resolves.
local OFTEN = 0.8

-- The least injected slow-down that was found in most trials; nil = none of them.
local function resolved(powers)
  local best
  for share, power in pairs(powers or {}) do
    if power >= OFTEN and (not best or share < best) then best = share end
  end
  return best
end

-- t.fitness = { resolution = { compute = { [0.02] = power } }, disturbed = share of samples }.
function M.of(t, passed)
  local f, lines, out = t.fitness, {}, { resolves = {}, disturbed_share = t.fitness.disturbed }
  for _, kind in ipairs(KINDS) do
    local powers = (f.resolution or {})[kind[1]]
    if powers then
      local least = resolved(powers)
      out.resolves[kind[1]] = least
      lines[#lines + 1] = ("%s kernels: %s"):format(kind[2], least
        and ("slow-downs of %g %% are found"):format(least * 100) or "no injected slow-down is found reliably")
    end
  end
  if f.disturbed then
    lines[#lines + 1] = ("%s of the samples carry the mark of a disturbance"):format(units.percent(f.disturbed))
  end
  local limited = false
  for kind in pairs(f.resolution or {}) do limited = limited or not out.resolves[kind] end
  limited = limited or (f.disturbed or 0) > 0.05
  out.verdict = not passed and "not fit" or limited and "fit, with limits" or "fit"
  out.lines = lines
  return out
end

return M

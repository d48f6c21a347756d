-- beside.lua: rates of plans by turns with the ceiling that bounds them, in one process.
local core = require("luabench").core
local programs = dofile "tests/bench/lib/programs.lua"

local M = {}

local TURN_S = 0.03      -- of the ceiling: some fifteen samples of each form of reading, thirty of arithmetic

--- Medians over turns of a plan's rate (work, which is bytes or operations, a second), of its share of the ceilings
--- before and after, and of its share of the limit: the longer of the ceilings' time and of least_ns, what else a run
--- cannot take less than. All are medians of the same seconds (a scenario's rows are held against what ten samples
--- reach, which is 1 to 4 % more). o = { work=, ceiling = "read" or a compute type, seconds=, [least_ns=],
--- [cache = "weights-cold"] }: what rotates has as many copies as being cold takes.
function M.by_turns(plan, o)
  local device, ceiling = plan.device, o.ceiling
  local function now()
    local c = core.ceilings(device, TURN_S, { ceiling })
    return (c.read or c.ops[ceiling] or error("no kernel measures " .. ceiling .. " here", 0)).median
  end
  plan:rotate(o.cache or "weights-cold")
  local runs = math.max(1, math.ceil(TURN_S * 1e9 / math.max(plan:submit(2) / 2, 1)))
  local rates, shares, limits, before, stop = {}, {}, {}, now(), core.now_ns() + o.seconds * 1e9
  while core.now_ns() < stop or #rates < 5 do
    local ns = plan:submit(runs) / runs
    local after = now()
    local floor = o.work / ((before + after) / 2) * 1e9
    table.insert(rates, o.work / ns * 1e9)
    table.insert(shares, floor / ns)
    table.insert(limits, math.max(floor, o.least_ns or 0) / ns)
    before = after
  end
  plan:rotate "hot"
  return programs.median(rates), programs.median(shares), programs.median(limits)
end

--- How much the caches hold is measured, as for every run: what is cold depends on it.
function M.device()
  local device = require("luabench").device()
  require("luabench.ceilings").prepare(device)
  return device
end

--- Where this processor has AMX: the peaks of AVX-512 beside it, { compute type = operations a second }, measured now.
--- What is asked of a type's peak was set for AVX-512. Empty where there is no AMX.
function M.avx512_peaks(device)
  local peaks, amx = {}, false
  for _, c in ipairs(core.ceiling_classes(device, 1)) do
    local tiles = c.isa:find("amx", 1, true)
    amx = amx or tiles
    if not tiles and c.isa:find("avx512", 1, true) then peaks[c.compute] = c.median end
  end
  return amx and peaks or {}
end

--- "5.10 x AVX-512's", a rate beside the peak of its type, of AVX-512; "" where avx512_peaks has none.
function M.times_avx512(rate, peaks, compute)
  return peaks[compute] and ("%5.2f x AVX-512's"):format(rate / peaks[compute]) or ""
end

--- "  off" where a share misses what is asked.
function M.verdict(share, wanted) return share < wanted and "  off" or "" end

return M

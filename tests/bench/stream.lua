-- stream.lua: luabench's read ceiling against an independent STREAM-like reader (stream_read.c), in the same seconds.
-- `make bench` runs it. They should agree within 5 %.
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local core = lb.core

local ROUNDS, SECONDS = 8, 0.4

local device = lb.device()
require("luabench.ceilings").prepare(device)       -- how much the caches hold is measured, as for every run
local bytes = math.max(256 * 2 ^ 20, core.cache_cold_bytes(core.cache_capacity(device) or 0))

-- One after the other, so that both see the same neighbours: lists of bests and medians in bytes/s.
local function rounds(program)
  local argv = { program, ("%.0f"):format(bytes), tostring(SECONDS) }
  core.ceilings(device, 0.01, { "read" })      -- starts and pins the threads
  for _, cpu in ipairs(device.pinning.cpus) do argv[#argv + 1] = tostring(cpu) end
  local ours, theirs = { best = {}, median = {} }, { best = {}, median = {} }
  for _ = 1, ROUNDS do
    local c = core.ceilings(device, SECONDS, { "read" })
    table.insert(ours.best, c.read.best)
    table.insert(ours.median, c.read.median)
    local ok, said = programs.run(argv)
    local best, middle = said:match "^(%d+) (%d+)"
    if not ok or not best then error("stream_read failed: " .. said, 0) end
    table.insert(theirs.best, tonumber(best))
    table.insert(theirs.median, tonumber(middle))
  end
  return ours, theirs
end

programs.with_folder(function(folder)
  local program = folder .. "/stream_read"
  local built, why = programs.run { "cc", "-O3", "-march=native", "-o", program, "tests/bench/stream_read.c",
    "-lpthread" }
  if not built then
    print("the independent reader was not built: " .. why)
    return
  end
  local ours, theirs = rounds(program)
  print(("read bandwidth of %d threads over %.0f MiB, %d rounds of %g s each in turn"):format(device.threads,
    bytes / 2 ^ 20, ROUNDS, SECONDS))
  print(("%-30s %14s %14s %8s   %s"):format("", "luabench", "independent", "ratio", "should be"))
  local function row(name, x, y)
    print(("%-30s %9.2f GB/s %9.2f GB/s %8.3f   0.95 to 1.05%s"):format(name, x / 1e9, y / 1e9, x / y,
      math.abs(x / y - 1) > 0.05 and "  off" or ""))
  end
  row("best of all", math.max(unpack(ours.best)), math.max(unpack(theirs.best)))
  row("median of the rounds' bests", programs.median(ours.best), programs.median(theirs.best))
  row("median of the rounds' medians", programs.median(ours.median), programs.median(theirs.median))
end)

-- selftest/clock.lua: the clock: fine enough, cheap enough, never backwards, the same on every CPU, of the right speed.
local units = require "luabench.units"

local M = { name = "clock", about = "resolution, cost, order" }

local RESOLUTION_NS, COST_NS = 1000, 1000    -- so that a sample of a millisecond is right within 0.1 %
local READS = 200000
local SPEED_S = 0.3

local function fine(t)
  local c = t.tools.clock()
  t:check { name = "resolution", passed = c.resolution_ns > 0 and c.resolution_ns <= RESOLUTION_NS,
    text = ("%s of %s; at most %s"):format(units.time(c.resolution_ns), c.name, units.time(RESOLUTION_NS)),
    figures = { resolution_ns = c.resolution_ns } }
  t:check { name = "cost of a call", passed = c.cost_ns > 0 and c.cost_ns <= COST_NS,
    text = ("%s; at most %s"):format(units.time(c.cost_ns), units.time(COST_NS)), figures = { cost_ns = c.cost_ns } }
end

local function forward(t)
  local now, last, backwards, moved = t.tools.now_ns, t.tools.now_ns(), 0, 0
  local first = last
  for _ = 1, READS do
    local x = now()
    if x < last then backwards = backwards + 1 elseif x > last then moved = moved + 1 end
    last = x
  end
  t:check { name = "monotonic", passed = backwards == 0 and moved > 0,
    text = ("%d reads, %d of them backwards, %s in all"):format(READS, backwards, units.time(last - first)),
    figures = { reads = READS, backwards = backwards } }
end

-- Barriers of a traced run: no thread may leave one before the last has come, by clocks read on different CPUs.
local function same_everywhere(t)
  local lb = require "luabench"
  if t.device.threads < 2 then
    return t:check { name = "the same on every CPU", text = "one thread: there is nothing to compare" }
  end
  local x, w = lb.randn({ 4, 256 }, { seed = 1 }), lb.randn({ 256, 256 }, { seed = 2 })
  local plan = lb.plan(t.device):gemm { x = x, w = w }
  for _ = 1, 63 do plan:gemm { x = plan:last(), w = w } end
  local trace = t.tools.trace(plan, { cache = "hot", runs = 1 })
  local came, left = {}, {}
  for _, s in ipairs(trace.spans) do
    if s.kind == "wait" then
      came[s.step] = math.max(came[s.step] or -math.huge, s.begin_ns)
      left[s.step] = math.min(left[s.step] or math.huge, s.end_ns)
    end
  end
  local barriers, worst = 0, 0
  for step, ns in pairs(came) do
    barriers = barriers + 1
    worst = math.max(worst, ns - left[step])
  end
  local allowed = 2 * t.tools.clock().resolution_ns
  t:check { name = "the same on every CPU", passed = barriers >= 63 and worst <= allowed,
    text = ("%d barriers of %d threads; left at most %s before the last came, at most %s"):format(barriers,
      t.device.threads, units.time(worst), units.time(allowed)), figures = { barriers = barriers, worst_ns = worst } }
end

-- Against the clock that the rest of the system goes by. Each of its readings lies between two of ours, so that a
-- thread that loses its CPU in between makes the comparison coarser, not wrong.
local function same_speed(t)
  local wall_s, now_ns = t.tools.wall_s, t.tools.now_ns
  local before, first, after = now_ns(), wall_s(), now_ns()
  local last, began, ended
  repeat began, last, ended = now_ns(), wall_s(), now_ns() until last - first >= SPEED_S or last < first
  local wall, least, most = (last - first) * 1e9, began - after, ended - before
  local off = math.max(0, least / wall - 1, 1 - most / wall)
  t:check { name = "speed", passed = wall > 0 and off <= 0.01, figures = { off = off },
    text = ("off by %s at least against the system's time over %s; at most 1 %%"):format(units.percent(off),
      units.time(wall)) }
end

local function sized(t)
  local lb = require "luabench"
  local plan = lb.plan(t.device):gemm { x = lb.randn({ 1, 64 }, { seed = 1 }), w = lb.randn({ 32, 64 }, { seed = 2 }) }
  local s = t.tools.measure(plan, { cache = "hot", samples = 10, warmup = 0, warmup_min = 0, warmup_max = 0 })
  local c = t.tools.clock()
  local shortest = s.min * s.iterations
  local wanted = math.max(1e6, 1000 * c.resolution_ns, 1000 * c.cost_ns)
  t:check { name = "sizing", passed = shortest >= 0.5 * wanted,
    text = ("samples of a tiny product take %s or more; %s are wanted"):format(units.time(shortest),
      units.time(wanted)),
    figures = { shortest_ns = shortest, wanted_ns = wanted } }
end

function M.run(t)
  fine(t)
  forward(t)
  same_everywhere(t)
  same_speed(t)
  sized(t)
end

return M

-- played_cases.lua: cases that need what only the played device tells or refuses: which graphs it made and launched
-- (LUABENCH_FAKE_GRAPHS), and choices that it takes at first and not later (LUABENCH_FAKE=choices=1).
local lb = require "luabench"
local sys = require "luabench.sys"
local d = lb.device "cuda:0"
local passed, failed = 0, 0
local function case(what, f)
  local ok, why = pcall(f)
  if ok then passed = passed + 1 else failed = failed + 1 end
  print(("%-64s %s"):format(what, ok and "ok" or "FAILED: " .. tostring(why)))
end
local function finish()
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0 and 0 or 1)
end

if (os.getenv "LUABENCH_FAKE" or ""):find "choices=1" then
  -- The first graph is taken, a later one is not: the record says who decided in the end.
  case("a choice that is refused later leaves all to the host, and the record says so", function()
    local flags, out = lb.tensor({ 1 }, { dtype = "i32", device = d }), lb.zeros({ 2, 8 }, { device = d })
    local p = lb.plan(d):fill { out = out, value = 3, when = { flags, 1 } }
    local m = lb.measure(p, { cache = "hot", samples = 3, warmup = 1 })
    assert(tostring(m.conditions):find "^host: .*conditional node", tostring(m.conditions))
    assert(m.launches > 0 and out:get(1, 1) == 3, "it did not run")
  end)
  finish()
end

-- What the launches of a body may do to one another is not documented: they follow one another there.
case("launches overlap, but not in bodies of conditions", function()
  local flags = lb.tensor({ 1 }, { dtype = "i32", device = d })
  local outs, p = {}, lb.plan(d)
  for i = 1, 3 do
    outs[i] = lb.zeros({ 4 }, { device = d })
    p:call("fill.f32.shows_overlap", { out = outs[i], when = i == 2 and { flags, 1 } or nil })
  end
  local function shown(before, within, behind)
    p:submit(1)
    for i, want in ipairs { before, within, behind } do
      assert(outs[i]:get(4) == want, ("step %d: %g, expected %g"):format(i, outs[i]:get(4), want))
      outs[i]:fill(0)
    end
  end
  assert(p:account().conditions == "device", tostring(p:account().conditions))
  shown(1, 2, 1)
end)
-- How many nodes had the graphs that were launched since line `from`, and the line behind them.
local function launched(from)
  local nodes, lines = {}, 0
  for line in io.lines(os.getenv "LUABENCH_FAKE_GRAPHS") do
    lines = lines + 1
    local n = lines > from and line:match "^launch (%d+)"
    if n then nodes[#nodes + 1] = tonumber(n) end
  end
  return nodes, lines
end
-- Nodes that were launched behind the last graph that was made, from line `from` on; and the last line.
local function launched_behind_graphs(from)
  local nodes, lines = 0, 0
  for line in io.lines(os.getenv "LUABENCH_FAKE_GRAPHS") do
    lines = lines + 1
    if lines > from and line:find "^graph" then nodes = 0 end
    nodes = nodes + (lines > from and tonumber(line:match "^launch (%d+)") or 0)
  end
  return nodes, lines
end
-- On a slow machine a millisecond has so few runs that a whole rotation would make it too long.
local function too_few(s, m)
  if s.quantum > 1 then return false end
  assert(m.rotation.sets > 2 * m.iterations, m.iterations .. " runs, " .. m.rotation.sets .. " sets")
  print(("  %d runs in a sample, %d sets: nothing to see of whole ones"):format(m.iterations, m.rotation.sets))
  return true
end
case("samples are whole graphs where one does not hold all rotation sets", function()
  local p = lb.plan(d)
  for i = 1, 7 do                      -- graphs of 36 runs at most
    local w = lb.randn({ 16, 256 }, { seed = i, device = d }):quantize "q8_0"
    p:gemm { x = lb.randn({ 1, 256 }, { device = d }), w = w, out = lb.zeros({ 1, 16 }, { device = d }) }
  end
  local s = sys.sampler(p, { cache = "weights-cold", warmup = 2 })
  local _, from = launched(0)
  s:take(3)
  local nodes, m = launched(from), s:finish()
  local sets = m.rotation.sets
  assert(sets > 36, sets .. " sets")
  if too_few(s, m) then return end
  assert(s.quantum == sets, ("multiples of %d runs, %d sets"):format(s.quantum, sets))
  assert(#nodes >= 3 * 2, #nodes .. " graphs were launched")
  for _, n in ipairs(nodes) do
    assert(n % 7 == 0 and n >= 7 * 2 and n <= 256, "a graph of " .. n .. " nodes in a sample")
  end
end)
case("a plan that ran once runs again by the same graph", function()
  local again = lb.plan(d):add { a = lb.zeros({ 4 }, { device = d }), b = lb.zeros({ 4 }, { device = d }),
    out = lb.zeros({ 4 }, { device = d }) }
  local _, from = launched(0)
  for _ = 1, 3 do again:submit(1) end
  local nodes = launched(from)
  assert(#nodes == 3, #nodes .. " graphs were launched in three runs")
end)
-- A small matrix has more rotation sets than 1000: what one side of a comparison says, the other can take. All graphs
-- are there before the warm-up ends.
case("samples are whole rotations of thousands of sets", function()
  local w = lb.randn({ 8, 256 }, { device = d }):quantize "q8_0"
  local x, out = lb.randn({ 1, 256 }, { device = d }), lb.zeros({ 1, 8 }, { device = d })
  local p = lb.plan(d):gemm { x = x, w = w, out = out }
  local _, from = launched(0)
  local s = sys.sampler(p, { cache = "weights-cold", warmup = 3 })
  local warm, before = launched_behind_graphs(from)
  s:take(2, s.iterations, s.quantum)
  local nodes = launched(before)
  local m = s:finish()
  local sets = m.rotation.sets
  assert(sets > 1000, sets .. " sets")
  if too_few(s, m) then return end
  assert(s.quantum == sets, ("multiples of %d runs, %d sets"):format(s.quantum, sets))
  assert(m.iterations % sets == 0, m.iterations .. " runs, " .. sets .. " sets")
  assert(warm >= 3 * sets, ("%d runs behind the last graph, %d sets"):format(warm, sets))
  for _, n in ipairs(nodes) do assert(n > 1, "a run of its own in a sample") end
end)
finish()

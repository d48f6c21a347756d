-- nvml_cases.lua: clock, energy and throttling of a GPU in what a measurement says, on the played device with the
-- library of fake/nvml.c. Run by test_device.sh.
local lb = require "luabench"
local d = lb.device "cuda:0"
local throttled = (os.getenv "LUABENCH_FAKE" or ""):find "throttled=1" ~= nil
local passed, failed = 0, 0
local function case(what, f)
  local ok, why = pcall(f)
  if ok then passed = passed + 1 else failed = failed + 1 end
  print(("%-64s %s"):format(what, ok and "ok" or "FAILED: " .. tostring(why)))
end
local x = lb.zeros({ 64 }, { device = d })
local plan = lb.plan(d):add { a = x, b = x, out = lb.zeros({ 64 }, { device = d }) }
case("live: what the library says", function()
  local l = d.live
  assert(l.watts == 350 and l.celsius == 60 and math.abs(l.sm_ghz - 1.5) < 1e-9 and l.joules > 0, "live")
end)
local m = lb.measure(plan, { cache = "hot", warmup = 1, max_time_s = 0.8, precision = 1e-9 })
case("joules a run are the counter's, over all of sampling", function()
  assert(m.joules_per_run, "no joules")
  -- 350 W all the time, between samples too, and a step of the counter more or less
  local joules = m.joules_per_run / m.mean * 1e9 * m.elapsed_s
  assert(joules > 0.7 * 350 * m.elapsed_s, ("%g J in %g s"):format(joules, m.elapsed_s))
end)
case("samples with a lowered clock are marked, others are not", function()
  local marked = 0
  for _, mark in ipairs(m.marks) do if math.floor(mark / 256) % 2 == 1 then marked = marked + 1 end end
  if throttled then assert(marked > 0, "none is marked") else assert(marked == 0, marked .. " are marked") end
end)
case("too short a measurement has no joules", function()
  local short = lb.measure(plan, { cache = "hot", warmup = 1, samples = 3 })
  assert(short.joules_per_run == nil, tostring(short.joules_per_run))
end)
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

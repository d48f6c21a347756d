-- calls.lua: what the engine itself costs: a step, a barrier, a call from Lua, a start. `make bench` runs it.
--
-- Beside each figure: what it should stay under on a quiet machine, and what the seed system published for a dispatch
-- (metal-marlin: 80 to 150 us from Python, 5 to 15 us from C++). Best of many rounds, since only disturbance adds time.
local lb = require "luabench"
local core = lb.core

local STEPS, ROUNDS = 1000, 30

--- Least of `rounds` values of f().
local function best(rounds, f)
  local least = math.huge
  for _ = 1, rounds do least = math.min(least, f()) end
  return least
end

local function empty_step_ns()
  local plan = lb.plan(lb.device("cpu", { threads = 1 }))
  for _ = 1, STEPS do plan:empty {} end
  return best(ROUNDS, function() return plan:submit(100) / 100 / STEPS end)
end

--- Tiny fills of one tensor, each of which must wait for the one before; threads beyond one add a barrier a step.
local function fill_step_ns(threads)
  local device = lb.device("cpu", { threads = threads })
  local plan, out = lb.plan(device), lb.zeros({ 64 }, { device = device })
  for _ = 1, STEPS do plan:fill { out = out, value = 1 } end
  return best(ROUNDS, function() return plan:submit(20) / 20 / STEPS end)
end

--- ns a call of f, compiled.
local function call_ns(calls, f)
  local timer = lb.timer()
  local function round()
    local start = timer:now_ns()
    for _ = 1, calls do f() end
    return (timer:now_ns() - start) / calls
  end
  return best(ROUNDS, round)
end

local function plan_run_ns()
  local plan = lb.plan(lb.device("cpu", { threads = 1 })):empty {}
  return call_ns(20000, function() plan:run() end)
end

local function eager_ns()
  local device = lb.device("cpu", { threads = 1 })
  local x, y = lb.zeros({ 16 }, { device = device }), lb.zeros({ 16 }, { device = device })
  local out, swiglu = lb.zeros({ 16 }, { device = device }), lb.swiglu
  return call_ns(20000, function() swiglu { gate = x, up = y, out = out } end)
end

--- Milliseconds that `luabench -e ''` takes more than `true`, in pairs.
local function start_ms()
  local exe = core.exe_path()
  local function wall(argv)
    local start = core.now_ns()
    local child = core.spawn { argv = argv, stdin = "null", stdout = "null", stderr = "null" }
    local state = child:wait(10)
    local spent = (core.now_ns() - start) / 1e6
    if state.running or state.code ~= 0 then error(argv[1] .. " did not end well") end
    return spent
  end
  local extra = {}
  for i = 1, 21 do extra[i] = wall { exe, "-e", "" } - wall { "/bin/true" } end
  table.sort(extra)
  return extra[11]
end

local barrier_one = fill_step_ns(1)
local rows = {
  { "a recorded step (empty kernel), one thread", empty_step_ns(), "ns", 10 },
  { "pool barrier, two threads", core.machine().cores_usable > 1 and fill_step_ns(2) - barrier_one or nil, "ns", 300 },
  { "running a recorded plan again, from Lua", plan_run_ns(), "ns", 150 },
  { "an eager, checked operation, from Lua", eager_ns(), "ns", 1000 },
  { "luabench -e '' beyond an empty process", start_ms(), "ms", 5 },
}

local missed = 0
print(("%-46s %10s   %-12s"):format("what", "best", "should be"))
for _, row in ipairs(rows) do
  local value = row[2] and ("%.1f %s"):format(row[2], row[3]) or "unknown"
  local mark = row[2] and row[2] > row[4] and "  over" or ""
  if mark ~= "" then missed = missed + 1 end
  print(("%-46s %10s   < %g %s%s"):format(row[1], value, row[4], row[3], mark))
end
print(("a dispatch of the seed system: 80 to 150 us from Python, 5 to 15 us from C++ (as published)"))
if missed > 0 then
  print(("%d over; a busy machine can do that: load %.1f"):format(missed, core.machine().load1 or -1))
end

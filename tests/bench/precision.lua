-- precision.lua: the time that luabench spends until the median is known within 1 %, and the time that Google Benchmark
-- takes for 10 repetitions of the same function. `make bench` runs it. luabench should spend no more.
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local core = lb.core

local N, PRECISION, ROUNDS = 4096, 0.01, 5
local LIB = "tests/bench/lib"

local function built(argv)
  local ok, why = programs.run(argv)
  if not ok then print("not built: " .. why:match "^[^\n]*") end
  return ok
end

-- Half the width of the interval of a median from order statistics, over the median.
local function half_width(list)
  local s = core.stats(list)
  return s.ci95 and (s.ci95[2] - s.ci95[1]) / 2 / s.median, s.median
end

-- The function as one object, for both.
local function object(folder)
  local path = folder .. "/function.o"
  return built { "cc", "-O3", "-march=native", "-fPIC", "-c", "-o", path, LIB .. "/precision_function.c" } and path
end

local function ours(folder, code)
  local plugin = folder .. "/precision.so"
  if not built { "cc", "-O3", "-march=native", "-shared", "-fPIC", "-I", "engine", "-o", plugin,
      LIB .. "/precision_plugin.c", code } then return nil end
  lb.kernel_load(plugin)
  local device = lb.device("cpu", { threads = 1 })
  local x, y = lb.full({ N }, 1e-6, { device = device }), lb.full({ N }, 1, { device = device })
  local scale = lb.full({ 1 }, 1e-6, { device = device })
  local all = {}
  for i = 1, ROUNDS do
    local plan = lb.plan(device):call("axpy.f32.precision", { x = x, scale = scale, y = y, at = 0 })
    local start = core.now_ns()
    local t = lb.measure(plan, { precision = PRECISION, cache = "hot" })
    all[i] = { seconds = (core.now_ns() - start) * 1e-9, median = t.median, samples = t.samples, precise = t.precise,
      half = (t.ci95[2] - t.ci95[1]) / 2 / t.median }
  end
  table.sort(all, function(a, b) return a.seconds < b.seconds end)
  return all[math.floor(ROUNDS / 2) + 1]
end

local function theirs(folder, code)
  local program = folder .. "/precision"
  if not built { "c++", "-O3", "-march=native", "-o", program, LIB .. "/precision_gbench.cpp", code,
      "-lbenchmark", "-lpthread" } then
    print "Google Benchmark is not installed (Debian: libbenchmark-dev)"
    return nil
  end
  local start = core.now_ns()
  local ok, said = programs.run({ program, "--benchmark_repetitions=10", "--benchmark_format=json" }, 300)
  local seconds = (core.now_ns() - start) * 1e-9
  if not ok then error("Google Benchmark failed: " .. said, 0) end
  local times = {}
  for _, b in ipairs(core.json_decode(said).benchmarks) do
    if b.run_type == "iteration" then times[#times + 1] = b.real_time end
  end
  local half, median = half_width(times)
  return { seconds = seconds, median = median, samples = #times, half = half }
end

programs.with_folder(function(folder)
  local code = object(folder)
  local a = code and ours(folder, code)
  if not a then return end
  local b = theirs(folder, code)
  print(("y += scale * x over %d elements, one thread"):format(N))
  print(("%-26s %9s %12s %9s %10s"):format("", "time", "median", "samples", "+-"))
  local function row(name, t)
    print(("%-26s %7.2f s %9.2f ns %9d %8.2f %%"):format(name, t.seconds, t.median, t.samples, 100 * t.half))
  end
  row(("luabench, to +-%g %%"):format(100 * PRECISION), a)
  if not a.precise then print "  luabench did not reach its precision: the machine is too busy" end
  if not b then return end
  row("Google Benchmark, 10 reps", b)
  print(("luabench took %.0f %% of the time; should be at most 100 %%%s"):format(100 * a.seconds / b.seconds,
    a.seconds > b.seconds and "  over" or ""))
end)

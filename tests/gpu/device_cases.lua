-- device_cases.lua: what the engine does with a GPU: both sides of tensors, plans as graphs, conditions, rotation, timing,
-- errors. Run by check.sh on a GPU, and by test_device.sh on a device played on the CPU (tests/gpu/fake/).
local lb = require "luabench"
local sys = require "luabench.sys"
local name = os.getenv "LUABENCH_GPU" or "cuda:0"
local fake = (os.getenv "LUABENCH_CUDA" or ""):find "fake" ~= nil
local d = lb.device(name)
local passed, failed = 0, 0

local function case(what, f)
  local ok, why = pcall(f)
  if ok then passed = passed + 1 else failed = failed + 1 end
  print(("%-64s %s"):format(what, ok and "ok" or "FAILED: " .. tostring(why)))
end
local function same(a, b, within)
  for i = 1, a.shape[1] do
    for j = 1, a.shape[2] do
      local x, y = a:get(i, j), b:get(i, j)
      if math.abs(x - y) > (within or 0) then error(("[%d, %d]: %g and %g"):format(i, j, x, y), 2) end
    end
  end
end
local function expect_error(pattern, f)
  local ok, why = pcall(f)
  if ok then error("no error", 2) end
  if not tostring(why):find(pattern) then error("another error: " .. tostring(why), 2) end
end

case("the device says what it is", function()
  local c = d.caps
  assert(c.compute_capability and c.multiprocessors > 0 and c.memory_bytes > 0 and c.l2_bytes > 0, "caps")
  assert(type(c.peers) == "table" and c.driver_version and c.runtime_version, "versions")
  assert(not d.lost, "lost")
end)
case("tensors go there and back unchanged", function()
  local t = lb.randn({ 37, 53 }, { seed = 3 })
  same(t, t:to(d):to "cpu")
  same(t:t(), t:to(d):t())
  same(lb.randn({ 37, 53 }, { seed = 3, device = d }), t)
end)
case("views and writes of the host are seen by the device", function()
  local x, y = lb.zeros({ 4, 8 }, { device = d }), lb.zeros({ 4, 8 }, { device = d })
  local p = lb.plan(d):add { a = x, b = x, out = y }
  p:run()
  x:set(2, 3, 5)
  p:run()
  assert(y:get(2, 3) == 10 and y:get(1, 1) == 0, "stale")
end)
case("a plan gives what the CPU gives, replayed and eager", function()
  local x, w = lb.randn({ 5, 256 }, { seed = 1, device = d }), lb.randn({ 96, 256 }, { seed = 2, device = d })
  local q, y, z = w:quantize "q4_0", lb.zeros({ 5, 96 }, { device = d }), lb.zeros({ 5, 96 }, { device = d })
  local p = lb.plan(d):gemm { x = x, w = q, out = y }:add { a = y, b = y, out = z }
  p:run()
  local once = z:clone()
  p:submit(50)
  same(z, once)
  p:submit_eager(50)
  same(z, once)
  local c = sys.check(p)
  assert(c.passed, c.reason)
end)
case("conditions and picks are read where steps are reached", function()
  local flags = lb.tensor({ 0, 1 }, { dtype = "i32", device = d })
  local a, out = lb.full({ 2, 8 }, 3, { device = d }), lb.zeros({ 2, 8 }, { device = d })
  local p = lb.plan(d)
  p:fill { out = out, value = 1 }
  p:add { a = a, b = a, out = out, when = { flags, 1 } }
  p:run()
  assert(out:get(1, 1) == 1, "a step ran whose condition is 0")
  flags:set(1, 1)
  p:run()
  assert(out:get(1, 1) == 6, "a step did not run whose condition is 1")
end)
case("measured, rotating, isolated", function()
  local x, w = lb.randn({ 4, 256 }, { seed = 1, device = d }), lb.randn({ 64, 256 }, { seed = 2, device = d })
  local p = lb.plan(d):gemm { x = x, w = w:quantize "q8_0", out = lb.zeros({ 4, 64 }, { device = d }) }
  for _, o in ipairs { { cache = "weights-cold" }, { cache = "hot" }, { cache = "hot", mode = "eager" },
      { cache = "hot", isolated = true } } do
    o.samples, o.warmup = 6, 2
    local m = lb.measure(p, o)
    assert(m.median > 0 and m.launches > 0, "no time")
  end
end)
case("cold weights are slower than hot ones, or a sample is a copy", function()
  if fake then return end                -- a matter of caches
  local n = math.floor(d.caps.l2_bytes / 8)
  local x = lb.randn({ n }, { device = d })
  local p = lb.plan(d):call("peak_read.f32.grid", { x = x })
  local hot, cold = lb.measure(p, { cache = "hot" }), lb.measure(p, { cache = "weights-cold" })
  print(("  %d bytes: hot %.0f ns, cold %.0f ns, %d sets"):format(4 * n, hot.median, cold.median,
    cold.rotation and cold.rotation.sets or 0))
  assert(cold.median > 1.2 * hot.median, "cold is not cold")
end)
case("too much memory is an error that says how much there is", function()
  expect_error("MiB", function() return lb.zeros({ 1048576, 1048576 }, { device = d }) end)
end)
case("a device number that does not exist", function()
  expect_error("there is no device 63", function() return lb.device "cuda:63" end)
end)
-- ---- kernels of a script's own ----
local SOURCE = [[
__global__ void kernel(const float *x, const float *w, float *out, int M, int N, int K) {
    int n = blockIdx.x * blockDim.x + threadIdx.x, m = blockIdx.y;
    if (n >= N) return;
    float sum = 0;
    for (int k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
    out[m * N + n] = sum;
}
]]
local function own(name, changes)
  local spec = { op = "gemm", name = name, device = name and d, source = SOURCE, grid = { "(N + 31) / 32", "M" }, block = 32 }
  for k, v in pairs(changes or {}) do spec[k] = v end
  return lb.kernel.compile(spec)
end
local nvrtc, missing = pcall(own, "probe")
if not nvrtc and tostring(missing):find "NVRTC was not found" then
  print("kernels of a script's own: skipped: " .. tostring(missing))
else
  local x, w = lb.randn({ 3, 64 }, { seed = 1, device = d }), lb.randn({ 70, 64 }, { seed = 2, device = d })
  case("a kernel of CUDA source is checked, timed, and stands beside the others", function()
    local k = own "mine"
    assert(k.name == "gemm.f32.mine" and k.device == "cuda" and k.about:find "registers", tostring(k))
    local p = lb.plan(d):call(k, { x = x, w = w })
    local c = p:check()
    assert(c.passed and c.kernel == "gemm.f32.mine", c.reason)
    local m = lb.measure(p, { samples = 6, warmup = 2 })
    assert(m.median > 0 and m.launches > 0, "no time")
    assert(sys.account(p).path[1].kernel == "gemm.f32.mine", "another ran")
    assert(own "mine" == k, "the same source is the same kernel")
    local other = lb.plan(d):gemm { x = x, w = w }
    lb.compare { a = p, b = other, rounds = 6, max_time = 0.1 }
  end)
  case("parameters, scalars, workspace and needs", function()
    local k = lb.kernel.compile { op = "fill", name = "own_fill", device = d, grid = "max(1, out_numel / 4)", block = { 2, 2 },
      workspace = 256, needs = "out_numel % 4 == 0", source = [[
        extern "C" __global__ void set(float *out, float value, void *workspace, int64_t out_numel, double out_cols) {
            long long i = blockIdx.x * 4 + threadIdx.y * 2 + threadIdx.x;
            if (i < out_numel && out_cols == 6.0 && workspace) out[i] = value;
        }]] }
    local c = lb.plan(d):call(k, { out = lb.zeros({ 2, 6 }, { device = d }), value = 2.5 }):check()
    assert(c.passed, c.reason)
    expect_error("needs", function() lb.plan(d):call(k, { out = lb.zeros({ 1, 6 }, { device = d }), value = 2.5 }) end)
  end)
  case("a wrong kernel of one's own is found, a changed one takes its place", function()
    local k = own("mine2", { source = (SOURCE:gsub("= sum;", "= n == 7 ? sum + 0.1f : sum;")) })
    local c = lb.plan(d):call(k, { x = x, w = w }):check()
    assert(not c.passed and c.kernel == "gemm.f32.mine2", "it passed")
    k = own "mine2"
    assert(lb.plan(d):call(k, { x = x, w = w }):check().passed, "the new one is wrong")
  end)
  case("what does not compile is said with its line", function()
    expect_error("source[:(]6.*error", function() own("broken", { source = (SOURCE:gsub("sum;", "nothing;")) }) end)
    expect_error("no function 'other'", function() own("broken", { entry = "other" }) end)
    expect_error("there is no size \"Q\"", function() own("broken", { grid = "Q" }) end)
    expect_error("block is missing", function()
      lb.kernel.compile { op = "gemm", name = "broken", device = d, source = SOURCE, grid = 1 }
    end)
  end)
  case("a launch of one's own that is refused names its step", function()
    local p = lb.plan(d):call(own("wide", { block = 4096 }), { x = x, w = w })
    expect_error("step 1, gemm by gemm.f32.wide: launching.*4096 x 1 x 1 threads.*invalid argument", function() p:run() end)
  end)
  case("operands that a pointer cannot take are refused", function()
    expect_error("w is quantized", function() lb.plan(d):call(own("any", { format = "any" }), { x = x, w = w:quantize "q4_0" }) end)
    expect_error("is for device cuda", function()
      lb.plan "cpu":call("gemm.f32.mine", { x = lb.zeros { 1, 4 }, w = lb.zeros { 1, 4 } })
    end)
  end)
end
if fake then
  case("a launch that is refused names its step", function()
    local p = lb.plan(d):call("fill.f32.fake_refused", { out = lb.zeros({ 2, 2 }, { device = d }) })
    expect_error("step 1, fill by fill.f32.fake_refused.*invalid argument", function() p:run() end)
  end)
  case("tickets that are left behind are found", function()
    local p = lb.plan(d):call("fill.f32.fake_ticket", { out = lb.zeros({ 2, 2 }, { device = d }) })
    expect_error("left ticket 7 at 3", function() return sys.check(p) end)
  end)
  case("a fault names its kernel, and the context is lost", function()
    local p = lb.plan(d):call("fill.f32.fake_fault", { out = lb.zeros({ 2, 2 }, { device = d }) })
    expect_error("fill.f32.fake_fault.*illegal memory access.*context is lost", function() return sys.check(p) end)
    assert(d.lost, "the device does not know")
    expect_error("context was lost", function() return lb.plan(d):fill { out = lb.zeros({ 2, 2 }, { device = d }) }:run() end)
  end)
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

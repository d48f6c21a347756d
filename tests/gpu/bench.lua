-- bench.lua: make gpu-bench: what the kernels reach on the GPU at hand, against its measured ceilings and, where they are
-- found, cuBLASLt and PyTorch. Prints a table, writes bench-DATE-DEVICE.json. A row that cannot be run says why.
--   luabench -e 'dofile "tests/gpu/bench.lua"'          LUABENCH_GPU=cuda:1, OUT=FOLDER, ONLY=PATTERN
local lb = require "luabench"
local sys = require "luabench.sys"
local json = require "luabench.json"
local d = lb.device(os.getenv "LUABENCH_GPU" or "cuda:0")
local only = os.getenv "ONLY"
local rows, reference = {}, {}
local quick = { precision = 0.01, max_time_s = 1.5, warmup_min_s = 0.2, warmup_max_s = 1, cache = "weights-cold" }

local function opts(more)
  local o = {}
  for k, v in pairs(quick) do o[k] = v end
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local function kernels_of(plan)
  local names = {}
  for _, e in ipairs(sys.account(plan).path or {}) do names[#names + 1] = e.kernel end
  return table.concat(names, ", ")
end

-- Checked, then timed: { ns, kernel, samples }.
local function timed(plan, more, unchecked)
  if not unchecked then
    local c = sys.check(plan)
    if not c.passed then error("wrong result: " .. tostring(c.reason), 0) end
  end
  local m = lb.measure(plan, opts(more))
  return { ns = m.median, lo = m.ci95[1], hi = m.ci95[2], kernel = kernels_of(plan), ghz = m.disturbance and m.disturbance.frequency_ghz,
    noisy = m.disturbance and m.disturbance.noisy, sets = m.rotation and m.rotation.sets }
end

local function row(what, goal, f)
  if only and not what:find(only) then return end
  local r = { what = what, goal = goal }
  local ok, got = pcall(f)
  if ok then for k, v in pairs(got) do r[k] = v end else r.error = tostring(got) end
  rows[#rows + 1] = r
  print(("%-44s %-26s %s"):format(what, goal, ok and ("%10.2f us  %s  %s"):format((r.ns or 0) / 1000, r.shows or "",
    r.kernel or "") or "not run: " .. r.error))
  io.stdout:flush()
end

local ceilings = sys.all_ceilings(d, 3, { "read", "copy", "write" })
print(("%s: read %.0f GB/s, copy %.0f GB/s, write %.0f GB/s"):format(d.model, ceilings.read_bytes_per_s / 1e9,
  (ceilings.copy and ceilings.copy.best or 0) / 1e9, (ceilings.write and ceilings.write.best or 0) / 1e9))
local peaks = {}
for _, c in ipairs(sys.ceiling_classes(d, 3)) do
  peaks[c.compute] = math.max(peaks[c.compute] or 0, c.best)
  print(("  %-6s %8.1f TOP/s  %s"):format(c.compute, c.best / 1e12, c.kernel))
end
local bandwidth = ceilings.read_bytes_per_s

local function gemm(m, n, k, recipe, kernel, more)
  local x = lb.randn({ m, k }, { seed = 1, device = d })
  local w = lb.randn({ n, k }, { seed = 2 })
  w = (recipe == "bf16" or recipe == "f16") and w:to(recipe):to(d) or recipe == "f32" and w:to(d) or w:quantize(recipe):to(d)
  local args, plan = { x = x, w = w, out = lb.zeros({ m, n }, { device = d }) }, lb.plan(d)
  if kernel then plan:call(kernel, args) else plan:gemm(args) end
  local r = timed(plan, more)
  r.bytes = w:nbytes()
  r.shows = ("%4.1f %% of read bandwidth"):format(100 * r.bytes / (r.ns * 1e-9) / bandwidth)
  return r
end

for _, recipe in ipairs { "int4wo-128", "int8wo", "q4_0", "q8_0", "q4_k", "q6_k", "nf4", "mxfp4" } do
  row("GEMV " .. recipe .. " 28672 x 8192", ">= 85 % of bandwidth", function() return gemm(1, 28672, 8192, recipe) end)
end

local function against_bf16(m, goal)
  local base
  row(("GEMM bf16 cuBLASLt M = %d 8192 x 8192"):format(m), "reference", function()
    base = gemm(m, 8192, 8192, "bf16", "gemm.bf16.cublaslt")
    return base
  end)
  for _, recipe in ipairs { "int4wo-128", "q4_k", "q4_0", "q8_0", "int8wo", "nf4", "mxfp4" } do
    row(("GEMM %s M = %d 8192 x 8192"):format(recipe, m), goal, function()
      local r = gemm(m, 8192, 8192, recipe)
      if base then r.shows = ("%.2f times cuBLASLt bf16"):format(base.ns / r.ns) end
      return r
    end)
  end
end
against_bf16(16, ">= 3.5 x cuBLASLt bf16")
against_bf16(256, ">= cuBLASLt bf16")

row("GEMM fp8 cuBLASLt 8192^3", "within 2 % of bare", function()
  local r = gemm(8192, 8192, 8192, "float8dq-tensor", "gemm.float8dq_tensor.cublaslt", { cache = "hot" })
  r.shows = ("%.0f TFLOP/s"):format(2 * 8192 ^ 3 / r.ns / 1e3)
  return r
end)

local function attention(t, s, heads, groups, dim, batch, what, goal, flops)
  row(what, goal, function()
    local q = lb.randn({ t, heads, dim }, { seed = 1, device = d })
    local function cache(seed) return lb.randn({ batch, groups, s, dim }, { seed = seed, dtype = "bf16" }):to(d) end
    local lengths = {}
    for i = 1, batch do lengths[i] = s end
    local k, v = cache(2), cache(3)
    local plan = lb.plan(d):attention { q = q, k = k, v = v, lengths = lb.tensor(lengths, { dtype = "i32", device = d }),
      causal = 1, out = lb.zeros({ t, heads, dim }, { device = d }) }
    local r = timed(plan, { cache = flops and "hot" or "all-cold" })
    if flops then r.shows = ("%.1f %% of the bf16 peak"):format(100 * flops / (r.ns * 1e-9) / (peaks.bf16 or 0 / 0))
    else r.shows = ("%.1f %% of read bandwidth"):format(100 * (k:nbytes() + v:nbytes()) / (r.ns * 1e-9) / bandwidth) end
    return r
  end)
end
attention(8192, 8192, 8, 8, 128, 1, "flash prefill bf16, head 128, causal, S = 8192", ">= 60 % of bf16 peak",
  2 * 2 * 8 * 128 * 8192 * 8192 / 2)
attention(8, 16384, 32, 8, 128, 8, "split-KV decode, 8 x 16384, 32 heads, 8 groups", ">= 85 % of bandwidth")

row("launch, graph replay of 100 empty steps", "<= 1.5 us a step", function()
  local plan = lb.plan(d)
  for _ = 1, 100 do plan:empty {} end
  local m = lb.measure(plan, opts { cache = "hot" })
  return { ns = m.median / 100, kernel = "empty.none.grid" }
end)
row("launch, eager from Lua", "<= 3 us a step", function()
  local x, y = lb.zeros({ 32 }, { device = d }), lb.zeros({ 32 }, { device = d })
  for _ = 1, 1000 do lb.add { a = x, b = x, out = y } end
  y:get(1)
  local from = sys.now_s()
  for _ = 1, 10000 do lb.add { a = x, b = x, out = y } end
  y:get(1)
  return { ns = (sys.now_s() - from) / 10000 * 1e9, kernel = "add" }
end)
row("empty launch, isolated", "the floor of this mode", function()
  local m = lb.measure(lb.plan(d):empty {}, opts { cache = "hot", isolated = true })
  return { ns = m.median, kernel = "empty.none.grid" }
end)

local out = os.getenv "OUT" or "."
local file = ("%s/bench-%s-%s.json"):format(out, os.date "!%Y-%m-%d", (d.model:gsub("[^%w]+", "-")))
sys.replace_file(file, json.encode({ when = sys.time_iso(), device = d.model, caps = { uuid = d.caps.uuid,
  driver = d.caps.driver_version, multiprocessors = d.caps.multiprocessors }, ceilings = ceilings, peaks = peaks, rows = rows,
  reference = reference }, { pretty = true }) .. "\n")
print("written: " .. file)

-- gemv_limits.lua: products of one row of x with weights whose decoding bounds them: of the read bandwidth by turns,
-- and of their limit, the lower of it and of what decoding does by itself (gemv_limits.c, one core out of L1, times
-- the threads). `make bench` runs it.
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local beside = dofile "tests/bench/lib/beside.lua"

local N, K, SECONDS, WANTED = 4096, 14336, 2, 0.8
local FORMATS = { { "sparse24-float8dq" }, { "trellis-2-L8", 2 }, { "trellis-3-L8", 3 }, { "trellis-4-L8", 4 } }
local FLAGS = { "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-fno-math-errno", "-ffp-contract=off", "-I.", "-Iengine",
  "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512bf16", "-mavx512vbmi", "-mfma",
  "-mf16c",
  "-mprefer-vector-width=512", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections" }

local device = beside.device()

-- Bytes a nanosecond; nil and why.
local function in_cache(folder, bits, products)
  local program, argv = folder .. "/gemv_limits", { "cc" }
  for _, flag in ipairs(FLAGS) do argv[#argv + 1] = flag end
  if bits then argv[#argv + 1] = "-DBITS=" .. bits end
  if products then argv[#argv + 1] = "-DPRODUCTS" end
  for _, arg in ipairs { "-o", program, "tests/bench/gemv_limits.c", "-lm" } do argv[#argv + 1] = arg end
  local built, why = programs.run(argv)
  if not built then error("gemv_limits.c was not built: " .. why, 0) end
  local ok, said = programs.run { program }
  return ok and tonumber(said) * 1e-9 or nil, said
end

-- Medians over turns: bytes a second, of the read bandwidth, of the limit.
local function by_turns(format, alone)
  local w = lb.randn({ N, K }, { seed = 1, device = device }):quantize(format)
  local x = lb.randn({ 1, K }, { seed = 2, device = device })
  local plan, bytes = lb.plan(device):gemm { x = x, w = w }, w:nbytes()
  local rate, share, limit = beside.by_turns(plan, { work = bytes, ceiling = "read", seconds = SECONDS,
    least_ns = bytes / (alone * device.threads) })
  plan:close()
  return rate, share, limit
end

programs.with_folder(function(folder)
  print(("one row of x, %d x %d, %d threads; out of L1 on one core"):format(N, K, device.threads))
  print(("%-18s %14s %15s %8s %8s %9s"):format("", "decoding alone", "with products", "", "of read", "of limit"))
  for _, f in ipairs(FORMATS) do
    local alone, why = in_cache(folder, f[2], false)
    if not alone then
      print("not run: decoding needs AVX-512 with VNNI, BF16 and VBMI " .. why)
      return
    end
    local rate, share, limit = by_turns(f[1], alone)
    print(("%-18s %9.1f GB/s %10.1f GB/s %5.1f GB/s %5.0f %% %7.0f %%%s"):format(f[1], alone,
      in_cache(folder, f[2], true), rate * 1e-9, share * 100, limit * 100, limit < WANTED and "  off" or ""))
    collectgarbage()
  end
end)

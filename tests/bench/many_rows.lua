-- many_rows.lua: products of 512 rows of x, format by format, of the peak of the type that the kernel computes in, by
-- turns; on processors with AMX also beside the peak of AVX-512. `make bench` runs it. FORMATS=a,b: only these. What
-- the tiles reach by themselves: tile_limits.lua.
local lb = require "luabench"
local beside = dofile "tests/bench/lib/beside.lua"

local M, N, K, SECONDS = 512, 4096, 14336, 2
local WANTED = {
  { 0.90, "int8dq" }, { 0.75, "q8_0 q4_0 q4_k int8adq-int4w-symm" }, { 0.65, "q5_k q6_k q3_k q2_k" },
  { 0.80, [[int8wo int4wo-32 int4wo-64 int4wo-128 int4wo-256 nf4 float8wo float8dq-tensor float8dq-row float8dq-block
    mxfp6 mxfp8 nvfp4 fp6]] },
  { 0.92, "bf16" }, { 0.95, "f32" },
}
local OTHERS = [[q4_1 q5_0 q5_1 iq4_nl iq4_xs mxfp4 uniform-4 f16 sparse24 sparse24-int8dq
  sparse24-float8dq block-sparse block-sparse-int8dq block-sparse-float8dq trellis-2 trellis-3 trellis-4]]

local device = beside.device()
local asked = os.getenv "FORMATS"
local dense = lb.randn({ N, K }, { seed = 1, device = device })
local x = lb.randn({ M, K }, { seed = 2, device = device })
local avx512 = beside.avx512_peaks(device)

local function row(name, wanted)
  if asked and not ("," .. asked .. ","):find("," .. name .. ",", 1, true) then return end
  local w = name == "f32" and dense or (name == "bf16" or name == "f16") and dense:to(name) or dense:quantize(name)
  local plan = lb.plan(device):gemm { x = x, w = w }
  local kernel = plan:steps()[1].kernel
  local compute = lb.kernel(kernel).compute
  local rate, share = beside.by_turns(plan, { work = 2 * M * N * K, ceiling = compute, seconds = SECONDS })
  print(("%-22s %-32s %8.0f Gop/s %5.1f %% of %-5s %-9s %s"):format(name, kernel, rate * 1e-9, share * 100, compute,
    wanted and ("%2.0f %%%s"):format(wanted * 100, beside.verdict(share, wanted)) or "",
    beside.times_avx512(rate, avx512, compute)))
  plan:close()
  collectgarbage()
end

print(("%d rows of x, %d x %d, cold, %d threads: of the peak of the type by turns"):format(M, N, K, device.threads))
print(("%-22s %-32s %14s %16s %s"):format("", "kernel", "", "of the peak", "at least"))
for _, group in ipairs(WANTED) do
  for name in group[2]:gmatch "%S+" do row(name, group[1]) end
end
for name in OTHERS:gmatch "%S+" do row(name) end

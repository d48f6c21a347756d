-- one_row.lua: products of one row of x with cold weights, format by format, of the read bandwidth by turns: repacked,
-- and in the files' own layout. `make bench` runs it. FORMATS=a,b: only these.
--
-- Of formats that decoding bounds, not memory, gemv_limits.lua has the limit.
local lb = require "luabench"
local beside = dofile "tests/bench/lib/beside.lua"

local N, K, SECONDS = 4096, 14336, 1.5
local function words(text, wanted)
  local list = {}
  for name in text:gmatch "%S+" do list[#list + 1] = { name, wanted } end
  return list
end
local REPACKED = {
  words("q8_0 q4_0 q4_k q5_k q6_k int8wo int8dq int4wo-128 int8adq-int4w-symm iq4_nl mxfp4", 0.9),
  words([[baseline q4_1 q5_0 q5_1 q2_k q3_k iq4_xs int4wo-32 int4wo-64 int4wo-256 uintx-1-64 uintx-2-64 uintx-3-64
    uintx-4-64 uintx-5-64 uintx-6-64 uintx-7-64 uintx-8-64 int8_dynamic_activation_intx_weight-2-32
    int8_dynamic_activation_intx_weight-4-32 int8_dynamic_activation_intx_weight-8-32 int8dq_prefill_wo_decode marlin
    gptq-3-128 gptq-4-128 gptq-8-128 awq-4-128 nf4 nf4-dq fp6 float8wo float8dq-tensor float8dq-row float8dq-block mxfp6
    mxfp6-e3m2 mxfp8 mxfp8-e5m2 nvfp4 uniform-2 uniform-4 uniform-8 sparse24 sparse24-int8dq sparse24-float8dq
    block-sparse block-sparse-int8dq block-sparse-float8dq]], 0.8),
}
local IN_FILES = words("q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs", 0.75)

local device = beside.device()
local NATIVE = device.caps.isa:find "amx_int8" and "linear.native.amx" or "linear.native.avx512"
local asked = os.getenv "FORMATS"
local dense = lb.randn({ N, K }, { seed = 1, device = device })
local x = lb.randn({ 1, K }, { seed = 2, device = device })

local function is_asked(name) return not asked or ("," .. asked .. ","):find("," .. name .. ",", 1, true) end

local function row(name, wanted, kernel)
  local w = dense:quantize(name)
  local plan = lb.plan(device)
  if kernel then
    plan:call(kernel, { x = x, w = w, out = lb.zeros({ 1, N }, { device = device }) })
  else
    plan:gemm { x = x, w = w }
  end
  local rate, share = beside.by_turns(plan, { work = w:nbytes(), ceiling = "read", seconds = SECONDS })
  print(("%-40s %-32s %8.1f GB/s %5.0f %%   %2.0f %%%s"):format(name, plan:steps()[1].kernel, rate * 1e-9, share * 100,
    wanted * 100, beside.verdict(share, wanted)))
  plan:close()
  collectgarbage()
end

print(("one row of x, %d x %d, cold, %d threads: of the read bandwidth by turns"):format(N, K, device.threads))
print(("%-40s %-32s %13s %7s   %s"):format("", "kernel", "", "of read", "at least"))
for _, list in ipairs(REPACKED) do
  for _, f in ipairs(list) do if is_asked(f[1]) then row(f[1], f[2]) end end
end
if pcall(lb.kernel, NATIVE) and device.caps.isa:find "avx512_vnni" then
  for _, f in ipairs(IN_FILES) do if is_asked(f[1]) then row(f[1], f[2], NATIVE) end end
else
  print("files' own layout: needs AVX-512 with VNNI")
end

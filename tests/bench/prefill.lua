-- prefill.lua: causal attention of a prompt of 2048, 16 heads of 64 and of 128, of the peak of the type that the kernel
-- computes in, by turns; and what the work by tiles of AMX takes by itself (prefill_limit.c), one core, everything in
-- L1 and nothing waiting. `make bench` runs it; one token over long caches: decode.lua.
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local beside = dofile "tests/bench/lib/beside.lua"

local S, HEADS, SECONDS, WANTED = 2048, 16, 2, 0.6
local device = beside.device()
local avx512 = beside.avx512_peaks(device)
local reached = {} -- by tiles, by head

local function row(type, dim)
  local c = lb.kv_cache { batch = 1, heads = HEADS, capacity = S, dim = dim, type = type, device = device }
  c.lengths:fill(S)
  for i, cache in ipairs { c.k[1], c.v[1] } do
    local x = lb.randn({ S, HEADS, dim }, { seed = i, device = device })
    lb.plan(device):kv_write { x = x, cache = cache, lengths = c.lengths, packed = c.packed }:run()
  end
  local q = lb.randn({ S, HEADS, dim }, { seed = 3, device = device })
  local plan = lb.plan(device):attention { q = q, k = c.k[1], v = c.v[1], lengths = c.lengths, packed = c.packed,
    causal = true }
  local kernel = plan:steps()[1].kernel
  local compute = lb.kernel(kernel).compute
  local rate, share = beside.by_turns(plan, { work = 4 * dim * HEADS * S * (S + 1) / 2, ceiling = compute,
    seconds = SECONDS })
  print(("%-8s %6d %-32s %8.0f GFLOP/s %5.1f %% of %-5s %2.0f %%%-5s %s"):format(type, dim, kernel, rate * 1e-9,
    share * 100, compute, WANTED * 100, beside.verdict(share, WANTED), beside.times_avx512(rate, avx512, compute)))
  if kernel:find "_amx$" then reached[dim] = share end
  plan:close()
  collectgarbage()
end

--- The shares of the rate of tiles in registers that the parts of the work leave; the instructions that a product's
--- time holds.
local function limits(said)
  print "by tiles, of the rate of products in registers: products with loads and stores, softmax, softmax beside"
  print "products in registers, all; and the share of it that the kernel reaches"
  for dim, products, softmax, both, all in said:gmatch "(%d+) ([%d.]+) ([%d.]+) ([%d.]+) ([%d.]+)" do
    local share = reached[tonumber(dim)]
    print(("heads of %-4s %5.1f %5.1f %5.1f %5.1f %% %s"):format(dim, products * 100, softmax * 100, both * 100,
      all * 100, share and ("%5.0f %%"):format(share / all * 100) or ""))
  end
  print "instructions of 16 lanes in the time of a product, alone and beside it"
  for name, alone, both in said:gmatch "(%a+) ([%d.]+) ([%d.]+)" do
    print(("%-12s %5.1f %5.1f"):format(name, alone, both))
  end
end

print(("causal, a sequence of %d, %d heads, %d threads: of the peak of the type by turns"):format(S, HEADS,
  device.threads))
print(("%-8s %6s %-32s %16s %16s %s"):format("cache", "dim", "kernel", "", "of the peak", "at least"))
for _, type in ipairs { "bf16", "f32" } do
  for _, dim in ipairs { 64, 128 } do row(type, dim) end
end

programs.with_folder(function(folder)
  local program = folder .. "/prefill_limit"
  local built, why = programs.run { "cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-o", program,
    "tests/bench/prefill_limit.c" }
  local ok, said = false, why
  if built then ok, said = programs.run { program } end
  if ok then limits(said) else print("prefill_limit is left out: it needs AMX " .. said) end
end)

-- decode.lua: attention of one token over caches of 8192 positions, 8 query heads for each cache head, 128 values, by
-- type of cache: of the read bandwidth in the same seconds, and of its limit. `make bench` runs it.
--
-- The limit is the lower of that bandwidth and what all instructions that the work needs take by themselves, evenly
-- mixed and none waiting for another (decode_limit.c, or decode_tiles.c for kernels by tiles; one core, everything in
-- L1). Caches are cold: as many copies as that takes. Last, what is left of the bandwidth beside so and so much work
-- (decode_stream.c).
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local beside = dofile "tests/bench/lib/beside.lua"

local HEADS, GROUP, POSITIONS, DIM, SECONDS = 8, 8, 8192, 128, 3
local BYTES = { bf16 = 512, f8e4m3 = 256, q8_0 = 272, q4_0 = 144 }   -- of a position and cache head
local LEAST = 120 * 2 ^ 20                                           -- of a cache

local device = beside.device()

local function plan_of(type)
  local batch = math.ceil(LEAST / (HEADS * POSITIONS * BYTES[type]))
  local c = lb.kv_cache { batch = batch, heads = HEADS, capacity = POSITIONS, dim = DIM, type = type, device = device }
  c.lengths:fill(POSITIONS)
  for i, cache in ipairs { c.k[1], c.v[1] } do
    local x = lb.randn({ batch * POSITIONS, HEADS, DIM }, { seed = i, device = device })
    lb.plan(device):kv_write { x = x, cache = cache, lengths = c.lengths, packed = c.packed }:run()
  end
  local q = lb.randn({ batch, HEADS * GROUP, DIM }, { seed = 3, device = device })
  return lb.plan(device):attention { q = q, k = c.k[1], v = c.v[1], lengths = c.lengths, packed = c.packed }, batch
end

--- What a program of this folder says, compiled for this machine; nothing if it does not run here, and why is printed.
local function said_by(name)
  local answer
  programs.with_folder(function(folder)
    local program = folder .. "/" .. name
    local built, why = programs.run { "cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-o", program,
      "tests/bench/" .. name .. ".c", "-lpthread" }
    local ok, said = false, why
    if built then ok, said = programs.run { program } end
    if ok then answer = said else print(name .. " is left out: " .. said) end
  end)
  return answer or ""
end

--- Nanoseconds a position, by type of cache.
local function limits(program)
  local of = {}
  local said = said_by(program)
  for name, products, formed, all in said:gmatch "(%S+) (%S+) (%S+) (%S+)" do
    of[name] = { products = tonumber(products), formed = tonumber(formed), all = tonumber(all) }
  end
  local permute, both = said:match "vpermi2b\t(%S+)\t(%S+)"
  if permute then
    print(("widening f8e4m3: vpermi2b takes %s times as long as vpunpcklbw, both after each other %s"):format(permute,
      both))
  end
  return of
end

local limit = {} -- by program, once a kernel needs it
print(("one token, %d positions, %d cache heads of %d query heads, %d values; %d threads"):format(POSITIONS, HEADS,
  GROUP, DIM, device.threads))
print(("%-8s %10s %8s %9s   %18s %17s %12s %9s   %s"):format("cache", "ns a pos.", "GB/s", "of read",
  "products alone, ns", "with operands, ns", "all work, ns", "of limit", "should be"))
for _, type in ipairs { "bf16", "q8_0", "f8e4m3", "q4_0" } do
  local plan, batch = plan_of(type)
  local bytes = batch * HEADS * POSITIONS * BYTES[type]
  local program = plan:steps()[1].kernel:find "_amx$" and "decode_tiles" or "decode_limit"
  limit[program] = limit[program] or limits(program)
  local l, positions = limit[program][type], batch * HEADS * POSITIONS / device.threads -- of a thread
  local rate, share, of_limit = beside.by_turns(plan, { work = bytes, ceiling = "read", seconds = SECONDS,
    least_ns = l and l.all * positions, cache = "all-cold" })
  local position = bytes / rate * 1e9 / positions
  of_limit = l and of_limit
  local wanted = BYTES[type] == 512 or type == "q8_0"
  local short = wanted and share < 0.85 or not wanted and (of_limit or share) < 0.8
  local function own(name) return l and ("%.2f"):format(l[name]) or "unknown" end
  print(("%-8s %10.2f %8.1f %7.0f %%   %18s %17s %12s %9s   %s%s"):format(type, position, rate * 1e-9, share * 100,
    own "products", own "formed", own "all", of_limit and ("%.0f %%"):format(of_limit * 100) or "unknown",
    wanted and "85 % of read" or "80 % of limit", short and "  off" or ""))
  plan:close()
  collectgarbage()
end

local streams = said_by "decode_stream"
if streams ~= "" then
  print "\na stream of 272 bytes a position (q8_0's) with nothing but arithmetic beside it, two threads"
  print(("%18s %18s %9s"):format("ns a pos. from L1", "from memory", "of read"))
end
for l1, memory, share in streams:gmatch "(%S+)\t(%S+)\t(%S+)" do
  print(("%18s %18s %7.0f %%"):format(l1, memory, tonumber(share) * 100))
end

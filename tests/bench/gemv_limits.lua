-- gemv_limits.lua: products of one row of x with weights that take long to decode: of the read bandwidth by turns, and
-- of their limit, the lower of it and of what decoding does by itself (one core out of L1, times the threads).
-- `make bench` runs it. FORMATS=a,b: only these.
--
-- Of AVX-512's kernels (gemv_limits.c) decoding and the whole are measured, of nvfp4 and block-sparse-float8dq, too,
-- which AVX-512 decodes alike and tiles multiply where they are; of those by tiles (gemv_tiles.c) decoding,
-- the tiles' products, the f32 step of their sums, and the whole.
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local beside = dofile "tests/bench/lib/beside.lua"

local N, K, SECONDS, WANTED = 4096, 14336, 1, 0.8
-- ports: cycles that decoding 32 x 32 takes at least on a core that shuffles one vector of 64 bytes a cycle, shifts
-- one, stores one and does two in all (vpermi2b two shuffles and another, vpermw a shuffle and a shift at once; vdivps
-- is not counted).
local FORMATS = {
  { "int4wo-32", tiles = 1, ports = 16 }, { "mxfp6", tiles = 2, ports = 32 }, { "nf4", tiles = 3, ports = 56 },
  { "uintx-1-64", tiles = 6, ports = 16, bits = 1 }, { "uintx-2-64", tiles = 6, ports = 16, bits = 2 },
  { "uintx-3-64", tiles = 6, ports = 24, bits = 3 },
  { "nf4-dq", tiles = 4, ports = 56 }, { "sparse24-float8dq", tiles = 5, ports = 112, define = "SPARSE24" },
  { "nvfp4", define = "NVFP4" }, { "block-sparse-float8dq", define = "BLOCKS" },
  { "trellis-2-L8", define = "BITS=2" }, { "trellis-3-L8", define = "BITS=3" },
  { "trellis-4-L8", define = "BITS=4" },
}
local FLAGS = { "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-fno-math-errno", "-ffp-contract=off", "-I.", "-Iengine",
  "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512bf16", "-mavx512vbmi", "-mfma",
  "-mf16c", "-mprefer-vector-width=512", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections" }
local FOR_TILES = { "-mamx-tile", "-mamx-int8", "-mamx-bf16" }

local device = beside.device()
local has_tiles = device.caps.isa:find "amx_int8" and device.caps.isa:find "amx_bf16"

-- What the program says of a core: a list of numbers; nil and why.
local function said_by(folder, source, ...)
  local program, argv = folder .. "/gemv_limits", { "cc" }
  for _, flag in ipairs(FLAGS) do argv[#argv + 1] = flag end
  for _, arg in ipairs { ... } do argv[#argv + 1] = arg end
  for _, arg in ipairs { "-o", program, source, "kernels/cpu/act_bf16_avx512.c", "-lm" } do argv[#argv + 1] = arg end
  local built, why = programs.run(argv)
  if not built then error(source .. " was not built: " .. why, 0) end
  local ok, said = programs.run { program }
  if not ok then return nil, said end
  local numbers = {}
  for word in said:gmatch "%S+" do numbers[#numbers + 1] = tonumber(word) end
  return numbers
end

-- Bytes a nanosecond that a core decodes, multiplies (tiles only), closes sums of (tiles only), and takes in all; its
-- clock in GHz (tiles only); or nil and why.
local function in_cache(folder, f)
  if f.tiles and has_tiles then
    local bits = f.bits and "-DBITS=" .. f.bits or "-UBITS"
    local n, why = said_by(folder, "tests/bench/gemv_tiles.c", "-DFORMAT_NO=" .. f.tiles, bits, unpack(FOR_TILES))
    if not n then return nil, why end
    return { decoding = n[2] * 1e-9, products = n[3] * 1e-9, closing = n[4] * 1e-9, whole = n[5] * 1e-9, clock = n[1] }
  end
  local define = "-D" .. f.define
  local alone, why = said_by(folder, "tests/bench/gemv_limits.c", define)
  if not alone then return nil, why end
  local whole = said_by(folder, "tests/bench/gemv_limits.c", define, "-DPRODUCTS")
  return { decoding = alone[1] * 1e-9, whole = whole[1] * 1e-9 }
end

-- Medians over turns: bytes a second, of the read bandwidth, of the limit; and the packed bytes.
local function by_turns(format, alone)
  local w = lb.randn({ N, K }, { seed = 1, device = device }):quantize(format)
  local x = lb.randn({ 1, K }, { seed = 2, device = device })
  local plan, bytes = lb.plan(device):gemm { x = x, w = w }, w:nbytes()
  local rate, share, limit = beside.by_turns(plan, { work = bytes, ceiling = "read", seconds = SECONDS,
    least_ns = bytes / (alone * device.threads) })
  plan:close()
  return rate, share, limit, bytes
end

local function row(folder, f)
  local core, why = in_cache(folder, f)
  if not core then
    print(("%-22s not run: needs AVX-512 with VNNI, BF16 and VBMI %s"):format(f[1], why))
    return
  end
  local rate, share, limit, bytes = by_turns(f[1], core.decoding)
  local function number(v) return v and v > 0 and ("%8.1f"):format(v) or ("%8s"):format "" end
  local cycles = ""
  if core.clock then
    cycles = ("  %.0f cycles for 32 x 32, %d by ports"):format(bytes / (N * K) * 1024 / core.decoding * core.clock,
      f.ports)
  end
  print(("%-22s %s %s %s %s %8.1f %6.0f %% %6.0f %%  %.0f %%%s%s"):format(f[1], number(core.decoding),
    number(core.products), number(core.closing), number(core.whole), rate * 1e-9, share * 100, limit * 100,
    WANTED * 100, beside.verdict(limit, WANTED), cycles))
  collectgarbage()
end

local asked = os.getenv "FORMATS"
programs.with_folder(function(folder)
  print(("one row of x, %d x %d, GB/s of packed weights: a core out of L1, then %d threads out of memory"):format(N, K,
    device.threads))
  print(("%-22s %8s %8s %8s %8s %8s %8s %8s  %s"):format("", "decoding", "products", "f32 step", "whole", "reached",
    "of read", "of limit", "asked"))
  for _, f in ipairs(FORMATS) do
    if (has_tiles or f.define) and (not asked or ("," .. asked .. ","):find("," .. f[1] .. ",", 1, true)) then
      row(folder, f)
    end
  end
  if not has_tiles then print "by tiles: needs AMX of int8 and bf16" end
end)

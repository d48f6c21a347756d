-- tile_limits.lua: what the inner tiles of the gemm kernels reach with everything in L1, of their instruction's peak,
-- measured by turns (tile_limits.c): the limit that a whole product cannot pass. `make bench` runs it.
local programs = dofile "tests/bench/lib/programs.lua"

local TILES = 9
local FLAGS = { "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-fno-math-errno", "-ffp-contract=off", "-I.", "-Iengine",
  "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512bf16", "-mavx512vbmi", "-mfma",
  "-mf16c",
  "-mprefer-vector-width=512", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections" }

local function run(folder, tile)
  local program, argv = folder .. "/tile_limits", { "cc" }
  for _, flag in ipairs(FLAGS) do argv[#argv + 1] = flag end
  for _, arg in ipairs { "-DTILE=" .. tile, "-o", program, "tests/bench/tile_limits.c", "-lm" } do
    argv[#argv + 1] = arg
  end
  local built, why = programs.run(argv)
  if not built then error("tile_limits.c was not built: " .. why, 0) end
  return programs.run { program }
end

programs.with_folder(function(folder)
  for tile = 1, TILES do
    local ok, said = run(folder, tile)
    if not ok then
      print("not run: the tiles need AVX-512 with VNNI and BF16 " .. said)
      return
    end
    if tile == 1 then
      print "one core, 32 rows of weights by a tile's columns, all in L1 unless said: of the instruction's peak"
    end
    print(said)
  end
end)

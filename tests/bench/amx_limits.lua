-- amx_limits.lua: what products of int8 by AMX's tiles reach part by part (amx_limits.c), of the peak of tdpbsud
-- measured by turns. `make bench` runs it.
local programs = dofile "tests/bench/lib/programs.lua"

local PARTS = 9
local FLAGS = { "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-fno-math-errno", "-ffp-contract=off", "-I.", "-Iengine",
  "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512bf16", "-mavx512vbmi", "-mamx-tile",
  "-mamx-int8", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-ffunction-sections", "-fdata-sections",
  "-Wl,--gc-sections" }

programs.with_folder(function(folder)
  for part = 1, PARTS do
    local program, argv = folder .. "/amx_limits", { "cc" }
    for _, flag in ipairs(FLAGS) do argv[#argv + 1] = flag end
    for _, arg in ipairs { "-DPART=" .. part, "-o", program, "tests/bench/amx_limits.c", "-lm" } do
      argv[#argv + 1] = arg
    end
    local built, why = programs.run(argv)
    if not built then error("amx_limits.c was not built: " .. why, 0) end
    local ok, said = programs.run { program }
    if not ok then
      print("not run: the parts need AMX " .. said)
      return
    end
    if part == 1 then print "one core; 16 x 16 by 64 of K, in ns and of the rate of tdpbsud on tiles in registers" end
    print(said)
  end
end)

-- tile_lines.lua: what products by AMX's tiles lose to lines that come out of L2 while others come out of L3
-- (tile_lines.c), of the rate of tdpbsud on tiles in registers, measured by turns. `make bench` runs it.
local programs = dofile "tests/bench/lib/programs.lua"

programs.with_folder(function(folder)
  local program = folder .. "/tile_lines"
  local built, why = programs.run { "cc", "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-I.", "-Iengine", "-mavx512f",
    "-mamx-tile", "-mamx-int8", "-o", program, "tests/bench/tile_lines.c" }
  if not built then error("tile_lines.c was not built: " .. why, 0) end
  local ok, said = programs.run { program }
  if not ok then
    print("not run: the products need AMX " .. said)
    return
  end
  print "one core; lines beside a product of 16 x 16 by 64 of K; ns of it and of the rate without any"
  print(said)
end)

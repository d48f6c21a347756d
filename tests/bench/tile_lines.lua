-- tile_lines.lua: what products by AMX's tiles lose to lines that come out of L2 while others come out of L3 or memory
-- (tile_lines.c), of the rate of tdpbsud or tdpbf16ps on tiles in registers, measured by turns: on one core, then on
-- two at once. `make bench` runs it.
local programs = dofile "tests/bench/lib/programs.lua"

programs.with_folder(function(folder)
  local program = folder .. "/tile_lines"
  local built, why = programs.run { "cc", "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-I.", "-Iengine", "-mavx512f",
    "-mamx-tile", "-mamx-int8", "-mamx-bf16", "-pthread", "-o", program, "tests/bench/tile_lines.c" }
  if not built then error("tile_lines.c was not built: " .. why, 0) end
  for threads = 1, 2 do
    local ok, said = programs.run { program, tostring(threads) }
    if not ok then
      print("not run: the products need AMX " .. said)
      return
    end
    print((threads == 1 and "one core" or "two cores at once")
      .. "; lines beside a product of 16 x 16 by 64 bytes of K; ns of it and of the rate without any")
    print "     L2  sums    L3  memory"
    print(said)
  end
end)

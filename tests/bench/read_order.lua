-- read_order.lua: what the order and form of a stream's loads cost one core (read_order.c): why products of one row
-- take weights in a loop of few loads and ask for lines ahead. `make bench` runs it.
local programs = dofile "tests/bench/lib/programs.lua"

programs.with_folder(function(folder)
  local program = folder .. "/read_order"
  local built, why = programs.run { "cc", "-std=gnu11", "-O3", "-D_GNU_SOURCE", "-w", "-mavx512f", "-o", program,
    "tests/bench/read_order.c" }
  if not built then error("read_order.c was not built: " .. why, 0) end
  local ok, said = programs.run { program }
  if not ok then
    print("not run: it needs AVX-512 " .. said)
    return
  end
  print "one core, blocks of 52 lines from memory, nine operations a line, by turns with a plain read"
  for name, rate, share in said:gmatch "([^\t\n]+)\t(%d+)\t([%d.]+)" do
    print(("%-26s %6.1f GB/s %5.0f %%"):format(name, tonumber(rate) * 1e-9, tonumber(share) * 100))
  end
end)

-- programs.lua: programs that a benchmark compiles and runs beside luabench.
local core = require("luabench").core

local M = {}

--- Runs a command to its end; true and its output, or false and what it said.
function M.run(argv, timeout_s)
  local ok, child = pcall(core.spawn, { argv = argv, stdin = "null", stdout = "pipe", stderr = "pipe" })
  if not ok then return false, tostring(child) end
  local deadline, out = core.now_ns() * 1e-9 + (timeout_s or 60), { {}, {} }
  while not (child:eof(1) and child:eof(2)) and core.now_ns() * 1e-9 < deadline do
    core.poll({ child }, 0.2)
    for stream = 1, 2 do
      for line in function() return child:line(stream) end do table.insert(out[stream], line) end
    end
  end
  child:wait(1)
  local state = child:state()
  if state.running then child:kill(9) end
  local good = not state.running and state.code == 0
  return good, table.concat(out[good and 1 or 2], "\n")
end

--- Calls f(folder) with a folder of its own, which goes when f ends.
function M.with_folder(f)
  local folder = core.tempdir "luabench-"
  local ok, e = pcall(f, folder)
  core.tempdir_remove(folder)
  if not ok then error(e, 0) end
end

function M.median(list)
  local t = { unpack(list) }
  table.sort(t)
  return t[math.floor(#t / 2) + 1]
end

return M

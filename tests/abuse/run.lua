-- run.lua: the abuse suite: every public function and every method, each with nil, wrong types, closed objects, huge,
-- negative, fractional and NaN numbers. Only Lua errors may come of it: never a signal, never a hang.
--
--   build/luabench -e 'dofile "tests/abuse/run.lua"'
--
-- Each target is abused in child processes (child.lua), so that a crash costs one of them and has a name.
local lb = require "luabench"
local core = lb.core

local here = (debug.traceback("", 1):match "([^\n%s]*)run%.lua:%d+:") or "tests/abuse/"
local folder = here:sub(1, 1) == "/" and here or core.pwd() .. "/" .. here

-- Every target: "lb.zeros", "core.sleep", "tensor:reshape", "tensor.__add".
local function targets()
  local list = {}
  local function functions(prefix, t)
    for name, f in pairs(t) do
      if type(f) == "function" then list[#list + 1] = prefix .. name end
    end
  end
  functions("lb.", lb)
  -- what is loaded when first used, and the functions in its tables: lb.load, json.decode, model.load
  local tables = { kernel = lb.kernel, core = core, oracle = lb.oracle }
  for _, name in ipairs(lb.lazy_names()) do
    local value = lb[name]
    if type(value) == "function" then list[#list + 1] = "lb." .. name
    elseif type(value) == "table" then tables[name] = value end
  end
  for name, t in pairs(tables) do functions(name .. ".", t) end
  -- objects made of tables, by what makes them in child.lua
  for name, methods in pairs(dofile(folder .. "objects.lua").methods()) do
    for _, method in ipairs(methods) do list[#list + 1] = name .. ":" .. method end
  end
  for class, parts in pairs(core.classes()) do
    for _, name in ipairs(parts.methods) do list[#list + 1] = class .. ":" .. name end
    for _, name in ipairs(parts.fields) do list[#list + 1] = class .. "?" .. name end
    for name, f in pairs(parts.metatable) do
      if type(f) == "function" then list[#list + 1] = class .. "." .. name end
    end
  end
  table.sort(list)
  return list
end

local TIMEOUT_S = 60

-- Runs one child over the targets; returns how it ended and what it was doing.
local function abuse(targets, directory)
  local p = core.spawn { argv = { core.exe_path(), "-e", ("dofile %q"):format(folder .. "child.lua") }, stdin = "null",
    stdout = "pipe", stderr = "merge", cwd = directory,
    env = { "LUABENCH_LUA=" .. core.lua_root(), "LUABENCH_LUA_MEMORY_MB=512",
      "LUABENCH_TREE=" .. core.pwd(), "LUABENCH_ABUSE=" .. table.concat(targets, " ") },
      memory_limit_bytes = 16 * 2 ^ 30,
    cpu_limit_s = TIMEOUT_S * 4 }
  local doing, calls, tail, started = "", 0, {}, core.now_ns()
  while true do
    core.poll({ p }, 1)
    for line in function() return p:line(1) end do
      local target = line:match "^TARGET (.*)"
      if target then doing, started = target, core.now_ns()
      elseif line:match "^CALLS (%d+)" then calls = tonumber(line:match "^CALLS (%d+)")
      else tail[#tail + 1] = line end
    end
    if p:eof(1) then break end
    if core.now_ns() - started > TIMEOUT_S * 1e9 then
      p:kill()
      return { hang = true, doing = doing, calls = calls }
    end
  end
  local e = p:wait(10)
  return { code = e.code, signal = e.signal_name, doing = doing, calls = calls,
    tail = table.concat(tail, "\n", math.max(1,
    #tail - 5)) }
end

local list = targets()
local directory = core.tempdir "luabench-abuse-"
local bad, calls, next_target = {}, 0, 1
while next_target <= #list and #bad < 20 do
  local rest = {}
  for i = next_target, #list do rest[#rest + 1] = list[i] end
  local r = abuse(rest, directory)
  calls = calls + r.calls
  if not r.hang and r.code == 0 then break end
  local at
  for i = next_target, #list do
    if r.doing:match "^(%S+)" == list[i] then at = i end
  end
  bad[#bad + 1] = ("%s: %s"):format(r.doing, r.hang and "hangs" or r.signal and "dies of " .. r.signal
    or "exit status " .. tostring(r.code) .. "\n" .. (r.tail or ""))
  if not at then break end
  next_target = at + 1
end
core.tempdir_remove(directory)

for _, line in ipairs(bad) do print("FAILED " .. line) end
-- A suite that calls nothing must not pass.
if calls < 20 * #list and #bad == 0 then bad[1] = ("only %d calls were made"):format(calls) end
print(("%d targets, %d calls"):format(#list, calls))
print(("%d passed, %d failed"):format(#list - #bad, #bad))
os.exit(#bad == 0 and 0 or 1)

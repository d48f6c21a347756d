-- child.lua: abuses the targets that $LUABENCH_ABUSE lists and exits with 0 if all of it ended in Lua
-- errors or results. Says on a line of its own what it is about to call, so that the parent can name a crash.
local lb = require "luabench"
local core = lb.core
local classes = core.classes()
local own = dofile(os.getenv "LUABENCH_TREE" .. "/tests/abuse/objects.lua")

-- Calls that end the process or sleep because they were asked to, not because of a defect: these arguments are spared.
local SPARE = {
  ["core.sleep"] = function(v) return type(v) == "number" and v > 0.01 end,
  ["core.lock"] = function(v) return type(v) == "number" and (v < 0 or v > 0.01) end,
  ["core.ceilings"] = function(v) return type(v) == "number" and v > 0.1 end,
  ["core.ceiling_classes"] = function(v) return type(v) == "number" and v > 0.1 end,
  ["core.cache_curve"] = function(v) return type(v) == "number" and v > 0.1 end,
  ["sampler:take"] = function(v) return type(v) == "number" and v > 100 end,
  -- what is a prompt: 128 tokens each
  ["own_model:generate"] = function(v) return type(v) == "string" or type(v) == "table" and type(v[1]) == "number" end,
  ["plan:submit"] = function(v) return type(v) == "number" and v > 1e4 end,
  ["plan:submit_eager"] = function(v) return type(v) == "number" and v > 1e4 end,
}
-- Not called at all: they would take the terminal or this process's signals.
local SKIP = { ["core.interrupt"] = "changes what signals do", ["lb.help"] = "prints pages",
  ["core.classes"] = "internals" }

local nan, huge = 0 / 0, math.huge

local make = {
  tensor = function() return lb.randn({ 4, 32 }, { seed = 1 }) end,
  device = function() return lb.device() end,
  timer = function() return lb.timer() end,
  plan = function() return lb.plan():gemm { x = lb.randn { 4, 32 }, w = lb.randn { 4, 32 } } end,
  sampler = function()
    return core.sampler(lb.plan():gemm { x = lb.randn { 4, 32 }, w = lb.randn { 4, 32 } },
      { warmup = 0, cache = "hot" })
  end,
  kernel = function() return lb.kernel(lb.kernels()[1]) end,
  quantizer = function() return lb.quantizer(lb.quantizers()[1]) end,
  model_file = function()
    lb.save("abuse.gguf", { tensors = { w = lb.zeros { 2, 32 } }, metadata = { a = 1, b = { "x" } } })
    return lb.load "abuse.gguf"
  end,
  tokenizer = function() return lb.tokenizer(os.getenv "LUABENCH_TREE" .. "/tests/parity/tokenizers/llama3.json") end,
  text_stream = function()
    return lb.tokenizer(os.getenv "LUABENCH_TREE" .. "/tests/parity/tokenizers/llama3.json"):stream()
  end,
  model_writer = function()
    return lb.model_writer("abuse-new.gguf", { tensors = { { name = "w", shape = { 4, 32 }, type = "F32" } } })
  end,
  process = function() return core.spawn { argv = { "true" }, stdin = "pipe", stdout = "pipe", stderr = "null" } end,
}

local function fresh()
  local v = {}
  for class, f in pairs(make) do v[class] = f() end
  return v
end

local function closed()
  local v = fresh()
  for _, o in pairs(v) do o:close() end
  return v
end

local cycle = {}
cycle.cycle = cycle
local deep = {}
do
  local t = deep
  for _ = 1, 10000 do
    t[1] = {}
    t = t[1]
  end
end

-- One argument each; objects are made anew for every call of a method that may close or change them.
local function arguments(objects, dead)
  local list = { false, true, 0, 1, -1, 2, 0.5, -0.5, nan, huge, -huge, 1e18, -1e18, 2 ^ 53, 2 ^ 63, 1e308, 1e6, "",
    "x", "f32", "cpu", "q4_k", "no such thing", ("x"):rep(5000), "\0", "a\0b", "%s%n%d", "../x", "\255\254", "{", "[1,",
    {},
    { 1 }, { -1 }, { nan }, { huge }, { 1e9, 1e9, 1e9 }, { 2 ^ 62, 4 }, { 0 }, { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { "x" },
    { {} },
    { { 1, 2 }, { 3 } }, { { 1, 2 } }, { x = 1 }, { device = 1 }, { dtype = "x" }, { seed = nan }, { [1.5] = 2 },
    { [true] = 1 },
    cycle, deep,
    print, function() error "inside" end, function() return nil end, coroutine.create(print), io.stdout }
  for _, name in ipairs { "tensor", "device", "timer", "plan", "kernel", "quantizer", "process", "sampler",
    "model_file", "model_writer", "tokenizer", "text_stream" } do
    list[#list + 1] = objects[name]
    list[#list + 1] = dead[name]
  end
  list[#list + 1] = { objects.tensor, dead.tensor }
  list[#list + 1] = { x = dead.tensor, w = objects.tensor }
  list[#list + 1] = { x = objects.tensor, w = { objects.tensor, dead.tensor } }
  list[#list + 1] = { x = objects.tensor, w = objects.tensor, when = { objects.tensor, 1 } }
  list[#list + 1] = { x = objects.tensor, w = objects.tensor, out = objects.tensor }
  return list
end

local calls = 0
local output = io.stdout

local function try(target, f, ...)
  calls = calls + 1
  pcall(f, ...)
end

local function combinations(target, f, first, list)
  local spare = SPARE[target] or function() return false end
  local function ok(...)
    for i = 1, select("#", ...) do
      if spare((select(i, ...))) then return false end
    end
    return true
  end
  local function call(...)
    if not ok(...) then return end
    if first ~= nil then try(target, f, first(), ...) else try(target, f, ...) end
  end
  call()
  call(nil)
  call(nil, nil, nil)
  for _, a in ipairs(list) do
    call(a)
    call(nil, a)
    call(a, a)
    call(nil, nil, a)
    call(a, a, a)
  end
  -- pairs of different kinds, a sample of them
  for i = 1, #list, 3 do
    for j = 2, #list, 7 do call(list[i], list[j]) end
  end
end

local function run(target)
  if SKIP[target] then return end
  local objects, dead = fresh(), closed()
  local list = arguments(objects, dead)
  local class, kind, name = target:match "^([%l_]+)([:.?])(.+)$"
  local parts = classes[class]
  if kind == "." and not parts then
    local holder = class == "lb" and lb or lb[class]
    combinations(target, assert(holder[name], target), nil, list)
    return
  end
  if not parts then                        -- an object made of tables
    local o = own.make[class]()
    combinations(target, assert(o[name], target), nil, list)
    combinations(target, o[name], function()
      if rawget(o, "closed") == true then o = own.make[class]() end
      if own.renew[class] then o = own.renew[class](o) end
      return o
    end, list)
    if own.dead[class] then
      local dead_one = own.dead[class]()
      combinations(target, o[name], function() return dead_one end, list)
    end
    return
  end
  if kind == "?" then                      -- a property, of every object and non-object
    local index = parts.metatable.__index
    combinations(target, function(o) return index(o, name) end, nil, list)
    for _, v in ipairs(list) do pcall(function() return v[name] end) end
    return
  end
  local f = kind == ":" and parts.metatable.methods[name] or parts.metatable[name]
  if not f then return end
  combinations(target, f, nil, list)
  if name ~= "__gc" then
    local instance = objects[class]
    combinations(target, f, function()     -- a living object, made again once it is closed or ended
      local alive = pcall(function() return instance ~= nil and tostring(instance) end)
      if not alive or tostring(instance):find("closed", 1, true) then instance = make[class]() end
      return instance
    end, list)
    combinations(target, f, function() return dead[class] end, list)
  end
end

local targets = {}
for line in (os.getenv "LUABENCH_ABUSE" or ""):gmatch "%S+" do targets[#targets + 1] = line end

for _, target in ipairs(targets) do
  output:write("TARGET ", target, "\n")
  output:flush()
  run(target)
  collectgarbage()
  output:write("CALLS ", calls, "\n")
end
output:flush()

-- init.lua: the module `luabench`: the engine's objects and the Lua parts, each loaded when it is first used.
local core = require "luabench.core"
local places = require "luabench.places"

local M = { core = core }

local function guarded_all(module)
  local copy = {}
  for name, value in pairs(module) do copy[name] = type(value) == "function" and places.guard(value) or value end
  return setmetatable(copy, getmetatable(module))
end

-- Straight from the engine.
local ENGINE = { "device", "devices", "quantizer", "quantizers", "kernels", "kernel_load", "timer",
  "tensor", "zeros", "full", "randn", "uniform", "arange", "cat", "stack", "oracle" }
for _, name in ipairs(ENGINE) do M[name] = core[name] end
for name, f in pairs(core.eager) do M[name] = f end

-- What was measured of the choice of kernels is known before the first plan is recorded. An error of the device is
-- core.plan's to raise, with the script's place.
local function prepare(device)
  if type(device) ~= "userdata" then device = core.device(device) end
  require("luabench.choices").prepare(device)
end
function M.plan(device)
  pcall(prepare, device)
  return core.plan(device)
end

-- What it gives prints as a line.
local Measurement = { __tostring = function(t) return (require("luabench.show").measurement(t)) end }
M.measure = places.guard(function(...) return setmetatable(core.measure(...), Measurement) end)

-- lb.kernel(name), lb.kernel.compile{ ... }
M.kernel = setmetatable({ compile = function(spec) return (require("luabench.own.compile").compile(spec)) end },
  { __call = function(_, name) return core.kernel(name) end, __tostring = function() return "lb.kernel" end })

-- name -> { module, field of it }; a field of false is the module itself.
local LAZY = {
  scenario = { "luabench.scenario", "scenario" }, skip = { "luabench.scenario", "skip" },
  grid = { "luabench.grid", "grid" }, range = { "luabench.grid", "range" }, pow2 = { "luabench.grid", "pow2" },
  compare = { "luabench.compare", "compare" }, tune = { "luabench.tuning", "tune" },
    prepared = { "luabench.prepared", "prepared" },
  awq = { "luabench.awq", "search" }, strategies = { "luabench.loader", "strategies" },
  strategy = { "luabench.loader", "strategy" },
  models = { "luabench.loader", "models" }, model_table = { "luabench.loader", "model_table" },
  load = { "luabench.files", "load" }, save = { "luabench.files", "save" },
  model_file = { "luabench.model_file", "open" }, model_type = { "luabench.model_file", "model_type" },
  model_writer = { "luabench.model_file", "writer" }, model_config = { "luabench.model_file", "config" },
  kv_cache = { "luabench.kv", "cache" }, rope_frequencies = { "luabench.kv", "rope_frequencies" },
  tokenizer = { "luabench.model_file", "tokenizer" }, model = { "luabench.model", false },
  json = { "luabench.files", "json" }, yaml = { "luabench.files", "yaml" }, null = { "luabench.json", "null" },
  trace = { "luabench.trace", "trace" }, units = { "luabench.units", false }, help = { "luabench.help", "help" },
    explain = { "luabench.explain", "explain" },
}

local GUARDED = { model = true, units = true, json = true, yaml = true }

-- Names that are made when first used, for help and completion.
function M.lazy_names()
  local names = {}
  for name in pairs(LAZY) do names[#names + 1] = name end
  table.sort(names)
  return names
end

setmetatable(M, {
  __index = function(t, name)
    local where = LAZY[name]
    if where then
      local module = require(where[1])
      local value = module
      if where[2] then value = module[where[2]] end
      if value == nil then error(("luabench.%s is missing from %s"):format(name, where[1]), 2) end
      if type(value) == "function" then value = places.guard(value)
      elseif GUARDED[name] then value = guarded_all(value) end
      rawset(t, name, value)
      return value
    end
    local suggest = require "luabench.suggest"
    local names = M.lazy_names()
    for k in pairs(t) do names[#names + 1] = k end
    local near = suggest.nearest(name, names)
    error(("luabench has no '%s'%s"):format(tostring(name), near[1] and ('; did you mean "%s"?'):format(near[1]) or ""),
      2)
  end,
  __tostring = function() return "luabench" end,
})

require("luabench.hot").install(core)

return M

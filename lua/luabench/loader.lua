-- loader.lua: things that are found by the name of their file: models, strategies, outputs, commands, scenarios.
--
-- lua/<kind>/<name>.lua, one table each; scenarios are scripts in scenarios/ next to lua/ (in the tree, and installed).
local suggest = require "luabench.suggest"

local M = {}

-- Names of the .lua files in a folder, sorted; none if the folder is missing.
local function files(folder)
  local ok, entries = pcall(require("luabench.sys").list_directory, folder)
  local names = {}
  for _, e in ipairs(ok and entries or {}) do
    local name = e:match("^([%w_]+)%.lua$")
    if name then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function root() return require("luabench.sys").lua_root() end

function M.names(kind)
  return files(root() .. "/" .. kind)
end

local SINGULAR = { models = "model", strategies = "strategy", outputs = "output format", commands = "command" }

local function known(kind, name)
  for _, n in ipairs(M.names(kind)) do
    if n == name then return true end
  end
  return false
end

-- The table of lua/<kind>/<name>.lua. Unknown names raise with "did you mean".
function M.load(kind, name, level)
  level = (level or 1) + 1
  if type(name) ~= "string" then
    error(("the name of a %s expected, got %s"):format(SINGULAR[kind] or kind, type(name)), level)
  end
  if not name:find("^[%w_]+$") or not known(kind, name) then
    error(("unknown %s %q%s"):format(SINGULAR[kind] or kind, name, suggest.hint(name, M.names(kind))), level)
  end
  return require(kind .. "." .. name)
end

-- Folder of the scenarios that come with luabench.
function M.scenario_folder()
  return (root():gsub("/+[^/]*$", "")) .. "/scenarios"
end

function M.scenarios() return files(M.scenario_folder()) end

-- Path of a scenario by name; nil if there is none.
function M.scenario_path(name)
  for _, n in ipairs(M.scenarios()) do
    if n == name then return M.scenario_folder() .. "/" .. n .. ".lua" end
  end
end

-- lb.strategies(), lb.strategy(name), lb.models(), lb.model_table(name)
function M.strategies() return M.names "strategies" end
function M.strategy(name) return M.load("strategies", name, 2) end
function M.models() return M.names "models" end

-- The table of a MoE layer that a model's file is, or has beside an architecture. A copy, so that a script may change
-- its own.
function M.model_table(name)
  local function copy(t)
    if type(t) ~= "table" then return t end
    local c = {}
    for k, v in pairs(t) do c[k] = copy(v) end
    return c
  end
  local model = M.load("models", name, 2)
  if model.attention and not model.moe_layer then
    local names = {}
    for _, n in ipairs(M.names "models") do
      local m = M.load("models", n)
      if not m.attention or m.moe_layer then names[#names + 1] = n end
    end
    error(("%s is the architecture of whole models, without the table of a MoE layer; models with one: %s"):format(name,
      table.concat(names, ", ")), 2)
  end
  return copy(model.moe_layer or model)
end

return M

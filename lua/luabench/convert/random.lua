-- random.lua: what stands for a model file where there is none: the tensors that a config.json asks for, under Hugging
-- Face's names, made of seeded random numbers when they are read. The same seed gives what lb.model.load gives.
local config_of = require "luabench.model.config"
local feed_forward = require "luabench.model.feed_forward"
local loader = require "luabench.loader"
local model_file = require "luabench.model_file"
local sys = require "luabench.sys"
local weights = require "luabench.model.weights"

local File = {}
File.__index = File
local M = {}

local function fail(...) error((...):format(select(2, ...)), 0) end

local function name_of(layer, role, expert)
  local name = role[3]
  if not name then return nil end
  if expert then name = name:format(expert - 1) end
  return layer > 0 and ("model.layers.%d.%s"):format(layer - 1, name) or name
end

local function numel(shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  return n
end

-- A config.json, or a folder with one, of the model `expected` (nil: of any). Has what convert/run.lua asks of a model
-- file, and .type, .config.
function M.open(path, seed, expected)
  local where = sys.is_directory(path) and path:gsub("(.)/+$", "%1") .. "/config.json" or path
  if not where:lower():find "%.json$" then
    fail("%s: random weights are made from a config.json, or a folder with one", path)
  end
  local config = model_file.read_json(where) or fail("%s: no such file", where)
  local kind, from = model_file.type_of_config(config, expected, where)
  if not kind then fail("%s: a model of unknown type (%s)", where, from or "neither architectures nor model_type") end
  local arch = loader.load("models", kind)
  if not arch or not arch.attention then fail("%s: there is no architecture for models of type %s", where, kind) end
  local spec = config_of.from_hf(config, arch)
  local self = setmetatable({ format = "safetensors", path = where, parts = {}, type = kind, config = config,
    seed = seed or 1, list = {}, by = {} }, File)
  weights.each_random(spec, arch, feed_forward.parts(spec, arch), function(layer, role, shape, stream, expert)
    local name = name_of(layer, role, expert)
    if not name then
      fail("%s: files of %s models have their %s in a form that is not made here", where, kind, role[1])
    end
    self.list[#self.list + 1] = name
    self.by[name] = { role = role[1], shape = shape, stream = stream }
  end)
  return self
end

function File:names() return self.list end

function File:info(name)
  local t = self.by[name]
  return { name = name, shape = { unpack(t.shape) }, type = "F32", dtype = "f32", bytes = 4 * numel(t.shape) }
end

function File:tensor(name)
  local t = self.by[name]
  return weights.random_tensor(t.role, t.shape, self.seed, t.stream)
end

function File:bytes(name) return self:tensor(name):bytes() end
function File:metadata() return nil end
function File:close() end

return M

-- file.lua: one MoE layer of a model file: its experts' tensors, their formats and its router, as moe/model.lua and
-- moe/layer.lua take them.
--
-- Quantized experts keep their formats: the originals are then what they hold, and the mixed weights are the file's own
-- blocks. Experts in floating point get bits by the mixed-bits rule (convert/recipes.lua), each by its values.
local core = require "luabench.core"
local lb = require "luabench"
local recipes = require "luabench.convert.recipes"

local M = {}
local Source = {}
Source.__index = Source

local PROJECTIONS = { "gate", "up", "down" }

local function fail(...) error((...):format(select(2, ...)), 0) end

-- A tensor of its own over the same memory: what callers close is theirs.
local function view(t) return t:reshape(t.shape) end

function Source:tensor(expert, projection)
  local l = self.tensors
  if expert == "shared" then return l["shared_" .. projection] end
  return l[projection .. "_exps"][expert]
end

-- f32, the caller's.
function Source:original(expert, projection)
  local t = self:tensor(expert, projection)
  if t.quantizer then return t:dequantize() end
  return t.dtype == "f32" and view(t) or t:to "f32"
end

-- As the file has it, if that is this recipe.
function Source:stored(expert, projection, recipe)
  local t = self:tensor(expert, projection)
  return t.quantizer and t.quantizer.name == recipe and view(t) or nil
end

local function as_f32(t)
  if t.quantizer then return t:dequantize() end
  return t.dtype == "f32" and view(t) or t:to "f32"
end

function Source:router() return as_f32(self.tensors.router) end
function Source:router_bias() return as_f32(self.tensors.router_bias) end

-- { gate [E, I], up [E, I], down [E, H] } f32; nil where experts have none.
function Source:biases()
  local t = self.tensors
  return t.gate_exps_bias and { gate = t.gate_exps_bias, up = t.up_exps_bias, down = t.down_exps_bias } or nil
end

-- ---- the layer's table ----

local function layer_index(model, path, wanted)
  local moe = model.spec.moe
  if not moe then fail("%s: a model of type %s has no experts", path, model.type) end
  local layer = wanted or moe.dense + 1
  if layer <= moe.dense or layer > model.spec.layers then
    fail("%s: layer %d has no experts; layers %d to %d have", path, layer, moe.dense + 1, model.spec.layers)
  end
  return layer
end

-- { gate, up, down }: recipes where the file has them, else bits by the rule.
local function tuple_of(source, expert)
  local tuple = {}
  for i, projection in ipairs(PROJECTIONS) do
    local t = source:tensor(expert, projection)
    if t.quantizer then tuple[i] = t.quantizer.name
    else
      local role = (expert == "shared" and "" or "expert_") .. projection
      tuple[i] = recipes.outlier_bits(role, t:spread(0.99), 2, 8)
    end
  end
  return tuple
end

-- Which files, and when they were written: two models under one name must not share prepared weights.
local function identity(path, model)
  local parts = { path }
  for _, p in ipairs(model.file.parts) do
    local s = core.stat(p)
    parts[#parts + 1] = ("%s %.0f %.9g"):format(s.id, s.bytes, s.modified_s)
  end
  return core.checksum(table.concat(parts, "\n"))
end

-- A table as lua/models/ has them, with `source`; layer: from 1, the first with experts by default. formats: the map
-- for bits ("k" or "uniform"; nil: k where 256 divides the sizes).
function M.open(path, layer, device, formats)
  local model = lb.model.load(path, { device = device })
  layer = layer_index(model, path, layer)
  local s, moe = model.spec, model.spec.moe
  local source = setmetatable({ tensors = model.layers[layer], model = model }, Source)
  local bits = {}
  for e = 1, moe.experts do
    bits[e] = tuple_of(source, e)
    bits[e].count = 1
  end
  local sizes_fit = s.hidden % 256 == 0 and moe.intermediate % 256 == 0
  return {
    name = ("%s layer %d [%s]"):format(path, layer, identity(path, model)),
    about = ("layer %d of %s"):format(layer, path), hidden = s.hidden, intermediate = moe.intermediate,
    experts = moe.experts, shared = moe.shared > 0 and 1 or 0, top_k = moe.top_k,
    shared_intermediate = moe.shared > 0 and moe.shared or nil,
    clamp = moe.clamp,
    router = { score = moe.score, bias = moe.bias == "adds" and "adds" or moe.bias == "selects",
      renormalize = moe.renormalize, scale = moe.scale or 1, groups = moe.groups, top_groups = moe.top_groups,
      group_sum = moe.group_sum },
    random = model.random, formats = formats or sizes_fit and "k" or "uniform", bits = bits, exact = true,
    shared_bits = moe.shared > 0 and tuple_of(source, "shared") or nil, source = source,
  }
end

return M

-- layer.lua: a MoE layer with seeded weights: originals on demand, quantized sets prepared once and shared.
local lb = require "luabench"
local formats = require "luabench.moe.formats"
local model_table = require "luabench.moe.model"

local Layer = {}
Layer.__index = Layer
local M = {}

local projections = model_table.projections
local SHARED = "shared" -- the shared expert's number in seeds and names

--- A layer of the model table `spec` (see models/glm4.lua).
-- opts: seed (1), device, overrides (sizes), uniform_bits (nil = the mean width, rounded up).
function M.new(spec, opts)
  local model = model_table.resolve(spec, opts.overrides)
  local self = setmetatable({ model = model, seed = opts.seed or 1, device = opts.device, sets = {},
                              uniform_bits = opts.uniform_bits }, Layer)
  self.key = ("%s h%d i%d e%d+%d k%d %s seed%d"):format(model.name, model.hidden, model.intermediate, model.experts,
    model.shared, model.top_k, model.formats, self.seed)
  local codes = {}
  for e, t in ipairs(model.tuples) do codes[e] = table.concat(t, "") end
  local r = model.router
  self.key = ("%s %s s%s u%d %s%s%s x%.17g"):format(self.key, table.concat(codes, "."),
    table.concat(model.shared_bits, ""),
    self:uniform_width(), r.score, r.bias == "adds" and "+added bias" or r.bias and "+bias" or "",
    r.renormalize and " renormalized" or "", r.scale)
  return self
end

--- Seed of one tensor's stream; every tensor has its own.
function Layer:stream(expert, what)
  local index = expert == SHARED and self.model.experts or expert - 1
  local kind = ({ gate = 0, up = 1, down = 2, router = 3, bias = 4, x = 5, routing = 6 })[what]
  return (self.seed * 8192 + index) * 8 + kind
end

--- The original f32 weights of one projection: gate and up [I, H], down [H, I], standard normal.
-- Expert is 1 .. experts or "shared". Made anew at each call: a layer's originals do not fit in memory at once.
function Layer:original(expert, projection)
  local m = self.model
  if m.source then return m.source:original(expert, projection) end
  local dims = projection == "down" and { m.hidden, m.intermediate } or { m.intermediate, m.hidden }
  return lb.randn(dims, { seed = self:stream(expert, projection), dtype = "f32", device = self.device })
end

function Layer:router_weights()
  if not self.router then
    local m = self.model
    self.router = m.source and m.source:router()
      or lb.randn({ m.experts, m.hidden }, { seed = self:stream(1, "router"), dtype = "f32", device = self.device })
  end
  return self.router
end

function Layer:router_bias()
  if not self.bias then
    self.bias = self.model.source and self.model.source:router_bias()
      or lb.randn({ self.model.experts }, { seed = self:stream(1, "bias"), dtype = "f32", device = self.device }) * 0.1
  end
  return self.bias
end

--- What is added to the products of each expert, { gate [E, I], up [E, I], down [E, H] } f32; nil where it is nothing.
function Layer:biases()
  local source = self.model.source
  if source and self.added == nil then self.added = source:biases() or false end
  return self.added or nil
end

--- Activations [tokens, H], scaled so that products with the weights are near one. Fewer tokens are a prefix.
function Layer:activations(tokens)
  local m = self.model
  local x = lb.randn({ tokens, m.hidden }, { seed = self:stream(1, "x"), dtype = "f32", device = self.device })
  return x * (1 / math.sqrt(m.hidden))
end

--- Bits of an expert's projection (1 gate, 2 up, 3 down) in a set: "mixed", "uniform" or "padded".
function Layer:bits(set, expert, p)
  if set == "mixed" then return (expert == SHARED and self.model.shared_bits or self.model.tuples[expert])[p] end
  if set == "padded" then return self:widest() end
  return self:uniform_width()
end

function Layer:widest()
  local m = self.model
  local widest, most = 0, 0
  local function look(tuple)
    for i = 1, 3 do
      local stored = m.exact and formats.stored_bits(m.formats, tuple[i], m.hidden, m.hidden) or tuple[i]
      if stored > most then widest, most = tuple[i], stored end
    end
  end
  for _, t in ipairs(m.tuples) do look(t) end
  if m.shared == 1 then look(m.shared_bits) end
  return widest
end

--- The one width of fast_uniform: as given, else the mean of all bits rounded up to a width that has a format.
function Layer:uniform_width()
  if self.uniform_bits then return self.uniform_bits end
  local sum = 0
  for _, t in ipairs(self.model.tuples) do sum = sum + formats.bits(t[1]) + formats.bits(t[2]) + formats.bits(t[3]) end
  local width = math.ceil(sum / (3 * self.model.experts) - 1e-9)
  while not formats.maps[self.model.formats][width] and width < 8 do width = width + 1 end
  return width
end

--- One quantized projection, and its squared error and squared norm against the original.
function Layer:quantized(set, expert, p)
  local m = self.model
  local original = self:original(expert, projections[p])
  local recipe = formats.recipe(m.formats, self:bits(set, expert, p))
  local q
  if set == "padded" then -- exact where the wider format holds the narrower one
    local own = formats.recipe(m.formats, self:bits("mixed", expert, p))
    local narrow = m.source and m.source:stored(expert, projections[p], own) or original:quantize(own)
    q = narrow:widen(recipe) or original:quantize(recipe)
  else
    q = set == "mixed" and m.source and m.source:stored(expert, projections[p], recipe) or original:quantize(recipe)
  end
  local e = q:error(original)
  original:close()
  return q, e.error2, e.original2
end

function Layer:members()
  local list = {}
  for e = 1, self.model.experts do list[e] = e end
  if self.model.shared == 1 then list[#list + 1] = SHARED end
  return list
end

local function build_set(self, set, progress)
  local out, err, energy = {}, 0, 0
  local members = self:members()
  for i, expert in ipairs(members) do
    for p, projection in ipairs(projections) do
      local q, e2, x2 = self:quantized(set, expert, p)
      out[projection .. "." .. tostring(expert)] = q
      err, energy = err + e2, energy + x2
    end
    progress(i, #members)
  end
  out.error = lb.tensor({ err, energy }, { dtype = "f64" })
  return out
end

--- Classes of experts with equal formats: class index per expert (from 0), names and count.
local function classes_of(self, set)
  local index, names, per_expert = {}, {}, {}
  for e = 1, self.model.experts do
    local name = ("(%s,%s,%s)"):format(self:bits(set, e, 1), self:bits(set, e, 2), self:bits(set, e, 3))
    if not index[name] then
      names[#names + 1] = name
      index[name] = #names - 1
    end
    per_expert[e] = index[name]
  end
  return per_expert, names
end

--- A prepared set of weights:
--   gate, up, down: lists over experts;  shared: {gate, up, down} or nil;  class: i32 [E];  classes, class_names;
--   bytes (stored, native), weights (count), bits_per_weight, rel_rmse, sqnr_db.
function Layer:weights(set)
  if self.sets[set] then return self.sets[set] end
  local key = ("moe weights %s %s %d"):format(self.key, set, set == "uniform" and self:uniform_width() or 0)
  local label = ("quantizing %s (%s)"):format(self.model.name, set)
  local tensors = lb.prepared(key, function(progress) return build_set(self, set, progress) end, label)
  local w = { gate = {}, up = {}, down = {}, bytes = 0, weights = 0 }
  for _, expert in ipairs(self:members()) do
    for _, projection in ipairs(projections) do
      local t = tensors[projection .. "." .. tostring(expert)]
      w.bytes, w.weights = w.bytes + t:nbytes(), w.weights + t:numel()
      if expert == SHARED then
        w.shared = w.shared or {}
        w.shared[projection] = t
      else
        w[projection][expert] = t
      end
    end
  end
  local per_expert, names = classes_of(self, set)
  w.class = lb.tensor(per_expert, { dtype = "i32", device = self.device })
  w.classes, w.class_names = #names, names
  w.bits_per_weight = w.bytes * 8 / w.weights
  local sums = tensors.error:totable()
  w.rel_rmse = math.sqrt(sums[1] / sums[2])
  w.sqnr_db = w.rel_rmse > 0 and -20 * math.log(w.rel_rmse) / math.log(10) or nil
  self.sets[set] = w
  return w
end

return M

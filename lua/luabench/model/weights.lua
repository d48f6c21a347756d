-- weights.lua: a model's tensors by role: found in a file under its names, checked against the configuration, and put
-- into the form that the operations take; or random ones.
local core = require "luabench.core"

local M = {}

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- ---- roles ----

local function top_roles(s)
  local roles = {
    { "embedding", { s.vocab, s.hidden }, "model.embed_tokens.weight", "token_embd.weight" },
    { "norm", { s.hidden }, "model.norm.weight", "output_norm.weight" },
  }
  if not s.tied then roles[3] = { "head", { s.vocab, s.hidden }, "lm_head.weight", "output.weight" } end
  return roles
end

-- Roles of one layer, the architecture's own names in place.
function M.layer_roles(s, arch, feed_forward)
  local roles = { { "attention_norm", { s.hidden }, "input_layernorm.weight", "attn_norm.weight" },
    { "ffn_norm", { s.hidden }, "post_attention_layernorm.weight", "ffn_norm.weight" } }
  if arch.sandwich then
    roles[3] = { "after_attention_norm", { s.hidden }, "post_self_attn_layernorm.weight", "post_attention_norm.weight" }
    roles[4] = { "after_ffn_norm", { s.hidden }, "post_mlp_layernorm.weight", "post_ffw_norm.weight" }
  end
  for _, part in ipairs { arch.attention, feed_forward } do
    for _, r in ipairs(part.roles(s)) do roles[#roles + 1] = r end
  end
  for _, r in ipairs(roles) do
    local own = arch.names and arch.names[r[1]]
    if own then r[3], r[4] = own.hf or r[3], own.gguf or r[4] end
  end
  return roles
end

-- ---- reading ----

local Reader = {}
Reader.__index = Reader

function M.reader(file)
  local r = setmetatable({ file = file, gguf = file.format == "gguf", names = {}, used = {}, made = {} }, Reader)
  for _, name in ipairs(file:names()) do r.names[name] = true end
  return r
end

function Reader:has(name) return name ~= nil and self.names[name] == true end

function Reader:tensor(name)
  self.used[name] = true
  return self.file:tensor(name)
end

local function text(dims) return "[" .. table.concat(dims, ", ") .. "]" end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

local function checked(t, shape, name)
  if not same(t.shape, shape) then
    fail("tensor %s has the shape %s; the configuration says %s", name, text(t.shape), text(shape))
  end
  return t
end
M.checked = checked

-- The matrices of a tensor [E, N, K].
local function matrices(t)
  local shape, list = t.shape, {}
  for e = 1, shape[1] do list[e] = t:slice(1, e, e):reshape { shape[2], shape[3] } end
  return list
end
M.matrices = matrices

-- Experts of Hugging Face's files: one tensor each; or, as some are stored, gate and up of all in one [E, 2 I, H].
local function experts_hf(r, prefix, role)
  local pattern, shape = prefix .. role[3], role[2]
  if r:has(pattern:format(0)) then
    local list = {}
    for e = 1, shape[1] do
      local name = pattern:format(e - 1)
      if not r:has(name) then fail("tensor %s is missing; there are experts before it", name) end
      list[e] = checked(r:tensor(name), { shape[2], shape[3] }, name)
    end
    return list
  end
  local joined = prefix .. (role[1] == "down_exps" and "mlp.experts.down_proj" or "mlp.experts.gate_up_proj")
  if not r:has(joined) then fail("tensor %s is missing, and so is %s", pattern:format(0), joined) end
  local t = r:tensor(joined)
  if role[1] == "down_exps" then return matrices(checked(t, shape, joined)) end
  local list, n = matrices(checked(t, { shape[1], 2 * shape[2], shape[3] }, joined)), shape[2]
  local first = role[1] == "gate_exps" and 1 or n + 1
  for e = 1, #list do list[e] = list[e]:slice(1, first, first + n - 1) end
  return list
end

-- One role; nil if it is optional and not there.
local function read_role(r, prefix, role)
  local name = role[r.gguf and 4 or 3]
  if name and name:find("%d", 1, true) then return experts_hf(r, prefix, role) end
  if not name or not r:has(prefix .. name) then
    if role.optional then return nil end
    fail("tensor %s is missing", name and prefix .. name or "for " .. role[1])
  end
  name = prefix .. name
  local t = checked(r:tensor(name), role[2], name)
  return #role[2] == 3 and role[1]:find "_exps$" and matrices(t) or t
end

-- ---- the form that operations take ----

local FLOATS = { f32 = true, f16 = true, bf16 = true, f64 = true, f8e4m3 = true }

-- Norms, biases and sinks.
local function is_vector(role) return #role[2] == 1 or role[1]:find "bias$" ~= nil end

-- Vectors in f32; matrices as they are, or in the types that were asked for.
local function formed(t, role, o)
  if not t then return nil end
  if type(t) == "table" then
    for i = 1, #t do t[i] = formed(t[i], role, o) end
    return t
  end
  local vector = is_vector(role)
  if t.quantizer then
    if vector then t = t:dequantize() end
    return t
  end
  if not FLOATS[t.dtype] then fail("%s is stored as %s; numbers with a point are expected", role[1], t.dtype) end
  if vector or t.dtype == "f64" or t.dtype == "f8e4m3" then return t.dtype == "f32" and t or t:to "f32" end
  if not t.dense then t = t:clone() end
  local recipe = o.recipe(role[1], role[2])
  if recipe then
    local q = (t.dtype == "f32" and t or t:to "f32"):quantize(recipe)
    o.made[q] = true
    return q
  end
  local dtype = o.dtype
  if dtype and dtype ~= t.dtype then t = t:to(dtype) end
  return t
end

-- The tensor of a role as the file has it, [E, N, K] as a list of E; nil if it is optional and not there.
local function stored(r, prefix, role, arch, s)
  return arch.read and arch.read(r, prefix, role, s) or read_role(r, prefix, role)
end

local function prefix_of(r, layer) return (r.gguf and "blk.%d." or "model.layers.%d."):format(layer - 1) end

-- { embedding, norm, head } and a list of layers, of a reader's file. o: dtype (nil: as stored), recipe(role, shape),
-- made (a table whose keys become the tensors that were quantized here), progress(done, total).
function M.read(r, s, arch, feed_forward, o)
  r.made = o.made
  local function take(prefix, roles, into)
    for _, role in ipairs(roles) do
      into[role[1]] = formed(stored(r, prefix, role, arch, s), role, o)
    end
    return into
  end
  local weights = take("", top_roles(s), {})
  local layers = {}
  for i = 1, s.layers do
    layers[i] = take(prefix_of(r, i), M.layer_roles(s, arch, feed_forward(i)), {})
    if o.progress then o.progress(i, s.layers) end
  end
  return weights, layers
end

-- Tensors that files have beside the layers, and that a forward pass has no use for.
local function spare(name, s, gguf)
  if name:find "rotary_emb%.inv_freq$" or name == "rope_freqs.weight" then return true end
  if s.tied and name == (gguf and "output.weight" or "lm_head.weight") then return true end
  local layer = tonumber(name:match(gguf and "^blk%.(%d+)%." or "^model%.layers%.(%d+)%."))
  return layer ~= nil and layer >= s.layers                          -- layers that predict further tokens
end

-- Tensors of the file that nothing has used: an error, since they would have changed the result.
function M.check_all_used(r, s)
  local left = {}
  for name in pairs(r.names) do
    if not r.used[name] and not spare(name, s, r.gguf) then left[#left + 1] = name end
  end
  if #left == 0 then return end
  table.sort(left)
  local shown = table.concat(left, ", ", 1, math.min(#left, 4))
  fail("%d tensors have no place in a model of type %s: %s%s", #left, s.type, shown, #left > 4 and ", ..." or "")
end

-- ---- random weights ----

-- One tensor of random weights in f32: normal numbers, scaled so that a row of variance 1 stays one; norms are ones.
-- Each has a stream of its own of the seed.
function M.random_tensor(name, shape, seed, stream, device)
  if name:find "norm$" then return core.full(shape, 1, { dtype = "f32", device = device }) end
  local std = name == "embedding" and 1 or name:find "bias$" and 0.02 or name == "sinks" and 1 or shape[#shape] ^ -0.5
  return core.randn(shape, { seed = seed * 1048576 + stream, dtype = "f32", std = std, device = device })
end

-- All tensors that a model of random weights has, in the order of their streams: each(layer (0: none), role, shape,
-- stream, expert (from 1; nil: no expert)).
function M.each_random(s, arch, feed_forward, each)
  local stream = 0
  local function take(layer, role)
    local shape = role[2]
    local experts = #shape == 3 and role[1]:find "_exps$" and shape[1]
    for e = 1, experts or 1 do
      if not role[1]:find "norm$" then stream = stream + 1 end
      each(layer, role, experts and { shape[2], shape[3] } or shape, stream, experts and e or nil)
    end
  end
  for _, role in ipairs(top_roles(s)) do take(0, role) end
  for i = 1, s.layers do
    for _, role in ipairs(M.layer_roles(s, arch, feed_forward(i))) do
      if not role.optional or role[3] then take(i, role) end
    end
  end
end

-- The weights of a model without a file; one seed gives one model.
function M.random(s, arch, feed_forward, o)
  local weights, layers, done = {}, {}, 0
  M.each_random(s, arch, feed_forward, function(layer, role, shape, stream, expert)
    local into = weights
    if layer > 0 then
      layers[layer] = layers[layer] or {}
      into = layers[layer]
      if o.progress and layer > done then
        done = layer
        o.progress(layer, s.layers)
      end
    end
    local t = formed(M.random_tensor(role[1], shape, o.seed, stream, o.device), role, o)
    if expert then
      into[role[1]] = into[role[1]] or {}
      into[role[1]][expert] = t
    else
      into[role[1]] = t
    end
  end)
  return weights, layers
end

return M

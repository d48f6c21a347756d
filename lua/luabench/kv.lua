-- kv.lua: what a model's attention needs beside the operations: caches of every type and layout, rope's frequencies.
local core = require "luabench.core"
local suggest = require "luabench.suggest"

local M = {}

-- Bytes of 32 values in the packed types.
local PACKED = { q8_0 = 34, q4_0 = 18 }
M.types = { "f32", "f16", "bf16", "f8e4m3", "q8_0", "q4_0" }
M.layouts = { "bhsd", "bshd", "hbsd", "lbhsd", "paged" }

local function one_of(what, value, names)
  for _, n in ipairs(names) do
    if n == value then return value end
  end
  local near = suggest.nearest(tostring(value), names)
  error(("%s: one of %s expected, got %s%s"):format(what, table.concat(names, ", "), tostring(value),
    near[1] and ('; did you mean "%s"?'):format(near[1]) or ""), 3)
end

local function whole(what, value, least)
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value >= 2 ^ 53 then
    error(("%s: a whole number of at least %d expected, got %s"):format(what, least, tostring(value)), 3)
  end
  return value
end

-- Tensors of all layers, each in the form [B, H, S, D] (or [P, H, page, D]) that the operations take.
local function tensors(o, row, dtype)
  local opts = { dtype = dtype, device = o.device }
  local list = {}
  if o.layout == "lbhsd" then
    local all = core.zeros({ o.layers, o.batch, o.heads, o.capacity, row }, opts)
    for l = 1, o.layers do list[l] = all:slice(1, l, l):reshape { o.batch, o.heads, o.capacity, row } end
    return list
  end
  for l = 1, o.layers do
    if o.layout == "paged" then
      list[l] = core.zeros({ o.batch * o.capacity / o.page, o.page, o.heads, row }, opts):transpose(2, 3)
    elseif o.layout == "bshd" then
      list[l] = core.zeros({ o.batch, o.capacity, o.heads, row }, opts):transpose(2, 3)
    elseif o.layout == "hbsd" then
      list[l] = core.zeros({ o.heads, o.batch, o.capacity, row }, opts):transpose(1, 2)
    else
      list[l] = core.zeros({ o.batch, o.heads, o.capacity, row }, opts)
    end
  end
  return list
end

-- Pages of the sequences take turns in the pool, as they would after a while of serving.
local function page_table(o)
  local rows, each = {}, o.capacity / o.page
  for b = 1, o.batch do
    rows[b] = {}
    for p = 1, each do rows[b][p] = (p - 1) * o.batch + b - 1 end
  end
  return core.tensor(rows, { dtype = "i32", device = o.device })
end

local CACHE = { layers = true, batch = true, heads = true, capacity = true, dim = true, value_dim = true, type = true,
  layout = true, page = true, device = true }

-- lb.kv_cache{ batch =, heads =, capacity =, dim =, [value_dim = dim], [layers = 1], [type = "f16"], [layout = "bhsd"],
-- [page = 64], [device =] }: zeroed caches for plan:kv_write and plan:attention.
-- Gives { k = { a tensor a layer }, v = { the same }, packed = for the operations' parameter, lengths = i32[B] zeros,
-- pages = i32[B, M] or nil, nbytes = bytes of all }. value_dim = 0: no v (MLA's latents).
function M.cache(o)
  if type(o) ~= "table" then error("lb.kv_cache takes a table, got " .. type(o), 2) end
  suggest.check_keys(o, CACHE, "lb.kv_cache", 2)
  local c = { layers = whole("layers", o.layers or 1, 1), batch = whole("batch", o.batch or 1, 1),
    heads = whole("heads", o.heads, 1), capacity = whole("capacity", o.capacity, 1), dim = whole("dim", o.dim, 1),
    page = whole("page", o.page or 64, 1), device = o.device,
    type = one_of("type", o.type or "f16", M.types), layout = one_of("layout", o.layout or "bhsd", M.layouts) }
  c.value_dim = whole("value_dim", o.value_dim or c.dim, 0)
  local block = PACKED[c.type]
  if block and (c.dim % 32 ~= 0 or c.value_dim % 32 ~= 0) then
    error(("type %s packs 32 values: dim %d and value_dim %d must be multiples of 32"):format(c.type, c.dim,
      c.value_dim), 2)
  end
  if c.layout == "paged" and c.capacity % c.page ~= 0 then
    error(("capacity %d is no multiple of the page of %d positions"):format(c.capacity, c.page), 2)
  end
  local dtype = block and "u8" or c.type
  local function row(d) return block and d / 32 * block or d end
  c.packed = block and c.type or "none"
  c.k = tensors(c, row(c.dim), dtype)
  c.v = c.value_dim > 0 and tensors(c, row(c.value_dim), dtype) or {}
  c.lengths = core.zeros({ c.batch }, { dtype = "i32", device = c.device })
  c.pages = c.layout == "paged" and page_table(c) or nil
  c.nbytes = 0
  for l = 1, c.layers do c.nbytes = c.nbytes + c.k[l]:nbytes() + (c.v[l] and c.v[l]:nbytes() or 0) end
  return c
end

-- ---- rope ----

local ROPE = { dim = true, base = true, scaling = true, factor = true, low_freq_factor = true, high_freq_factor = true,
  original_context = true, beta_fast = true, beta_slow = true, attention_factor = true, mscale = true,
  mscale_all_dim = true, truncate = true, device = true }

local function need(o, name)
  local v = o[name]
  if type(v) ~= "number" or not (v > 0) then
    error(("lb.rope_frequencies: scaling %q needs %s, a positive number; got %s"):format(o.scaling, name, tostring(v)),
      4)
  end
  return v
end

local SCALINGS = {}

function SCALINGS.none(f) return f, 1 end

function SCALINGS.linear(f, o)
  local factor = need(o, "factor")
  for i = 1, #f do f[i] = f[i] / factor end
  return f, 1
end

-- Llama 3.1: long waves are stretched, short ones stay, those between are mixed.
function SCALINGS.llama3(f, o)
  local factor, low, high = need(o, "factor"), need(o, "low_freq_factor"), need(o, "high_freq_factor")
  local context = need(o, "original_context")
  for i = 1, #f do
    local wave = 2 * math.pi / f[i]
    if wave > context / low then
      f[i] = f[i] / factor
    elseif wave >= context / high then
      local smooth = (context / wave - low) / (high - low)
      f[i] = (1 - smooth) * f[i] / factor + smooth * f[i]
    end
  end
  return f, 1
end

local function mscale(factor, m) return factor <= 1 and 1 or 0.1 * m * math.log(factor) + 1 end

-- YaRN (Peng et al. 2023): by the number of turns within the original context; and a factor on cos and sin.
function SCALINGS.yarn(f, o)
  local factor, context = need(o, "factor"), need(o, "original_context")
  local dim = 2 * #f
  local function turns(n) return dim * math.log(context / (n * 2 * math.pi)) / (2 * math.log(o.base)) end
  local low, high = turns(o.beta_fast or 32), turns(o.beta_slow or 1)
  if o.truncate ~= false then low, high = math.floor(low), math.ceil(high) end
  low, high = math.max(low, 0), math.min(high, dim - 1)
  if low == high then high = high + 0.001 end
  for i = 1, #f do
    local ramp = math.min(1, math.max(0, (i - 1 - low) / (high - low)))
    f[i] = f[i] / factor * ramp + f[i] * (1 - ramp)
  end
  local scale = o.attention_factor
  if not scale and o.mscale and o.mscale_all_dim then
    scale = mscale(factor, o.mscale) / mscale(factor, o.mscale_all_dim)
  end
  return f, scale or mscale(factor, 1)
end

-- lb.rope_frequencies{ dim =, [base = 10000], [scaling = "none" | "linear" | "llama3" | "yarn"], ... }: f32[dim / 2],
-- and the factor on cos and sin, for plan:rope{ frequencies =, scale = }. dim: how many values of a head are rotated.
-- The rest are the scaling's own, named as in Hugging Face's rope_scaling, but for original_context
-- (original_max_position_embeddings).
function M.rope_frequencies(o)
  if type(o) ~= "table" then error("lb.rope_frequencies takes a table, got " .. type(o), 2) end
  suggest.check_keys(o, ROPE, "lb.rope_frequencies", 2)
  local dim = whole("dim", o.dim, 2)
  local c = setmetatable({ base = o.base or 10000, scaling = o.scaling or "none" }, { __index = o })
  if dim % 2 ~= 0 then error(("dim %d is odd: rope rotates pairs"):format(dim), 2) end
  if type(c.base) ~= "number" or not (c.base > 1) then error("base: a number above 1 expected", 2) end
  one_of("scaling", c.scaling, { "none", "linear", "llama3", "yarn" })
  local f = {}
  for i = 1, dim / 2 do f[i] = c.base ^ (-2 * (i - 1) / dim) end
  local scaled, scale = SCALINGS[c.scaling](f, c)
  return core.tensor(scaled, { dtype = "f32", device = o.device }), scale
end

return M

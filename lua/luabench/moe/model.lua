-- model.lua: checks a MoE layer's table, whether from lua/models/ or written in a script, and expands its bits.
local formats = require "luabench.moe.formats"
local M = {}

local FIELDS = {
  name = "string", about = "string", hidden = "number", intermediate = "number", experts = "number",
  shared = "number", top_k = "number", router = "table", formats = "string", bits = "table", shared_bits = "table",
  -- of a layer from a file: sizes of the shared expert, tuples in the order of experts, where the tensors are
  shared_intermediate = "number", exact = "boolean", source = "table", random = "boolean",
  clamp = "table", -- { alpha, limit }: gpt-oss's gate; experts then have biases, which the source gives
}
local REQUIRED = { "name", "hidden", "intermediate", "experts", "top_k", "bits" }
local PROJECTIONS = { "gate", "up", "down" }
M.projections = PROJECTIONS

local function fail(name, fmt, ...) error(("model '%s': " .. fmt):format(name, ...), 0) end

local function check_fields(spec)
  local name = tostring(spec.name or "?")
  for key, value in pairs(spec) do
    local want = FIELDS[key]
    if not want then
      local known = {}
      for field in pairs(FIELDS) do known[#known + 1] = field end
      table.sort(known)
      fail(name, "unknown field '%s'; fields are: %s", tostring(key), table.concat(known, ", "))
    end
    if type(value) ~= want then fail(name, "field '%s' is a %s, expected a %s", key, type(value), want) end
  end
  for _, key in ipairs(REQUIRED) do
    if spec[key] == nil then fail(name, "field '%s' is missing", key) end
  end
end

local function whole(spec, key, least, most)
  local v = spec[key]
  if v ~= math.floor(v) or v < least or v > most then
    fail(spec.name, "'%s' is %s, expected a whole number from %d to %d", key, tostring(v), least, most)
  end
end

local function check_tuple(spec, tuple, map)
  if type(tuple) ~= "table" then
    fail(spec.name, "a bits tuple is a %s, expected { gate, up, down, count = experts }", type(tuple))
  end
  local n = tuple.count
  if n ~= nil and not (type(n) == "number" and n >= 1 and n <= 4096 and n == math.floor(n)) then
    fail(spec.name, "a bits tuple has count %s, expected a whole number from 1 to 4096", tostring(n))
  end
  for i = 1, 3 do
    if type(tuple[i]) ~= "number" and not (spec.exact and type(tuple[i]) == "string") then
      fail(spec.name, "a bits tuple needs three numbers: gate, up, down")
    end
    formats.recipe(map, tuple[i])
  end
end

--- Spreads tuples over expert numbers with a fixed shuffle, so that neighbours differ (minimal standard generator).
local function spread(list)
  local state = 20260
  for i = #list, 2, -1 do
    state = state * 16807 % 2147483647
    local j = state % i + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- Validates `spec` and returns a copy with defaults and
--   tuples: array over experts of {gate, up, down} bits;  map: the format map;  shared_bits.
-- `overrides` (hidden, intermediate, experts, top_k, formats) may replace sizes; with another number of experts the
-- mix keeps its proportions; without, the counts of `bits` must add up to it.
function M.resolve(spec, overrides)
  check_fields(spec)
  local m = {}
  for k, v in pairs(spec) do m[k] = v end
  for k, v in pairs(overrides or {}) do m[k] = v end
  m.about = m.about or ""
  m.shared = m.shared or 0
  m.formats = m.formats or "k"
  m.router = m.router or { score = "softmax", bias = false, renormalize = true, scale = 1.0 }
  if m.router.score ~= "softmax" and m.router.score ~= "sigmoid" then
    fail(m.name, "router.score is '%s', expected 'softmax' or 'sigmoid'", tostring(m.router.score))
  end
  if m.router.scale == nil then
    local router = {}
    for k, v in pairs(m.router) do router[k] = v end
    router.scale, m.router = 1.0, router
  end
  local scale = m.router.scale
  if type(scale) ~= "number" or scale ~= scale or scale <= 0 or scale == math.huge then
    fail(m.name, "router.scale is %s, expected a number above 0", tostring(scale))
  end
  whole(m, "hidden", 1, 2 ^ 20) whole(m, "intermediate", 1, 2 ^ 20) whole(m, "experts", 1, 4096)
  whole(m, "top_k", 1, m.experts) whole(m, "shared", 0, 1)
  local total = 0
  for _, t in ipairs(m.bits) do
    check_tuple(m, t, m.formats)
    t.count = t.count or 1
    total = total + t.count
  end
  if total == 0 then fail(m.name, "'bits' is empty") end
  if total ~= m.experts and not (overrides and overrides.experts) then
    fail(m.name, "'bits' gives formats to %d experts, 'experts' is %d", total, m.experts)
  end
  local list = {}
  local seen = 0
  for _, t in ipairs(m.bits) do -- proportional share of m.experts, exact when total == experts
    seen = seen + t.count
    while #list < math.floor(seen * m.experts / total + 0.5) do list[#list + 1] = { t[1], t[2], t[3] } end
  end
  m.tuples = m.exact and list or spread(list)
  m.shared_bits = m.shared_bits or { m.bits[1][1], m.bits[1][2], m.bits[1][3] }
  check_tuple(m, m.shared_bits, m.formats)
  return m
end

return M

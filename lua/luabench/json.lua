-- json.lua: writing JSON with a stable key order and full precision. Reading is the engine's (core.json_decode).
--
-- A table is an array if it has M.array's metatable, or a first element and no string keys; an empty table is an
-- object unless marked. NaN and infinities become null: they are not JSON, and mean "unknown" here.
local M = {}

local floor, huge = math.floor, math.huge

-- The metatable of lists: also for decoders, so that an empty list stays one.
local ARRAY = {}
M.ARRAY = ARRAY
M.null = setmetatable({}, { __tostring = function() return "null" end, __newindex = function()
  error("json.null cannot be changed", 2)
end })

-- Marks (and returns) a table as an array, so that an empty one is written as [].
function M.array(t) return setmetatable(t or {}, ARRAY) end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

function M.string(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

-- The shortest of 15, 16 and 17 digits that reads back as the same number.
function M.number(x)
  if x ~= x or x == huge or x == -huge then return "null" end
  if x == floor(x) and x > -2 ^ 53 and x < 2 ^ 53 then return ("%.0f"):format(x) end
  local text = ("%.15g"):format(x)
  if tonumber(text) ~= x then text = ("%.16g"):format(x) end
  if tonumber(text) ~= x then text = ("%.17g"):format(x) end
  return text
end

local function is_array(t)
  if getmetatable(t) == ARRAY then return true end
  return t[1] ~= nil
end
M.is_array = is_array

local encode

-- `order`: a list of keys that come first and are written as null if missing; entries may be {key, order-of-value}.
-- Other keys follow sorted.
local function encode_object(t, out, indent, step, order)
  local first, seen = true, {}
  local inner = indent and indent .. step
  local function put(k, v, sub)
    out[#out + 1] = first and "{" or ","
    if indent then out[#out + 1] = "\n" .. inner end
    out[#out + 1] = M.string(k) .. (indent and ": " or ":")
    encode(v, out, inner, step, sub)
    first = false
  end
  for _, entry in ipairs(order or {}) do
    local key, sub = entry, nil
    if type(entry) == "table" then key, sub = entry[1], entry[2] end
    seen[key] = true
    put(key, t[key], sub)
  end
  local rest = {}
  for k in pairs(t) do
    local text = tostring(k)
    if not seen[text] then rest[#rest + 1] = { text, k } end
  end
  table.sort(rest, function(a, b) return a[1] < b[1] end)
  for _, pair in ipairs(rest) do put(pair[1], t[pair[2]]) end
  if first then out[#out + 1] = "{}" return end
  out[#out + 1] = indent and "\n" .. indent .. "}" or "}"
end

local function encode_array(t, out, indent, step, order)
  local n = #t
  if n == 0 then out[#out + 1] = "[]" return end
  -- arrays of scalars stay on one line
  local nested = indent and type(t[1]) == "table" and t[1] ~= M.null
  local inner = nested and indent .. step or nil
  out[#out + 1] = "["
  for i = 1, n do
    if i > 1 then out[#out + 1] = indent and not nested and ", " or "," end
    if nested then out[#out + 1] = "\n" .. inner end
    encode(t[i], out, inner, step, order)
  end
  if nested then out[#out + 1] = "\n" .. indent end
  out[#out + 1] = "]"
end

encode = function(v, out, indent, step, order)
  local kind = type(v)
  if v == nil or v == M.null then out[#out + 1] = "null"
  elseif kind == "number" then out[#out + 1] = M.number(v)
  elseif kind == "string" then out[#out + 1] = M.string(v)
  elseif kind == "boolean" then out[#out + 1] = tostring(v)
  elseif kind == "userdata" and tostring(v):find("NULL", 1, true) then out[#out + 1] = "null"
  elseif kind == "table" then
    if is_array(v) then encode_array(v, out, indent, step, order)
    else encode_object(v, out, indent, step, order) end
  else error("a " .. kind .. " cannot be written as JSON", 0) end
end

-- opts.pretty: two-space indent; opts.order: key order of the outermost object (for an array: of its elements).
function M.encode(v, opts)
  local out = {}
  opts = opts or {}
  encode(v, out, opts.pretty and "" or nil, "  ", opts.order)
  return table.concat(out)
end

return M

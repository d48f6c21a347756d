-- yaml.lua: the whole result as YAML 1.2: block mappings, lists of plain values on one line.
local json = require "luabench.json"
local record = require "luabench.record"

local M = { about = "the whole result as YAML", endings = { "yaml", "yml" } }

local RESERVED = { ["true"] = true, ["false"] = true, null = true, yes = true, no = true, on = true, off = true,
  y = true, n = true, ["~"] = true }

-- A JSON string is a YAML double-quoted one; only words that nothing can mistake go without quotes.
local function scalar(v)
  if v == nil or v == json.null then return "null" end
  if type(v) == "number" then
    local text = json.number(v)
    -- YAML 1.1 readers want a dot and a signed exponent in a float: 1e+20 -> 1.0e+20
    return (text:gsub("^(-?%d+)e", "%1.0e"))
  end
  if type(v) == "boolean" then return tostring(v) end
  local text = tostring(v)
  if text:find("^%a[%w_./-]*$") and not RESERVED[text:lower()] then return text end
  return json.string(text)
end

local emit

local function emit_map(t, indent, out, order)
  local keys, seen = {}, {}
  for _, entry in ipairs(order or {}) do
    local key, sub = entry, nil
    if type(entry) == "table" then key, sub = entry[1], entry[2] end
    keys[#keys + 1] = { key, sub }
    seen[key] = true
  end
  local rest = {}
  for k in pairs(t) do
    if not seen[k] then rest[#rest + 1] = k end
  end
  table.sort(rest, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(rest) do keys[#keys + 1] = { k } end
  if #keys == 0 then return false end
  for _, pair in ipairs(keys) do
    out[#out + 1] = indent .. scalar(tostring(pair[1])) .. ":"
    emit(t[pair[1]], indent, out, pair[2])
  end
  return true
end

local function emit_list(t, indent, out, order)
  if type(t[1]) ~= "table" or t[1] == json.null then
    local parts = {}
    for i = 1, #t do parts[i] = scalar(t[i]) end
    out[#out] = out[#out] .. " [" .. table.concat(parts, ", ") .. "]"
    return
  end
  for i = 1, #t do
    local at = #out + 1
    if json.is_array(t[i]) then
      out[at] = indent .. "-"
      emit_list(t[i], indent .. "  ", out, order)
    elseif emit_map(t[i], indent .. "  ", out, order) then
      out[at] = indent .. "- " .. out[at]:sub(#indent + 3)
    else
      out[at] = indent .. "- {}"
    end
  end
end

-- Writes a value after the "key:" that is the last line of `out`.
emit = function(v, indent, out, order)
  if type(v) ~= "table" or v == json.null then
    out[#out] = out[#out] .. " " .. scalar(v)
  elseif json.is_array(v) then
    emit_list(v, indent .. "  ", out, order)
  elseif not emit_map(v, indent .. "  ", out, order) then
    out[#out] = out[#out] .. " {}"
  end
end

function M.write(result)
  local shown = { schema = record.SCHEMA, run = result.run, machine = result.machine, cases = json.array(result.cases) }
  local out = {}
  emit_map(shown, "", out, record.order)
  return table.concat(out, "\n") .. "\n"
end

return M

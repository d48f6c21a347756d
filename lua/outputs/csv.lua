-- csv.lua: a row per case, a header of dotted names, quoted as RFC 4180 says, lines ended by CR LF.
--
-- Columns come in the order of the result's fields, with axes and metrics in place; the same cases give the same
-- columns. Unknown values are empty. Raw samples, marks and processes are not here: they are in json, jsonl and yaml.
local json = require "luabench.json"
local record = require "luabench.record"
local suggest = require "luabench.suggest"

local M = { about = "a row per case, dotted column names", endings = { "csv" } }

local LEFT_OUT = { samples_ns = true, marks = true, processes = true }
local PAIRS = { ci95 = { "lo", "hi" } }

local function cell(v)
  if v == nil or v == json.null then return "" end
  if type(v) == "number" then
    local text = json.number(v)
    return text == "null" and "" or text
  end
  local text = tostring(v)
  if text:find('[",\r\n]') or text:find("^%s") or text:find("%s$") then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

local function path_text(path)
  local parts = {}
  for i, p in ipairs(path) do parts[i] = ("%s:%s:%s"):format(p.op, p.kernel or "", json.number(p.launches or 0)) end
  return table.concat(parts, " ")
end

-- One case as name -> value, nested objects by dots.
local function flatten(value, prefix, out)
  for k, v in pairs(value) do
    local name = prefix .. tostring(k)
    if type(v) ~= "table" or v == json.null then
      out[name] = v
    elseif PAIRS[k] then
      out[name .. "." .. PAIRS[k][1]], out[name .. "." .. PAIRS[k][2]] = v[1], v[2]
    elseif json.is_array(v) then
      local parts = {}
      for i, item in ipairs(v) do parts[i] = type(item) == "table" and json.encode(item) or tostring(item) end
      out[name] = table.concat(parts, " ")
    else
      flatten(v, name .. ".", out)
    end
  end
  return out
end

local function flat(case)
  local copy = {}
  for k, v in pairs(case) do
    if k == "path" and type(v) == "table" then copy.path = path_text(v)
    elseif not LEFT_OUT[k] then copy[k] = v end
  end
  return flatten(copy, "", {})
end

-- Names of the fixed fields in order, then what the cases have beside them, in place of their object.
local function header(rows)
  local names, seen = {}, {}
  local all = {}
  for _, row in ipairs(rows) do
    for name in pairs(row) do all[name] = true end
  end
  all = suggest.keys(all)
  local function add(name)
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  local function add_under(prefix)
    for _, name in ipairs(all) do
      if name:sub(1, #prefix) == prefix then add(name) end
    end
  end
  for _, entry in ipairs(record.case_order) do
    local key, sub = entry, nil
    if type(entry) == "table" then key, sub = entry[1], entry[2] end
    if key == "path" then add "path"
    elseif key == "axes" or key == "metrics" then add_under(key .. ".")
    elseif sub and not LEFT_OUT[key] then
      for _, name in ipairs(sub) do
        local pair = PAIRS[name]
        if pair then
          add(key .. "." .. name .. "." .. pair[1])
          add(key .. "." .. name .. "." .. pair[2])
        else
          add(key .. "." .. name)
        end
      end
      add_under(key .. ".")
    elseif not sub and not LEFT_OUT[key] then
      add(key)
    end
  end
  for _, name in ipairs(all) do add(name) end
  return names
end

function M.write(result)
  local rows = {}
  for i, c in ipairs(result.cases) do rows[i] = flat(c) end
  local names = header(rows)
  local lines, cells = {}, {}
  for i, n in ipairs(names) do cells[i] = cell(n) end
  lines[1] = table.concat(cells, ",")
  for r, row in ipairs(rows) do
    for i, n in ipairs(names) do cells[i] = cell(row[n]) end
    lines[r + 1] = table.concat(cells, ",", 1, #names)
  end
  return table.concat(lines, "\r\n") .. "\r\n"
end

return M

-- show.lua: values as people want to see them: tables with sorted keys, cut where they get long or deep.
local sys = require "luabench.sys"

local M = {}

local DEPTH, ENTRIES = 4, 60

--- Columns that a line may have: the terminal's, less what scrolls, but from 60 to 98.
function M.width() return math.max(60, math.min(98, (sys.terminal_width(1) or 100) - 2)) end

local function key_text(k)
  if type(k) == "string" and k:find "^[%a_][%w_]*$" then return k end
  return "[" .. (type(k) == "string" and ("%q"):format(k) or tostring(k)) .. "]"
end

local function number_text(v)
  if v ~= v then return "nan" end
  if v == math.huge then return "inf" end
  if v == -math.huge then return "-inf" end
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
  return ("%.6g"):format(v)
end

local function order(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) < type(b) or type(a) == type(b) and tostring(a) < tostring(b)
end

local text_of

local function entries_of(t, depth, seen, indent)
  local parts, n, left = {}, #t, 0
  for i = 1, n do
    if #parts < ENTRIES then parts[#parts + 1] = text_of(t[i], depth + 1, seen, indent) else left = left + 1 end
  end
  local keys = {}
  for k in pairs(t) do
    if not (type(k) == "number" and k >= 1 and k <= n and k == math.floor(k)) then keys[#keys + 1] = k end
  end
  table.sort(keys, order)
  for _, k in ipairs(keys) do
    if #parts < ENTRIES then
      parts[#parts + 1] = key_text(k) .. " = " .. text_of(rawget(t, k), depth + 1, seen, indent)
    else
      left = left + 1
    end
  end
  if left > 0 then parts[#parts + 1] = ("... %d more"):format(left) end
  return parts
end

-- A list of plain numbers fills its lines.
local function numbers_text(t, parts, indent)
  for k, v in pairs(t) do
    if type(k) ~= "number" or type(v) ~= "number" then return nil end
  end
  local lines, line, width = {}, "", M.width()
  for i, part in ipairs(parts) do
    if #line + #part + #indent + 4 > width then
      lines[#lines + 1] = line
      line = ""
    end
    line = line .. (line == "" and "" or " ") .. part .. (i < #parts and "," or "")
  end
  lines[#lines + 1] = line
  return "{\n" .. indent .. "  " .. table.concat(lines, "\n" .. indent .. "  ") .. "\n" .. indent .. "}"
end

-- What lb.measure() gives, in a line.
function M.measurement(t)
  local units = require "luabench.units"
  local scale, unit = units.time_unit(t.median)
  local function scaled(ns) return units.significant(ns / scale, 4) end
  local notes = {}
  if t.precise == false then notes[#notes + 1] = "less precise than asked" end
  if type(t.disturbance) == "table" and t.disturbance.noisy then notes[#notes + 1] = "disturbed by other work" end
  return ("median %s %s, 95 %% interval %s to %s, %d samples of %d runs%s"):format(scaled(t.median), unit,
    scaled(t.ci95[1]), scaled(t.ci95[2]), #t.samples_ns, t.iterations,
    notes[1] and "; " .. table.concat(notes, ", ") or "")
end

-- The same at the prompt, with its fields named below it.
local function measurement_text(t)
  local names = {}
  for k in pairs(t) do names[#names + 1] = tostring(k) end
  table.sort(names)
  return M.measurement(t) .. "\n" .. M.wrap("  fields: " .. table.concat(names, ", "), 10)
end

local function is_measurement(t)
  return type(rawget(t, "samples_ns")) == "table" and type(rawget(t, "median")) == "number" and type(t.ci95) == "table"
    and type(t.ci95[1]) == "number" and type(t.ci95[2]) == "number" and type(t.iterations) == "number"
      and t.unit == "ns"
end

local function table_text(t, depth, seen, indent)
  if depth == 0 and is_measurement(t) then return measurement_text(t) end
  local mt = getmetatable(t)
  if type(mt) == "table" and mt.__tostring then return tostring(t) end
  if seen[t] then return "{ ... the same table again }" end
  if next(t) == nil then return "{}" end
  if depth >= DEPTH then return "{ ... }" end
  seen[t] = true
  local parts = entries_of(t, depth, seen, indent .. "  ")
  seen[t] = nil
  local one = "{ " .. table.concat(parts, ", ") .. " }"
  if #one + #indent <= M.width() and not one:find("\n", 1, true) then return one end
  local numbers = numbers_text(t, parts, indent)
  if numbers then return numbers end
  return "{\n" .. indent .. "  " .. table.concat(parts, ",\n" .. indent .. "  ") .. "\n" .. indent .. "}"
end

function text_of(v, depth, seen, indent)
  local kind = type(v)
  if kind == "string" then return depth == 0 and v or ("%q"):format(v) end
  if kind == "number" then return number_text(v) end
  if kind == "table" then return table_text(v, depth, seen, indent) end
  local text = tostring(v)
  if depth > 0 and kind == "userdata" then text = text:match "^[^\n]*" end
  return text
end

--- Breaks a line at spaces where it is wider than the screen; the rest is indented by `indent`.
function M.wrap(line, indent)
  local lines, margin, width = {}, (" "):rep(indent), M.width()
  while #line > width do
    local cut
    for at in line:sub(1, width):gmatch "() " do
      if at > indent + 1 then cut = at end
    end
    if not cut then break end
    lines[#lines + 1] = line:sub(1, cut - 1)
    line = margin .. line:sub(cut + 1)
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

--- Breaks the lines of a text that are wider than the screen; what goes on is indented by two more than they are.
function M.fit(text)
  return (text:gsub("[^\n]+", function(line) return M.wrap(line, #line:match "^ *" + 2) end))
end

--- One value as text; strings at the top are shown as they are.
function M.value(v) return text_of(v, 0, {}, "") end

return M

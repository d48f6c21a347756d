-- units.lua: numbers as people read them. Times come in ns, bytes and rates are decimal (1 GB = 10^9).
local M = {}

local floor, abs, log10 = math.floor, math.abs, math.log10

-- `digits` significant digits without an exponent (3 by default): 1.23, 12.3, 123.
local function significant(x, digits)
  if type(x) ~= "number" or digits ~= nil and type(digits) ~= "number" then
    error(("units.significant: a number and digits expected, got %s and %s"):format(type(x), type(digits)), 2)
  end
  digits = digits or 3
  if x ~= x or abs(x) == math.huge then return tostring(x) end
  if x == 0 then return "0" end
  local before = floor(log10(abs(x)) + 1e-12) + 1
  local text = ("%." .. math.max(0, digits - before) .. "f"):format(x)
  -- rounding may have added a digit (9.999 -> 10.00)
  local after = floor(log10(abs(tonumber(text))) + 1e-12) + 1
  if after > before then text = ("%." .. math.max(0, digits - after) .. "f"):format(x) end
  return text
end
M.significant = significant

local function known(x) return type(x) == "number" and x == x and abs(x) < math.huge end
M.known = known

local TIME = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } }

-- Picks the unit for a time in ns: returns scale and name.
function M.time_unit(ns)
  if type(ns) ~= "number" then error("units.time_unit: ns expected, got " .. type(ns), 2) end
  for _, u in ipairs(TIME) do
    if abs(ns) >= u[1] then return u[1], u[2] end
  end
  return 1, "ns"
end

-- "12.3 us"; "-" if unknown.
function M.time(ns, digits)
  if not known(ns) then return "-" end
  local scale, name = M.time_unit(ns)
  return significant(ns / scale, digits or 4) .. " " .. name
end

local SI = { { 1e15, "P" }, { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } }

-- 12.3e9, "B/s" -> "12.3 GB/s"
function M.si(x, unit, digits)
  if not known(x) then return "-" end
  if type(unit) ~= "string" then error("units.si: a unit expected, got " .. type(unit), 2) end
  for _, u in ipairs(SI) do
    if abs(x) >= u[1] then return significant(x / u[1], digits) .. " " .. u[2] .. unit end
  end
  return significant(x, digits) .. " " .. unit
end

function M.bytes(x) return M.si(x, "B") end

local BINARY = { { 2 ^ 40, "TiB" }, { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 2 ^ 10, "KiB" } }

-- Sizes of caches and memory, which are powers of two: 49152 -> "48 KiB"
function M.binary_bytes(x)
  if not known(x) then return "-" end
  for _, u in ipairs(BINARY) do
    if abs(x) >= u[1] then
      local v = x / u[1]
      return (v == floor(v) and ("%d"):format(v) or significant(v)) .. " " .. u[2]
    end
  end
  return significant(x) .. " B"
end

-- A count or a rate without a unit: 12.3k
function M.count(x)
  if not known(x) then return "-" end
  if x == floor(x) and abs(x) < 1e5 then return ("%d"):format(x) end
  for _, u in ipairs(SI) do
    if abs(x) >= u[1] then return significant(x / u[1]) .. u[2] end
  end
  return significant(x)
end

function M.percent(fraction)
  if not known(fraction) then return "-" end
  return significant(fraction * 100) .. " %"
end

-- Small errors: 1.2e-13
function M.error(x)
  if not known(x) then return "-" end
  if x == 0 then return "0" end
  return ("%.1e"):format(x)
end

-- Seconds as a person would say them: "4 s", "2 min 05 s", "1 h 12 min".
function M.duration(s)
  if not known(s) then return "?" end
  s = floor(s + 0.5)
  if s < 60 then return s .. " s" end
  if s < 3600 then return ("%d min %02d s"):format(floor(s / 60), s % 60) end
  return ("%d h %02d min"):format(floor(s / 3600), floor(s % 3600 / 60))
end

-- A value for a cell, by the unit's name.
function M.show(value, unit)
  if value == nil then return "-" end
  if type(value) == "boolean" then return value and "yes" or "no" end
  if type(value) ~= "number" then return tostring(value) end
  if unit == "ns" then return M.time(value) end
  if unit == "B" or unit == "bytes" then return M.bytes(value) end
  if unit == "B/s" or unit == "bytes/s" then return M.si(value, "B/s") end
  if unit == "flop/s" or unit == "flops/s" then return M.si(value, "FLOP/s") end
  if unit == "fraction" or unit == "%" then return M.percent(value) end
  if unit == "x" then return known(value) and significant(value) .. "x" or "-" end
  if unit == "error" then return M.error(value) end
  if unit == "dB" then return known(value) and ("%.1f dB"):format(value) or "-" end
  if unit == nil or unit == "" or unit == "count" then return M.count(value) end
  return M.si(value, unit)
end

return M

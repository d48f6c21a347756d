-- axes.lua: the axes of a scenario's cases as the report draws them: their order, which vary, which one colours.
local record = require "luabench.record"
local suggest = require "luabench.suggest"

local M = {}

M.COLOURS = 8

-- Names of the axes in the order of the cases' names ("k=64 m=1"): a result file does not keep the grid's order else.
function M.names(cases)
  local first = cases[1]
  if not first then return {} end
  local place, names = {}, suggest.keys(first.axes)
  for _, name in ipairs(names) do
    place[name] = (" " .. (first.case or "")):find(" " .. name .. "=", 1, true) or math.huge
  end
  table.sort(names, function(a, b) if place[a] ~= place[b] then return place[a] < place[b] end return a < b end)
  return names
end

local function values_of(cases, name)
  local list, seen, numeric = {}, {}, true
  for _, c in ipairs(cases) do
    local v = c.axes[name]
    local text = v ~= nil and record.value_text(v)
    if text and not seen[text] then
      seen[text] = true
      list[#list + 1] = v
      numeric = numeric and type(v) == "number"
    end
  end
  if numeric then table.sort(list) end
  return list, numeric and #list > 0
end

-- Axes with more than one value: { { name =, values =, numeric =, index = text -> place } }, in order.
function M.varying(cases, names)
  local list = {}
  for _, name in ipairs(names) do
    local values, numeric = values_of(cases, name)
    if #values > 1 then
      local index = {}
      for i, v in ipairs(values) do index[record.value_text(v)] = i end
      list[#list + 1] = { name = name, values = values, numeric = numeric, index = index }
    end
  end
  return list
end

-- The axis whose values get colours: one of names rather than numbers, with the most values that colours suffice for;
-- `except` is the axis that is drawn along. nil if none fits.
function M.colour_axis(varying, except)
  local best
  local function better(a, b)
    if not b then return true end
    if a.numeric ~= b.numeric then return not a.numeric end
    return #a.values > #b.values
  end
  for _, a in ipairs(varying) do
    if a.name ~= except and #a.values <= M.COLOURS and better(a, best) then best = a end
  end
  return best
end

-- 1 to 8 for a case, by its value on the axis.
function M.colour(axis, case)
  if not axis then return 1 end
  return axis.index[record.value_text(case.axes[axis.name])] or 1
end

-- "m=1 quant=q4_k" of the axes that vary, those in `without` (a set) left out.
function M.label(case, varying, without)
  local parts = {}
  for _, a in ipairs(varying) do
    if not (without and without[a.name]) then
      parts[#parts + 1] = ("%s=%s"):format(a.name, record.value_text(case.axes[a.name]))
    end
  end
  return table.concat(parts, "  ")
end

-- Lines of HTML that say which colour is which value.
function M.legend(axis)
  if not axis then return "" end
  local svg = require "luabench.report.svg"
  local parts = { ("<span>%s:</span>"):format(svg.escape(axis.name)) }
  for i, v in ipairs(axis.values) do
    parts[#parts + 1] = ('<span><i class="k%d"></i>%s</span>'):format(i, svg.escape(record.value_text(v)))
  end
  return '<div class="legend">' .. table.concat(parts) .. "</div>"
end

return M

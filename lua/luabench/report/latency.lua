-- latency.lua: median times with their 95 % intervals: along each axis of numbers, and case by case.
local axes_of = require "luabench.report.axes"
local record = require "luabench.record"
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

-- So many small drawings of one axis at most; what is left out is said.
local MOST_FACETS = 12

local function timed(cases)
  local list = {}
  for _, c in ipairs(cases) do
    if c.status == "ok" and c.time and c.time.median and c.time.median > 0 then list[#list + 1] = c end
  end
  return list
end

local function interval(case)
  local ci = case.time.ci95
  if type(ci) == "table" and ci[1] and ci[2] and ci[1] > 0 then return ci[1], ci[2] end
end

local function time_range(cases)
  local list = {}
  for _, c in ipairs(cases) do
    local lo, hi = interval(c)
    list[#list + 1] = c.time.median
    list[#list + 1] = lo
    list[#list + 1] = hi
  end
  return svg.range(list, 0.06, true)
end

-- "1.25 us" without what all ticks share: three digits are enough for an axis.
local function tick_time(ns)
  local scale, name = units.time_unit(ns * 1.0000001)
  return (units.significant(ns / scale, 3):gsub("(%.%d-)0+$", "%1"):gsub("%.$", "")) .. " " .. name
end

-- The scale along an axis of numbers: powers of two and the like evenly spaced; ticks are its values.
local function value_scale(axis, from, to)
  local lo, hi = axis.values[1], axis.values[#axis.values]
  local make = lo > 0 and hi / lo >= 8 and svg.log or svg.linear
  local pad = (to - from) * 0.04
  local scale = make(lo, hi, from + pad, to - pad)
  scale.ticks, scale.minor = {}, {}
  local last = -math.huge
  for _, v in ipairs(axis.values) do
    local x = scale.at(v)
    if x - last >= 30 then
      scale.ticks[#scale.ticks + 1] = v
      last = x
    end
  end
  scale.format = record.value_text
  scale.title = axis.name
  return scale
end

-- ---- along an axis ----

local function draw_series(c, x, y, list, axis, colour)
  table.sort(list, function(a, b) return a.axes[axis.name] < b.axes[axis.name] end)
  local line, upper, lower = {}, {}, {}
  for _, case in ipairs(list) do
    local px, t = x.at(case.axes[axis.name]), case.time.median
    local lo, hi = interval(case)
    line[#line + 1], line[#line + 2] = px, y.at(t)
    upper[#upper + 1], upper[#upper + 2] = px, y.at(hi or t)
    table.insert(lower, 1, y.at(lo or t))
    table.insert(lower, 1, px)
  end
  for _, v in ipairs(lower) do upper[#upper + 1] = v end
  if #list > 1 then
    svg.path(c, upper, "band k" .. colour, true)
    svg.path(c, line, "mean s" .. colour)
  end
  for _, case in ipairs(list) do
    local px = x.at(case.axes[axis.name])
    local lo, hi = interval(case)
    if lo then svg.line(c, px, y.at(lo), px, y.at(hi), "ci s" .. colour) end
    svg.circle(c, px, y.at(case.time.median), 3.6, "point k" .. colour, ("%s\n%s%s"):format(case.case,
      units.time(case.time.median), lo and (", 95 %% %s to %s"):format(units.time(lo), units.time(hi)) or ""))
  end
end

local function draw_facet(title, cases, axis, colour_axis, range, size)
  local box = { 74, title ~= "" and 26 or 10, size[1] - 12, size[2] - 42 }
  local x = value_scale(axis, box[1], box[3])
  local y = svg.log(range[1], range[2], box[4], box[2], 5)
  y.format = tick_time
  local c = svg.open(size[1], size[2], "time by " .. axis.name)
  if title ~= "" then svg.text(c, box[1], 15, title, { class = "facet" }) end
  svg.axes(c, box, x, y)
  local by, order = {}, {}
  for _, case in ipairs(cases) do
    local k = axes_of.colour(colour_axis, case)
    if not by[k] then
      by[k] = {}
      order[#order + 1] = k
    end
    table.insert(by[k], case)
  end
  for _, k in ipairs(order) do draw_series(c, x, y, by[k], axis, k) end
  return svg.close(c)
end

-- One axis of numbers: a drawing for each combination of the other axes, colours for one of them.
local function along(axis, cases, varying)
  local colour_axis = axes_of.colour_axis(varying, axis.name)
  local without = { [axis.name] = true, [colour_axis and colour_axis.name or ""] = true }
  local by, order = {}, {}
  for _, case in ipairs(cases) do
    if type(case.axes[axis.name]) == "number" then
      local key = axes_of.label(case, varying, without)
      if not by[key] then
        by[key] = {}
        order[#order + 1] = key
      end
      table.insert(by[key], case)
    end
  end
  local lo, hi = time_range(cases)
  local size = #order == 1 and { 1040, 330 } or { 520, 280 }
  local parts = { ("<h3>Time by %s</h3>"):format(svg.escape(axis.name)), axes_of.legend(colour_axis),
    #order > 1 and '<div class="columns wide">' or "<div>" }
  for i = 1, math.min(#order, MOST_FACETS) do
    parts[#parts + 1] = "<div>" .. draw_facet(order[i], by[order[i]], axis, colour_axis, { lo, hi }, size) .. "</div>"
  end
  parts[#parts + 1] = "</div>"
  if #order > MOST_FACETS then
    parts[#parts + 1] = ('<p class="note">%d more combinations are not drawn here; all cases are below.</p>'):format(
      #order - MOST_FACETS)
  end
  return table.concat(parts, "\n")
end

-- A list of HTML blocks, one for each axis of numbers that varies.
function M.by_axis(cases, varying)
  local list, blocks, names = timed(cases), {}, {}
  for i, a in ipairs(varying) do names[i] = a.name end
  -- of the cases that have a time: a value at which everything failed is no place on an axis
  for _, axis in ipairs(axes_of.varying(list, names)) do
    if axis.numeric then blocks[#blocks + 1] = along(axis, list, varying) end
  end
  return blocks
end

-- ---- case by case ----

local ROW = 19

local function draw_row(c, x, py, case, label, colour, left)
  local t = case.time
  local lo, hi = interval(case)
  svg.text(c, left - 10, py + 4, label, { anchor = "end", class = "tick" })
  if t.min and t.max and t.min > 0 then svg.line(c, x.at(t.min), py, x.at(t.max), py, "whisker s" .. colour) end
  if lo then svg.line(c, x.at(lo), py, math.max(x.at(hi), x.at(lo) + 0.5), py, "ci s" .. colour) end
  svg.circle(c, x.at(t.median), py, 4, "point k" .. colour, ("%s\nmedian %s%s\nleast %s, most %s"):format(case.case,
    units.time(t.median), lo and (", 95 %% %s to %s"):format(units.time(lo), units.time(hi)) or "", units.time(t.min),
    units.time(t.max)))
end

local function forest(cases, varying)
  local longest, values = 4, {}
  for _, case in ipairs(cases) do
    longest = math.max(longest, #axes_of.label(case, varying))
    local t = case.time
    for _, v in ipairs { t.median, t.min and t.min > 0 and t.min or t.median, t.max or t.median } do
      values[#values + 1] = v
    end
  end
  local left = math.min(420, 24 + longest * 6.4)
  local height = #cases * ROW + 60
  local box = { left, 8, 1028, height - 44 }
  local lo, hi = svg.range(values, 0.03, true)
  local x = svg.log(lo, hi, box[1], box[3], 8)
  x.format, x.title = tick_time, "time (log scale): dot median, thick 95 % interval, thin least to most"
  local c = svg.open(1040, height, "time of each case")
  svg.axes(c, box, x, { ticks = {}, minor = {} })
  local colour_axis = axes_of.colour_axis(varying)
  local group, py = nil, box[2] + ROW / 2 + 2
  local without = colour_axis and { [colour_axis.name] = true }
  for _, case in ipairs(cases) do
    local g = axes_of.label(case, varying, without)
    if group and g ~= group and colour_axis then svg.line(c, 8, py - ROW / 2, box[3], py - ROW / 2, "split") end
    group = g
    draw_row(c, x, py, case, axes_of.label(case, varying), axes_of.colour(colour_axis, case), left)
    py = py + ROW
  end
  return axes_of.legend(colour_axis) .. svg.close(c)
end

-- HTML, or nil where nothing was timed.
function M.by_case(cases, varying)
  local list = timed(cases)
  return #list > 0 and forest(list, varying) or nil
end

return M

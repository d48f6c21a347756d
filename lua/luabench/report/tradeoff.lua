-- tradeoff.lua: what accuracy costs: the time of each case over the error of its quantized weights, and which cases no
-- other beats in both (the dashed line).
local axes_of = require "luabench.report.axes"
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

local MOST_FACETS = 8
local SIZE = { 520, 290 }

-- The error of the output where it is known for all, else that of the weights.
local function error_field(cases)
  for _, name in ipairs { "output_rel_rmse", "rel_rmse" } do
    local some, all = false, true
    for _, c in ipairs(cases) do
      local q = c.status == "ok" and c.quantization_error
      if q and (q.output_rel_rmse or q.rel_rmse) then
        some = true
        all = all and type(q[name]) == "number" and q[name] > 0
      end
    end
    if some and all then return name end
  end
end

local function points_of(cases, field)
  local list = {}
  for _, c in ipairs(cases) do
    local q = c.quantization_error or {}
    if c.status == "ok" and c.time and c.time.median and q[field] then
      list[#list + 1] = { case = c, x = q[field], y = c.time.median }
    end
  end
  return list
end

-- Points that no other beats in error and in time, by error.
local function front(points)
  local sorted, out, best = {}, {}, math.huge
  for i, p in ipairs(points) do sorted[i] = p end
  table.sort(sorted, function(a, b) if a.x ~= b.x then return a.x < b.x end return a.y < b.y end)
  for _, p in ipairs(sorted) do
    if p.y < best then
      out[#out + 1] = p
      best = p.y
    end
  end
  return out
end

local function draw(title, points, colour_axis, range_x, title_x)
  local box = { 74, title ~= "" and 26 or 10, SIZE[1] - 14, SIZE[2] - 44 }
  local ys = {}
  for i, p in ipairs(points) do ys[i] = p.y end
  local lo, hi = svg.range(ys, 0.12, true)
  local x, y = svg.log(range_x[1], range_x[2], box[1], box[3], 5), svg.log(lo, hi, box[4], box[2], 5)
  x.format, x.title = function(v) return ("%.3g %%"):format(v * 100) end, title_x
  y.format = function(v) return units.time(v, 3) end
  local c = svg.open(SIZE[1], SIZE[2], "time against error")
  if title ~= "" then svg.text(c, box[1], 15, title, { class = "facet" }) end
  svg.axes(c, box, x, y)
  local line = {}
  for _, p in ipairs(front(points)) do line[#line + 1], line[#line + 2] = x.at(p.x), y.at(p.y) end
  if #line > 2 then svg.path(c, line, "front") end
  for _, p in ipairs(points) do
    local tip = ("%s\n%s, error %s"):format(p.case.case, units.time(p.y), units.percent(p.x))
    svg.circle(c, x.at(p.x), y.at(p.y), 5, "point k" .. axes_of.colour(colour_axis, p.case), tip)
  end
  return svg.close(c)
end

-- HTML, or nil where fewer than two errors are there to choose between.
function M.draw(cases, varying)
  local field = error_field(cases)
  local points = field and points_of(cases, field) or {}
  local xs, different = {}, {}
  for i, p in ipairs(points) do xs[i], different[p.x] = p.x, true end
  if not next(different) or not next(different, (next(different))) then return nil end
  local colour_axis = axes_of.colour_axis(varying)
  local by, order = {}, {}
  for _, p in ipairs(points) do
    local key = axes_of.label(p.case, varying, colour_axis and { [colour_axis.name] = true })
    if not by[key] then
      by[key] = {}
      order[#order + 1] = key
    end
    table.insert(by[key], p)
  end
  local range = { svg.range(xs, 0.12, true) }
  local out = { axes_of.legend(colour_axis), '<div class="columns wide">' }
  for i = 1, math.min(#order, MOST_FACETS) do
    out[#out + 1] = "<div>" .. draw(order[i], by[order[i]], colour_axis, range,
      field == "rel_rmse" and "error of the weights" or "error of the output") .. "</div>"
  end
  out[#out + 1] = "</div>"
  if #order > MOST_FACETS then
    out[#out + 1] = ('<p class="note">%d more combinations are not drawn here.</p>'):format(#order - MOST_FACETS)
  end
  return table.concat(out, "\n")
end

return M

-- samples.lua: the samples of a case: how they lie (empirical distribution) and in which order they came (time series).
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

local WIDTH, HEIGHT = 520, 230
local BOX = { 66, 12, 508, 186 }
-- Of more samples than this, extremes are kept and the others thinned out.
local MOST_DRAWN = 600

-- Marks that say that something else disturbed the sample; outliers are only labelled (engine/measure.h).
local DISTURBED = { { 1, "switched" }, { 2, "page fault" }, { 4, "migrated" }, { 8, "delayed" }, { 16, "frequency" },
  { 128, "stolen" }, { 256, "throttled" } }

local function why(mark)
  local bit = require "bit"
  local names = {}
  for _, d in ipairs(DISTURBED) do
    if bit.band(mark or 0, d[1]) ~= 0 then names[#names + 1] = d[2] end
  end
  return #names > 0 and table.concat(names, ", ") or nil
end

local function tick_time(scale_of)
  local scale, name = units.time_unit(scale_of)
  return function(v) return (("%.4g %s"):format(v / scale, name)) end
end

-- Samples by process; one list where they were not kept apart.
local function groups_of(case)
  local list = {}
  for _, p in ipairs(case.processes or {}) do
    if type(p.samples_ns) == "table" and #p.samples_ns > 0 then list[#list + 1] = p.samples_ns end
  end
  if #list > 1 then return list end
  return { case.samples_ns or {} }
end

local function ecdf_points(samples, x, y)
  local sorted = {}
  for i, v in ipairs(samples) do sorted[i] = v end
  table.sort(sorted)
  local n, points = #sorted, {}
  local step = math.max(1, math.floor(n / MOST_DRAWN))
  for i = 1, n do
    if i == 1 or i == n or i % step == 0 then
      points[#points + 1], points[#points + 2] = x.at(sorted[i]), y.at((i - 1) / n)
      points[#points + 1], points[#points + 2] = x.at(sorted[i]), y.at(i / n)
    end
  end
  return points
end

local function draw_ecdf(case, groups, range)
  local x = svg.linear(range[1], range[2], BOX[1], BOX[3], 5)
  local y = svg.linear(0, 1, BOX[4], BOX[2], 4)
  x.format, x.title = tick_time(case.time.median), "time of a sample"
  y.format, y.title = function(v) return ("%g %%"):format(v * 100) end, "samples up to it"
  local c = svg.open(WIDTH, HEIGHT, "distribution of samples")
  local ci = case.time.ci95
  if ci and ci[1] and ci[2] then
    svg.rect(c, x.at(ci[1]), BOX[2], math.max(1, x.at(ci[2]) - x.at(ci[1])), BOX[4] - BOX[2], "interval",
      "95 % interval of the median")
  end
  svg.axes(c, BOX, x, y)
  for _, samples in ipairs(groups) do
    svg.path(c, ecdf_points(samples, x, y), (#groups > 1 and "step thin" or "step") .. " s1")
  end
  svg.line(c, x.at(case.time.median), BOX[2], x.at(case.time.median), BOX[4], "median")
  return svg.close(c)
end

local function draw_series(case, groups, range)
  local total = 0
  for _, samples in ipairs(groups) do total = total + #samples end
  local x = svg.linear(0.5, total + 0.5, BOX[1], BOX[3], 6)
  local y = svg.linear(range[1], range[2], BOX[4], BOX[2], 4)
  x.format, x.title = function(v) return v == math.floor(v) and v > 0 and ("%d"):format(v) or "" end, "sample"
  y.format = tick_time(case.time.median)
  local c = svg.open(WIDTH, HEIGHT, "samples in order")
  svg.axes(c, BOX, x, y)
  local marks = case.marks or {}
  local index, step = 0, math.max(1, math.floor(total / MOST_DRAWN))
  for g, samples in ipairs(groups) do
    if g > 1 then svg.line(c, x.at(index + 0.5), BOX[2], x.at(index + 0.5), BOX[4], "split") end
    for _, v in ipairs(samples) do
      index = index + 1
      local disturbed = why(marks[index])
      local edge = v <= range.least or v >= range.most
      if disturbed then svg.circle(c, x.at(index), y.at(v), 2.6, "dot off", disturbed)
      elseif edge or index % step == 0 then svg.circle(c, x.at(index), y.at(v), 1.9, "dot k1") end
    end
  end
  svg.line(c, BOX[1], y.at(case.time.median), BOX[3], y.at(case.time.median), "median")
  return svg.close(c)
end

-- HTML of both drawings, or nil where the record has no samples.
function M.draw(case)
  if not case.time or type(case.samples_ns) ~= "table" or #case.samples_ns < 2 then return nil end
  local groups = groups_of(case)
  local lo, hi = svg.range(case.samples_ns, 0.05)
  local range = { lo, hi, least = math.huge, most = -math.huge }
  for _, v in ipairs(case.samples_ns) do range.least, range.most = math.min(range.least, v), math.max(range.most, v) end
  return '<div class="columns wide"><div>' .. draw_ecdf(case, groups, range) .. "</div><div>"
    .. draw_series(case, groups, range)
    .. "</div></div>"
end

return M

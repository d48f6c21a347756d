-- roofline.lua: a scenario's cases against the machine's measured ceilings: FLOP/s over FLOP per byte, both on log
-- scales. The slanted roof is the read bandwidth, the flat ones the peak rates of the classes of instructions that the
-- cases use.
local axes_of = require "luabench.report.axes"
local suggest = require "luabench.suggest"
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

local WIDTH, HEIGHT = 1040, 430
local BOX = { 78, 18, 905, 376 }

local function positive(x) return type(x) == "number" and x > 0 and x or nil end

-- The best ceilings of the device and threads of these cases; what the machine block does not know is taken from the
-- readings next to the cases. { read =, ops = { type = rate } }
function M.ceilings(result, cases)
  local out, c = { ops = {} }, cases[1]
  for key, one in pairs(result.machine.ceilings or {}) do
    if c and key:find(("| %s | %d threads"):format(c.device or "?", c.threads or 0), 1, true) then
      out.read = positive(one.read_bytes_per_s) or out.read
      for name, rate in pairs(one.ops_per_s or {}) do out.ops[name] = positive(rate) end
    end
  end
  for _, case in ipairs(cases) do
    local near = case.ceilings or {}
    out.read = math.max(out.read or 0, near.read_bytes_per_s or 0)
    for name, rate in pairs(near.ops_per_s or {}) do out.ops[name] = math.max(out.ops[name] or 0, rate) end
  end
  if out.read == 0 then out.read = nil end
  return out
end

-- Cases that have a place in the drawing.
local function points_of(cases)
  local list = {}
  for _, c in ipairs(cases) do
    local w, r = c.work or {}, c.rate or {}
    if c.status == "ok" and c.time and positive(c.time.median) and positive(w.flops) and positive(w.bytes)
      and positive(r.flops_per_s) then
      list[#list + 1] = { case = c, x = w.flops / w.bytes, y = r.flops_per_s }
    end
  end
  return list
end

local function used_types(points, ops)
  local used, list = {}, {}
  for _, p in ipairs(points) do
    local t = (p.case.sol or {}).compute_type
    if t and ops[t] then used[t] = true end
  end
  for _, name in ipairs(suggest.keys(next(used) and used or ops)) do list[#list + 1] = name end
  table.sort(list, function(a, b) return ops[a] < ops[b] end)
  return list
end

local function scales(points, ceilings, types)
  local xs, ys = {}, {}
  for i, p in ipairs(points) do xs[i], ys[i] = p.x, p.y end
  for _, name in ipairs(types) do
    ys[#ys + 1] = ceilings.ops[name]
    if ceilings.read then xs[#xs + 1] = ceilings.ops[name] / ceilings.read end
  end
  local xlo, xhi = svg.range(xs, 0.08, true)
  local ylo, yhi = svg.range(ys, 0.08, true)
  local x, y = svg.log(xlo, xhi, BOX[1], BOX[3], 8), svg.log(ylo, yhi, BOX[4], BOX[2], 6)
  x.format = function(v) return units.count(v) end
  y.format = function(v) return units.si(v, "FLOP/s", 2) end
  x.title, y.title = "FLOP per byte", nil
  return x, y
end

-- The memory roof from the left edge (or the bottom) to the highest flat one, its name along it.
local function memory_roof(c, x, y, read, top)
  local x1 = math.max(x.lo, y.lo / read)
  local x2 = math.min(x.hi, (top or y.hi) / read)
  if x2 <= x1 then return end
  svg.path(c, { x.at(x1), y.at(read * x1), x.at(x2), y.at(read * x2) }, "roof")
  local ax, ay, bx, by = x.at(x1), y.at(read * x1), x.at(x2), y.at(read * x2)
  local angle = math.deg(math.atan2(by - ay, bx - ax))
  local mx, my = ax + (bx - ax) * 0.3, ay + (by - ay) * 0.3
  c[#c + 1] = ('<g transform="translate(%s %s) rotate(%s)">'):format(svg.n(mx), svg.n(my), svg.n(angle))
  svg.text(c, 0, -7, "read " .. units.si(read, "B/s"), { class = "roof-label", anchor = "middle" })
  c[#c + 1] = "</g>"
end

local function compute_roofs(c, x, y, ceilings, types)
  local last = math.huge
  for i = #types, 1, -1 do
    local rate = ceilings.ops[types[i]]
    local from = ceilings.read and math.max(x.lo, rate / ceilings.read) or x.lo
    if from < x.hi then
      svg.path(c, { x.at(from), y.at(rate), x.at(x.hi), y.at(rate) }, i == #types and "roof" or "roof thin")
    end
    local at = y.at(rate) + 4
    if last < math.huge then at = math.max(at, last + 13) end
    last = at
    svg.text(c, BOX[3] + 8, at, ("%s %s"):format(types[i], units.si(rate, "FLOP/s", 3)), { class = "roof-label" })
  end
end

local function tip(p, varying)
  local s = p.case.sol or {}
  local of = s.fraction and ("\n%s of the %s ceiling"):format(units.percent(s.fraction), s.bound or "?") or ""
  return ("%s\n%s, %s, %s per byte%s"):format(axes_of.label(p.case, varying), units.time(p.case.time.median),
    units.si(p.y, "FLOP/s"), units.si(p.x, "FLOP"), of)
end

-- HTML, or nil where no case has FLOPs, bytes and a rate, or no ceiling is known.
function M.draw(result, cases, varying)
  local points = points_of(cases)
  local ceilings = M.ceilings(result, cases)
  if #points == 0 or not ceilings.read and not next(ceilings.ops) then return nil end
  local types = used_types(points, ceilings.ops)
  local x, y = scales(points, ceilings, types)
  local c = svg.open(WIDTH, HEIGHT, "roofline")
  svg.axes(c, BOX, x, y)
  if ceilings.read then memory_roof(c, x, y, ceilings.read, types[1] and ceilings.ops[types[#types]]) end
  compute_roofs(c, x, y, ceilings, types)
  local colour = axes_of.colour_axis(varying)
  for _, p in ipairs(points) do
    svg.circle(c, x.at(p.x), y.at(p.y), 5, "point k" .. axes_of.colour(colour, p.case), tip(p, varying))
  end
  return axes_of.legend(colour) .. svg.close(c)
end

return M

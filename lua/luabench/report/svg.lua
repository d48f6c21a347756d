-- svg.lua: what the report's drawings share: escaping, scales with ticks, frames with axes. Colours and strokes are
-- classes of report/style.lua, so that a drawing follows the page from light to dark. No script.
local M = {}

local floor, log, log10, max, min, abs = math.floor, math.log, math.log10, math.max, math.min, math.abs

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

function M.escape(text) return (tostring(text):gsub('[&<>"]', ENTITIES)) end

-- A coordinate: two decimals are a hundredth of a pixel.
function M.n(x) return (("%.2f"):format(x):gsub("%.?0+$", "")) end

-- ---- scales: { at = function(value) -> pixels, ticks = { value, ... }, minor = { ... } } ----

-- 1, 2 or 5 times a power of ten, so that about `count` steps fill the span.
local function nice_step(span, count)
  local raw = span / max(1, count)
  local power = 10 ^ floor(log10(raw))
  for _, m in ipairs { 1, 2, 5, 10 } do
    if raw <= m * power * 1.0001 then return m * power end
  end
end

function M.linear(lo, hi, from, to, count)
  if not (hi > lo) then lo, hi = lo - abs(lo) * 0.05 - 1e-12, hi + abs(hi) * 0.05 + 1e-12 end
  local scale = { lo = lo, hi = hi, ticks = {}, minor = {} }
  local step = nice_step(hi - lo, count or 5)
  local v = math.ceil(lo / step - 1e-9) * step
  while v <= hi + step * 1e-9 do
    scale.ticks[#scale.ticks + 1] = abs(v) < step * 1e-9 and 0 or v
    v = v + step
  end
  scale.at = function(x) return from + (x - lo) / (hi - lo) * (to - from) end
  return scale
end

-- Values above 0. Less than a factor of 4 is drawn with evenly spaced ticks (they are few in a decade).
function M.log(lo, hi, from, to, count)
  if not (hi > lo) then lo, hi = lo / 1.1, hi * 1.1 end
  local scale = { lo = lo, hi = hi, ticks = {}, minor = {} }
  scale.at = function(x) return from + log(x / lo) / log(hi / lo) * (to - from) end
  if hi / lo < 4 then
    scale.ticks = M.linear(lo, hi, 0, 1, count).ticks
    return scale
  end
  local decades = log10(hi / lo)
  local every = max(1, math.ceil(decades / max(2, count or 6)))
  for power = floor(log10(lo)), math.ceil(log10(hi)) do
    for _, m in ipairs { 1, 2, 5 } do
      local v = m * 10 ^ power
      local major = m == 1 and power % every == 0 or decades <= 2 and every == 1
      if v >= lo * 0.9999 and v <= hi * 1.0001 then table.insert(major and scale.ticks or scale.minor, v) end
    end
  end
  return scale
end

-- The range of numbers with a margin; on a log scale the margin is a factor.
function M.range(list, margin, logarithmic)
  local lo, hi = math.huge, -math.huge
  for _, v in ipairs(list) do lo, hi = min(lo, v), max(hi, v) end
  if logarithmic then
    local f = (hi / lo) ^ margin * (hi > lo and 1 or 1.05)
    return lo / f, hi * f
  end
  local pad = (hi - lo) * margin
  return lo - pad, hi + pad
end

-- ---- drawing: a canvas is a list of strings ----

function M.open(width, height, title)
  return { ('<svg viewBox="0 0 %d %d" role="img" aria-label="%s" style="max-width:%dpx">'):format(width, height,
    M.escape(title), width) }
end

function M.close(c)
  c[#c + 1] = "</svg>"
  return table.concat(c, "\n")
end

function M.line(c, x1, y1, x2, y2, class)
  c[#c + 1] = ('<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>'):format(class, M.n(x1), M.n(y1), M.n(x2), M.n(y2))
end

-- opts: class, anchor ("middle", "end"), rotate (degrees around the point)
function M.text(c, x, y, text, opts)
  opts = opts or {}
  local at = ('x="%s" y="%s"'):format(M.n(x), M.n(y))
  if opts.class then at = ('class="%s" %s'):format(opts.class, at) end
  if opts.anchor then at = at .. (' text-anchor="%s"'):format(opts.anchor) end
  if opts.rotate then at = at .. (' transform="rotate(%d %s %s)"'):format(opts.rotate, M.n(x), M.n(y)) end
  c[#c + 1] = ("<text %s>%s</text>"):format(at, M.escape(text))
end

local function titled(tag, title)
  if not title then return tag end
  return ("%s><title>%s</title></%s>"):format(tag:match "^(.*)/>$", M.escape(title), tag:match "^<(%w+)")
end

function M.circle(c, x, y, r, class, title)
  c[#c + 1] = titled(('<circle class="%s" cx="%s" cy="%s" r="%s"/>'):format(class, M.n(x), M.n(y), M.n(r)), title)
end

function M.rect(c, x, y, w, h, class, title)
  c[#c + 1] = titled(('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>'):format(class, M.n(x), M.n(y),
    M.n(max(0, w)), M.n(max(0, h))), title)
end

-- points = { x1, y1, x2, y2, ... }; closed paths are filled by their class.
function M.path(c, points, class, closed, title)
  local parts = {}
  for i = 1, #points, 2 do
    parts[#parts + 1] = (i == 1 and "M" or "L") .. M.n(points[i]) .. " " .. M.n(points[i + 1])
  end
  if closed then parts[#parts + 1] = "Z" end
  c[#c + 1] = titled(('<path class="%s" d="%s"/>'):format(class, table.concat(parts)), title)
end

-- Grid lines and labels of both axes, and the axis titles. box = { left, top, right, bottom }; x and y: scales with
-- format = function(value) -> text, and title.
function M.axes(c, box, x, y)
  local left, top, right, bottom = unpack(box)
  for _, v in ipairs(x.minor) do M.line(c, x.at(v), top, x.at(v), bottom, "grid minor") end
  for _, v in ipairs(y.minor) do M.line(c, left, y.at(v), right, y.at(v), "grid minor") end
  for _, v in ipairs(x.ticks) do
    M.line(c, x.at(v), top, x.at(v), bottom, "grid")
    M.text(c, x.at(v), bottom + 16, x.format(v), { class = "tick", anchor = "middle" })
  end
  for _, v in ipairs(y.ticks) do
    M.line(c, left, y.at(v), right, y.at(v), "grid")
    M.text(c, left - 7, y.at(v) + 4, y.format(v), { class = "tick", anchor = "end" })
  end
  M.line(c, left, bottom, right, bottom, "axis")
  if x.title then M.text(c, (left + right) / 2, bottom + 34, x.title, { class = "axis-title", anchor = "middle" }) end
  if y.title then
    M.text(c, 13, (top + bottom) / 2, y.title, { class = "axis-title", anchor = "middle", rotate = -90 })
  end
end

return M

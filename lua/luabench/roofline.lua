-- roofline.lua: the rates that memory and arithmetic allow, drawn with characters.
--
-- Both axes are logarithmic: operations per byte to the right, operations per second upwards. A memory is a slope, a
-- peak a level line. With UTF-8 a character is 2 x 4 dots of Braille; in plain ASCII it is one mark.
local units = require "luabench.units"

local M = {}

local floor, max, min = math.floor, math.max, math.min
local function log2(x) return math.log(x) / math.log(2) end

local ROOM = 32       -- columns that a plot should have

local COLOURS = { memory = "\27[36m", peak = "\27[33m", reset = "\27[0m" }

-- A canvas of w x h characters; set(x, y, kind) with x, y in [0, 1] from the lower left.
local function canvas(w, h, unicode)
  local dots_x, dots_y = unicode and 2 or 1, unicode and 4 or 1
  local cells, kinds = {}, {}
  local c = { columns = w * dots_x, rows = h * dots_y }
  -- The order of the bits of a Braille character, by column and row.
  local BITS = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } }
  function c.set(x, y, kind)
    local px, py = floor(x * (c.columns - 1) + 0.5), floor((1 - y) * (c.rows - 1) + 0.5)
    if px < 0 or py < 0 or px >= c.columns or py >= c.rows then return end
    local cx, cy = floor(px / dots_x), floor(py / dots_y)
    local at = cy * w + cx
    if unicode then
      cells[at] = require("bit").bor(cells[at] or 0, BITS[px % 2 + 1][py % 4 + 1])
    else
      local mark = kind == "memory" and "/" or "-"
      cells[at] = cells[at] and cells[at] ~= mark and "+" or mark
    end
    kinds[at] = kind
  end
  -- Line `row` from the top, 0-based.
  function c.line(row, colour)
    local out = {}
    for x = 0, w - 1 do
      local cell, text = cells[row * w + x], " "
      if cell and unicode then
        local code = 0x2800 + cell
        text = string.char(0xe2, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
      elseif cell then text = cell end
      if cell and colour then text = COLOURS[kinds[row * w + x]] .. text .. COLOURS.reset end
      out[#out + 1] = text
    end
    return table.concat(out)
  end
  return c
end

-- Puts each label on the free row nearest to where it belongs; returns row -> text. Labels that find none are left out.
local function place(labels, rows)
  local taken = {}
  for _, l in ipairs(labels) do
    local want = max(0, min(rows - 1, floor(l.at * (rows - 1) + 0.5)))
    for off = 0, rows - 1 do
      local row = not taken[want + off] and want + off < rows and want + off
        or not taken[want - off] and want - off >= 0 and want - off or nil
      if row then
        taken[row] = l.text
        break
      end
    end
  end
  return taken
end

local function intensity_text(power)
  return power < 0 and "1/" .. 2 ^ -power or tostring(2 ^ power)
end

-- Marks at powers of four (or more, where there is no room) under a plot of `width` characters.
local function axis(lo, hi, width)
  local step = 2
  while (hi - lo) / step * 8 > width do step = step * 2 end
  local line = (" "):rep(width)
  for power = math.ceil(lo / step) * step, hi, step do
    local text = intensity_text(power)
    local at = floor((power - lo) / (hi - lo) * (width - 1) + 0.5) - floor(#text / 2)
    at = max(0, min(width - #text, at))
    if line:sub(at + 1, at + #text + 1):find "^%s*$" then line = line:sub(1, at) .. text .. line:sub(at + #text + 1) end
  end
  return line
end

local function by_rate(a, b) return a.rate > b.rate end

-- Peaks within 5 % of one another are one line, with all their names.
local function merged(peaks)
  local out = {}
  for _, p in ipairs(peaks) do
    local last = out[#out]
    if last and p.rate > 0.95 * last.rate then last.name, last.more = last.name .. ", " .. p.name, last.more + 1
    else out[#out + 1] = { name = p.name, short = p.name, more = 0, rate = p.rate } end
  end
  return out
end

-- memories, peaks: lists of { name, rate } in bytes/s and operations/s; opts = { width = 80, height = 14, unicode =,
-- colour = }. Returns a list of lines; nil if there is nothing to draw.
function M.draw(memories, peaks, opts)
  if #memories == 0 or #peaks == 0 then return nil end
  memories, peaks = { unpack(memories) }, { unpack(peaks) }
  table.sort(memories, by_rate)
  table.sort(peaks, by_rate)
  peaks = merged(peaks)
  local fastest, slowest = memories[1].rate, memories[#memories].rate
  local top, bottom = peaks[1].rate, peaks[#peaks].rate
  -- from where the slowest memory gives a quarter of the lowest peak... to where it gives four times the highest
  local x0, x1 = floor(log2(bottom / fastest)) - 2, math.ceil(log2(top / slowest)) + 2
  local y0, y1 = log2(slowest) + x0, log2(top) + 0.3
  local left, right, height = 0, 0, opts.height or 14
  local slopes, levels = {}, {}
  for i, m in ipairs(memories) do
    slopes[i] = { text = m.name .. " " .. units.si(m.rate, "B/s"), at = 1 - (log2(m.rate) + x0 - y0) / (y1 - y0) }
    left = max(left, #slopes[i].text)
  end
  -- where there is little room, of peaks that share a line the first is named, and how many more there are
  local width = 0
  for _, short in ipairs { false, true } do
    if width < ROOM then
      right = 0
      for i, p in ipairs(peaks) do
        local name = short and p.more > 0 and ("%s +%d"):format(p.short, p.more) or p.name
        levels[i] = { text = name .. " " .. units.si(p.rate, "OP/s"), at = 1 - (log2(p.rate) - y0) / (y1 - y0) }
        right = max(right, #levels[i].text)
      end
      width = max(20, (opts.width or 80) - left - right - 4)
    end
  end
  local c = canvas(width, height, opts.unicode)
  for i = 0, c.columns - 1 do
    local x = i / (c.columns - 1)
    local power = x0 + x * (x1 - x0)
    for _, p in ipairs(peaks) do
      if log2(fastest) + power >= log2(p.rate) then c.set(x, (log2(p.rate) - y0) / (y1 - y0), "peak") end
    end
    for _, m in ipairs(memories) do
      local y = log2(m.rate) + power
      if y <= log2(top) then c.set(x, (y - y0) / (y1 - y0), "memory") end
    end
  end
  local at_left, at_right = place(slopes, height), place(levels, height)
  local lines, bar = {}, opts.unicode and "\226\148\130" or "|"
  for row = 0, height - 1 do
    lines[#lines + 1] = ((("%%%ds %%s"):format(left)):format(at_left[row] or "", bar) .. c.line(row, opts.colour) .. " "
      .. (at_right[row] or "")):gsub("%s+$", "")
  end
  local corner = opts.unicode and "\226\148\148" .. ("\226\148\128"):rep(width) or "+" .. ("-"):rep(width)
  lines[#lines + 1] = (" "):rep(left + 1) .. corner
  lines[#lines + 1] = (" "):rep(left + 2) .. axis(x0, x1, width) .. " operations/byte"
  return lines
end

return M

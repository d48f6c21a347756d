-- table.lua: the table for people: aligned, units scaled, a section per group, as wide as the terminal allows.
local columns = require "luabench.columns"

local M = { about = "aligned text for a terminal", endings = { "txt", "table" } }

local CODES = { bold = "\27[1m", dim = "\27[2m", red = "\27[31m", yellow = "\27[33m", reset = "\27[0m" }
local NOISY = "  noisy" -- after the last column
local STATUS_COLOUR = { failed = "red", invalid = "red", crashed = "red", timeout = "red", skipped = "dim" }

-- Characters, not bytes: continuation bytes of UTF-8 do not count.
local function width(s)
  local _, n = s:gsub("[^\128-\191]", "")
  return n
end

local function pad(s, w, left)
  local fill = (" "):rep(math.max(0, w - width(s)))
  return left and s .. fill or fill .. s
end

local function paint(s, colour, on)
  if not on or not colour then return s end
  return CODES[colour] .. s .. CODES.reset
end

local function widths_of(cols, cases)
  local list = {}
  for i, col in ipairs(cols) do
    local w = width(col.title)
    for _, c in ipairs(cases) do
      local text = (c.status == "ok" or col.axis) and col.cell(c) or nil
      if text then w = math.max(w, width(text)) end
    end
    list[i] = w
  end
  return list
end

-- Takes columns out, the most spare first, until the rest fits; returns the rest, their widths and what is hidden.
local function fit(cols, cases, limit)
  local hidden = {}
  for _, c in ipairs(cases) do
    if limit and c.status == "ok" and c.disturbance and c.disturbance.noisy then
      limit = limit - width(NOISY)
      break
    end
  end
  local list = {}
  for i, c in ipairs(cols) do list[i] = c end
  while true do
    local widths = widths_of(list, cases)
    local total = 2 * math.max(0, #list - 1)
    for _, w in ipairs(widths) do total = total + w end
    local worst
    for i, c in ipairs(list) do
      if c.spare and (not worst or c.spare > list[worst].spare) then worst = i end
    end
    if not limit or total <= limit or not worst then return list, widths, hidden end
    table.insert(hidden, list[worst].title)
    table.remove(list, worst)
  end
end

-- Wraps words to `limit` characters; following lines are indented by `indent`.
local function wrap(text, limit, indent)
  local lines, line = {}, ""
  for word in text:gmatch("%S+") do
    if line ~= "" and width(line) + 1 + width(word) > limit then
      lines[#lines + 1] = line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. (" "):rep(indent))
end

local function row_text(case, cols, widths, opts)
  local cells, used = {}, 0
  for i, col in ipairs(cols) do
    if case.status ~= "ok" and not col.axis then break end
    cells[i] = pad(col.cell(case) or "-", widths[i], col.left or col.axis)
    used = used + widths[i] + 2
  end
  local line = table.concat(cells, "  ")
  if case.status == "ok" then
    if case.disturbance and case.disturbance.noisy then line = line .. paint(NOISY, "yellow", opts.colour) end
    return (line:gsub("%s+$", ""))
  end
  local reason = case.status .. (case.reason and ": " .. case.reason or "")
  if opts.width and opts.width - used > 30 then reason = wrap(reason, opts.width - used, used) end
  return line .. (line ~= "" and "  " or "") .. paint(reason, STATUS_COLOUR[case.status], opts.colour)
end

local function header_text(cols, widths, opts)
  local cells = {}
  for i, col in ipairs(cols) do cells[i] = pad(col.title, widths[i], col.left or col.axis) end
  return paint((table.concat(cells, "  "):gsub("%s+$", "")), "bold", opts.colour)
end

local function write_scenario(s, out, opts)
  local cols, widths, hidden = fit(columns.of(s.cases, s.spec), s.cases, opts.width)
  out[#out + 1] = paint(s.name, "bold", opts.colour) .. (s.spec.about and ": " .. s.spec.about or "")
  for _, section in ipairs(columns.sections(s.cases, s.spec)) do
    out[#out + 1] = ""
    if section.title then out[#out + 1] = paint(section.title, "bold", opts.colour) end
    out[#out + 1] = header_text(cols, widths, opts)
    for _, c in ipairs(section.cases) do out[#out + 1] = row_text(c, cols, widths, opts) end
  end
  if #hidden > 0 then
    out[#out + 1] = paint(("hidden for want of width: %s"):format(table.concat(hidden, ", ")), "dim", opts.colour)
  end
end

local function counts(cases)
  local n, order = {}, { "ok", "skipped", "failed", "invalid", "crashed", "timeout" }
  for _, c in ipairs(cases) do n[c.status] = (n[c.status] or 0) + 1 end
  local parts = {}
  for _, status in ipairs(order) do
    if n[status] then parts[#parts + 1] = n[status] .. " " .. status end
  end
  return table.concat(parts, ", ")
end

-- opts.width: columns of the terminal (nil = no limit); opts.colour: paint with escape codes.
function M.write(result, opts)
  opts = opts or {}
  local out = {}
  for _, s in ipairs(columns.by_scenario(result)) do
    if #out > 0 then out[#out + 1] = "" end
    write_scenario(s, out, opts)
  end
  out[#out + 1] = ""
  for _, note in ipairs(result.notes or {}) do out[#out + 1] = note end
  out[#out + 1] = #result.cases == 0 and "no cases" or counts(result.cases)
  return table.concat(out, "\n") .. "\n"
end

return M

-- aligned.lua: rows of cells as text whose columns line up. Widths count characters, not bytes.
local M = {}

-- Characters of UTF-8: continuation bytes do not count.
function M.width(s)
  local _, n = s:gsub("[^\128-\191]", "")
  return n
end

function M.pad(s, w, left)
  local fill = (" "):rep(math.max(0, w - M.width(s)))
  return left and s .. fill or fill .. s
end

-- columns = { { title =, left = bool } }; rows = lists of texts, one for each column (nil = empty). Returns the lines,
-- the titles first, without blanks at their ends.
function M.lines(columns, rows)
  local widths = {}
  for i, c in ipairs(columns) do
    widths[i] = M.width(c.title)
    for _, row in ipairs(rows) do widths[i] = math.max(widths[i], M.width(row[i] or "")) end
  end
  local function line(cells)
    local parts = {}
    for i, c in ipairs(columns) do parts[i] = M.pad(cells[i] or "", widths[i], c.left) end
    return (table.concat(parts, "  "):gsub("%s+$", ""))
  end
  local titles, out = {}, {}
  for i, c in ipairs(columns) do titles[i] = c.title end
  out[1] = line(titles)
  for i, row in ipairs(rows) do out[i + 1] = line(row) end
  return out
end

return M

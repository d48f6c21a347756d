-- suggest.lua: "did you mean" for every place where a name is looked up.
local M = {}

local floor, min, max = math.floor, math.min, math.max

-- Number of single-character edits (insert, delete, replace, swap of neighbours) between two strings.
local function distance(a, b)
  local la, lb = #a, #b
  local before, previous, current = {}, {}, {}
  for j = 0, lb do previous[j] = j end
  for i = 1, la do
    current = { [0] = i }
    local ca = a:byte(i)
    for j = 1, lb do
      local cb = b:byte(j)
      local cost = ca == cb and 0 or 1
      local d = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost)
      if i > 1 and j > 1 and ca == b:byte(j - 1) and a:byte(i - 1) == cb then
        d = min(d, before[j - 2] + 1)
      end
      current[j] = d
    end
    before, previous = previous, current
  end
  return previous[lb]
end
M.distance = distance

-- The candidates close enough to `name` to be worth showing, nearest first (at most `limit`, default 3).
function M.nearest(name, candidates, limit)
  name = tostring(name):lower()
  local found = {}
  local allowed = max(1, floor(#name / 3))
  for _, candidate in ipairs(candidates) do
    local c = tostring(candidate):lower()
    local d = distance(name, c)
    if d > allowed and #name >= 3 and (c:find(name, 1, true) == 1 or name:find(c, 1, true) == 1) and #c >= 2 then
      d = allowed
    end
    if d <= allowed and d < #name then found[#found + 1] = { tostring(candidate), d } end
  end
  table.sort(found, function(x, y) if x[2] ~= y[2] then return x[2] < y[2] end return x[1] < y[1] end)
  local names = {}
  for i = 1, min(limit or 3, #found) do names[i] = found[i][1] end
  return names
end

-- '; did you mean "x" or "y"?', or the whole list where it is short, or "".
function M.hint(name, candidates)
  local near = M.nearest(name, candidates)
  if #near > 0 then
    for i, n in ipairs(near) do near[i] = '"' .. n .. '"' end
    return "; did you mean " .. table.concat(near, " or ") .. "?"
  end
  if #candidates == 0 then return "; there is none" end
  local sorted = {}
  for i, c in ipairs(candidates) do sorted[i] = tostring(c) end
  table.sort(sorted)
  if #sorted <= 24 then return "; there are: " .. table.concat(sorted, ", ") end
  return ""
end

-- Sorted keys of a table, as a list.
function M.keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end

-- Raises, blaming the caller at `level`, if `t` has a key that `allowed` (a set) lacks.
function M.check_keys(t, allowed, what, level)
  for _, k in ipairs(M.keys(t)) do
    if allowed[k] == nil then
      error(("%s has no field %s%s"):format(what, type(k) == "string" and '"' .. k .. '"' or tostring(k),
        M.hint(k, M.keys(allowed))), (level or 1) + 1)
    end
  end
end

return M

-- grid.lua: the cases of a scenario: products, zips, ranges and predicates over named axes.
--
--   lb.grid{ m = {1, 8}, quant = {"q4_k", "q8_0"} }            all 4 combinations; axes in alphabetical order
--   lb.grid{ {"m", {1, 8}}, {"quant", {"q4_k"}} }              the same with an order of one's own
--   lb.grid{ m = {...}, n = {...} }:order{"n", "m"}            the first axis varies slowest
--   :where(function(axes) return axes.m <= axes.n end)         keeps some
--   :zip{ k = {2048, 1408}, n = {1408, 2048} }                 axes that move together, multiplied with the rest
local suggest = require "luabench.suggest"

local M = {}
local Grid = {}
Grid.__index = function(_, key)
  local method = rawget(Grid, key)
  if method == nil then
    error(("a grid has no method %q%s"):format(tostring(key), suggest.hint(key, { "where", "zip", "order", "axes",
      "expand", "override" })), 2)
  end
  return method
end
Grid.__tostring = function(g) return ("grid of %d cases over %s"):format(#g:expand(), table.concat(g:axes(), ", ")) end

local SCALAR = { number = true, string = true, boolean = true }

local function check_values(name, values, level)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    error(("an axis is named by a Lua identifier, got %s"):format(tostring(name)), level + 1)
  end
  if SCALAR[type(values)] then values = { values } end
  if type(values) ~= "table" then
    error(("axis %q needs a list of values, got %s"):format(name, type(values)), level + 1)
  end
  local copy, seen, count = {}, {}, 0
  for _ in pairs(values) do count = count + 1 end
  for i, v in ipairs(values) do
    if not SCALAR[type(v)] or v ~= v then
      error(("axis %q, value %d: a number, string or boolean was expected, got %s"):format(name, i,
        v ~= v and "NaN" or type(v)), level + 1)
    end
    if seen[v] then error(("axis %q has the value %s twice"):format(name, tostring(v)), level + 1) end
    seen[v] = true
    copy[i] = v
  end
  if #copy == 0 or count ~= #copy then
    error(("axis %q needs a list with at least one value and no other keys"):format(name), level + 1)
  end
  return copy
end

-- Both spellings of an axes table as an ordered list of {name, values}.
local function listed(axes, level)
  local list = {}
  if axes[1] ~= nil then
    for i, pair in ipairs(axes) do
      if type(pair) ~= "table" then
        error(("entry %d of a grid should be {name, values}, got %s"):format(i, type(pair)), level + 1)
      end
      list[i] = { name = pair[1], values = check_values(pair[1], pair[2], level + 1) }
    end
    return list
  end
  for _, name in ipairs(suggest.keys(axes)) do
    list[#list + 1] = { name = name, values = check_values(name, axes[name], level + 1) }
  end
  return list
end

local function add_factor(self, factor, level)
  for _, axis in ipairs(factor) do
    if self.by_name[axis.name] then error(("axis %q is given twice"):format(axis.name), level + 1) end
    self.by_name[axis.name] = axis
  end
  self.factors[#self.factors + 1] = factor
end

function M.grid(axes)
  if type(axes) ~= "table" then error("lb.grid takes a table of axes, got " .. type(axes), 2) end
  local self = setmetatable({ factors = {}, by_name = {}, filters = {} }, Grid)
  for _, axis in ipairs(listed(axes, 2)) do add_factor(self, { axis }, 2) end
  return self
end

-- Axes that move together: all lists have the same length.
function Grid:zip(axes)
  if type(axes) ~= "table" then error("grid:zip takes a table of axes, got " .. type(axes), 2) end
  local factor = listed(axes, 2)
  if #factor == 0 then error("grid:zip needs at least one axis", 2) end
  for _, axis in ipairs(factor) do
    if #axis.values ~= #factor[1].values then
      error(("zipped axes need equally many values: %q has %d, %q has %d"):format(factor[1].name, #factor[1].values,
        axis.name, #axis.values), 2)
    end
  end
  add_factor(self, factor, 2)
  return self
end

-- Keeps the cases for which f(axes) is true.
function Grid:where(f)
  if type(f) ~= "function" then error("grid:where takes a function of the axes, got " .. type(f), 2) end
  self.filters[#self.filters + 1] = f
  return self
end

-- The axes named come first, in this order; the others keep theirs.
function Grid:order(names)
  if type(names) ~= "table" then error("grid:order takes a list of axis names, got " .. type(names), 2) end
  local ordered, taken = {}, {}
  for _, name in ipairs(names) do
    if not self.by_name[name] then
      error(("grid:order: no axis %q%s"):format(tostring(name), suggest.hint(name, self:axes())), 2)
    end
    for _, factor in ipairs(self.factors) do
      for _, axis in ipairs(factor) do
        if axis.name == name and not taken[factor] then
          taken[factor] = true
          ordered[#ordered + 1] = factor
        end
      end
    end
  end
  for _, factor in ipairs(self.factors) do
    if not taken[factor] then ordered[#ordered + 1] = factor end
  end
  self.factors = ordered
  return self
end

-- Names of the axes, in order.
function Grid:axes()
  local names = {}
  for _, factor in ipairs(self.factors) do
    for _, axis in ipairs(factor) do names[#names + 1] = axis.name end
  end
  return names
end

-- Replaces an axis's values (the command line does). A zipped axis leaves its zip only if the zip has it alone.
function Grid:override(name, values)
  local axis = self.by_name[name]
  if not axis then error(("no axis %q%s"):format(tostring(name), suggest.hint(name, self:axes())), 2) end
  for _, factor in ipairs(self.factors) do
    if #factor > 1 then
      for _, a in ipairs(factor) do
        if a == axis then
          error(("axis %q is zipped with others and cannot be given alone; filter with --only instead"):format(name), 2)
        end
      end
    end
  end
  axis.values = check_values(name, values, 2)
  return self
end

-- All cases as a list of tables axis -> value; the last axis varies fastest.
function Grid:expand(limit)
  limit = limit or 1e6
  local cases = { {} }
  for _, factor in ipairs(self.factors) do
    local grown = {}
    if #cases * #factor[1].values > limit then
      error(("the grid has more than %d cases"):format(limit), 2)
    end
    for _, case in ipairs(cases) do
      for i = 1, #factor[1].values do
        local copy = {}
        for k, v in pairs(case) do copy[k] = v end
        for _, axis in ipairs(factor) do copy[axis.name] = axis.values[i] end
        grown[#grown + 1] = copy
      end
    end
    cases = grown
  end
  if #self.factors == 0 then cases = { {} } end
  local kept = {}
  for _, case in ipairs(cases) do
    local keep = true
    for _, f in ipairs(self.filters) do
      if not f(case) then keep = false break end
    end
    if keep then kept[#kept + 1] = case end
  end
  return kept
end

function M.is_grid(x) return getmetatable(x) == Grid end

-- lb.range(first, last[, step]): first, first + step, ... up to and with last.
function M.range(first, last, step)
  step = step or 1
  for name, v in pairs { first = first or false, last = last or false, step = step } do
    if type(v) ~= "number" or v ~= v or math.abs(v) == math.huge then
      error(("lb.range: %s should be a finite number, got %s"):format(name, tostring(v)), 2)
    end
  end
  if step == 0 or (last - first) / step < 0 then
    error(("lb.range(%g, %g, %g) has no values: the step leads away from the end"):format(first, last, step), 2)
  end
  local n = math.floor((last - first) / step + 1e-9)
  if n >= 1e6 then error("lb.range has more than a million values", 2) end
  local list = {}
  for i = 0, n do list[i + 1] = first + i * step end
  return list
end

-- lb.pow2(first, last): first, 2 first, 4 first, ... up to and with last.
function M.pow2(first, last)
  if type(first) ~= "number" or type(last) ~= "number" or not (first > 0) or not (last >= first)
    or last == math.huge then
    error(("lb.pow2(first, last) needs 0 < first <= last, got %s, %s"):format(tostring(first), tostring(last)), 2)
  end
  local list = {}
  while first <= last do
    list[#list + 1] = first
    first = first * 2
  end
  return list
end

return M

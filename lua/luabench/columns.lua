-- columns.lua: what a table shows of the cases: named columns, their cells, groups and order of rows.
--
-- A column is { title=, cell=function(case) -> text or nil, left=bool, axis=bool, spare=rank }.
-- Columns without any value are left out; those with the highest `spare` go first where a terminal is too narrow.
local units = require "luabench.units"
local record = require "luabench.record"
local suggest = require "luabench.suggest"

local M = {}

-- record, "a.b.c" -> value or nil
local function field(case, path)
  local v = case
  for part in path:gmatch("[^.]+") do
    if type(v) ~= "table" then return nil end
    v = v[part]
  end
  if type(v) == "table" and v.median ~= nil then v = v.median end
  return v
end
M.field = field

local function of(path, unit)
  return function(case)
    local v = field(case, path)
    if v == nil then return nil end
    return units.show(v, unit)
  end
end

-- Half-width of the 95 % interval as a share of the median.
local function interval(case)
  local t = case.time
  if not t or not t.median or type(t.ci95) ~= "table" or not t.ci95[1] or not t.ci95[2] then return nil end
  local half = (t.ci95[2] - t.ci95[1]) / 2 / t.median * 100
  return (half < 10 and "±%.1f %%" or "±%.0f %%"):format(half)
end

local function ceiling(case)
  local s = case.sol
  if not s or not s.fraction then return nil end
  local name = s.bound or "?"
  if s.bound == "compute" and s.compute_type then name = s.compute_type end
  return units.percent(s.fraction) .. " " .. name
end

-- "slower 1.034x": the verdict and the time over the baseline's.
local function versus(case)
  local m = case.metrics and case.metrics.versus
  if not m then return nil end
  if not m.median then return "not compared" end
  return ("%s %.3fx"):format(m.verdict, m.median)
end

local function launches(case)
  if type(case.path) ~= "table" then return nil end
  local n = 0
  for _, p in ipairs(case.path) do n = n + (p.launches or 0) end
  return units.count(n)
end

local function items_rate(case)
  local r = field(case, "rate.items_per_s")
  return r and units.si(r, "") :gsub(" $", "") or nil
end

local function quantization_error(case)
  local q = case.quantization_error
  if type(q) ~= "table" then return nil end
  local e = q.output_rel_rmse or q.rel_rmse
  return e and units.percent(e) or nil
end

M.known = {
  time = { title = "time", cell = of("time.median", "ns") },
  ci = { title = "95 %", cell = interval, spare = 2 },
  min = { title = "min", cell = of("time.min", "ns"), spare = 6 },
  items = { title = "items/s", cell = items_rate, spare = 0 },
  flops = { title = "FLOP/s", cell = of("rate.flops_per_s", "flop/s"), spare = 5 },
  bytes = { title = "B/s", cell = of("rate.bytes_per_s", "B/s"), spare = 4 },
  speedup = { title = "speed-up", cell = of("metrics.speedup", "x"), spare = 0.5 },
  versus = { title = "against baseline", cell = versus, left = true, spare = 0.6 },
  ceiling = { title = "of ceiling", cell = ceiling, spare = 1 },
  fraction = { title = "of ceiling", cell = of("sol.fraction", "fraction") },
  bound = { title = "bound", cell = of("sol.bound"), left = true },
  weights = { title = "weights", cell = of("memory.weights_bytes", "B"), spare = 3 },
  nmse = { title = "NMSE", cell = of("check.nmse", "error"), spare = 7 },
  quantization = { title = "quant. error", cell = quantization_error, spare = 3 },
  bits = { title = "bits/weight", cell = of("quantization_error.bits_per_weight"), spare = 8 },
  sqnr = { title = "SQNR", cell = of("quantization_error.sqnr_db", "dB"), spare = 8 },
  launches = { title = "launches", cell = launches, spare = 6 },
  samples = { title = "samples", cell = of("time.samples", "count"), spare = 9 },
  status = { title = "status", cell = of("status"), left = true },
  device = { title = "device", cell = of("device"), left = true, spare = 9 },
  threads = { title = "threads", cell = of("threads"), spare = 9 },
  mode = { title = "mode", cell = of("mode"), left = true, spare = 9 },
  cache = { title = "cache", cell = of("cache"), left = true, spare = 9 },
}
M.default = { "time", "ci", "items", "speedup", "versus", "ceiling", "bytes", "flops", "weights", "nmse",
  "quantization" }

local function axis_column(name)
  return { title = name, axis = true, cell = function(case)
    local v = case.axes[name]
    if v == nil then return nil end
    return record.value_text(v)
  end }
end

-- Raises (level 0) for names that are neither a known column nor an axis. Called where a script is loaded.
function M.validate(columns, names)
  local all = suggest.keys(M.known)
  for _, n in ipairs(names) do all[#all + 1] = n end
  for i, c in ipairs(columns or {}) do
    if type(c) == "string" then
      local found = M.known[c] ~= nil
      for _, n in ipairs(names) do found = found or n == c end
      if not found then error(("columns[%d]: no column %q%s"):format(i, c, suggest.hint(c, all)), 0) end
    elseif type(c) ~= "table" or not (type(c.axis) == "string" or type(c.title) == "string"
        and type(c.field) == "string") then
      error(("columns[%d] should be a name, { title =, field =, unit = } or { axis = }"):format(i), 0)
    end
  end
end

local function resolve(spec, names)
  local wanted, list = spec.columns, {}
  local is_axis = {}
  for _, n in ipairs(names) do is_axis[n] = true end
  if not wanted then
    wanted = {}
    for _, n in ipairs(names) do wanted[#wanted + 1] = n end
    for _, n in ipairs(M.default) do wanted[#wanted + 1] = n end
  end
  for _, c in ipairs(wanted) do
    if type(c) == "table" and c.axis then
      if is_axis[c.axis] and c.axis ~= spec.group then list[#list + 1] = axis_column(c.axis) end
    elseif type(c) == "table" then
      list[#list + 1] = { title = c.title, cell = of(c.field, c.unit), spare = c.spare }
    elseif is_axis[c] then
      if c ~= spec.group then list[#list + 1] = axis_column(c) end
    else
      list[#list + 1] = M.known[c]
    end
  end
  return list
end

local function compare_values(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then
    if a ~= b then return a < b, true end
    return false, false
  end
  if a == b then return false, false end
  if a == nil then return false, true end
  if b == nil then return true, true end
  return tostring(a) < tostring(b), true
end

local function sorted(cases, sort)
  local keys = type(sort) == "table" and sort or sort and { sort } or {}
  local rows = {}
  for i, c in ipairs(cases) do rows[i] = { c, i } end
  table.sort(rows, function(x, y)
    for _, key in ipairs(keys) do
      local path = key == "time" and "time.median" or key
      local a = x[1].axes[key]
      local b = y[1].axes[key]
      if a == nil and b == nil then a, b = field(x[1], path), field(y[1], path) end
      local less, differ = compare_values(a, b)
      if differ then return less end
    end
    return x[2] < y[2]
  end)
  for i, r in ipairs(rows) do rows[i] = r[1] end
  return rows
end

-- Cases of one scenario as sections: { { title = "tokens = 1" or nil, cases = {...} } }.
function M.sections(cases, spec)
  if not spec.group then return { { cases = sorted(cases, spec.sort) } } end
  local by, order = {}, {}
  for _, c in ipairs(cases) do
    local v = c.axes[spec.group]
    local text = record.value_text(v)
    if not by[text] then
      by[text] = { title = spec.group .. " = " .. text, value = v, cases = {} }
      order[#order + 1] = by[text]
    end
    table.insert(by[text].cases, c)
  end
  table.sort(order, function(a, b)
    local less, differ = compare_values(a.value, b.value)
    if differ then return less end
    return a.title < b.title
  end)
  for _, s in ipairs(order) do s.cases = sorted(s.cases, spec.sort) end
  return order
end

-- The columns that have a value in any of the cases; the unit of items follows the cases ("tokens/s").
function M.of(cases, spec)
  local kept = {}
  for _, column in ipairs(resolve(spec, spec.names or {})) do
    local any = column.axis
    for _, c in ipairs(cases) do
      if any then break end
      any = c.status == "ok" and column.cell(c) ~= nil
    end
    if any then
      if column == M.known.items then
        local item
        for _, c in ipairs(cases) do item = item or field(c, "work.item") end
        column = { title = (item or "item") .. "s/s", cell = column.cell }
      end
      kept[#kept + 1] = column
    end
  end
  return kept
end

-- The cases of a result by scenario, in order of appearance: { { name=, spec=, cases= } }.
function M.by_scenario(result)
  local list, by = {}, {}
  for _, c in ipairs(result.cases) do
    local s = by[c.scenario]
    if not s then
      local spec = result.layout and result.layout[c.scenario]
      if not spec then
        spec = { names = suggest.keys(c.axes) }
      end
      s = { name = c.scenario, spec = spec, cases = {} }
      by[c.scenario] = s
      list[#list + 1] = s
    end
    table.insert(s.cases, c)
  end
  return list
end

return M

-- table.lua: the report's tables: results with a bar for the time, checks with what each format costs.
local axes_of = require "luabench.report.axes"
local columns = require "luabench.columns"
local svg = require "luabench.report.svg"

local M = {}

local e = svg.escape

-- Rows in groups: all axes but the one that colours say which group; { { title, cases } }.
local function groups_of(cases, varying, colour_axis)
  if not colour_axis or #varying < 2 then return { { cases = cases } } end
  local by, list = {}, {}
  for _, c in ipairs(cases) do
    local key = axes_of.label(c, varying, { [colour_axis.name] = true })
    if not by[key] then
      by[key] = { title = key, cases = {} }
      list[#list + 1] = by[key]
    end
    table.insert(by[key].cases, c)
  end
  if #list * 2 > #cases then return { { cases = cases } } end
  return list
end

local function time_of(c) return c.status == "ok" and c.time and c.time.median or nil end

local function extremes(cases)
  local least, most
  for _, c in ipairs(cases) do
    local t = time_of(c)
    if t then least, most = math.min(least or t, t), math.max(most or t, t) end
  end
  return least, most
end

local function result_row(c, cols, least, most, alone)
  local out = {}
  for _, col in ipairs(cols) do
    local text = (c.status == "ok" or col.axis) and col.cell(c) or nil
    local class = (col.left or col.axis) and "left" or nil
    if col == cols.time and text and not alone and time_of(c) == least then class = "best" end
    if c.status == "ok" or col.axis then
      out[#out + 1] = ("<td%s>%s</td>"):format(class and ' class="' .. class .. '"' or "", e(text or ""))
    end
    if col == cols.time and c.status == "ok" then
      out[#out + 1] = ('<td class="bar"><span style="width:%.1f%%"></span></td>'):format(100 * time_of(c) / most)
    end
  end
  if c.status == "ok" then
    out[#out + 1] = ('<td class="left">%s</td>'):format(c.disturbance and c.disturbance.noisy
      and '<span class="warn">noisy</span>' or "")
  else
    local axes = 0
    for _, col in ipairs(cols) do axes = axes + (col.axis and 1 or 0) end
    out[#out + 1] = ('<td class="reason" colspan="%d"><b class="%s">%s</b>%s</td>'):format(#cols - axes + 2,
      c.status == "skipped" and "faint" or "bad", e(c.status), c.reason and ": " .. e(c.reason) or "")
  end
  return "<tr>" .. table.concat(out) .. "</tr>"
end

-- Bytes of weights and errors of the result are in the other table.
local SHOWN = { "time", "ci", "items", "speedup", "ceiling", "bytes", "flops", "quantization" }

-- Columns as in the terminal's table; where groups say an axis, its column is left out.
local function columns_for(cases, names, grouped, colour_axis)
  local shown = {}
  for _, n in ipairs(names) do
    if not grouped or colour_axis.name == n then shown[#shown + 1] = n end
  end
  local wanted = {}
  for _, n in ipairs(shown) do wanted[#wanted + 1] = n end
  for _, n in ipairs(SHOWN) do wanted[#wanted + 1] = n end
  local cols = columns.of(cases, { names = shown, columns = wanted })
  for _, col in ipairs(cols) do
    if col.title == columns.known.time.title and not col.axis then cols.time = col end
  end
  return cols
end

function M.results(cases, names, varying)
  local colour_axis = axes_of.colour_axis(varying)
  local groups = groups_of(cases, varying, colour_axis)
  local cols = columns_for(cases, names, #groups > 1, colour_axis)
  local out, width = { '<div class="scroll"><table><thead><tr>' }, 1
  for _, col in ipairs(cols) do
    out[#out + 1] = ("<th%s>%s</th>"):format((col.left or col.axis) and ' class="left"' or "", e(col.title))
    width = width + 1
    if col == cols.time then
      out[#out + 1] = "<th></th>"
      width = width + 1
    end
  end
  out[#out + 1] = "<th></th></tr></thead><tbody>"
  for _, g in ipairs(groups) do
    if g.title then out[#out + 1] = ('<tr class="group"><td colspan="%d">%s</td></tr>'):format(width, e(g.title)) end
    local least, most = extremes(g.cases)
    for _, c in ipairs(g.cases) do out[#out + 1] = result_row(c, cols, least, most, #g.cases == 1) end
  end
  out[#out + 1] = "</tbody></table></div>"
  return table.concat(out, "\n")
end

local CHECKS = {
  { title = "NMSE", field = "check.nmse", unit = "error" },
  { title = "allowed", field = "check.tolerance", unit = "error" },
  { title = "largest error", field = "check.max_abs", unit = "error" },
  { title = "after timing", field = "check.after" },
  { title = "bits/weight", field = "quantization_error.bits_per_weight" },
  { title = "SQNR", field = "quantization_error.sqnr_db", unit = "dB" },
  { title = "weights' error", field = "quantization_error.rel_rmse", unit = "fraction" },
  { title = "output's error", field = "quantization_error.output_rel_rmse", unit = "fraction" },
  { title = "weights", field = "memory.weights_bytes", unit = "B" },
}

-- nil where no case was checked.
function M.checks(cases, names)
  local wanted, ok = {}, {}
  for _, c in ipairs(cases) do
    if c.check then ok[#ok + 1] = c end
  end
  if #ok == 0 then return nil end
  for _, n in ipairs(names) do wanted[#wanted + 1] = n end
  for _, c in ipairs(CHECKS) do wanted[#wanted + 1] = c end
  local cols = columns.of(ok, { names = names, columns = wanted })
  local out = { '<div class="scroll"><table><thead><tr>' }
  for _, col in ipairs(cols) do
    out[#out + 1] = ("<th%s>%s</th>"):format((col.left or col.axis) and ' class="left"' or "", e(col.title))
  end
  out[#out + 1] = "<th>check</th></tr></thead><tbody>"
  for _, c in ipairs(ok) do
    out[#out + 1] = "<tr>"
    for _, col in ipairs(cols) do
      out[#out + 1] = ("<td%s>%s</td>"):format((col.left or col.axis) and ' class="left"' or "", e(col.cell(c) or ""))
    end
    out[#out + 1] = c.check.passed and '<td class="good">passed</td></tr>' or '<td class="bad">failed</td></tr>'
  end
  out[#out + 1] = "</tbody></table></div>"
  return table.concat(out, "\n")
end

return M

-- show.lua: what `luabench model` prints: two models side by side, by category, and what they wrote.
local aligned = require "luabench.aligned"
local summary = require "luabench.model_bench.summary"
local units = require "luabench.units"

local M = {}

local function value_text(v, unit)
  if v == nil then return "-" end
  if unit == "ns" then return units.time(v) end
  if unit == "B" then return units.bytes(v) end
  if unit == "tokens/s" then return units.significant(v, 4) .. " tok/s" end
  if unit == "fraction" then return units.percent(v) end
  if unit == "%" then return units.significant(v) .. " %" end
  if unit == "x" then return ("%.4fx"):format(v) end
  if unit == "points" then return ("%.3f points"):format(v * 100) end
  if unit == "bits" then return ("%.3f"):format(v) end
  if unit == "nats" then return ("%.3g nats"):format(v) end
  if unit == "ppl" then return units.significant(v, 5) end
  return units.count(v)
end

local function difference_text(v, unit)
  if v == nil then return "" end
  if unit == "fraction" then return ("%+.2f points"):format(v * 100) end
  local text = value_text(math.abs(v), unit)
  return (v < 0 and "-" or "+") .. text
end

local function ratio_text(r) return r and units.significant(r, 4) .. "x" or "" end
M.value_text, M.difference_text, M.ratio_text = value_text, difference_text, ratio_text

-- The four texts of a row of summary.compare: both values, their difference, their ratio.
function M.cells(r)
  local unit = summary.shown_unit(r)
  return value_text(r.original, unit), value_text(r.quantized, unit), difference_text(r.difference, unit),
    ratio_text(r.ratio)
end

-- The lines of the side-by-side table.
function M.side_by_side(a, b)
  local columns = { { title = "", left = true }, { title = a.name } }
  if b then
    for _, title in ipairs { b.name, "difference", "ratio" } do columns[#columns + 1] = { title = title } end
  end
  local rows = {}
  for _, r in ipairs(summary.compare(a, b)) do
    if r.heading then rows[#rows + 1] = { r.heading }
    else
      local x, y, difference, ratio = M.cells(r)
      rows[#rows + 1] = { "  " .. summary.label(r), x, b and y, b and difference, b and ratio }
    end
  end
  return aligned.lines(columns, rows)
end

local function category_cells(c)
  return value_text(c.time_to_first_token and c.time_to_first_token.median, "ns"),
    value_text(c.prompt.rate, "tokens/s"), value_text(c.generation.rate, "tokens/s")
end

local function ratio_of(x, y) return x and y and x ~= 0 and y / x or nil end

-- Time to first token, prompt rate and generation rate of each category.
function M.categories(a, b)
  local columns = { { title = "category", left = true } }
  for _, what in ipairs { "first token", "prompt", "generation" } do
    columns[#columns + 1] = { title = b and what .. " " .. a.name or what }
    if b then
      columns[#columns + 1] = { title = b.name }
      columns[#columns + 1] = { title = "ratio" }
    end
  end
  local rows = {}
  for i, x in ipairs(a.categories) do
    local y = b and b.categories[i]
    local t, p, g = category_cells(x)
    if not y then
      rows[i] = { x.category, t, p, g }
    else
      local t2, p2, g2 = category_cells(y)
      rows[i] = { x.category,
        t, t2, ratio_text(ratio_of(x.time_to_first_token and x.time_to_first_token.median,
          y.time_to_first_token and y.time_to_first_token.median)),
        p, p2, ratio_text(ratio_of(x.prompt.rate, y.prompt.rate)),
        g, g2, ratio_text(ratio_of(x.generation.rate, y.generation.rate)) }
    end
  end
  return aligned.lines(columns, rows)
end

local function one_line(text, width)
  text = text:gsub("%s+", " "):gsub("%c", "?")
  if aligned.width(text) <= width then return text end
  local cut = text:sub(1, width)
  while aligned.width(cut) > width - 3 or cut:byte(-1) and cut:byte(-1) >= 128 do cut = cut:sub(1, -2) end
  return cut .. "..."
end

-- What each wrote, a line a model; in full in the result file.
function M.texts(side_a, side_b, width)
  local lines = {}
  for i, r in ipairs(side_a.records) do
    local other = side_b and side_b.records[i]
    local any = r.generated and r.generated.text or other and other.generated and other.generated.text
    if any then
      lines[#lines + 1] = r.axes.prompt
      for _, one in ipairs { { side_a, r }, { side_b, other } } do
        if one[2] then
          local text = one[2].generated and one[2].generated.text
          text = text and one_line(text, width - 13) or one[2].reason or "-"
          lines[#lines + 1] = ("  %-9s  %s"):format(one[1].name, text)
        end
      end
    end
  end
  return lines
end

local function types_text(s)
  local list = {}
  for name, bytes in pairs(s.weight_types or {}) do list[#list + 1] = { name, bytes } end
  table.sort(list, function(x, y) return x[2] > y[2] end)
  for i, t in ipairs(list) do list[i] = ("%s %s"):format(t[1], units.bytes(t[2])) end
  return table.concat(list, ", ")
end

-- A line or two on each model.
function M.heads(...)
  local lines = {}
  for _, s in ipairs { ... } do
    lines[#lines + 1] = ("%-9s  %s%s"):format(s.name or "?", s.path or "?",
      s.random_weights and "  (RANDOM WEIGHTS)" or "")
    if s.type then
      lines[#lines + 1] = ("           %s, %s weights: %s; %s, %s %s"):format(s.type, units.count(s.parameters),
        types_text(s), s.device or "?", tostring(s.threads or "?"), s.threads == 1 and "thread" or "threads")
    end
    if s.note then lines[#lines + 1] = "           " .. s.note end
  end
  return lines
end

-- The reason that all records of a side have, if it is one.
local function common(records)
  local first = records[1]
  for _, r in ipairs(records) do
    if r.status == "ok" or r.status ~= first.status or r.reason ~= first.reason then return nil end
  end
  return #records > 1 and first or nil
end

-- What was skipped or went wrong, a line each.
function M.problems(...)
  local lines = {}
  for _, side in ipairs { ... } do
    local all = common(side.records)
    if all then
      lines[#lines + 1] = ("%s, all %d prompts: %s: %s"):format(side.name, #side.records, all.status, all.reason or "?")
    end
    for _, r in ipairs(side.records) do
      if r.status ~= "ok" and not all then
        lines[#lines + 1] = ("%s %s: %s: %s"):format(side.name, r.axes.prompt, r.status, r.reason or "?")
      end
    end
    local q = side.quality
    if q and q.reason then
      lines[#lines + 1] = ("%s: quality: %s: %s"):format(side.name, q.status or "failed", q.reason)
    end
    local asked = q and q.questions
    if asked and asked.reason then
      lines[#lines + 1] = ("%s: questions: %s: %s"):format(side.name, asked.status or "failed", asked.reason)
    end
    local reasons = asked and asked.reasons or {}
    if reasons[1] then                        -- all of them are in the result file
      lines[#lines + 1] = ("%s: questions: %d skipped; the first: %s"):format(side.name, #reasons, reasons[1])
    end
    if q and q.no_comparison then lines[#lines + 1] = ("%s: KL divergence: %s"):format(side.name, q.no_comparison) end
  end
  return lines
end

return M

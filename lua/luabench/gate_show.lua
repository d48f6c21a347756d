-- gate_show.lua: what gate.compare found, as text for a terminal, as Markdown for a pull request, as JSON for programs.
local aligned = require "luabench.aligned"
local json = require "luabench.json"
local units = require "luabench.units"

local M = {}

M.SCHEMA = "luabench-compare/1"

-- ---- cells ----

local function percent(ratio)
  if not ratio then return nil end
  local x = (ratio - 1) * 100
  local text = ("%+.2f %%"):format(x)
  if math.abs(x) >= 10 then text = ("%+.1f %%"):format(x) end
  return math.abs(x) >= 1000 and ("%.3gx"):format(ratio) or text
end

local function interval(row)
  if not row.ci95 then return nil end
  return ("%+.2f to %+.2f %%"):format((row.ci95[1] - 1) * 100, (row.ci95[2] - 1) * 100)
end

local function value(x, metric)
  if x == nil then return "-" end
  return units.show(x, metric.unit)
end

local function processes(row)
  if not row.n then return nil end
  return row.n == row.m and tostring(row.n) or ("%d, %d"):format(row.n, row.m)
end

local function verdict_text(row)
  return row.verdict .. (row.reason and ": " .. row.reason or "")
end

-- Rows by metric and scenario, in order of appearance.
local function sections(report)
  local list, by = {}, {}
  for _, metric in ipairs(report.metrics) do
    for _, row in ipairs(report.rows) do
      if row.metric == metric.name then
        local key = metric.name .. "\0" .. row.scenario
        if not by[key] then
          by[key] = { metric = metric, scenario = row.scenario, rows = {} }
          list[#list + 1] = by[key]
        end
        table.insert(by[key].rows, row)
      end
    end
  end
  return list
end

local COLUMNS = { { title = "case", left = true }, { title = "BASE" }, { title = "NEW" }, { title = "change" },
  { title = "95 %" }, { title = "processes" }, { title = "verdict", left = true } }

local function cells_of(row, metric)
  return { row.name ~= "" and row.name or row.scenario, value(row.base, metric), value(row.new, metric),
    percent(row.ratio),
    interval(row), processes(row), verdict_text(row) }
end

-- ---- head and foot ----

local function side_text(name, side)
  local r, run = side.result, side.result.run
  local at = run.started and run.started:gsub("T", " "):gsub(":%d%d%.%d+Z$", "")
  local version = ("luabench %s%s"):format(run.version or "?", run.commit and (" (%s%s)"):format(run.commit,
    run.dirty and ", changed" or "") or "")
  return ("%-4s  %s: %d cases, %s, %s"):format(name, side.file, #r.cases, at or "date unknown", version)
end

local ORDER = { "slower", "worse", "broken", "faster", "better", "fixed", "changed", "same", "inconclusive", "none" }

local function counts_text(report)
  local parts, shown = {}, {}
  local function add(v)
    if report.counts[v] and not shown[v] then
      shown[v] = true
      parts[#parts + 1] = ("%d %s"):format(report.counts[v], v == "none" and "without a verdict" or v)
    end
  end
  for _, v in ipairs(ORDER) do add(v) end
  local rest = {}
  for v in pairs(report.counts) do rest[#rest + 1] = v end
  table.sort(rest)
  for _, v in ipairs(rest) do add(v) end
  if #report.missing > 0 then parts[#parts + 1] = ("%d missing in NEW"):format(#report.missing) end
  if #report.added > 0 then parts[#parts + 1] = ("%d only in NEW"):format(#report.added) end
  return #parts > 0 and table.concat(parts, ", ") or "no cases in common"
end

-- The cases that make the status 1, in words: "slower: gemm m=1, gemm m=8; broken: ...".
function M.regressions(report)
  local by, order = {}, {}
  for _, list in ipairs { report.statuses, report.rows } do
    for _, row in ipairs(list) do
      if row.worse then
        local what = row.verdict .. (row.metric and row.metric ~= "time" and " " .. row.metric or "")
        if not by[what] then
          by[what] = {}
          order[#order + 1] = what
        end
        table.insert(by[what], row.scenario .. (row.name ~= "" and " " .. row.name or ""))
      end
    end
  end
  for i, what in ipairs(order) do order[i] = what .. ": " .. table.concat(by[what], "; ") end
  return order
end

local function conclusion(report)
  if report.refused then return "no verdict: the results are from different machines" end
  if report.regression then return "REGRESSION" end
  for v in pairs(report.counts) do
    if v ~= "inconclusive" and not v:find "^still" then return "no regression found" end
  end
  return "nothing can be decided"
end
M.conclusion = conclusion

-- How much a change must be, where it counts.
local function threshold_text(report)
  return ("a change counts from %s on"):format(units.percent(report.threshold))
end

local FEW = "A verdict needs several processes on both sides, because samples of one process are no independent "
  .. "measurements: run both with --processes 10."
local CAVEAT = "BASE and NEW did not run side by side: what the machine did in between counts as a change too; "
  .. "`luabench ab` interleaves them."

-- ---- text ----

local COLOUR = { slower = "31", worse = "31", broken = "31", faster = "32", better = "32", fixed = "32",
  inconclusive = "33" }

local function paint(line, row, on)
  local code = on and COLOUR[row.verdict]
  if not code then return line end
  local at = line:find(verdict_text(row), 1, true)
  return at and line:sub(1, at - 1) .. "\27[" .. code .. "m" .. line:sub(at) .. "\27[0m" or line
end

local function add_list(out, title, list)
  if #list == 0 then return end
  out[#out + 1] = ""
  out[#out + 1] = title .. ":"
  for _, item in ipairs(list) do out[#out + 1] = "  " .. item end
end

local function texts(list)
  local out = {}
  for i, d in ipairs(list) do out[i] = d.text end
  return out
end

local function status_lines(report)
  local out = {}
  for i, row in ipairs(report.statuses) do
    out[i] = ("%s%s: %s"):format(row.scenario, row.name ~= "" and " " .. row.name or "", verdict_text(row))
  end
  return out
end

function M.text(report, base, new, opts)
  local out = { side_text("BASE", base), side_text("NEW", new) }
  add_list(out, "the machines differ", texts(report.machine.other))
  add_list(out, "also different", texts(report.machine.notes))
  for _, s in ipairs(sections(report)) do
    out[#out + 1] = ""
    out[#out + 1] = ("%s: %s; %s"):format(s.scenario, s.metric.title, threshold_text(report))
    local rows = {}
    for i, row in ipairs(s.rows) do rows[i] = cells_of(row, s.metric) end
    for i, line in ipairs(aligned.lines(COLUMNS, rows)) do
      out[#out + 1] = i == 1 and line or paint(line, s.rows[i - 1], opts and opts.colour)
    end
  end
  add_list(out, "cases that are not ok", status_lines(report))
  add_list(out, "missing in NEW", report.missing)
  add_list(out, "only in NEW", report.added)
  out[#out + 1] = ""
  if report.few then out[#out + 1] = FEW end
  if #report.rows > 0 then out[#out + 1] = CAVEAT end
  out[#out + 1] = ("%s: %s"):format(conclusion(report), counts_text(report))
  for _, line in ipairs(M.regressions(report)) do out[#out + 1] = "  " .. line end
  return table.concat(out, "\n") .. "\n"
end

-- ---- Markdown ----

local function escape(text) return (tostring(text):gsub("[|\\`*_<>]", "\\%0"):gsub("[\r\n]+", " ")) end

local LOUD = { slower = true, worse = true, broken = true, faster = true, better = true, fixed = true }

local function md_row(row, metric)
  local cells = cells_of(row, metric)
  for i = 1, #COLUMNS do cells[i] = escape(cells[i] or "") end
  if LOUD[row.verdict] then
    cells[7] = "**" .. escape(row.verdict) .. "**" .. (row.reason and ": " .. escape(row.reason) or "")
  end
  return "| " .. table.concat(cells, " | ") .. " |"
end

local function md_table(out, rows, metric)
  local titles, rule = {}, {}
  for i, c in ipairs(COLUMNS) do titles[i], rule[i] = c.title, c.left and ":--" or "--:" end
  out[#out + 1] = "| " .. table.concat(titles, " | ") .. " |"
  out[#out + 1] = "| " .. table.concat(rule, " | ") .. " |"
  for _, row in ipairs(rows) do out[#out + 1] = md_row(row, metric) end
end

local function details(out, title, body)
  out[#out + 1] = ""
  out[#out + 1] = ("<details><summary>%s</summary>"):format(title)
  out[#out + 1] = ""
  body()
  out[#out + 1] = ""
  out[#out + 1] = "</details>"
end

local function md_list(out, title, list)
  if #list == 0 then return end
  out[#out + 1] = ""
  out[#out + 1] = ("**%s**"):format(title)
  out[#out + 1] = ""
  for _, item in ipairs(list) do out[#out + 1] = "- " .. escape(item) end
end

-- What changed stands open; what did not is folded.
function M.markdown(report, base, new)
  local out = { "### luabench: " .. conclusion(report), "",
    counts_text(report) .. "; " .. threshold_text(report) .. "." }
  md_list(out, "The machines differ", texts(report.machine.other))
  md_list(out, "Cases that are not ok", status_lines(report))
  for _, s in ipairs(sections(report)) do
    local loud, calm = {}, {}
    for _, row in ipairs(s.rows) do table.insert(LOUD[row.verdict] and loud or calm, row) end
    out[#out + 1] = ""
    out[#out + 1] = ("#### %s: %s"):format(escape(s.scenario), escape(s.metric.title))
    out[#out + 1] = ""
    if #loud > 0 then md_table(out, loud, s.metric) else out[#out + 1] = "Nothing changed that statistics support." end
    if #calm > 0 then
      details(out, ("%d without a change that statistics support"):format(#calm),
        function() md_table(out, calm, s.metric) end)
    end
  end
  md_list(out, "Missing in NEW", report.missing)
  md_list(out, "Only in NEW", report.added)
  if report.few then
    out[#out + 1] = ""
    out[#out + 1] = FEW
  end
  details(out, "How this was compared", function()
    out[#out + 1] = "- `" .. side_text("BASE", base) .. "`"
    out[#out + 1] = "- `" .. side_text("NEW", new) .. "`"
    out[#out + 1] = "- machine: " .. escape(new.result.machine.cpu or "unknown")
    for _, d in ipairs(report.machine.notes) do out[#out + 1] = "- " .. escape(d.text) end
    out[#out + 1] = "- The process is what repeats: medians of processes, exact rank-sum intervals, Holm over the "
      .. "rows. " .. CAVEAT
  end)
  return table.concat(out, "\n") .. "\n"
end

-- ---- JSON ----

local ROW = { "metric", "scenario", "case", "base", "new", "ratio", "ci95", "processes", "verdict", "reason",
  "regression", "p", "p_holm", "detectable" }

local function json_row(row)
  return { metric = row.metric, scenario = row.scenario, case = row.name, base = row.base, new = row.new,
    ratio = row.ratio, ci95 = row.ci95, processes = row.n and json.array { row.n, row.m } or nil,
    verdict = row.verdict, reason = row.reason,
    regression = row.worse or false, p = row.p_difference, p_holm = row.p_holm, detectable = row.detectable }
end

local function json_side(side)
  return { file = side.file, run = side.result.run, cpu = side.result.machine.cpu, cases = #side.result.cases }
end

function M.json(report, base, new)
  local rows, statuses, names, differences = {}, {}, {}, {}
  for i, row in ipairs(report.rows) do rows[i] = json_row(row) end
  for i, row in ipairs(report.statuses) do
    statuses[i] = { scenario = row.scenario, case = row.name, base = row.statuses[1], new = row.statuses[2],
      verdict = row.verdict, reason = row.reason, regression = row.worse or false }
  end
  for i, m in ipairs(report.metrics) do names[i] = m.name end
  for i, d in ipairs(report.machine.other) do differences[i] = { what = d.what, base = d.base, new = d.new } end
  local out = { schema = M.SCHEMA, base = json_side(base), new = json_side(new), threshold = report.threshold,
    metrics = json.array(names), machine_differences = json.array(differences), refused = report.refused or false,
    regression = report.regression, rows = json.array(rows), statuses = json.array(statuses),
    missing = json.array(report.missing), added = json.array(report.added), counts = report.counts }
  return json.encode(out, { pretty = true, order = { "schema", "base", "new", "threshold", "metrics",
    "machine_differences", "refused", "regression", { "rows", ROW }, "statuses", "missing", "added", "counts" } })
      .. "\n"
end

return M

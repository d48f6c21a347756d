-- page.lua: a result as one HTML file that needs nothing else: no script, no network, fonts of the reader's system.
local axes_of = require "luabench.report.axes"
local case_of = require "luabench.report.case"
local columns = require "luabench.columns"
local latency = require "luabench.report.latency"
local roofline = require "luabench.report.roofline"
local suggest = require "luabench.suggest"
local svg = require "luabench.report.svg"
local table_of = require "luabench.report.table"
local tradeoff = require "luabench.report.tradeoff"
local units = require "luabench.units"

local M = {}

local e = svg.escape

local function card(title, body, note)
  if not body or body == "" then return "" end
  return ('<div class="card">%s%s%s</div>'):format(title and "<h3>" .. e(title) .. "</h3>" or "",
    note and '<p class="note">' .. note .. "</p>" or "", body)
end

-- ---- the head ----

local TONE = { ok = "good", failed = "bad", invalid = "bad", crashed = "bad", timeout = "bad" }

local function pills(cases)
  local counts, noisy = {}, 0
  for _, c in ipairs(cases) do
    counts[c.status] = (counts[c.status] or 0) + 1
    if c.status == "ok" and c.disturbance and c.disturbance.noisy then noisy = noisy + 1 end
  end
  local out = {}
  for _, status in ipairs { "ok", "failed", "invalid", "crashed", "timeout", "skipped" } do
    if counts[status] then
      out[#out + 1] = ('<span class="pill %s">%d %s</span>'):format(TONE[status] or "", counts[status], status)
    end
  end
  if noisy > 0 then out[#out + 1] = ('<span class="pill warn">%d noisy</span>'):format(noisy) end
  return '<div class="pills">' .. table.concat(out) .. "</div>"
end

local function head(result, title, scenarios)
  local run, m = result.run, result.machine
  local when = run.started and run.started:gsub("T", " "):gsub("%.%d+Z$", " UTC") or "date unknown"
  local version = (run.version or "?") .. (run.commit and (" (%s%s)"):format(run.commit,
    run.dirty and ", changed" or "") or "")
  local parts = { ("<h1>%s</h1>"):format(e(title)),
    ('<p class="sub">%s · %s · luabench %s</p>'):format(e(when), e(m.cpu or "unknown machine"), e(version)),
    pills(result.cases) }
  if #scenarios > 1 then
    parts[#parts + 1] = "<nav>"
    for i, s in ipairs(scenarios) do parts[#parts + 1] = ('<a href="#s%d">%s</a>'):format(i, e(s.name)) end
    parts[#parts + 1] = "</nav>"
  end
  return table.concat(parts, "\n")
end

-- ---- the machine ----

local function definition(out, name, value)
  if value ~= nil and value ~= "" then out[#out + 1] = ("<dt>%s</dt><dd>%s</dd>"):format(e(name), e(value)) end
end

local function bytes(x) return x and units.binary_bytes(x) or nil end

local function machine_card(result)
  local m, run = result.machine, result.run
  local cores, caches, out = m.cores or {}, m.caches or {}, {}
  definition(out, "CPU", m.cpu)
  definition(out, "cores", cores.physical and ("%s physical, %s logical, %s usable"):format(cores.physical,
    tostring(cores.logical or "?"), tostring(cores.usable or "?")))
  definition(out, "instruction sets", m.isa)
  definition(out, "caches", caches.l1d_bytes and ("L1d %s, L2 %s, last level %s in all"):format(bytes(caches.l1d_bytes),
    bytes(caches.l2_bytes) or "?", bytes(caches.llc_total_bytes) or "?"))
  definition(out, "memory", bytes(m.memory_bytes))
  for _, d in ipairs(m.devices or {}) do
    if d.name ~= "cpu" then definition(out, "device " .. d.name, d.model) end
  end
  definition(out, "system", m.os and m.kernel and m.os .. ", " .. m.kernel or m.os or m.kernel)
  definition(out, "governor", m.governor)
  definition(out, "compiler flags", run.flags)
  definition(out, "seed", run.seed and tostring(run.seed))
  return card("Machine", "<dl>" .. table.concat(out) .. "</dl>")
end

-- Keys of the ceilings of the devices and numbers of threads that these cases ran on; all where none is known.
local function ceilings_used(result)
  local all, newest = result.machine.ceilings or {}, {}
  for _, key in ipairs(suggest.keys(all)) do
    for _, c in ipairs(result.cases) do
      local mine = ("| %s | %d threads"):format(c.device or "?", c.threads or 0)
      local have = newest[mine]
      if key:find(mine, 1, true) and (not have or (all[key].when or "") > (all[have].when or "")) then
        newest[mine] = key
      end
    end
  end
  local used = {}
  for _, key in pairs(newest) do used[#used + 1] = key end
  table.sort(used)
  return #used > 0 and used or suggest.keys(all)
end

local MEMORY = { { "read", "read_bytes_per_s" }, { "copy", "copy_bytes_per_s" },
  { "streaming write", "write_bytes_per_s" } }

local function ceilings_card(result)
  local rows = {}
  for _, key in ipairs(ceilings_used(result)) do
    local c = result.machine.ceilings[key]
    local short = key:gsub("^.-%s|%s", ""):gsub("%s|%smethod.*$", ""):gsub("%s|%s", ", ")
    rows[#rows + 1] = ('<tr class="group"><td colspan="2">%s</td></tr>'):format(e(short))
    local function row(name, value)
      rows[#rows + 1] = ('<tr><td class="left">%s</td><td>%s</td></tr>'):format(e(name), e(value))
    end
    for _, b in ipairs(MEMORY) do
      if type(c[b[2]]) == "number" and c[b[2]] > 0 then row(b[1], units.si(c[b[2]], "B/s")) end
    end
    for _, name in ipairs(suggest.keys(c.ops_per_s or {})) do row(name, units.si(c.ops_per_s[name], "FLOP/s")) end
  end
  if #rows == 0 then return "" end
  return card("Measured ceilings", "<table><tbody>" .. table.concat(rows, "\n") .. "</tbody></table>",
    "The best ever seen on this machine. Each case is held against the ceiling measured next to it in time.")
end

local function callouts(result)
  local out = {}
  for _, w in ipairs(result.machine.warnings or {}) do
    out[#out + 1] = ('<div class="callout">%s</div>'):format(e(w))
  end
  return table.concat(out, "\n")
end

-- ---- a scenario ----

local BAD = { failed = true, invalid = true, crashed = true, timeout = true }
-- The table has them all.
local MOST_CALLOUTS = 5

local function problems(cases)
  local out = {}
  for _, c in ipairs(cases) do
    if BAD[c.status] and #out < MOST_CALLOUTS then
      out[#out + 1] = ('<div class="callout bad"><b>%s</b> %s%s</div>'):format(e(c.status), e(c.case),
        c.reason and ": " .. e(c.reason) or "")
    end
  end
  return table.concat(out, "\n")
end

local function describe(cases, names, varying)
  local parts, varies = {}, {}
  for _, a in ipairs(varying) do varies[a.name] = a end
  for _, name in ipairs(names) do
    local a = varies[name]
    if a then
      parts[#parts + 1] = ("%d values of <b>%s</b>"):format(#a.values, e(name))
    elseif cases[1].axes[name] ~= nil then
      parts[#parts + 1] = ("%s = %s"):format(e(name), e(tostring(cases[1].axes[name])))
    end
  end
  local c = cases[1]
  parts[#parts + 1] = e(("%s with %s threads"):format(c.device or "?", tostring(c.threads or "?")))
  parts[#parts + 1] = e(("%s, caches: %s"):format(c.mode or "?", c.cache or "?"))
  return '<p class="sub">' .. ("%d cases; "):format(#cases) .. table.concat(parts, "; ") .. "</p>"
end

local function fold(title, count, body)
  if #body == 0 then return "" end
  return ('<details class="folded"><summary>%s <span class="faint">(%d)</span></summary>'):format(e(title), count)
    .. table.concat(body, "\n") .. "</details>"
end

local function reproduce(cases)
  local lines = {}
  for _, c in ipairs(cases) do
    if c.reproduce then lines[#lines + 1] = e(c.reproduce) end
  end
  if #lines == 0 then return "" end
  return fold("Commands that run each case again", #lines, { "<pre>" .. table.concat(lines, "\n") .. "</pre>" })
end

local ROOF_NOTE = "Each dot is a case at its median time: FLOP/s over FLOP per byte that has to move. Above the "
  .. "slanted roof the data came from a cache."
local ERROR_NOTE = "Root mean square of the quantization error over that of the exact values; left and low is better."
local SAMPLES_NOTE = "One fold for each case. Red rings are samples that something else disturbed; none is dropped. "
  .. "Lines in the drawings are the median; the shade is its 95 % interval."

local function scenario(result, s, index)
  local cases = s.cases
  local names = axes_of.names(cases)
  local varying = axes_of.varying(cases, names)
  local out = { ('<h2 id="s%d">%s</h2>'):format(index, e(s.name)), describe(cases, names, varying), problems(cases) }
  out[#out + 1] = card("Results", table_of.results(cases, names, varying))
  out[#out + 1] = card("Against the machine's ceilings", roofline.draw(result, cases, varying), ROOF_NOTE)
  for _, block in ipairs(latency.by_axis(cases, varying)) do out[#out + 1] = card(nil, block) end
  local forest = latency.by_case(cases, varying)
  if forest and #varying > 0 then out[#out + 1] = card("Time of each case", forest) end
  out[#out + 1] = card("Time against error", tradeoff.draw(cases, varying), ERROR_NOTE)
  local axes = {}
  for i, a in ipairs(varying) do axes[i] = a.name end
  out[#out + 1] = card("Checks and what the formats cost", table_of.checks(cases, axes))
  local bodies = {}
  for _, c in ipairs(cases) do
    local body = case_of.details(c, varying)
    if body then bodies[#bodies + 1] = body end
  end
  if #bodies > 0 then
    out[#out + 1] = card("Samples and details", table.concat(bodies, "\n"), SAMPLES_NOTE)
  end
  out[#out + 1] = reproduce(cases)
  return table.concat(out, "\n")
end

-- The page's text. title: nil = from the scenarios.
function M.html(result, title)
  local scenarios = columns.by_scenario(result)
  local names = {}
  for i, s in ipairs(scenarios) do names[i] = s.name end
  title = title or (#names > 0 and table.concat(names, ", ") or "an empty result")
  local body = { head(result, title, scenarios), callouts(result),
    '<div class="columns" style="margin-top:18px">' .. machine_card(result) .. ceilings_card(result) .. "</div>" }
  body[#body + 1] = require("luabench.report.models").html(result)
  if #scenarios == 0 then body[#body + 1] = '<p class="sub">There is no case in this result.</p>' end
  for i, s in ipairs(scenarios) do body[#body + 1] = scenario(result, s, i) end
  local argv = result.run.argv and table.concat(result.run.argv, " ") or nil
  body[#body + 1] = "<footer>" .. (argv and "<p>" .. e(argv) .. "</p>" or "") .. "</footer>"
  return table.concat({ "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "<title>" .. e("luabench: " .. title) .. "</title>", "<style>" .. require "luabench.report.style" .. "</style>",
    "</head>", "<body>", "<main>", table.concat(body, "\n"), "</main>", "</body>", "</html>" }, "\n") .. "\n"
end

return M

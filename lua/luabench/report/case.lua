-- case.lua: one case of the report, folded: its statistics, what ran, its samples, and the command that runs it again.
local axes_of = require "luabench.report.axes"
local samples = require "luabench.report.samples"
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

local e = svg.escape

local function add(out, name, value)
  if value ~= nil and value ~= "" then out[#out + 1] = ("<dt>%s</dt><dd>%s</dd>"):format(e(name), e(value)) end
end

local function statistics(c)
  local t, out = c.time, {}
  local lo, hi = (t.ci95 or {})[1], (t.ci95 or {})[2]
  local ci = lo and hi and (", 95 %% interval %s to %s"):format(units.time(lo), units.time(hi)) or ""
  add(out, "median", units.time(t.median) .. ci)
  add(out, "mean, std", t.mean and ("%s, %s"):format(units.time(t.mean), units.time(t.std)))
  add(out, "least, most", t.min and ("%s, %s"):format(units.time(t.min), units.time(t.max)))
  local tails = {}
  for _, p in ipairs { "p10", "p90", "p95", "p99" } do
    if t[p] then tails[#tails + 1] = ("%s %s"):format(p, units.time(t[p])) end
  end
  add(out, "percentiles", table.concat(tails, ", "))
  if t.samples then
    local runs = t.iterations and (" of %s runs each"):format(units.count(t.iterations)) or ""
    local n = c.processes and #c.processes or 1
    add(out, "samples", ("%d%s%s"):format(t.samples, runs, n > 1 and (", in %d processes"):format(n) or ""))
  end
  return out
end

local function path_text(c)
  local parts = {}
  for i, p in ipairs(c.path or {}) do
    local times = p.launches and p.launches ~= 1 and " × " .. units.count(p.launches) or ""
    parts[i] = ("%s by %s%s"):format(p.op, p.kernel or "?", times)
  end
  return table.concat(parts, "; ")
end

local function disturbance_text(d)
  local parts = {}
  for _, f in ipairs { { "involuntary_switches", "%d involuntary switches" }, { "migrations", "%d migrations" },
      { "major_faults", "%d page faults" }, { "disturbed_samples", "%d disturbed samples" } } do
    if type(d[f[1]]) == "number" and d[f[1]] > 0 then parts[#parts + 1] = f[2]:format(d[f[1]]) end
  end
  if type(d.steal_ns) == "number" and d.steal_ns > 0 then parts[#parts + 1] = units.time(d.steal_ns) .. " stolen" end
  if d.frequency_ghz then parts[#parts + 1] = ("%.2f GHz"):format(d.frequency_ghz) end
  return table.concat(parts, ", ")
end

local function sol_text(s)
  if not s.fraction then return nil end
  local of = ""
  if s.ceiling and s.bound ~= "launch" then
    of = " of " .. units.si(s.ceiling, s.bound == "compute" and "FLOP/s" or "B/s")
  end
  return ("%s of the %s ceiling%s"):format(units.percent(s.fraction), s.bound or "?", of)
end

-- A number or a name of each of the scenario's own metrics.
local function metrics_into(out, metrics)
  for _, name in ipairs(require("luabench.suggest").keys(metrics)) do
    local m = metrics[name]
    local value = type(m) == "table" and (m.median or m.name) or m
    local unit = type(m) == "table" and type(m.unit) == "string" and m.unit or nil
    if type(value) == "number" then value = units.show(value, unit) end
    if type(value) == "string" then add(out, name, value) end
  end
end

-- Time by operation of a traced run (--trace), which is never the timed one.
local function operations(t)
  if type(t) ~= "table" or type(t.operations) ~= "table" or #t.operations == 0 then return "" end
  local out = { '<div class="scroll"><table><thead><tr><th class="left">operation</th><th class="left">kernel</th>'
    .. "<th>launches</th><th>time</th><th>share</th><th>bytes</th><th>of limit</th></tr></thead><tbody>" }
  for _, r in ipairs(t.operations) do
    local bound = r.bound == "compute" and r.compute_type or r.bound or ""
    out[#out + 1] = ('<tr><td class="left">%s</td><td class="left">%s</td>'):format(e(r.op), e(r.kernel or ""))
    for _, text in ipairs { units.count(r.launches), units.time(r.time_ns), units.percent(r.share),
      units.bytes(r.bytes),
        r.fraction and units.percent(r.fraction) .. " " .. bound or "" } do
      out[#out + 1] = "<td>" .. e(text) .. "</td>"
    end
    out[#out + 1] = "</tr>"
  end
  out[#out + 1] = "</tbody></table></div>"
  return table.concat(out)
end

-- HTML, or nil for a case without a time.
function M.details(c, varying)
  if not c.time or not c.time.median then return nil end
  local left, right = statistics(c), {}
  add(right, "ran", path_text(c))
  add(right, "against the machine", sol_text(c.sol or {}))
  local joules = (c.energy or {}).joules_per_item
  add(right, "energy", joules and units.si(joules, "J") .. " a " .. ((c.work or {}).item or "run"))
  add(right, "disturbance", disturbance_text(c.disturbance or {}))
  metrics_into(right, c.metrics or {})
  add(right, "note", c.note)
  local label = axes_of.label(c, varying)
  local noisy = c.disturbance and c.disturbance.noisy and ' <span class="warn">noisy</span>' or ""
  return table.concat { "<details><summary>", e(label ~= "" and label or c.case ~= "" and c.case or c.scenario),
    ' <span class="faint">', e(units.time(c.time.median)), noisy, "</span></summary>",
    '<div class="columns"><div><dl>', table.concat(left), "</dl></div><div><dl>", table.concat(right),
      "</dl></div></div>",
    samples.draw(c) or "", operations(c.trace), c.reproduce and "<pre>" .. e(c.reproduce) .. "</pre>" or "",
      "</details>" }
end

return M

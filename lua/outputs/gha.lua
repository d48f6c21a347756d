-- gha.lua: for github-action-benchmark with tool: customSmallerIsBetter, a list of { name, value, unit, range, extra }.
--
-- The median time of each case that has one, in ns, with the half-width of its 95 % interval as range; and, where it is
-- known, what its weight format costs, as "NAME quantization error". A case that failed has no value: the exit status
-- of the run says so, not a number here.
local json = require "luabench.json"
local result_of = require "luabench.result"
local units = require "luabench.units"

local M = { about = "github-action-benchmark, tool customSmallerIsBetter", endings = { "gha.json" } }

local ORDER = { "name", "value", "unit" }

local function half_width(t)
  local lo, hi = (t.ci95 or {})[1], (t.ci95 or {})[2]
  return lo and hi and "± " .. units.significant((hi - lo) / 2, 4) or nil
end

local function extra(case)
  local lines = {}
  for _, p in ipairs(case.path or {}) do lines[#lines + 1] = ("%s by %s"):format(p.op, p.kernel or "?") end
  local t, d = case.time, case.disturbance or {}
  lines[#lines + 1] = ("%s, %s threads, %s, %d samples%s"):format(case.device or "?", tostring(case.threads or "?"),
    case.cache or "?", t.samples or 0, d.noisy and ", noisy" or "")
  if (case.sol or {}).fraction then
    lines[#lines + 1] = ("%s of the %s ceiling"):format(units.percent(case.sol.fraction), case.sol.bound or "?")
  end
  lines[#lines + 1] = case.reproduce
  return table.concat(lines, "\n")
end

function M.write(result)
  local list = {}
  for _, case in ipairs(result.cases) do
    local t, name = case.time, result_of.flat_name(case)
    if case.status == "ok" and t and t.median then
      list[#list + 1] = { name = name, value = t.median, unit = "ns", range = half_width(t), extra = extra(case) }
      local q = case.quantization_error or {}
      local e = q.output_rel_rmse or q.rel_rmse
      if e then
        list[#list + 1] = { name = name .. " quantization error", value = e,
          unit = q.output_rel_rmse and "rel. RMSE of the output" or "rel. RMSE of the weights" }
      end
    end
  end
  return json.encode(json.array(list), { pretty = true, order = ORDER }) .. "\n"
end

return M

-- gate_metrics.lua: what `luabench compare` can set against one another: a number of a record, which way is better, and
-- the values that count as independent.
--
-- A metric is { name =, title =, unit =, better = "less" | "more" | nil (unknown: no verdict), exact = bool,
--   value = function(case) -> number or nil, processes = function(case) -> list of numbers or nil }.
-- exact: the number does not scatter (bytes, errors of a fixed input), so that two single values can be compared.
local suggest = require "luabench.suggest"

local M = {}

local function at(path)
  return function(case)
    local v = case
    for part in path:gmatch "[^.]+" do
      if type(v) ~= "table" then return nil end
      v = v[part]
    end
    return type(v) == "number" and v or nil
  end
end

-- The medians of the processes; nil where the record does not say.
local function medians(case)
  local list = {}
  for i, p in ipairs(case.processes or {}) do
    if type(p.median_ns) ~= "number" then return nil end
    list[i] = p.median_ns
  end
  return #list > 0 and list or nil
end

local function rates(work)
  return function(case)
    local list, amount = medians(case), at(work)(case)
    if not list or not amount then return nil end
    for i, ns in ipairs(list) do list[i] = amount / ns * 1e9 end
    return list
  end
end

local KNOWN = {
  time = { title = "time", unit = "ns", better = "less", value = at "time.median", processes = medians },
  items_per_s = { title = "items/s", unit = "/s", better = "more", value = at "rate.items_per_s",
    processes = rates "work.items" },
  bytes_per_s = { title = "B/s", unit = "B/s", better = "more", value = at "rate.bytes_per_s",
    processes = rates "work.bytes" },
  flops_per_s = { title = "FLOP/s", unit = "flop/s", better = "more", value = at "rate.flops_per_s",
    processes = rates "work.flops" },
  fraction = { title = "of ceiling", unit = "fraction", better = "more", value = at "sol.fraction" },
  joules_per_item = { title = "J/item", unit = "J", better = "less", value = at "energy.joules_per_item" },
  peak_bytes = { title = "peak memory", unit = "B", better = "less", value = at "memory.peak_bytes" },
  weights_bytes = { title = "weights", unit = "B", better = "less", exact = true, value = at "memory.weights_bytes" },
  nmse = { title = "NMSE", unit = "error", better = "less", exact = true, value = at "check.nmse" },
  bits_per_weight = { title = "bits/weight", better = "less", exact = true,
    value = at "quantization_error.bits_per_weight" },
  sqnr_db = { title = "SQNR", unit = "dB", better = "more", exact = true, value = at "quantization_error.sqnr_db" },
  quantization_error = { title = "quant. error", unit = "fraction", better = "less", exact = true,
    value = function(case)
    return at "quantization_error.output_rel_rmse"(case) or at "quantization_error.rel_rmse"(case)
  end },
}
for name, m in pairs(KNOWN) do m.name = name end

M.names = suggest.keys(KNOWN)

-- One of a scenario's own metrics, as some case of these results has it; nil if none does.
local function own(name, better, results)
  local unit, found
  for _, r in ipairs(results) do
    for _, c in ipairs(r.cases) do
      local m = (c.metrics or {})[name]
      if type(m) == "number" or type(m) == "table" and type(m.median) == "number" then
        found = true
        unit = unit or type(m) == "table" and m.unit or nil
        better = better or type(m) == "table" and m.better or nil
      end
    end
  end
  if not found then return nil end
  local function processes(case)
    local m = (case.metrics or {})[name]
    return type(m) == "table" and type(m.processes) == "table" and m.processes or nil
  end
  return { name = name, title = name, unit = unit, better = better, processes = processes, value = function(case)
    local m = (case.metrics or {})[name]
    return type(m) == "number" and m or type(m) == "table" and type(m.median) == "number" and m.median or nil
  end }
end

-- "time", "regret", "regret:less" -> the metric; raises (level 0) for a name that neither result knows.
function M.find(text, results)
  local name, better = text:match "^(.-):(%a+)$"
  name = name or text
  if better and better ~= "less" and better ~= "more" then
    error(("--metric %s: which way is better is \"less\" or \"more\", got %q"):format(text, better), 0)
  end
  if KNOWN[name] then return KNOWN[name] end
  local m = own(name, better, results)
  if m then return m end
  local all = {}
  for _, n in ipairs(M.names) do all[n] = true end
  for _, r in ipairs(results) do
    for _, c in ipairs(r.cases) do
      for n in pairs(c.metrics or {}) do all[n] = true end
    end
  end
  error(("--metric %s: no case of either result has it%s"):format(text, suggest.hint(name, suggest.keys(all))), 0)
end

return M

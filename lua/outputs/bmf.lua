-- bmf.lua: Bencher Metric Format: { case: { measure: { value, lower_value, upper_value } } }.
--
-- Measures: latency (the median, in ns, with its 95 % interval) and, where known, throughput (items/s, at that
-- interval), bytes-per-second, flops-per-second, weights-bytes, quantization-error and nmse. Cases without a time are
-- left out.
local json = require "luabench.json"
local result_of = require "luabench.result"

local M = { about = "Bencher Metric Format, for `bencher run --adapter json`", endings = { "bmf.json" } }

local function measure(value, lower, upper)
  if type(value) ~= "number" then return nil end
  return { value = value, lower_value = lower, upper_value = upper }
end

local function measures_of(case)
  local t, rate, q = case.time, case.rate or {}, case.quantization_error or {}
  local lo, hi = (t.ci95 or {})[1], (t.ci95 or {})[2]
  -- what a run does in 1 / rate at the median, it does faster at the interval's lower time
  local function at(r, time) return r and time and r * t.median / time or nil end
  return {
    latency = measure(t.median, lo, hi),
    throughput = measure(rate.items_per_s, at(rate.items_per_s, hi), at(rate.items_per_s, lo)),
    ["bytes-per-second"] = measure(rate.bytes_per_s, at(rate.bytes_per_s, hi), at(rate.bytes_per_s, lo)),
    ["flops-per-second"] = measure(rate.flops_per_s, at(rate.flops_per_s, hi), at(rate.flops_per_s, lo)),
    ["weights-bytes"] = measure((case.memory or {}).weights_bytes),
    ["quantization-error"] = measure(q.output_rel_rmse or q.rel_rmse),
    nmse = measure((case.check or {}).nmse),
  }
end

function M.write(result)
  local out, order = {}, {}
  for _, case in ipairs(result.cases) do
    if case.status == "ok" and case.time and case.time.median then
      local name = result_of.flat_name(case)
      if not out[name] then order[#order + 1] = name end
      out[name] = measures_of(case)
    end
  end
  local text = json.encode(out, { pretty = true, order = order })
  -- a measure is one line
  text = text:gsub("{%s+(\"[%w_]*value\": [^{}]-)%s+}", function(inner)
    return "{ " .. inner:gsub("%s*\n%s*", " ") .. " }"
  end)
  return text .. "\n"
end

return M

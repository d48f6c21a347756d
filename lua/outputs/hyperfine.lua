-- hyperfine.lua: hyperfine's --export-json, in seconds: { results: [ { command, mean, ..., times, exit_codes } ] }.
--
-- times are the medians of the processes where a case ran in several, else the samples of its one process; the
-- statistics are over them. CPU times and exit codes of a sample are not known, and null. Cases without a time are left
-- out.
local json = require "luabench.json"
local record = require "luabench.record"
local result_of = require "luabench.result"
local sys = require "luabench.sys"

local M = { about = "hyperfine's JSON, for its plotting scripts", endings = { "hyperfine.json" } }

local ORDER = { "command", "mean", "stddev", "median", "user", "system", "min", "max", "times", "exit_codes",
  "parameters" }

local function times_of(case)
  local list = {}
  for i, p in ipairs(case.processes or {}) do list[i] = p.median_ns / 1e9 end
  if #list > 1 then return list end
  list = {}
  for i, ns in ipairs(case.samples_ns or {}) do list[i] = ns / 1e9 end
  return list
end

local function entry(case)
  local times, t = times_of(case), case.time
  local s = #times > 0 and sys.stats(times)
    or { mean = t.mean and t.mean / 1e9, std = t.std and t.std / 1e9, median = t.median / 1e9,
         min = t.min and t.min / 1e9, max = t.max and t.max / 1e9 }
  local codes, parameters = {}, {}
  for i in ipairs(times) do codes[i] = json.null end
  for name, value in pairs(case.axes) do parameters[name] = record.value_text(value) end
  return { command = case.reproduce or result_of.flat_name(case), mean = s.mean, stddev = s.std, median = s.median,
    min = s.min, max = s.max, times = json.array(times), exit_codes = json.array(codes), parameters = parameters }
end

function M.write(result)
  local list = {}
  for _, case in ipairs(result.cases) do
    if case.status == "ok" and case.time and case.time.median then list[#list + 1] = entry(case) end
  end
  return json.encode({ results = json.array(list) }, { pretty = true, order = { { "results", ORDER } } }) .. "\n"
end

return M

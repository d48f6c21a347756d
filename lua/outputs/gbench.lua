-- gbench.lua: Google Benchmark's JSON, as its own compare.py reads it.
--
-- A case is a benchmark; its processes (--processes N) are its repetitions, because the process is what repeats:
-- samples of one process would make compare.py's U test believe in more independent runs than there are. Cases without
-- a time have error_occurred or skipped, and the zeros that Google Benchmark itself writes there. cpu_time is required
-- and not measured here: it repeats real_time, and the context says so. Counters are numbers under names of their own.
local json = require "luabench.json"
local result_of = require "luabench.result"
local sys = require "luabench.sys"

local M = { about = "Google Benchmark's JSON, for its compare.py and whatever reads it", endings = { "gbench.json" } }

local CONTEXT = { "date", "host_name", "executable", "num_cpus", "mhz_per_cpu", "caches", "load_avg", "library_version",
  "library_build_type", "json_schema_version" }
local ENTRY = { "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions",
  "repetition_index", "threads", "aggregate_name", "aggregate_unit", "error_occurred", "error_message", "skipped",
  "skip_message", "iterations", "real_time", "cpu_time", "time_unit" }

-- The keys of `order` that a table has: the writer would put null for the others, which this format does not know.
local function present(t, order)
  local list = {}
  for _, k in ipairs(order) do
    if t[k] ~= nil then list[#list + 1] = k end
  end
  return list
end

local CACHES = { { "l1d", "Data", 1 }, { "l1i", "Instruction", 1 }, { "l2", "Unified", 2 }, { "l3", "Unified", 3 } }

local function context(result)
  local m, run = result.machine or {}, result.run or {}
  local cores, have = m.cores or {}, m.caches or {}
  local caches = {}
  for _, c in ipairs(CACHES) do
    local bytes, cpus = have[c[1] .. "_bytes"], have[c[1] .. "_cpus"]
    -- how many share it: 0 where that is unknown, as Google Benchmark has it
    if bytes then caches[#caches + 1] = { type = c[2], level = c[3], size = bytes, num_sharing = cpus or 0 } end
  end
  local ghz
  for _, c in ipairs(result.cases) do ghz = ghz or (c.disturbance or {}).frequency_ghz end
  return { date = run.started, host_name = m.hostname, executable = "luabench",
    num_cpus = cores.usable or cores.logical, mhz_per_cpu = ghz and math.floor(ghz * 1000 + 0.5),
    caches = json.array(caches),
    load_avg = json.array { m.load1 }, library_version = "luabench " .. tostring(run.version or "?"),
    library_build_type = "release", json_schema_version = 1,
    luabench_commit = run.commit, luabench_flags = run.flags, luabench_seed = run.seed and tostring(run.seed),
    luabench_cpu = m.cpu, luabench_cpu_time = "not measured: equal to real_time",
    luabench_command = table.concat(run.argv or {}, " ") }
end

-- Names that the format has already.
local TAKEN = { label = true }
for _, name in ipairs(ENTRY) do TAKEN[name] = true end

local function counters(case, entry)
  local rate, sol = case.rate or {}, case.sol or {}
  entry.bytes_per_second, entry.items_per_second = rate.bytes_per_s, rate.items_per_s
  entry.flops_per_second, entry.fraction_of_ceiling = rate.flops_per_s, sol.fraction
  entry.nmse = (case.check or {}).nmse
  for _, name in ipairs { "bits_per_weight", "rel_rmse", "output_rel_rmse" } do
    entry[name] = (case.quantization_error or {})[name]
  end
  for name, m in pairs(case.metrics or {}) do
    local value = type(m) == "table" and m.median or m
    if type(value) == "number" and not TAKEN[name] and entry[name] == nil then entry[name] = value end
  end
end

local function label(case)
  local names = {}
  for i, p in ipairs(case.path or {}) do names[i] = p.kernel or p.op end
  return #names > 0 and table.concat(names, " ") or nil
end

local function aggregates(base, medians, out)
  local s = sys.stats(medians)
  local list = { { "mean", "time", s.mean }, { "median", "time", s.median }, { "stddev", "time", s.std },
    { "cv", "percentage", s.std / s.mean } }
  for _, a in ipairs(list) do
    local e = {}
    for k, v in pairs(base) do e[k] = v end
    e.name, e.run_type, e.aggregate_name, e.aggregate_unit = base.run_name .. "_" .. a[1], "aggregate", a[1], a[2]
    e.iterations, e.real_time, e.cpu_time = #medians, a[3], a[3]
    out[#out + 1] = e
  end
end

local function add_case(case, family, index, out)
  local name = result_of.flat_name(case)
  local base = { name = name, run_name = name, family_index = family, per_family_instance_index = index,
    threads = case.threads or 1, time_unit = "ns" }
  local function entry(i, n, time, iterations)
    local e = { run_type = "iteration", repetitions = n, repetition_index = i, iterations = iterations,
      real_time = time, cpu_time = time, label = label(case) }
    for k, v in pairs(base) do e[k] = v end
    out[#out + 1] = e
    return e
  end
  local t = case.time
  if case.status ~= "ok" or not t or not t.median then
    local e = entry(0, 1, 0, 0)
    local message = case.status .. (case.reason and ": " .. case.reason or "")
    if case.status == "skipped" then e.skipped, e.skip_message = true, message
    else e.error_occurred, e.error_message = true, message end
    return
  end
  local iterations = (t.iterations or 1) * (t.samples or 1)
  local processes = case.processes or {}
  if #processes < 2 then return counters(case, entry(0, 1, t.median, iterations)) end
  local medians = {}
  for i, p in ipairs(processes) do
    medians[i] = p.median_ns
    counters(case, entry(i - 1, #processes, p.median_ns, (t.iterations or 1) * #(p.samples_ns or { 1 })))
  end
  aggregates((function() base.repetitions = #processes return base end)(), medians, out)
end

function M.write(result)
  local entries, families, count, members = {}, {}, 0, {}
  for _, case in ipairs(result.cases) do
    local s = case.scenario
    if not families[s] then families[s], members[s], count = count, 0, count + 1 end
    add_case(case, families[s], members[s], entries)
    members[s] = members[s] + 1
  end
  local c = context(result)
  local texts = {}
  for i, e in ipairs(entries) do
    texts[i] = "    " .. json.encode(e, { pretty = true, order = present(e, ENTRY) }):gsub("\n", "\n    ")
  end
  local body = #texts > 0 and "[\n" .. table.concat(texts, ",\n") .. "\n  ]" or "[]"
  local head = json.encode(c, { pretty = true, order = present(c, CONTEXT) }):gsub("\n", "\n  ")
  return ("{\n  \"context\": %s,\n  \"benchmarks\": %s\n}\n"):format(head, body)
end

return M

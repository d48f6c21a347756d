-- result.lua: a result file as `compare` and `report` read it: luabench/1 as JSON, JSON lines or YAML, plain or .gz.
local outputs = require "luabench.outputs"
local record = require "luabench.record"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

local function fail(path, ...) error(path .. ": " .. (...):format(select(2, ...)), 0) end

local readers = {}

function readers.json(_, text) return sys.json_decode(text) end
function readers.yaml(_, text) return sys.yaml_decode(text) end

-- Run and machine first, then a case a line; a torn last line is an error: the file is not whole.
function readers.jsonl(path, text)
  local result, number = { cases = {} }, 0
  for line in text:gmatch "[^\n]+" do
    number = number + 1
    local ok, value = pcall(sys.json_decode, line)
    if not ok or type(value) ~= "table" then fail(path, "line %d: %s", number, tostring(value)) end
    if value.schema or value.run then result.schema, result.run = value.schema or result.schema, value.run
    elseif value.machine then result.machine = value.machine
    else table.insert(result.cases, value) end
  end
  return result
end

-- What the fields that are read have to be, where they are there: a type; "numbers" or "strings", a table of them;
-- { list = spec } or { map = spec } of such; or an object's fields.
local N, S, B = "number", "string", "boolean"
local CEILINGS = { read_bytes_per_s = N, ops_per_s = "numbers", when = S, best_read_bytes_per_s = N,
  best_ops_per_s = "numbers", method = N }
local CASE = {
  case = S, reason = S, device = S, threads = N, mode = S, cache = S, dtype = S, note = S, reproduce = S,
  conditions = S,
  axes = { map = "scalar" }, samples_ns = "numbers", marks = "numbers", ceilings = CEILINGS, metrics = { map = "any" },
  time = { median = N, mean = N, std = N, min = N, max = N, p10 = N, p90 = N, p95 = N, p99 = N, samples = N,
    iterations = N, ci95 = "numbers" },
  path = { list = { op = S, kernel = S, launches = N } },
  processes = { list = { median_ns = N, samples_ns = "numbers" } },
  work = { flops = N, bytes = N, items = N, item = S },
  rate = { flops_per_s = N, bytes_per_s = N, items_per_s = N },
  sol = { bound = S, fraction = N, ceiling = N, compute_type = S },
  check = { nmse = N, max_abs = N, tolerance = N, passed = B, after = S },
  quantization_error = { bits_per_weight = N, sqnr_db = N, rel_rmse = N, output_rel_rmse = N },
  memory = { weights_bytes = N, peak_bytes = N }, energy = { joules_per_item = N },
  disturbance = { noisy = B, frequency_ghz = N, steal_ns = N },
  trace = { operations = { list = { op = S, kernel = S, launches = N, time_ns = N, share = N, bytes = N, fraction = N,
    bound = S, compute_type = S } } },
}
local RUN = { id = S, started = S, version = S, commit = S, flags = S, argv = "strings", seed = N }
local MACHINE = { cpu = S, isa = S, kernel = S, os = S, governor = S, hostname = S, memory_bytes = N,
  warnings = "strings", cores = "numbers",
  caches = { l1d_bytes = N, l1i_bytes = N, l2_bytes = N, l3_bytes = N, llc_total_bytes = N, l1d_cpus = N, l1i_cpus = N,
    l2_cpus = N, l3_cpus = N },
  devices = { list = { name = S, model = S } }, ceilings = { map = CEILINGS } }

local MODEL = { name = S, path = S, type = S, parameters = N, device = S, threads = N, note = S, random_weights = B,
  weight_types = "numbers", categories = { list = { category = S } } }
local MODELS = { original = MODEL, quantized = MODEL }

local PLURAL = { numbers = N, strings = S }
local SCALAR = { number = true, string = true, boolean = true }

-- Raises with the field's name where a value is not what its spec says.
local function check_value(path, where, v, spec)
  if v == nil or spec == "any" then return end
  local kind = type(v)
  if spec == "scalar" then
    if SCALAR[kind] then return end
    fail(path, "%s should be a number, a text, true or false, got a list or an object", where)
  elseif type(spec) == "string" and not PLURAL[spec] then
    if kind ~= spec then fail(path, "%s should be a %s, got a %s", where, spec, kind) end
  else
    if kind ~= "table" then fail(path, "%s should be an object or a list, got a %s", where, kind) end
    local each = PLURAL[spec] or spec.list or spec.map
    for name, value in pairs(each and v or spec) do
      check_value(path, where .. "." .. tostring(name), each and value or v[name], each or value)
    end
  end
end

local function check(path, result)
  if type(result) ~= "table" or result.schema == nil then
    fail(path, "no result of luabench: its \"schema\" should be \"%s\"", record.SCHEMA)
  end
  if result.schema ~= record.SCHEMA then
    fail(path, "its schema is %q, and this program reads \"%s\"", tostring(result.schema), record.SCHEMA)
  end
  if type(result.cases) ~= "table" then fail(path, "it has no list of cases") end
  for i, c in ipairs(result.cases) do
    if type(c) ~= "table" or type(c.scenario) ~= "string" or not record.statuses[c.status] then
      fail(path, "case %d has no scenario, or no status that is known", i)
    end
    check_value(path, "case " .. i, c, CASE)
    c.axes = c.axes or {}
    c.case = type(c.case) == "string" and c.case or record.case_id(c.axes, suggest.keys(c.axes))
  end
  check_value(path, "run", result.run, RUN)
  check_value(path, "machine", result.machine, MACHINE)
  check_value(path, "models", result.models, MODELS)
  result.run, result.machine = result.run or {}, result.machine or {}
  return result
end

-- The result in a file. Errors are raised (level 0) with the file's name. Nulls are absent.
function M.load(path)
  if sys.is_directory(path) then fail(path, "it is a directory, not a result file") end
  if not sys.exists(path) then fail(path, "no such file") end
  local format, gz = outputs.format_of(path, { output = {} })
  local reader = format and readers[format]
  if not reader then
    fail(path, "the ending is none of a result file that can be read; expected .json, .jsonl or .yaml, or one of them "
      .. "with .gz")
  end
  local ok, text = pcall(gz and sys.gunzip_file or sys.file_read, path)
  if not ok then fail(path, "%s", sys.clean(text)) end
  local fine, result = pcall(reader, path, text)
  if not fine then error(tostring(result):find(path, 1, true) and result or path .. ": " .. sys.clean(result), 0) end
  return check(path, result)
end

-- What a case is found by in another result: its scenario and its axes, whatever their order.
function M.key(case)
  local parts = { case.scenario }
  for _, name in ipairs(suggest.keys(case.axes)) do
    parts[#parts + 1] = ("%s=%s"):format(name, record.value_text(case.axes[name]))
  end
  return table.concat(parts, "\0")
end

-- "gemm_formats/k=64/m=1": the name of a case for programs that know only names.
function M.flat_name(case)
  local id = case.case or ""
  return id == "" and case.scenario or case.scenario .. "/" .. id:gsub(" ", "/")
end

return M

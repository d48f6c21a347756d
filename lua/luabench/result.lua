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
    c.axes = type(c.axes) == "table" and c.axes or {}
    c.case = type(c.case) == "string" and c.case or record.case_id(c.axes, suggest.keys(c.axes))
  end
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

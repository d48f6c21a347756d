-- files.lua: lb.load and lb.save by a file's ending, and JSON and YAML as text.
local core = require "luabench.core"
local json = require "luabench.json"

local M = {}

-- ---- JSON and YAML ----

M.json = { null = json.null, array = json.array }

-- opts.indent (or pretty): two spaces a level; opts.order: keys that come first, then the others sorted.
function M.json.encode(value, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error("json.encode: a table of options expected, got " .. type(opts), 2)
  end
  local o = { pretty = opts and (opts.indent or opts.pretty) or nil, order = opts and opts.order or nil }
  local ok, text = pcall(json.encode, value, o)
  if not ok then
    if tostring(text):find("stack overflow", 1, true) then text = "the table is nested too deeply, or inside itself" end
    error("json.encode: " .. tostring(text), 2)
  end
  return text
end

-- null is json.null; lists keep being lists when they are written again.
function M.json.decode(text)
  if type(text) ~= "string" then error("json.decode: a string expected, got " .. type(text), 2) end
  local value, why = core.json_decode(text, json.null, getmetatable(json.array {}))
  if value == nil then error(why, 2) end
  return value
end

M.yaml = {}
function M.yaml.encode(value) return core.yaml_encode(value) end
function M.yaml.decode(text)
  if type(text) ~= "string" then error("yaml.decode: a string expected, got " .. type(text), 2) end
  local value, why = core.yaml_decode(text, json.null, getmetatable(json.array {}))
  if value == nil and why then error(why, 2) end
  return value
end

-- ---- by ending ----

local function text_of(path) return core.file_read(path) end

local function named(path, f, ...)
  local ok, value = pcall(f, ...)
  if not ok then error(path .. ": " .. tostring(value):gsub("^[^:]*files%.lua:%d+: ", ""), 3) end
  return value
end

-- Absent and null mean the same in our files: nulls are left out.
local function without_null(decode, what)
  return function(text)
    if type(text) ~= "string" then error("text expected", 0) end
    local value, why = decode(text, nil, getmetatable(json.array {}))
    if value == nil and why then error(why, 0) end
    if value == nil then error("the " .. what .. " file is empty", 0) end
    return value
  end
end
local json_value, yaml_value = without_null(core.json_decode, "JSON"), without_null(core.yaml_decode, "YAML")

local function encoded_json(value) return M.json.encode(value, { indent = true }) .. "\n" end

local function models() return require "luabench.model_file" end

-- ending -> { load = f(path, opts), save = f(path, value, opts), about }
local FORMATS = {
  npy = { about = "NumPy array: a tensor",
    load = function(path, opts) return core.npy_load(path, opts and opts.device) end,
    save = function(path, t) core.npy_save(path, t) end },
  npz = { about = "NumPy archive: a table of tensors",
    load = function(path, opts) return core.npz_load(path, opts and opts.device) end,
    save = function(path, t, opts) core.npz_save(path, t, opts) end },
  json = { about = "JSON, results too", load = function(path) return named(path, json_value, text_of(path)) end,
    save = function(path, v) core.write_file(path, encoded_json(v)) end },
  yaml = { about = "YAML", load = function(path) return named(path, yaml_value, text_of(path)) end,
    save = function(path, v) core.write_file(path, core.yaml_encode(v)) end },
}
FORMATS.yml = FORMATS.yaml
FORMATS.gguf = { about = "model file: tensors and metadata",
  load = function(path, opts) return models().open(path, opts) end,
  save = function(path, v, opts) models().save(path, v, opts) end }
FORMATS.safetensors = FORMATS.gguf
FORMATS["json.gz"] = { about = "compressed JSON",
  load = function(path) return named(path, json_value, core.gunzip_file(path)) end,
  save = function(path, v) core.write_file(path, core.gzip(encoded_json(v))) end }
M.formats = FORMATS

local function format_of(path, what)
  if type(path) ~= "string" then error(("lb.%s: a file name expected, got %s"):format(what, type(path)), 3) end
  local lower = path:lower()
  local ending = lower:match "%.([%w_]+%.gz)$" or lower:match "%.([%w_]+)$"
  local f = ending and FORMATS[ending]
  if not f then
    local suggest = require "luabench.suggest"
    local names = suggest.keys(FORMATS)
    error(("lb.%s: unknown ending of %q%s; there are .%s"):format(what, path,
      ending and suggest.nearest(ending, names)[1]
        and ('; did you mean ".%s"?'):format(suggest.nearest(ending, names)[1])
      or "", table.concat(names, ", .")), 3)
  end
  return f
end

-- lb.load(path[, { device = }]): what the file holds, by its ending.
function M.load(path, opts)
  local f = format_of(path, "load")
  if opts ~= nil and type(opts) ~= "table" then error("lb.load: a table of options expected, got " .. type(opts), 2) end
  local ok, value = pcall(f.load, path, opts)
  if not ok then error(value, 2) end
  return value
end

-- lb.save(path, value[, { compress = true }]): .npz can be compressed.
function M.save(path, value, opts)
  local f = format_of(path, "save")
  if opts ~= nil and type(opts) ~= "table" then error("lb.save: a table of options expected, got " .. type(opts), 2) end
  if value == nil then error("lb.save: there is nothing to save: the value is nil", 2) end
  local ok, why = pcall(f.save, path, value, opts)
  if not ok then error(why, 2) end
end

return M

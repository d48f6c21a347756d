-- complete.lua: what Tab offers at the prompt: fields and methods, names of the registry inside strings, file names.
local M = {}

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
  "nil",
                   "not", "or", "repeat", "return", "then", "true", "until", "while" }

--- Which names a string argument of a function or method, or a string field of a table of options, stands for.
local DTYPES = { "f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64", "f8e4m3" }
local function from_lb(name)
  return function(lb) return lb[name]() end
end
local function help_names() return require("luabench.help").names() end
local NAMES = {
  quantizer = from_lb "quantizers", quantize = from_lb "quantizers", widen = from_lb "quantizers",
  kernel = from_lb "kernels", call = from_lb "kernels", device = from_lb "devices", timer = from_lb "devices",
  plan = from_lb "devices", strategy = from_lb "strategies", model_table = from_lb "models",
  help = help_names, dtype = function() return DTYPES end,
  cache = function() return { "hot", "weights-cold", "all-cold" } end,
  rotate = function() return { "hot", "weights-cold", "all-cold" } end,
  to = function(lb)
    local names = {}
    for _, list in ipairs { DTYPES, lb.devices() } do
      for _, n in ipairs(list) do names[#names + 1] = n end
    end
    return names
  end,
  kernels = function()
    local names = {}
    for i, op in ipairs(require("luabench.core").ops()) do names[i] = op.name end
    return names
  end,
}

local function matching(names, word, before, after)
  local out = {}
  for _, name in ipairs(names) do
    if type(name) == "string" and name:sub(1, #word) == word then
      out[#out + 1] = (before or "") .. name .. (after or "")
    end
  end
  table.sort(out)
  return out
end

--- Names of fields that a value has, its own and its class's.
local function fields_of(value, methods_only)
  local names, seen = {}, {}
  local function add(name)
    if type(name) == "string" and name:find "^[%a_][%w_]*$" and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  if type(value) == "table" and not methods_only then
    for k in pairs(value) do add(k) end
  elseif type(value) == "table" then
    for k, v in pairs(value) do
      if type(v) == "function" then add(k) end
    end
  end
  local ok, members = pcall(function() return require("luabench.help").members(value, methods_only) end)
  for _, name in ipairs(ok and members or {}) do add(name) end
  return names
end

--- The value of a dotted path, without calling anything; nil if it is not there.
local function lookup(env, path)
  local value = env
  for name in path:gmatch "[%a_][%w_]*" do
    local ok, next_value = pcall(function() return value[name] end)
    if not ok or next_value == nil then return nil end
    value = next_value
  end
  return value
end

local function files(core, word)
  local dir, base = word:match "^(.*/)([^/]*)$"
  dir, base = dir or "", base or word
  local ok, entries = pcall(core.list_dir, dir == "" and "." or dir)
  local out = {}
  for _, entry in ipairs(ok and entries or {}) do
    local name = type(entry) == "table" and entry.name or entry
    if name:sub(1, #base) == base and (base ~= "" or name:sub(1, 1) ~= ".") then
      out[#out + 1] = dir .. name .. (type(entry) == "table" and entry.directory and "/" or "")
    end
  end
  table.sort(out)
  return out
end

--- An unfinished string before the cursor: its text, what stands before it and the quote; nil outside strings.
local function open_string(text)
  local quote, start
  local i = 1
  while i <= #text do
    local c = text:sub(i, i)
    if quote then
      if c == "\\" then i = i + 1 elseif c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote, start = c, i
    end
    i = i + 1
  end
  if quote then return text:sub(start + 1), text:sub(1, start - 1), quote end
end

-- Names for the string after `before`, or nil if it is no place for one of them.
local function in_string(lb, word, before)
  local callee = before:match "([%a_][%w_]*)%s*%(?%s*$" or before:match "([%a_][%w_]*)%s*=%s*$" or ""
  local make = NAMES[callee]
  if not make then return nil end
  local ok, names = pcall(make, lb)
  return ok and matching(names, word) or nil
end

--- complete(line, cursor) -> candidates, length of the word that they replace.
function M.completer(env)
  local core = require "luabench.core"
  return function(line, cursor)
    local lb = require "luabench"
    local text = line:sub(1, cursor)
    local word, before, quote = open_string(text)
    if word then
      local found = in_string(lb, word, before) or files(core, word)
      if #found == 1 and not found[1]:find "/$" and line:sub(cursor + 1, cursor + 1) ~= quote then
        found[1] = found[1] .. quote
      end
      return found, #word
    end
    local path, separator, last = text:match "([%a_][%w_%.]*)([%.:])([%a_]?[%w_]*)$"
    if path then
      local value = lookup(env, path)
      if value == nil then return {}, 0 end
      return matching(fields_of(value, separator == ":"), last), #last
    end
    last = text:match "([%a_][%w_]*)$" or ""
    if last == "" then return {}, 0 end
    local names = fields_of(env)
    for _, k in ipairs(KEYWORDS) do names[#names + 1] = k end
    local out, seen = {}, {}
    for _, name in ipairs(matching(names, last)) do
      if not seen[name] then
        seen[name] = true
        out[#out + 1] = name
      end
    end
    return out, #last
  end
end

return M

-- complete.lua: what Tab offers at the prompt: fields and methods, names of the registry inside strings, file names.
local M = {}

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil",
                   "not", "or", "repeat", "return", "then", "true", "until", "while" }

--- Which names a string argument of lb.<function> or <object>:<method> stands for.
local REGISTRY = {
  quantizer = "quantizers", quantize = "quantizers", widen = "quantizers", kernel = "kernels", call = "kernels",
  device = "devices", strategy = "strategies", model_table = "models",
}

local function matching(names, word, before, after)
  local out = {}
  for _, name in ipairs(names) do
    if type(name) == "string" and name:sub(1, #word) == word then out[#out + 1] = (before or "") .. name .. (after or "") end
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

--- An unfinished string before the cursor: its text, the quote and what stands before it; nil outside strings.
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
  if quote then return text:sub(start + 1), text:sub(1, start - 1) end
end

local function in_string(lb, word, before)
  local callee = before:match "([%a_][%w_]*)%s*%(?%s*$" or before:match "([%a_][%w_]*)%s*=%s*$" or ""
  local kind = callee == "kernel" and "kernels" or REGISTRY[callee]
  if kind then
    local ok, names = pcall(function() return lb[kind]() end)
    if ok then
      local plain = {}
      for i, n in ipairs(names) do plain[i] = type(n) == "string" and n or type(n) == "userdata" and n.name or n end
      return matching(plain, word)
    end
  end
  return nil
end

--- complete(line, cursor) -> candidates, length of the word that they replace.
function M.completer(env)
  local lb, core = require "luabench", require "luabench.core"
  return function(line, cursor)
    local text = line:sub(1, cursor)
    local word, before = open_string(text)
    if word then return in_string(lb, word, before) or files(core, word), #word end
    local path, separator, last = text:match "([%a_][%w_%.]*)([%.:])([%a_]?[%w_]*)$"
    if path then
      local value = lookup(env, path)
      if value == nil then return {}, 0 end
      return matching(fields_of(value, separator == ":"), last), #last
    end
    last = text:match "([%a_][%w_]*)$" or ""
    if last == "" then return {}, 0 end
    local names = fields_of(env)
    for k in pairs(_G) do names[#names + 1] = k end
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

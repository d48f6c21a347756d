-- prototype.lua: the parameters of a function in C or CUDA C++, and what each of them stands for: an operand, a size, a
-- parameter of the operation, or a part of the launch. They are told apart by their names.
local suggest = require "luabench.suggest"

local M = {}

-- The text with comments, strings and directives blanked, so that positions stay.
function M.blank(text)
  local function spaces(s) return (s:gsub("[^\n]", " ")) end
  local out, at = {}, 1
  while at <= #text do
    local from = text:find("[/\"'#]", at)
    if not from then break end
    local c, stop = text:sub(from, from), nil
    if c == "/" then
      local two = text:sub(from, from + 1)
      if two == "//" then stop = (text:find("\n", from, true) or #text + 1) - 1
      elseif two == "/*" then
        local _, e = text:find("*/", from + 2, true)
        stop = e or #text
      end
    elseif c == "#" then
      local begins = text:sub(1, from - 1):match "[^\n]*$"
      if not begins:find "%S" then
        stop = from
        repeat
          stop = (text:find("\n", stop + 1, true) or #text + 1) - 1
          local continued = text:sub(stop, stop) == "\\"
          if continued then stop = stop + 1 end
        until not continued or stop >= #text
      end
    else
      local i = from + 1
      while i <= #text and text:sub(i, i) ~= c and text:sub(i, i) ~= "\n" do
        i = i + (text:sub(i, i) == "\\" and 2 or 1)
      end
      stop = math.min(i, #text)
    end
    out[#out + 1] = text:sub(at, from - 1)
    out[#out + 1] = stop and spaces(text:sub(from, stop)) or c
    at = (stop or from) + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

local TYPES = { float = "f32", double = "f64", int8_t = "i8", uint8_t = "u8", int32_t = "i32", int = "i32",
  int64_t = "i64",
  __half = "f16", half = "f16", _Float16 = "f16", __nv_bfloat16 = "bf16", __bf16 = "bf16", void = "any", char = "any",
  uint16_t = "any", int16_t = "any", uint32_t = "any", unsigned = "any", uint64_t = "any" }
local DROPPED = { restrict = true, __restrict__ = true, __restrict = true, volatile = true, struct = true,
  register = true }

-- "const float *restrict x" -> { type = "float", stars = 1, const = true, name = "x" }
local function parameter(text)
  local stars = select(2, text:gsub("%*", "")) + select(2, text:gsub("%[[^%]]*%]", ""))
  local words, const = {}, false
  -- a const behind a star is the pointer's own
  local first_star = text:find("*", 1, true) or #text + 1
  for at, word in text:gsub("%[[^%]]*%]", " "):gmatch "()([%a_][%w_]*)" do
    if word == "const" then const = const or at < first_star
    elseif not DROPPED[word] then words[#words + 1] = word end
  end
  if #words < 2 then return nil end
  local name = table.remove(words)
  return { type = table.concat(words, " "), stars = stars, const = const, name = name, text = (text:gsub("%s+", " ")) }
end

-- Where a function of this name is defined: its parameters' text. Without a name the only one that `marker` precedes.
local function definition(code, name)
  for at, list in code:gmatch("()%f[%w_]" .. name .. "%s*(%b())%s*{") do
    local before = code:sub(1, at - 1):match "[%w_*>]%s*$"
    if before then return list:sub(2, -2) end
  end
end

-- The entry function of a source: { name =, parameters = { ... } }. Raises (level 0).
function M.find(source, name, cuda)
  local code = M.blank(source):gsub("__launch_bounds__%s*%b()", function(s) return (" "):rep(#s) end)
  if not name then
    local names = {}
    if cuda then
      for n in code:gmatch "__global__[^;{(]-([%a_][%w_]*)%s*%b()%s*{" do names[#names + 1] = n end
    end
    name = #names == 1 and names[1] or "kernel"
  end
  local list = definition(code, name)
  if not list then
    error(("the source defines no function '%s'%s; `entry` names another"):format(name,
      cuda and " (extern \"C\" __global__ void kernel(...) { ... })" or " (void kernel(...) { ... })"), 0)
  end
  local out = { name = name, parameters = {} }
  if not list:find "%S" or list:find "^%s*void%s*$" then return out end
  for text in (list .. ","):gmatch "%s*([^,]-)%s*," do
    local p = parameter(text)
    if not p then error(("%s(): a parameter with a type and a name expected, got %q"):format(name, text), 0) end
    out.parameters[#out.parameters + 1] = p
  end
  return out
end

local LAUNCH = { part = true, parts = true, phase = true, pick = true, begin = true, ["end"] = true }
local SCALARS = { float = "f32", double = "f64", int = "i32", int32_t = "i32", unsigned = "i32", uint32_t = "i32",
  ["unsigned int"] = "i32", bool = "i32", int64_t = "i64", uint64_t = "i64", size_t = "i64", long = "i64",
    ["long long"] = "i64",
  ["unsigned long long"] = "i64", ["unsigned long"] = "i64", ptrdiff_t = "i64" }

local function all_names(op, sizes, cuda)
  local names = suggest.keys(sizes)
  for _, o in ipairs(op.operands) do names[#names + 1] = o.name end
  names[#names + 1] = "workspace"
  if not cuda then for n in pairs(LAUNCH) do names[#names + 1] = n end end
  return names
end

local function short_names(op)
  local operands, named = {}, {}
  for i, o in ipairs(op.operands) do operands[i] = o.name end
  for name, size in pairs(require("luabench.own.sizes").of(op)) do
    if size.what == "param" or not name:find "_" then named[#named + 1] = name end
  end
  table.sort(named)
  return ("operands %s; sizes %s"):format(table.concat(operands, ", "),
    #named > 0 and table.concat(named, ", ") or "NAME_rows, NAME_cols")
end

local function pointer(op, p, cuda)
  if not cuda and p.stars == 1 and p.type == "lb_args" then return { kind = "args" } end
  if not cuda and p.stars == 1 and p.type == "lb_launch" then return { kind = "launch" } end
  if p.name == "workspace" then return { kind = "workspace" } end
  for i, o in ipairs(op.operands) do
    if o.name == p.name then
      local writes = o.role ~= "read" and o.role ~= "weight"
      if not writes and not p.const then
        error(("%s is an input of %s: declare it as const (%s)"):format(p.name, op.name, "const " .. p.text), 0)
      end
      if not cuda and p.type == "lb_tensor" then
        return { kind = p.stars == 1 and "tensor" or "tensors", slot = i - 1 }
      end
      local dtype = TYPES[p.type] or p.type:find "^unsigned" and "any"
      if not dtype or p.stars ~= 1 then
        error(("%q: a pointer to float, double, int8_t, int32_t, ..., void%s expected"):format(p.text,
          cuda and "" or " or lb_tensor"), 0)
      end
      return { kind = "data", slot = i - 1, dtype = dtype, operand = o.name }
    end
  end
end

-- What each parameter stands for; raises (level 0) for names that mean nothing. op: an entry of core.ops().
function M.bind(entry, op, sizes, cuda)
  local list = {}
  for i, p in ipairs(entry.parameters) do
    local b
    if p.stars > 0 then b = pointer(op, p, cuda)
    elseif LAUNCH[p.name] and not cuda then b = { kind = p.name == "end" and "stop" or p.name }
    elseif sizes[p.name] then b = { kind = "size", size = sizes[p.name] } end
    if not b then
      error(("%s(): nothing is named %q%s; there are: %s (help \"%s\")"):format(entry.name, p.name,
        suggest.hint(p.name, all_names(op, sizes, cuda)), short_names(op), op.name), 0)
    end
    if b.kind == "size" then
      b.scalar = SCALARS[p.type]
      if not b.scalar then error(("%q: int, int64_t, float or double expected"):format(p.text), 0) end
    end
    b.parameter = p
    list[i] = b
  end
  return list
end

return M

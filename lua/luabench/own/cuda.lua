-- cuda.lua: a kernel of one's own for a GPU: CUDA C++ compiled by NVRTC, launched with the grid and blocks that the
-- script gives as numbers or from sizes: grid = { "(N + 127) / 128", "M" }, block = 128.
local core = require "luabench.core"
local sizes_of = require "luabench.own.sizes"
local sys = require "luabench.sys"

local M = {}

-- NVRTC brings no headers; these are the types that the parameters may have.
local HEAD = [[
typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t; typedef unsigned short uint16_t;
typedef int int32_t; typedef unsigned int uint32_t; typedef long long int64_t; typedef unsigned long long uint64_t;
]]

local function expression(k, field, value, what)
  if value == nil then return nil end
  return sizes_of.to_terms(sizes_of.parse(value, k.sizes, what or field))
end

-- { x, y, z } of terms; what is left out is 1.
local function triple(k, field)
  local given = k[field]
  if given == nil then error(("%s is missing: %s"):format(field,
    field == "grid" and 'the blocks, as in grid = { "(N + 127) / 128", "M" }'
    or "the threads of a block, as in block = 128"), 0) end
  if type(given) ~= "table" then given = { given } end
  if #given < 1 or #given > 3 then error(("%s: one to three numbers expected, got %d"):format(field, #given), 0) end
  local out = {}
  for i = 1, 3 do out[i] = expression(k, field, given[i] or 1, ("%s[%d]"):format(field, i)) end
  return out
end

local function arguments(k)
  local list = {}
  for i, b in ipairs(k.bound) do
    if b.kind == "data" then list[i] = { kind = "data", slot = b.slot, dtype = b.dtype }
    elseif b.kind == "workspace" then list[i] = { kind = "workspace" }
    else list[i] = { kind = b.scalar, value = sizes_of.to_terms { b.size } } end
  end
  return list
end

-- A declaration in front, so that the function's name stays as it is without extern "C"; only of types that are known
-- there.
local function declaration(k)
  local list = {}
  for i, b in ipairs(k.bound) do
    if b.kind == "data" and (b.dtype == "f16" or b.dtype == "bf16") then return "" end
    list[i] = b.parameter.text
  end
  return ('extern "C" __global__ void %s(%s);\n'):format(k.entry.name, table.concat(list, ", "))
end

local function has_workspace(k)
  for _, b in ipairs(k.bound) do
    if b.kind == "workspace" then return true end
  end
  return false
end

local made = {}           -- name and device -> { key =, } of what this process has compiled

--- Compiles and registers; the kernel's name in a list.
function M.make(k)
  for _, field in ipairs { "split", "phases" } do
    if k[field] then error(("%s is for kernels of the CPU; on a GPU the grid shares out the work"):format(field), 0) end
  end
  if has_workspace(k) ~= (k.workspace ~= nil) then
    error(k.workspace and ("workspace is given, but %s() takes no workspace"):format(k.entry.name)
      or ("%s() takes a workspace, so `workspace` must say of how many bytes: workspace = \"4 * K\"")
        :format(k.entry.name), 0)
  end
  local options = { "--std=c++17" }
  for flag in (k.flags or ""):gmatch "%S+" do options[#options + 1] = flag end
  local request = { device = k.on, name = k.name, op = k.op, about = k.about, source = k.source, format = k.format,
    activation = k.activation, accumulator = k.accumulator, compute = k.compute, tolerance = k.tolerance,
    tolerance_why = k.tolerance_why, priority = k.priority, entry = k.entry.name, options = options,
    text = ("%s%s#line %d %q\n%s\n"):format(HEAD, declaration(k), k.at.line, k.at.file, k.text), args = arguments(k),
    grid = triple(k, "grid"), block = triple(k, "block"), shared = expression(k, "shared", k.shared),
    workspace = expression(k, "workspace", k.workspace), needs = expression(k, "needs", k.needs) }
  local key = require("luabench.json").encode(request)
  local place = k.on .. " " .. k.name
  if made[place] == key then return { k.name } end
  local name, words = core.cuda_kernel(request)
  made[place] = key
  if words:find "%S" then io.stderr:write("luabench: ", k.name, ": ", sys.clean(words):gsub("%s+$", ""), "\n") end
  return { name }
end

return M

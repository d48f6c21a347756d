-- compile.lua: lb.kernel.compile{ ... }: a kernel from C (or, for a GPU, CUDA C++) that a script brings. It then takes
-- part as the built-in ones do: by its name, checked against the f64 oracle of its operation, timed under the same
-- rules.
--
-- The script writes one function whose parameters are told apart by their names: operands as pointers, sizes as
-- help "gemm" names them (sizes.lua has all of them), parameters of the operation, begin and end of a thread's share:
--
--   local mine = lb.kernel.compile {
--     op = "gemm", name = "mine", split = "N",
--     source = [[
--       void kernel(const float *x, const float *w, float *out, int M, int N, int K, int begin, int end) { ... } ]],
--   }
--   lb.plan():call(mine, { x = x, w = w })
--
-- Fields: see FIELDS. lb.kernel.compile "file.c" takes them from a comment in the file:  /* luabench: op=gemm
-- split=N */
local prototype = require "luabench.own.prototype"
local sizes_of = require "luabench.own.sizes"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

-- name -> type, and for the words of a comment in a file too.
local FIELDS = {
  op = "string",              -- the operation: "gemm", "softmax", ...
  name = "string",            -- "mine": the kernel is then gemm.f32.mine; or the whole name
  source = "string", file = "string",       -- one of both
  entry = "string",           -- the function's name: "kernel", on a GPU the only __global__ one
  format = "string",          -- weights that it takes: f32, a family of quantizers, "any"
  about = "string",
  device = "any",             -- "cpu", "cuda:0", or a device
  flags = "string",           -- more flags for the compiler: -O2 -fopenmp-simd; on a GPU NVRTC's
  split = "size", unit = "number",          -- what begin and end share out, and in steps of so many
  needs = "size",             -- a condition: "K % 32 == 0"
  workspace = "size",         -- bytes that all parts of a launch share
  phases = "number",
  grid = "sizes", block = "sizes", shared = "size",      -- GPU: blocks, threads, bytes of dynamic shared memory
  activation = "string",      -- how it rounds activations: f32, bf16, q8_32, q8_256, i8_token, ...
  accumulator = "string", compute = "string",
  tolerance = "number", tolerance_why = "string", priority = "number",
}

local ACTIVATIONS = { "f32", "bf16", "q8_32", "q8_256", "q8_row", "i8_token", "i8_token_asym", "f8_row", "f8_128",
  "f8_tensor" }
local ACCUMULATORS = { "f32", "f64", "i32+f32", "none" }
local COMPUTES = { "none", "f32", "f64", "bf16", "int8", "f16", "fp8", "tf32" }

local function fail(...) error(select("#", ...) > 1 and (...):format(select(2, ...)) or ..., 0) end

local function has(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

local function choice(spec, name, list, otherwise)
  local v = spec[name] or otherwise
  if not has(list, v) then
    fail("%s = %q: one of %s expected%s", name, tostring(v), table.concat(list, ", "), suggest.hint(tostring(v), list))
  end
  return v
end

local function check_fields(spec)
  for key, value in pairs(spec) do
    local want = FIELDS[key]
    if not want then
      fail("there is no field %q%s", tostring(key), suggest.hint(tostring(key), suggest.keys(FIELDS)))
    end
    if (want == "string" or want == "number") and type(value) ~= want then
      fail("%s: a %s expected, got %s", key, want, type(value))
    end
    if want == "string" and value:find "%z" then fail("%s has a zero byte in it", key) end
  end
  for _, name in ipairs { "unit", "phases" } do
    local v = spec[name]
    if v and (v < 1 or v ~= math.floor(v) or v > 1000) then
      fail("%s: a whole number from 1 to 1000 expected, got %g", name, v)
    end
  end
  if spec.priority and (spec.priority ~= math.floor(spec.priority) or math.abs(spec.priority) > 1e6) then
    fail("priority: a whole number expected, got %g", spec.priority)
  end
  if spec.tolerance and not (spec.tolerance >= 0 and spec.tolerance <= 1) then
    fail("tolerance: an NMSE from 0 to 1 expected, got %g", spec.tolerance)
  end
end

-- The fields that a comment of a file has: /* luabench: op=gemm, name=mine, split="M * N" */
local function comment_fields(text, file)
  local spec = {}
  local list = text:match "luabench:%s*([^\n]*)"
  if not list then return spec end
  list = list:gsub("%*/.*$", "")
  local at = 1
  while true do
    local from, to, name = list:find("([%a_][%w_]*)%s*=%s*", at)
    if not from then break end
    local value = list:match('^"([^"]*)"', to + 1)
    at = to + 1 + (value and #value + 2 or 0)
    if not value then
      value = list:match("^[^,%s]*", at)
      at = at + #value
    end
    if not FIELDS[name] or name == "source" or name == "file" then
      fail("%s: luabench: there is no field %q%s", file, name, suggest.hint(name, suggest.keys(FIELDS)))
    end
    if FIELDS[name] == "number" then
      spec[name] = tonumber(value) or fail("%s: luabench: %s: a number expected, got %q", file, name, value)
    elseif FIELDS[name] == "sizes" then
      spec[name] = { value }
    else
      spec[name] = value
    end
  end
  return spec
end

local function folder_of(path) return path:match "^(.*)/[^/]*$" or "." end

-- The scripts that called, innermost first: files of functions on the stack that are not our own.
local function callers()
  local list, seen, own = {}, {}, sys.lua_root() .. "/luabench/"
  for level = 3, 40 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    local path = info.source:match "^@(.*)$"
    if path and not seen[path] and path:sub(1, #own) ~= own then
      seen[path], list[#list + 1] = true, path
    end
  end
  return list
end

-- The file and line where the text of a source stands, so that the compiler's errors name them: in a script that
-- called, if it is there word for word.
local function place_of(text, scripts)
  for _, path in ipairs(scripts) do
    local script = sys.read_file(path)
    local at = script and #text > 0 and script:find(text, 1, true)
    if at then return { file = path, line = select(2, script:sub(1, at - 1):gsub("\n", "")) + 1 } end
  end
  return { file = "source", line = 1 }
end

-- A file named by a script: from the current folder, else beside the script.
local function find_file(name, scripts)
  if sys.exists(name) and not sys.is_directory(name) then return name end
  local beside = scripts[1] and folder_of(scripts[1]) .. "/" .. name
  if beside and name:sub(1, 1) ~= "/" and sys.exists(beside) then return beside end
  fail("no such file: %s", name)
end

local function read_source(spec, scripts)
  if spec.file and spec.source then fail "give either source or file, not both" end
  if not spec.file and not spec.source then fail "source, a text of C, or file is missing" end
  if spec.source then
    return spec.source, place_of(spec.source, scripts), scripts[1] and folder_of(scripts[1]) or "."
  end
  local path = find_file(spec.file, scripts)
  local text, why = sys.read_file(path)
  if not text then fail("%s: %s", path, tostring(why)) end
  return text, { file = path, line = 1 }, folder_of(path)
end

local function operation(name)
  if not name then fail "op is missing: the operation that it does, such as \"gemm\"" end
  local names = {}
  for i, op in ipairs(require("luabench.core").ops()) do
    if op.name == name then return op end
    names[i] = op.name
  end
  fail("unknown operation %q%s", name, suggest.hint(name, names))
end

local function format_of(spec, op, bound)
  local weights = {}
  for i, o in ipairs(op.operands) do
    if o.role == "weight" then weights[i - 1] = o.name end
  end
  if spec.format then return spec.format end
  for _, b in ipairs(bound) do
    if b.kind == "data" and weights[b.slot] then
      if b.dtype ~= "any" then return b.dtype end
      fail("%s is a pointer to bytes, so `format` must say what they are: \"q4_0\", \"f32\", ...", weights[b.slot])
    end
  end
  return next(weights) and fail "format is missing: the weights that it takes: \"f32\", \"q4_0\", ..., \"any\"" or nil
end

-- op.format.name; a name with dots is taken as it is.
local function full_name(spec, op, format)
  local name = spec.name or "own"
  if not name:find "^[%w_.+-]+$" or #name > 80 then fail("name = %q: letters, digits, - and _ expected", name) end
  if not name:find(".", 1, true) then return ("%s.%s.%s"):format(op.name, format or "any", name) end
  if not name:find("^" .. op.name .. "%.[%w_+-]+%.[%w_+-]+$") then
    fail("name = %q: a short name such as \"mine\", or %s.FORMAT.VARIANT expected", name, op.name)
  end
  return name
end

local DEFAULT_TOLERANCE = 1e-10

local function numbers(k, spec)
  k.activation = choice(spec, "activation", ACTIVATIONS, "f32")
  k.accumulator = choice(spec, "accumulator", ACCUMULATORS, "f32")
  k.compute = choice(spec, "compute", COMPUTES, "f32")
  k.tolerance = spec.tolerance or DEFAULT_TOLERANCE
  k.tolerance_why = spec.tolerance_why or (spec.tolerance and "as its author gave it"
    or "f32 arithmetic in any order; what lb.kernel.compile takes where nothing is said")
  k.priority = spec.priority or -1
end

local function describe(spec, scripts)
  check_fields(spec)
  local text, at, folder = read_source(spec, scripts)
  local k = { text = text, at = at, folder = folder, flags = spec.flags, unit = spec.unit or 1, split = spec.split,
    needs = spec.needs, workspace = spec.workspace, phases = spec.phases, grid = spec.grid, block = spec.block,
    shared = spec.shared }
  local device = spec.device or (at.file:find "%.cu$" and "cuda:0") or "cpu"
  if type(device) == "userdata" then device = device.name end
  if type(device) ~= "string" then fail("device: a name or a device expected, got %s", type(device)) end
  k.on, k.device = device, device:match "^[^:]*"
  if k.device ~= "cpu" and k.device ~= "cuda" then fail("device %q: cpu or cuda:N expected", device) end
  local cuda = k.device == "cuda"
  if not cuda and prototype.blank(text):find "luabench_kernels%s*%[" then
    k.whole = true
    return k
  end
  local op = operation(spec.op)
  k.op, k.sizes = op.name, sizes_of.of(op)
  k.entry = prototype.find(text, spec.entry, cuda)
  k.bound = prototype.bind(k.entry, op, k.sizes, cuda)
  k.format = format_of(spec, op, k.bound)
  k.name = full_name(spec, op, k.format)
  k.about = spec.about or ("a kernel of one's own, from %s"):format(at.file == "source" and "a script"
    or at.file:match "[^/]*$")
  local from = at.file ~= "source" and ("%s:%d"):format(at.file:match "[^/]*$", at.line)
    or scripts[1] and scripts[1]:match "[^/]*$" or "a script"
  k.source = ("%s, source %s%s"):format(from,
    require("luabench.record").hash(text), spec.flags and ", " .. spec.flags or "")
  numbers(k, spec)
  return k
end

--- lb.kernel.compile{ ... } or lb.kernel.compile "file.c": the kernel; of a whole plug-in its first one.
function M.compile(spec)
  local scripts = callers()
  local ok, names = pcall(function()
    if type(spec) == "string" then
      if spec:find "[\n%z]" then
        fail "a table { op =, source = } or the name of a file expected, got a text of several lines"
      end
      local path = find_file(spec, scripts)
      local from = comment_fields(sys.read_file(path) or "", path)
      from.file = path
      spec = from
    end
    if type(spec) ~= "table" then
      fail("a table { op =, source = } or the name of a file expected, got %s", type(spec))
    end
    local k = describe(spec, scripts)
    return require(k.device == "cuda" and "luabench.own.cuda" or "luabench.own.cpu").make(k)
  end)
  if not ok then
    if sys.interrupted() then error("interrupted", 0) end
    error("lb.kernel.compile: " .. sys.clean(names), 3)
  end
  return require("luabench.core").kernel(names[1])
end

return M

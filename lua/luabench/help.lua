-- help.lua: help() and help(x) at the prompt, and the names that completion offers; all from meta.lua, the engine's
-- operations and registries, and the files of lua/.
local meta = require "luabench.meta"
local show = require "luabench.show"
local suggest = require "luabench.suggest"

local M = {}

local GENERAL = [[
luabench: a prompt to make tensors, quantize, time and compare.
Expressions show their values; `_` is the last one.

  x = lb.randn({ 8, 4096 }, { seed = 1 })  normal random numbers
  w = lb.randn({ 4096, 4096 }, { seed = 2 })
  q = w:quantize "q4_k"                    in a format; q:error(w): its cost
  p = lb.plan():gemm { x = x, w = q }      recorded here, run and timed in C
  lb.measure(p)                            its time, with its 95 % interval
  p:check()                                against f64 on the same operands
  lb.explain(p)                            which kernels, why, bytes, bound
  lb.compare { a = p, b = lb.plan():gemm { x = x, w = w } }

help(x) explains a function, an object or a name: help(lb), help(q),
help "gemm", help "q4_k", help "auto"; `help gemm` and `gemm?` do too.
There is help on:]]

local TOPICS = {
  prompt = [[
Typing at the prompt
  An unfinished statement goes on at the next line (>>); Ctrl-C gives it up. `=x` is the same as `x`.
  A name that was never set is an error; `local x = 1` sets x for the session, as locals end with their line.
  Tab completes fields (lb.), methods (x:), names inside strings (lb.kernel "...) and file names.
  Up and down walk through the history, which is kept between sessions; Ctrl-R searches it.
  Ctrl-C stops what runs and comes back; variables keep their values. Ctrl-D, exit or exit(status) leave.
  reload() reads changed Lua files again; variables stay. `luabench -i FILE` runs a script first.
  With lines from a pipe there is no prompt, and the exit status is 1 if any line failed.]],
  scenarios = [[
A scenario is a script that returns lb.scenario{ about =, options =, grid =, case = function(g, opt) ... end }.
  `luabench SCRIPT.lua` runs it: each case in a process of its own, checked, timed, judged, kept in a file.
  case() returns a plan, or lb.skip "the reason". At this prompt: `luabench -i SCRIPT.lua`, then script.case(...).]],
  formats = [[
Formats of weights: lb.quantizers() lists them, help "q4_k" describes one.
  w:quantize "q4_k" for [.., N, K] tensors with K a multiple of the format's block; q:dequantize() for the way back;
  q:error(w) for the error, q:bits_per_weight() for the size. dtypes: f32 f16 bf16 f64 i8 u8 i32 i64 f8e4m3.]],
  timing = [[
Timing: record a plan, then lb.measure(plan, { precision = 0.01, max_time_s = 2, cache = "weights-cold" }).
  cache: "weights-cold" (weights come from memory, the default), "hot" (from cache), "all-cold".
  lb.compare{ a = plan, b = plan } interleaves two. A timer is a plain clock: t = lb.timer():start(); t:stop().]],
}

local function list_of(names, indent)
  local lines, line, width = {}, indent, show.width()
  for _, name in ipairs(names) do
    if #line + #name + 2 > width then
      lines[#lines + 1] = line
      line = indent
    end
    line = line .. (line == indent and "" or "  ") .. name
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local function entry(signature, about)
  if #signature <= 34 then return show.wrap(("  %-34s %s"):format(signature, about), 37) end
  return show.wrap("  " .. signature, 6) .. "\n" .. show.wrap(("  %-34s %s"):format("", about), 37)
end

-- A class by its name, the engine's or one made in Lua.
local function class_named(name) return meta.classes[name] or meta.lua_classes[name] end

-- "methods" and "fields" of a class, as a block.
local function class_text(name)
  local class = class_named(name)
  local lines = { show.wrap(("%s: %s"):format(name, class.about), 2) }
  local names = suggest.keys(class.methods)
  if #names > 0 then lines[#lines + 1] = "methods" end
  for _, n in ipairs(names) do lines[#lines + 1] = entry(class.methods[n][1], class.methods[n][2]) end
  if name == "plan" then
    lines[#lines + 1] = "operations, each records a step (help \"gemm\" for its operands)"
    lines[#lines + 1] = list_of(meta.operations(), "  ")
  end
  local fields = suggest.keys(class.fields or {})
  if #fields > 0 then lines[#lines + 1] = "fields" end
  for _, n in ipairs(fields) do lines[#lines + 1] = entry(n, class.fields[n]) end
  return table.concat(lines, "\n")
end

local function operation_text(op)
  local lines = { ("%s: %s"):format(op.name, op.about),
    "  lb." .. meta.operation_signature(op) .. "   now",
    "  plan:" .. meta.operation_signature(op) .. "   recorded", "operands" }
  for _, o in ipairs(op.operands) do
    local kind = { read = "", weight = "weights: ", write = "written: ", partial = "partly written: ",
      update = "updated: " }
    lines[#lines + 1] = entry(o.name .. (o.optional and " (optional)" or ""), (kind[o.role] or "") .. o.about)
  end
  if #op.params > 0 then lines[#lines + 1] = "parameters" end
  for _, p in ipairs(op.params) do
    local names = p.choices and "; one of " .. table.concat(p.choices, ", ") or ""
    lines[#lines + 1] = entry(p.required and p.name .. " (required)"
      or ("%s = %s"):format(p.name, meta.parameter_default(p)),
      p.about .. names)
  end
  lines[#lines + 1] = "kernels"
  lines[#lines + 1] = list_of(require("luabench.core").kernels(op.name), "  ")
  return table.concat(lines, "\n")
end

-- An object's own data before its class.
local FACTS = {
  quantizer = { "name", "family", "bits", "group", "k_multiple", "about", "source" },
  kernel = { "op", "device", "about", "source", "format", "isa", "layout", "activation", "accumulator", "compute",
    "tolerance", "tolerance_why", "priority", "usable", "builtin" },
  device = { "name", "model", "threads", "isa" },
  model = { "type", "path", "parameters", "nbytes", "random" },
}

local function object_text(x, class)
  local ok, text = pcall(tostring, x)
  local lines = { ok and text or class }
  for _, field in ipairs(FACTS[class] or {}) do
    local good, value = pcall(function() return x[field] end)
    if good and value ~= nil and value ~= "" then
      local line = ("  %-14s %s"):format(field, (tostring(value):gsub("\n%s*", " ")))
      lines[#lines + 1] = show.wrap(line, 17)
    end
  end
  return table.concat(lines, "\n") .. "\n\n" .. class_text(class)
end

--- The class name of one of our objects; nil for everything else.
function M.class_of(x)
  if type(x) == "table" then
    local mt = debug.getmetatable(x)
    local name = type(mt) == "table" and rawget(mt, "__name")
    -- a script's class may have the same name
    return name and meta.lua_classes[name] and M.lua_classes()[name] == mt and name or nil
  end
  if type(x) ~= "userdata" then return nil end
  local mt = debug.getmetatable(x)
  for name, class in pairs(require("luabench.core").classes()) do
    if class.metatable == mt then return name end
  end
end

local function function_text(name)
  local f = meta.functions[name] or meta.table_functions[name]
  if f then return f[1] .. "\n  " .. f[2] end
end

local function module_text()
  local lines = { "lb, the module luabench" }
  for _, name in ipairs(suggest.keys(meta.functions)) do
    lines[#lines + 1] = entry(meta.functions[name][1], meta.functions[name][2])
  end
  lines[#lines + 1] = "operations, done at once (help \"gemm\" for the operands)"
  lines[#lines + 1] = list_of(meta.operations(), "  ")
  lines[#lines + 1] = "tables"
  for _, name in ipairs(suggest.keys(meta.tables)) do lines[#lines + 1] = entry("lb." .. name, meta.tables[name]) end
  return table.concat(lines, "\n")
end

local function described(kind, t, name)
  local lines = { ("%s %s: %s"):format(kind, name or t.name or "", tostring(t.about or "")) }
  if kind == "scenario" and type(t.options) == "table" then
    lines[#lines + 1] = "options"
    for _, o in ipairs(suggest.keys(t.options)) do
      local d = t.options[o]
      lines[#lines + 1] = entry("--" .. tostring(o),
        type(d) == "table" and tostring(d[1] or d.about or "") or tostring(d))
    end
  end
  return table.concat(lines, "\n")
end

local function has(list, name)
  for _, n in ipairs(list) do
    if n == name then return true end
  end
end

-- Finds what a name stands for; each returns a text or nil.
local function named(name)
  local core, loader = require "luabench.core", require "luabench.loader"
  local op = meta.operation(name)
  if op then return operation_text(op) end
  if has(core.kernels(), name) then return object_text(core.kernel(name), "kernel") end
  local good, q = pcall(core.quantizer, name)
  if good then return object_text(q, "quantizer") end
  if has(loader.strategies(), name) then return described("strategy", loader.strategy(name), name) end
  if has(loader.models(), name) then
    local t = loader.load("models", name)
    return described("model", t, name) .. "\n" .. show.value(t)
  end
  if has(loader.scenarios(), name) then
    return ("scenario %s: luabench run %s, or luabench scenarios/%s.lua --help"):format(name, name, name)
  end
  return nil
end

-- "gemm", "lb.zeros", "tensor:quantize", "plan", "q4_k", "prompt": every kind of name, or a method of several classes.
local function name_text(name)
  name = name:gsub("^lb%.", ""):gsub("^%s+", ""):gsub("%s+$", "")
  if name == "" or name == "help" then return M.overview() end
  if name == "lb" or name == "luabench" then return module_text() end
  if TOPICS[name] then return TOPICS[name] end
  if name == "reload" then
    return "reload()\n  reads changed Lua files again, and the script of -i; variables keep their values"
  end
  if name == "exit" or name == "quit" then return "exit([status])\n  leaves, as Ctrl-D does" end
  local class, method = name:match "^(%w+)[:.]([%w_]+)$"
  if class and class_named(class) then
    local c = class_named(class)
    if c.methods[method] then return c.methods[method][1] .. "\n  " .. c.methods[method][2] end
    if c.fields and c.fields[method] then return name .. "\n  " .. c.fields[method] end
    if class == "plan" and meta.operation(method) then return operation_text(meta.operation(method)) end
  end
  local parts = {}
  parts[#parts + 1] = function_text(name)
  if meta.tables[name] then parts[#parts + 1] = "lb." .. name .. "\n  " .. meta.tables[name] end
  if class_named(name) then parts[#parts + 1] = class_text(name) end
  parts[#parts + 1] = named(name)
  if #parts == 0 then
    for _, classes in ipairs { meta.classes, meta.lua_classes } do
      for _, c in ipairs(suggest.keys(classes)) do
        local m = classes[c].methods[name]
        if m then parts[#parts + 1] = ("%s: %s\n  %s"):format(c, m[1], m[2]) end
      end
    end
  end
  return parts[1] and table.concat(parts, "\n\n")
end

--- Every name that help "name" knows.
function M.names()
  local core, loader = require "luabench.core", require "luabench.loader"
  local names, seen = {}, {}
  local function add(list)
    for _, n in ipairs(list) do
      if not seen[n] then names[#names + 1], seen[n] = n, true end
    end
  end
  add(suggest.keys(TOPICS))
  add(suggest.keys(meta.functions))
  add(suggest.keys(meta.tables))
  add(suggest.keys(meta.table_functions))
  add(suggest.keys(meta.classes))
  add(suggest.keys(meta.lua_classes))
  add(meta.operations())
  add(core.quantizers())
  add(core.kernels())
  add(loader.strategies())
  add(loader.models())
  add { "lb", "reload", "exit" }
  for _, classes in ipairs { meta.classes, meta.lua_classes } do
    for _, c in pairs(classes) do add(suggest.keys(c.methods)) end
  end
  table.sort(names)
  return names
end

function M.overview()
  local lines = { GENERAL }
  lines[#lines + 1] = list_of(suggest.keys(TOPICS), "  ")
  return table.concat(lines, "\n")
end

-- Classes that are made in Lua: name -> metatable.
function M.lua_classes()
  return { model = require("luabench.model").class, session = require("luabench.model.session").class }
end

-- One in a table of lb, or a method of a class made in Lua.
local function text_of_lua_function(lb, f)
  for name in pairs(meta.table_functions) do
    local owner, field = name:match "^(%w+)%.(%w+)$"
    if rawget(lb, owner) and lb[owner][field] == f then return function_text(name) end
  end
  for _, name in ipairs(suggest.keys(meta.tables)) do
    local t = rawget(lb, name)
    for field, g in pairs(type(t) == "table" and name ~= "core" and t or {}) do
      if g == f then return ("lb.%s.%s: a function of lb.%s; help(lb.%s)"):format(name, field, name, name) end
    end
  end
  for name, class in pairs(M.lua_classes()) do
    for method in pairs(meta.lua_classes[name].methods) do
      if class[method] == f then return name_text(name .. ":" .. method) end
    end
  end
end

-- Which public function or method is this?
local function text_of_function(f)
  local lb = require "luabench"
  for _, name in ipairs(suggest.keys(meta.functions)) do
    if rawget(lb, name) == f then return function_text(name) end
  end
  for _, name in ipairs(meta.operations()) do
    if rawget(lb, name) == f then return operation_text(meta.operation(name)) end
  end
  for name, class in pairs(require("luabench.core").classes()) do
    for method in pairs(meta.classes[name] and meta.classes[name].methods or {}) do
      if class.metatable.methods[method] == f then return name_text(name .. ":" .. method) end
    end
  end
  local ours = text_of_lua_function(lb, f)
  if ours then return ours end
  for _, library in ipairs { "string", "table", "math", "io", "os", "coroutine", "bit" } do
    for name, g in pairs(_G[library]) do
      if g == f then return ("%s.%s: a function of Lua's %s library"):format(library, name, library) end
    end
  end
  for name, g in pairs(_G) do
    if g == f then return ("%s: one of Lua's own functions"):format(name) end
  end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "a function of the engine" end
  return ("a function from %s:%d"):format(info.short_src, info.linedefined)
end

local function text_of_table(t)
  local lb = require "luabench"
  if t == lb then return module_text() end
  for _, name in ipairs(suggest.keys(meta.tables)) do
    if rawget(lb, name) == t then return name_text(name) end
  end
  if type(rawget(t, "case")) == "function" then return described("scenario", t) end
  if type(rawget(t, "record")) == "function" then return described("strategy", t) end
  local mt = getmetatable(t)
  if type(mt) == "table" and mt.__tostring then return tostring(t) end
  local fields, functions = {}, {}
  for _, k in ipairs(suggest.keys(t)) do
    local to = type(t[k]) == "function" and functions or fields
    to[#to + 1] = tostring(k)
    if #to > 60 then break end
  end
  local lines = { ("a table with %d fields and %d functions"):format(#fields, #functions) }
  if #fields > 0 then lines[#lines + 1] = list_of(fields, "  ") end
  if #functions > 0 then lines[#lines + 1] = "functions\n" .. list_of(functions, "  ") end
  return table.concat(lines, "\n")
end

--- What help(x) prints. Unknown names raise with "did you mean".
function M.text(x)
  local class = M.class_of(x)
  if class then return object_text(x, class) end
  if type(x) == "function" then return text_of_function(x) end
  if type(x) == "table" then return text_of_table(x) end
  if type(x) ~= "string" then return ("a %s: %s"):format(type(x), tostring(x)) end
  local text = name_text(x)
  if text then return text end
  local near = suggest.nearest(x, M.names())
  error(("no help on %q%s"):format(x, near[1] and ('; did you mean "%s"?'):format(near[1])
    or "; help() lists the topics, help(lb) the functions"), 3)
end

--- help() explains how to begin; help(x) a function, an object, or the name of an operation, kernel, format, strategy.
function M.help(...)
  if select("#", ...) == 0 then
    io.stdout:write(show.fit(M.overview()), "\n")
  else
    io.stdout:write(show.fit(M.text((...))), "\n")
  end
end

--- Names that can follow value. or value: of anything, its class's and the lazily made ones too.
function M.members(value, methods_only)
  local names = {}
  local function add(list)
    for _, name in ipairs(list) do names[#names + 1] = name end
  end
  local class = M.class_of(value)
  if class then
    add(suggest.keys(class_named(class).methods))
    if class == "plan" then add(meta.operations()) end
    if not methods_only then add(suggest.keys(class_named(class).fields or {})) end
  elseif type(value) == "string" then
    add(suggest.keys(string))
  elseif value == require "luabench" then
    add(value.lazy_names())
  elseif type(value) == "table" or type(value) == "userdata" then
    local mt = debug.getmetatable(value)
    local index = type(mt) == "table" and rawget(mt, "__index")
    if type(index) == "table" then add(suggest.keys(index)) end
  end
  return names
end

return M

-- sandbox.lua: the environment that scripts run in. It keeps accidents from crashing the engine: no ffi, no C loaders,
-- no bytecode, no debug beyond traceback; a name that was never set is an error. It is no defence against malice
-- (io and os are there). `--unsafe` gives scripts everything.
local M = {}

local real_package, real_require, real_G = package, require, _G
local real_load, real_loadfile, real_getfenv, real_setfenv = load, loadfile, getfenv, setfenv
local error, type, tostring, pairs, rawget, setmetatable, ipairs = error, type, tostring, pairs, rawget, setmetatable,
  ipairs
local io_open = io.open

local PLAIN = { "assert", "collectgarbage", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print",
  "rawequal", "rawget", "rawset", "select", "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall",
  "gcinfo",
  "_VERSION" }
local TABLES = { "string", "table", "math", "coroutine", "bit", "io", "os" }
local REFUSED = { ffi = true, jit = true, debug = true, ["jit.util"] = true, package = true, _G = true,
  ["luabench.hot"] = true }

local function copy(t)
  local c = {}
  for k, v in pairs(t) do c[k] = v end
  return c
end

local function hint(name, env)
  local suggest = real_require "luabench.suggest"
  local names = {}
  for k in pairs(env) do if type(k) == "string" then names[#names + 1] = k end end
  local near = suggest.nearest(name, names)
  return near[1] and ('; did you mean "%s"?'):format(near[1]) or ""
end

-- Names that are made when first used, so that a script that does not need them does not pay.
local LAZY = {
  lb = function() return real_require "luabench" end,
  help = function() return real_require("luabench").help end,
}

local function guard(env)
  return setmetatable(env, {
    __index = function(t, name)
      local make = LAZY[name]
      if make then
        local v = make()
        t[name] = v
        return v
      end
      error(("undefined variable '%s'%s"):format(tostring(name), hint(name, t)), 2)
    end,
  })
end

-- load and friends: text only, in the script's environment unless another is given.
local function loaders(env)
  function env.load(chunk, name, _, where)
    return real_load(chunk, name, "t", where == nil and env or where)
  end
  env.loadstring = env.load
  function env.loadfile(path, _, where)
    return real_loadfile(path, "t", where == nil and env or where)
  end
  function env.dofile(path)
    local f, message = real_loadfile(path, "t", env)
    if not f then error(message, 2) end
    return f()
  end
end

-- Functions whose environment is the engine's own Lua are out of reach.
local function environments(env)
  function env.getfenv(f)
    if type(f) == "number" and f > 0 then f = f + 1 end
    local e = real_getfenv(f == nil and 2 or f)
    if e == real_G then return env end
    return e
  end
  function env.setfenv(f, where)
    local target = f
    if type(f) == "number" then
      if f == 0 then error("setfenv(0) is not available in scripts", 2) end
      target = f + 1
    end
    if real_getfenv(target) == real_G then error("the environment of this function cannot be changed", 2) end
    return real_setfenv(target, where)
  end
end

local function find_module(path, name)
  local file, tried = name:gsub("%.", "/"), {}
  for template in path:gmatch("[^;]+") do
    local candidate = template:gsub("%?", (file:gsub("%%", "%%%%")))
    local f = io_open(candidate, "r")
    if f then
      f:close()
      return candidate
    end
    tried[#tried + 1] = "\n\tno file '" .. candidate .. "'"
  end
  return nil, table.concat(tried)
end

-- require: our modules as they are; others as text, in the script's environment. C modules are refused.
local function modules(env)
  local package = { path = real_package.path, loaded = {}, preload = {}, config = real_package.config, cpath = "" }
  env.package = package
  for _, name in ipairs(TABLES) do package.loaded[name] = env[name] end
  function env.require(name)
    if type(name) ~= "string" then error("require: a module name expected, got " .. type(name), 2) end
    local v = package.loaded[name]
    if v ~= nil then return v end
    if REFUSED[name] then
      error(("module '%s' is not available to scripts (run with --unsafe to have it)"):format(name), 2)
    end
    if name == "luabench" or name:find("^luabench%.") then return real_require(name) end
    if package.preload[name] then
      v = package.preload[name](name)
    else
      local file, tried = find_module(package.path, name)
      if not file then
        error(("module '%s' not found:%s\n\tC modules are not available to scripts"):format(name, tried), 2)
      end
      local f, message = real_loadfile(file, "t", env)
      if not f then error(message, 2) end
      v = f(name)
    end
    if v == nil then v = package.loaded[name] == nil and true or package.loaded[name] end
    package.loaded[name] = v
    return v
  end
end

local current_unsafe = false

-- Scripts get everything, ffi included, from now on.
function M.allow_unsafe() current_unsafe = true end

-- An environment for a script; `extra` (may be nil) are more names for it. opts.unsafe: the real globals.
function M.environment(extra, opts)
  if extra ~= nil and type(extra) ~= "table" then
    error("sandbox: a table of names expected, got " .. type(extra), 2)
  end
  local env
  if current_unsafe or (opts and opts.unsafe) then
    env = copy(real_G)
    env._G = env
  else
    env = {}
    for _, name in ipairs(PLAIN) do env[name] = rawget(real_G, name) end
    for _, name in ipairs(TABLES) do env[name] = copy(rawget(real_G, name)) end
    env.string.dump = nil
    env._G = env
    env.debug = { traceback = debug.traceback }
    env.jit = { version = jit.version, os = jit.os, arch = jit.arch, on = jit.on, off = jit.off, flush = jit.flush,
      status = jit.status }
    loaders(env)
    environments(env)
    modules(env)
  end
  env.arg = rawget(real_G, "arg")
  for k, v in pairs(extra or {}) do env[k] = v end
  return guard(env)
end

-- Loads code as text in a fresh environment: the function, or nil and a message. An expression may stand alone.
function M.load(code, name, extra, opts)
  local env = M.environment(extra, opts)
  local f, message = real_load(code, name or "=(code)", "t", env)
  return f, message, env
end

-- The same for a file: a first line that starts with # is skipped.
function M.load_file(path, extra, opts)
  local file, message = io_open(path, "rb")
  if not file then return nil, "cannot read the script: " .. message end
  local text = file:read "*a"
  file:close()
  if not text then return nil, ("cannot read the script: %s: it is not a file"):format(path) end
  if text:byte(1) == 27 then return nil, ("%s is compiled bytecode; scripts are loaded as text only"):format(path) end
  text = text:gsub("^#[^\n]*", "", 1)
  return M.load(text, "@" .. path, extra, opts)
end

return M

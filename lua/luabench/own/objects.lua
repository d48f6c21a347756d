-- objects.lua: C text to a loaded shared object, by the system's compiler; objects are kept, by what they were made of.
--
-- In <cache>/luabench/kernels/ an object HASH.so has beside it HASH.key, all that it was made of (text, compiler and
-- its version, flags, instruction sets, this build), and HASH.d, the files that it includes. It is used again if the
-- key is the same, byte for byte, and no file that it includes is younger. Each is written under another name first.
-- What was made over 30 days ago goes, and of more than 200 the oldest; the folder may be removed at any time.
local core = require "luabench.core"
local record = require "luabench.record"
local sys = require "luabench.sys"

local M = {}

M.KEEP_S, M.MOST, M.TIMEOUT_S, M.LINES = 30 * 86400, 200, 120, 40

function M.directory() return sys.cache_dir() .. "/kernels" end

-- ---- the compiler ----

local function words_of(text)
  local words = {}
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  return words
end

local known = {}

-- { words =, name = "gcc (Debian 12.2.0-14) 12.2.0" }: $CC, or cc. Raises (level 0) where there is none.
function M.compiler()
  local own = os.getenv "CC"
  local text = own and own:find "%S" and own or "cc"
  if known[text] then return known[text] end
  local words = words_of(text)
  local argv = { unpack(words) }
  argv[#argv + 1] = "--version"
  local ok, lines, status = pcall(sys.lines_of, argv, 10)
  if not ok or status ~= 0 then
    if sys.interrupted() then error("interrupted", 0) end
    error(("no C compiler: %s: %s; install one (gcc or clang), or name one in $CC"):format(
      own and own:find "%S" and "$CC is \"" .. own .. "\"" or "$CC is not set, and cc",
      ok and ("exit status %s%s"):format(tostring(status), lines[1] and ": " .. lines[1] or "") or sys.clean(lines)), 0)
  end
  known[text] = { words = words, name = lines[1] or text }
  return known[text]
end

-- Where kernel.h lies: in the tree, or as installed.
function M.headers()
  local root = sys.lua_root()
  for _, path in ipairs { root .. "/../engine", root .. "/../../../include/luabench" } do
    if sys.exists(path .. "/kernel.h") then return path end
  end
  error(("kernel.h was found neither in %s/../engine nor in %s/../../../include/luabench: this luabench was installed "
    .. "without its headers"):format(root, root), 0)
end

-- ---- kept objects ----

-- The files that a makefile's rule depends on.
local function dependencies(path)
  local text = sys.read_file(path)
  if not text then return nil end
  local list = {}
  text = text:gsub("\\\r?\n", " "):gsub("^[^:]*:", "", 1):gsub("\\ ", "\1")
  for name in text:gmatch "%S+" do list[#list + 1] = (name:gsub("\1", " ")) end
  return list
end

local function fresh(base, key)
  if sys.read_file(base .. ".key") ~= key then return false end
  local made, list = sys.modified_s(base .. ".so"), dependencies(base .. ".d")
  if not made or not list then return false end
  for _, path in ipairs(list) do
    local when = sys.modified_s(path)
    if not path:find("%.c$") and (not when or when > made) then return false end
  end
  return true
end

-- Drops what is old, what is too much, and what a killed process left half-made.
local function prune(directory)
  local ok, names = pcall(sys.list_directory, directory)
  if not ok then return end
  local now, objects = sys.wall_s(), {}
  for _, name in ipairs(names) do
    local when = sys.modified_s(directory .. "/" .. name) or now
    local hash = name:match "^(%x+)%.so$"
    if hash then objects[#objects + 1] = { hash = hash, when = when }
    elseif name:find "^new%-" and now - when > 3600 then os.remove(directory .. "/" .. name) end
  end
  table.sort(objects, function(a, b) return a.when > b.when end)
  for i, o in ipairs(objects) do
    if i > M.MOST or now - o.when > M.KEEP_S then
      for _, ending in ipairs { ".key", ".d", ".so" } do os.remove(directory .. "/" .. o.hash .. ending) end
    end
  end
end

local function complaint(what, lines, status)
  local out = {}
  for i, line in ipairs(lines) do
    if i > M.LINES then
      out[#out + 1] = ("... and %d more lines"):format(#lines - M.LINES)
      break
    end
    out[#out + 1] = line
  end
  if status == nil then
    return ("%s: the compiler did not end within %d s"):format(what, M.TIMEOUT_S)
  end
  return ("%s does not compile (exit status %d of the compiler):\n%s"):format(what, status, table.concat(out, "\n"))
end

local function command(compiler, o, directory, new)
  local argv = { unpack(compiler.words) }
  local function add(...) for _, a in ipairs { ... } do argv[#argv + 1] = a end end
  add("-std=gnu11", "-Wall", "-O3", jit.arch == "arm64" and "-mcpu=native" or "-march=native", "-fno-math-errno",
    "-ffp-contract=off")
  for _, flag in ipairs(words_of(o.flags or "")) do add(flag) end
  add("-shared", "-fPIC", "-I", M.headers(), "-I", o.folder, "-MMD", "-MF", new .. ".d", "-MT", "x")
  add("-o", new .. ".so", new .. ".c", "-lm")
  return argv
end

-- Compiles into `base`.so; the compiler's warnings are returned.
local function build(compiler, o, directory, base, key)
  local new = ("%s/new-%d-%s"):format(directory, sys.self_pid(), base:match "[^/]*$")
  local function clean()
    for _, ending in ipairs { ".c", ".so", ".d" } do os.remove(new .. ending) end
  end
  local ok, lines = pcall(function()
    sys.replace_file(new .. ".c", o.text)
    local said, status = sys.lines_of(command(compiler, o, directory, new), M.TIMEOUT_S)
    if status ~= 0 then error(complaint(o.what, said, status), 0) end
    os.remove(base .. ".key")                        -- while the parts do not belong together there is no key
    for _, ending in ipairs { ".d", ".so" } do
      local moved, why = os.rename(new .. ending, base .. ending)
      if not moved then error(why, 0) end
    end
    sys.replace_file(base .. ".key", key)
    return said
  end)
  clean()
  if not ok then error(lines, 0) end
  return lines
end

local loaded = {}         -- key -> names, of what this process has loaded
local current = {}        -- name of a kernel -> the key that it is of now

local times = {}          -- path -> how often an object was loaded from there

-- The loader takes an object for one that it has if their names are the same: one that was made anew gets another.
local function alias(path, anew)
  if anew and times[path] then times[path] = times[path] + 1 end
  times[path] = times[path] or 0
  local folder, name = path:match "^(.*/)([^/]*)$"
  return folder .. ("./"):rep(times[path]) .. name
end

local function enter(path, key, anew)
  local names = core.kernel_reload(alias(path, anew))
  for _, name in ipairs(names) do current[name] = key end
  loaded[key] = names
  return names
end

-- What this process has loaded is looked for on the disk again.
function M.forget() loaded, current = {}, {} end

local function still(key)
  for _, name in ipairs(loaded[key] or { false }) do
    if current[name] ~= key then return nil end
  end
  return loaded[key]
end

-- Where objects are kept; a folder of this process alone where that cannot be written.
local function place()
  local directory = M.directory()
  if pcall(sys.mkdir_p, directory) and sys.can_write(directory) then return directory, true end
  return sys.tempdir(), false
end

-- o = { text =, flags =, folder = for #include "...", what = for errors }. Returns the names of the object's kernels.
function M.load(o)
  local compiler, version = M.compiler(), sys.version()
  local key = table.concat({ "luabench kernel 1", version.version or "", version.commit or "", compiler.name,
    table.concat(compiler.words, " "), sys.machine().isa or "", sys.machine().cpu or "", o.flags or "", o.folder,
      M.headers(),
    o.text }, "\n")
  if still(key) then return loaded[key] end
  local directory, kept = place()
  local base = directory .. "/" .. record.hash(key)
  local function make()
    if fresh(base, key) then return enter(base .. ".so", key) end
    local warnings = build(compiler, o, directory, base, key)
    prune(directory)
    if #warnings > 0 then
      io.stderr:write("luabench: ", o.what, ": ", table.concat(warnings, "\n", 1, math.min(#warnings, M.LINES)), "\n")
    end
    return enter(base .. ".so", key, true)
  end
  local ok, names
  if kept then
    ok, names = pcall(sys.with_lock, directory .. "/lock", M.TIMEOUT_S + 10, make)
  else
    ok, names = pcall(make)
    sys.tempdir_remove(directory)                    -- what is loaded stays
  end
  if not ok then error(names, 0) end
  return names
end

return M

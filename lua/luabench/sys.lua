-- sys.lua: the engine as the runner sees it: every call of luabench.core that scenarios' machinery needs, in one place.
local core = require "luabench.core"
local places = require "luabench.places"

local M = {}

-- ---- time, machine, terminal ----
function M.now_s() return core.now_ns() * 1e-9 end
function M.time_iso() return core.time_iso() end
function M.isatty(fd) return core.isatty(fd) end
function M.terminal_width(fd) return core.terminal_width(fd) end

local machine
function M.machine()
  machine = machine or core.machine()
  return machine
end
-- { zones } or { reason }; { names } or { reason }.
function M.energy() return core.energy() end
function M.counters() return core.counters() end
function M.warnings() return core.machine_warnings() end
function M.clock() return core.clock() end
function M.version() return core.version() end

-- What is known of each device that can be opened here.
function M.devices()
  local list = {}
  for _, name in ipairs(core.devices()) do
    local ok, device = pcall(core.device, name)
    if ok then
      local caps = device.caps
      caps.threads = device.threads
      list[#list + 1] = caps
    end
  end
  return list
end

-- The command line of this process, without the program.
function M.argv()
  local a, list = rawget(_G, "arg") or {}, { "luabench" }
  for i = 1, #a do list[i + 1] = a[i] end
  return list
end

-- ---- Ctrl-C ----
function M.interrupted() return core.interrupted() end
-- From here on Ctrl-C only sets the flag that interrupted() reads.
function M.flag_interrupts() core.interrupt "flag" end

-- A message without the place in these files of ours that passed it on; a script's place is kept.
function M.clean(message)
  return places.strip(tostring(message))
end

-- ---- files ----
function M.lua_root() return core.lua_root() end

-- What error() was given, as text.
function M.error_text(e)
  if type(e) == "string" then return e end
  local mt = type(e) == "table" and getmetatable(e)
  if type(mt) == "table" and mt.__tostring then return tostring(e) end
  return ("error() was given a %s, not a message"):format(type(e))
end

-- The message of a script that took all the memory that Lua has (engine/main.c), which Lua words shortly and without a
-- place.
function M.with_memory_hint(message)
  if not message:find("not enough memory", 1, true) then return message end
  return ("memory exhausted: %s; a script's own tables and strings may take %d MiB (tensors are apart), which "
    .. "LUABENCH_LUA_MEMORY_MB=N changes"):format(message, core.lua_memory_mib())
end

-- $XDG_CACHE_HOME/luabench or ~/.cache/luabench; under the temporary directory where there is no home.
function M.cache_dir()
  local base = os.getenv "XDG_CACHE_HOME"
  if not base or base == "" then
    local home = os.getenv "HOME"
    base = home and home ~= "" and home .. "/.cache" or (os.getenv "TMPDIR" or "/tmp")
  end
  return base .. "/luabench"
end

-- Text of a file, or nil and why.
function M.read_file(path)
  local f, why = io.open(path, "rb")
  if not f then return nil, why end
  local text, e = f:read "*a"
  f:close()
  if not text then return nil, e or "it is a directory" end
  return text
end

function M.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

function M.is_directory(path)
  local s = core.stat(path)
  return s ~= nil and s.kind == "directory"
end

function M.can_write(folder)
  local name = ("%s/.luabench-%d"):format(folder, core.pid())
  local f = io.open(name, "wb")
  if not f then return false end
  f:close()
  os.remove(name)
  return true
end

function M.list_directory(path)
  local names = {}
  for i, e in ipairs(core.list_dir(path)) do names[i] = e.name end
  return names
end

function M.mkdir_p(path) core.mkdir_p(path) end
function M.replace_file(path, text) core.write_file(path, text) end
-- At the end of a file, on the disk when it returns.
function M.append_file(path, text) core.append_file(path, text) end
-- A new temporary directory; those that killed runs of this user left are removed.
function M.tempdir()
  core.tempdir_sweep "luabench-"
  return core.tempdir "luabench-"
end
function M.tempdir_remove(path) core.tempdir_remove(path) end
function M.gzip(text) return core.gzip(text) end
function M.gunzip_file(path) return core.gunzip_file(path) end
-- The place of the first byte, from 0, that is no UTF-8; nil where all are.
function M.not_utf8(text)
  local at, n = 1, #text
  while at <= n do
    local _, last = text:find("^[%z\1-\127]+", at)
    if not last then _, last = text:find("^[\194-\223][\128-\191]", at) end
    if not last then
      _, last = text:find("^[\224-\239][\128-\191][\128-\191]", at)
      local a, b = text:byte(at, at + 1)
      if last and (a == 224 and b < 160 or a == 237 and b > 159) then last = nil end     -- too long; surrogates
    end
    if not last then
      _, last = text:find("^[\240-\244][\128-\191][\128-\191][\128-\191]", at)
      local a, b = text:byte(at, at + 1)
      if last and (a == 240 and b < 144 or a == 244 and b > 143) then last = nil end
    end
    if not last then return at - 1 end
    at = last + 1
  end
end
-- The whole file; errors are raised.
function M.file_read(path) return core.file_read(path) end

-- Replaces what a file holds where it is: its locks stay. Raises (level 0).
function M.rewrite_file(path, text)
  local f, why = io.open(path, "wb")
  if not f then error(("cannot write %s"):format(why), 0) end
  local ok, e = f:write(text)
  local closed, e2 = f:close()
  if not ok or not closed then error(("cannot write %s: %s"):format(path, tostring(e or e2)), 0) end
end

-- Seconds since the epoch: now; and when a file was last written, nil if there is none.
function M.wall_s() return core.time_s() end
function M.modified_s(path)
  local s = core.stat(path)
  return s and s.modified_s
end

-- An advisory lock between processes, or nil and why not; it ends with unlock, or with the process.
function M.lock(path, timeout_s) return core.lock(path, timeout_s) end
function M.unlock(lock) core.unlock(lock) end

-- Calls f under an advisory lock between processes; timeout_s < 0 waits for ever.
function M.with_lock(path, timeout_s, f)
  local lock, why = M.lock(path, timeout_s)
  if not lock then error(why, 0) end
  local ok, a, b = pcall(f)
  M.unlock(lock)
  if not ok then error(a, 0) end
  return a, b
end

-- ---- text ----
-- The value; nulls are absent, lists keep being lists when written again. Raises with line and column.
function M.json_decode(text)
  local json = require "luabench.json"
  local value, why = core.json_decode(text, nil, json.ARRAY)
  if value == nil and why then error(why, 0) end
  return value
end
function M.yaml_decode(text)
  local value, why = core.yaml_decode(text)
  if value == nil and why then error(why, 0) end
  return value
end

-- ---- processes ----
function M.self_command() return { core.exe_path() } end
function M.self_pid() return core.pid() end
function M.spawn(argv, pinned)     -- pinned: to the CPUs of this thread
  return core.spawn { argv = argv, stdin = "pipe", stdout = "pipe", stderr = "pipe", pinned = pinned }
end
-- For a command that is timed: it reads nothing, its output is nobody's, its complaints are kept.
function M.spawn_quiet(argv) return core.spawn { argv = argv, stdin = "null", stdout = "null", stderr = "pipe" } end
function M.write(p, text, timeout_s) return (pcall(p.write, p, text, timeout_s)) end
function M.line(p, stream) return p:line(stream) end
function M.eof(p) return p:eof(1) and p:eof(2) end
function M.state(p) return p:state() end
function M.wait(p, timeout_s) pcall(p.wait, p, timeout_s) end
function M.kill(p) p:kill(9) end
function M.free(p) p:close() end

-- Runs a command to its end: the lines that it writes to either stream, and its status (nil: it was killed after
-- `timeout` seconds). Raises (level 0) where it cannot be started, and on Ctrl-C.
function M.lines_of(argv, timeout)
  local p = core.spawn { argv = argv, env = { "LC_ALL=C" }, stdin = "null", stdout = "pipe", stderr = "merge" }
  local lines, deadline = {}, M.now_s() + timeout
  while not p:eof(1) and M.now_s() < deadline and not M.interrupted() do
    core.poll({ p }, 0.2)
    for line in function() return p:line(1) end do lines[#lines + 1] = line end
  end
  local done = p:eof(1)
  if not done then p:kill(9) end
  local state = p:wait(10)
  p:close()
  if M.interrupted() then error("interrupted", 0) end
  return lines, done and (state.code or 128 + (state.signal or 0)) or nil
end

-- Bytes of memory that a process holds; nil = unknown.
function M.resident_bytes(p)
  local text = M.read_file(("/proc/%d/status"):format(p.pid))
  local kib = text and text:match("VmRSS:%s*(%d+) kB")
  return kib and tonumber(kib) * 1024 or nil
end

-- Bytes of this process that lie in transparent huge pages; nil = unknown.
function M.huge_page_bytes()
  local text = M.read_file "/proc/self/smaps_rollup"
  local kib = text and text:match "AnonHugePages:%s*(%d+) kB"
  return kib and tonumber(kib) * 1024 or nil
end

-- Bytes of this process on each memory node, node 0 first, from the text of numa_maps (default: as it is now); nil =
-- unknown. A mapping's counts are of pages of the size that the line says.
function M.numa_node_bytes(text)
  text = text or M.read_file "/proc/self/numa_maps"
  local bytes, most = {}, -1
  for line in (text or ""):gmatch "[^\n]+" do
    local page = (tonumber(line:match "kernelpagesize_kB=(%d+)") or 4) * 1024
    for node, pages in line:gmatch " N(%d+)=(%d+)" do
      node = tonumber(node)
      most = math.max(most, node)
      bytes[node + 1] = (bytes[node + 1] or 0) + pages * page
    end
  end
  for i = 1, most + 1 do bytes[i] = bytes[i] or 0 end
  return most >= 0 and bytes or nil
end

-- Does the locale say that UTF-8 can be shown?
function M.utf8()
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local value = os.getenv(name)
    if value and value ~= "" then return value:lower():find "utf%-?8" ~= nil end
  end
  return false
end

-- Waits for something new of the child: "ready", "time", or "interrupted".
function M.poll(p, timeout_s)
  local ready = core.poll({ p }, timeout_s)
  if ready == nil or core.interrupted() then return "interrupted" end
  return ready > 0 and "ready" or "time"
end

-- ---- devices, tensors, plans ----
-- Opens a device and makes it the one that is meant where a script names none.
function M.device(name, threads)
  core.set_default_device(name, threads)
  return core.device()
end

-- After reading so many other bytes, what was read first is cold; cache_bytes: what the caches hold.
function M.cold_bytes(cache_bytes) return core.cache_cold_bytes(cache_bytes) end
-- Bytes that the caches may hold, as measured; nil = unknown.
function M.cache_capacity(device) return core.cache_capacity(device) end
function M.set_cache_capacity(device, bytes) core.cache_capacity(device, bytes) end
-- { bytes, bytes_per_s, capacity_bytes, l1_bytes_per_s, ... }: read rates by size; and what such points say.
function M.cache_curve(device, seconds) return core.cache_curve(device, seconds) end
function M.cache_fit(device, curve, read_bytes_per_s) return core.cache_curve(device, curve, read_bytes_per_s) end

local function is(value, class)
  return type(value) == "userdata" and tostring(getmetatable(value).__name) == class
end
function M.is_plan(x) return is(x, "plan") end
function M.is_tensor(x) return is(x, "tensor") end
function M.plan_device(plan) return plan.device end
function M.run_plan(plan) plan:run() end
-- Does this operation do what several others do?
function M.op_is_fused(name)
  if not M.fused_ops then
    M.fused_ops = {}
    for key, op in pairs(core.ops()) do M.fused_ops[op.name or key] = op.fused end
  end
  return M.fused_ops[name] or false
end
function M.snapshot_updates(plan) plan:snapshot "updates" end
function M.snapshot_outputs(plan) plan:snapshot "outputs" end
-- True if the outputs are those of the snapshot; else false and where they differ.
function M.verify(plan)
  local c = plan:verify()
  return c.passed, c.reason
end
function M.check(plan) return plan:check() end
-- Holds the originals of what t:quantize makes, up to so many bytes (nil: lets go); and the original of a weight, or
-- nil.
function M.keep_originals(bytes) core.keep_originals(bytes) end
function M.original_of(t) return core.original_of(t) end
function M.oracle_matmul(x, w) return core.oracle.matmul(x, w) end
function M.oracle_forget() core.oracle.forget() end
function M.operands(plan, step) return plan:operands(step) end
function M.steps(plan) return plan:steps() end
function M.account(plan) return plan:account() end

-- The last output of a plan whose last step has one output; nil else.
function M.last_output(plan)
  local ok, t = pcall(plan.last, plan)
  return ok and t or nil
end

-- sum (got - want)^2 / sum want^2
function M.nmse(got, want)
  local a, b = got:to "f64", want:to "f64"
  return ((a - b):norm() / b:norm()) ^ 2
end

-- Most bytes of engine buffers since the last reset.
function M.memory_peak() return core.memory().peak_bytes end
function M.memory_peak_reset() core.memory_peak_reset() end
function M.blob_save(path, tensors) core.blob_save(path, tensors) end
function M.blob_load(path, device) return core.blob_load(path, device) end

-- ---- measuring ----
local function core_opts(o)
  return { precision = o.precision, max_time_s = o.max_time, min_samples = o.min_samples, samples = o.samples,
    warmup = o.warmup, warmup_min_s = o.warmup_min, warmup_max_s = o.warmup_max, cache = o.cache,
    mode = o.eager and "eager" or nil, seed = o.seed, extra_work = o.extra_work }
end

function M.measure(plan, o) return core.measure(plan, core_opts(o)) end
function M.measure_interleaved(plans, o) return core.measure_interleaved(plans, core_opts(o)) end
function M.sampler(plan, o) return core.sampler(plan, core_opts(o)) end
function M.kernel_prefer(name) core.kernel_prefer(name) end
function M.kernel_source(name) return core.kernel(name).source end
function M.kernel_is_builtin(name) return core.kernel(name).builtin end
function M.stats(numbers) return core.stats(numbers) end
function M.contrast(logs, o) return core.contrast(logs, o) end
-- Are n values with an interval of this half-width enough? `stop_at` is nil at first, then what the last call gave.
-- Returns whether, and the next stop_at.
function M.enough(n, half_width, wanted, stop_at) return core.enough(n, half_width, wanted, stop_at) end
function M.contrast_unpaired(a, b, o) return core.contrast_unpaired(a, b, o) end
function M.sign_flip_p(logs, seed) return core.sign_flip_p(logs, { seed = seed }) end
function M.holm(p) return core.holm(p) end

-- { read_bytes_per_s, ops_per_s = { type = rate }, best = { read_bytes_per_s, ops_per_s } }: what ten samples reach,
-- and the best of all. read: the read bandwidth too; types: set of compute types.
function M.ceilings(device, seconds, read, types)
  local what = {}
  if read then what[1] = "read" end
  for name in pairs(types) do what[#what + 1] = name end
  local c = core.ceilings(device, seconds, what)
  local out = { ops_per_s = {}, best = { ops_per_s = {} } }
  if c.read then out.read_bytes_per_s, out.best.read_bytes_per_s = c.read.best_of_ten, c.read.best end
  for name, rate in pairs(c.ops) do
    out.ops_per_s[name], out.best.ops_per_s[name] = rate.best_of_ten, rate.best
  end
  return out
end

-- { { kernel, compute, isa, best, best_of_ten, median }, ... } of every instruction class that there is a kernel for;
-- `seconds` for all of them together.
function M.ceiling_classes(device, seconds) return core.ceiling_classes(device, seconds) end
-- All of core.ceilings.
function M.all_ceilings(device, seconds, what) return core.ceilings(device, seconds, what) end

-- ns a launch: the least over a few replays of a recorded plan of independent empty steps.
function M.launch_ns(device)
  local steps, runs = 64, 200
  local plan = core.plan(device)
  for _ = 1, steps do plan:empty {} end
  plan:submit(runs)
  local best = math.huge
  for _ = 1, 10 do
    local ns, launches = plan:submit(runs)
    best = math.min(best, ns / launches)
  end
  plan:close()
  return best
end

return M

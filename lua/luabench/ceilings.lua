-- ceilings.lua: what the hardware does now, measured next to each case, and the best ever seen, kept per machine.
--
-- Next to a case it is what ten samples of a millisecond reach: the best of all that fit in would grow with the time
-- spent on looking. The best ever seen is the best of all samples ever: nothing that is faster can be true.
--
-- The file is <cache>/luabench/ceilings.json: { key = { read_bytes_per_s, ops_per_s = {type = rate}, curve, when,
-- since, measured } }, the key being CPU model, device, threads, the number of the measuring method, which changes when
-- its figures do, and a fingerprint of the machine: cores, caches, memory, instruction sets, kernel. A machine that
-- changed starts anew, and what was begun (`since`) over 30 days ago is forgotten: a neighbour who moved in, or a new
-- firmware, would else make every fraction too low for ever.
-- It is written aside and renamed, under a lock. curve = { bytes, bytes_per_s } are rates of reading so many bytes over
-- and over (engine/cache.h).
local json = require "luabench.json"
local judge = require "luabench.judge"
local sys = require "luabench.sys"

local M = {}

local best_seen = {}      -- key -> ceilings, of this process and the file
local last = {}           -- key -> { when = s, ceilings = }
local launch_costs = {}

-- The number of the measuring method: figures of different ones are not compared.
M.METHOD = 6
-- A reading this young also serves the case that starts now.
M.REUSE_S = 2
M.QUICK_S = 0.15
M.CURVE_S = 0.05
-- A curve whose last reads, which are of memory, are slower than this share of the best read is swept again, every so
-- many seconds at most.
M.SLOW_SHARE, M.AGAIN_S = 0.75, 600

function M.path() return sys.cache_dir() .. "/ceilings.json" end

-- Best readings count for so long.
M.KEEP_S = 30 * 86400

-- What makes it another machine under the same name. Memory in GiB: how much of it the kernel keeps varies.
function M.fingerprint(m)
  local c = m.caches or {}
  local parts = { m.isa or "", m.kernel or "" }
  for _, v in ipairs { m.cores_physical or 0, m.cores_logical or 0, m.cores_usable or 0, c.l1d_bytes or 0,
      c.l2_bytes or 0, c.l3_bytes or 0, c.llc_total_bytes or 0, math.floor((m.memory_bytes or 0) / 2 ^ 30 + 0.5) } do
    parts[#parts + 1] = ("%.0f"):format(v)
  end
  return require("luabench.record").hash(table.concat(parts, "|")):sub(1, 8)
end

local function machine_part() return "machine " .. M.fingerprint(sys.machine()) end

local function key_of(device)
  local name = device.caps.uuid and device.caps.uuid ~= "" and device.model .. " " .. device.caps.uuid or device.name
  return ("%s | %s | %d threads | method %d | %s"):format(sys.machine().cpu or "unknown cpu", name,
    device.threads, M.METHOD, machine_part())
end
M.key_of = key_of

-- Is a key of this machine as it is now?
function M.is_own(key)
  local cpu, part = sys.machine().cpu or "unknown cpu", machine_part()
  return key:sub(1, #cpu + 3) == cpu .. " | " and key:sub(-#part) == part
end

-- Is a key of one of these devices, a list of { name =, model = }?
function M.is_of(key, devices)
  local name = key:match "^.- | (.-) | %d+ threads | "
  for _, d in ipairs(devices) do
    if name == d.name or d.model and name and name:sub(1, #d.model + 1) == d.model .. " " then return true end
  end
  return false
end

-- Seconds since the epoch of "2026-01-31T12:34:56.789Z"; nil for another text.
local function seconds_of(iso)
  local y, mo, d, h, mi, s = tostring(iso):match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
  if not y then return nil end
  -- os.time takes local time: what it makes of the same moment told in both ways is the difference
  local now = os.time()
  local told = os.date("!*t", now)
  told.isdst = false
  return os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false } + now - os.time(told)
end
M.seconds_of = seconds_of

local function is_fresh(c)
  local when = seconds_of(c.since or c.when)
  local age = when and sys.wall_s() - when
  return age ~= nil and age < M.KEEP_S and age > -86400
end

-- All that the file knows and that still counts; an unreadable file counts as empty.
function M.stored()
  local text = sys.read_file(M.path())
  local ok, value = pcall(sys.json_decode, text or "{}")
  if not ok or type(value) ~= "table" then return {} end
  local clean = {}
  for key, c in pairs(value) do
    if type(c) == "table" and type(c.ops_per_s) == "table" and is_fresh(c) then
      local curve = c.curve
      if type(curve) ~= "table" or type(curve.bytes) ~= "table" or type(curve.bytes_per_s) ~= "table" then
        c.curve = nil
      end
      clean[key] = c
    end
  end
  return clean
end

function M.best(device)
  local key = key_of(device)
  if not best_seen[key] then best_seen[key] = judge.merge(M.stored()[key]) end
  return best_seen[key]
end

local function higher(a, b)
  if (a.read_bytes_per_s or 0) > (b.read_bytes_per_s or 0) then return true end
  for name, rate in pairs(a.ops_per_s) do
    if rate > (b.ops_per_s[name] or 0) then return true end
  end
  if not a.curve then return false end
  if not b.curve or #a.curve.bytes ~= #b.curve.bytes then return true end
  if (a.curve.swept_s or 0) > (b.curve.swept_s or 0) + M.AGAIN_S then return true end
  for i, rate in ipairs(a.curve.bytes_per_s) do
    if a.curve.bytes[i] ~= b.curve.bytes[i] or rate > b.curve.bytes_per_s[i] then return true end
  end
  return false
end

-- The device rotates copies, and accounts, by the largest caches ever seen: what is called cold must be cold when the
-- host gives more.
local function use_curve(device, ceilings)
  if not ceilings.curve then return end
  local ok, fit = pcall(sys.cache_fit, device, ceilings.curve, ceilings.read_bytes_per_s)
  if not ok then
    ceilings.curve = nil
    return
  end
  fit.swept_s = ceilings.curve.swept_s
  ceilings.curve = fit
  if fit.capacity_bytes then sys.set_cache_capacity(device, fit.capacity_bytes) end
end

-- Keeps a reading if it is the best, and `measured` (what measure_all gives) in any case. A cache that cannot be
-- written is no error: the best is then of this run.
local function remember(device, reading, measured)
  local key = key_of(device)
  local known = M.best(device)
  if not measured and not higher(reading, known) then return end
  best_seen[key] = judge.merge(known, reading)
  use_curve(device, best_seen[key])
  pcall(function()
    sys.mkdir_p(sys.cache_dir())
    sys.with_lock(M.path() .. ".lock", 5, function()
      local all = M.stored()
      local before = all[key] or {}
      best_seen[key] = judge.merge(best_seen[key], before)
      use_curve(device, best_seen[key])
      all[key] = judge.merge(best_seen[key])
      all[key].when, all[key].measured = sys.time_iso(), measured or before.measured
      all[key].since = before.since or all[key].when
      sys.replace_file(M.path(), json.encode(all, { pretty = true }) .. "\n")
    end)
  end)
end

local function covers(ceilings, read, types, curve)
  if read and (ceilings.read_bytes_per_s or 0) <= 0 then return false end
  if curve and not ceilings.curve then return false end
  for name in pairs(types) do
    if ceilings.asked[name] == nil then return false end
  end
  return true
end

-- The caches' read rates; nil for a device whose caches no kernel here can read.
local function sweep(device)
  local ok, curve = pcall(sys.cache_curve, device, M.CURVE_S)
  if ok then
    curve.swept_s = sys.wall_s()
    return #curve.bytes > 0 and curve or nil
  end
  if sys.interrupted() then error(curve, 0) end
end

-- Measures for about `seconds`; read: the read bandwidth too; types: set of compute types; curve: the caches too.
function M.measure(device, seconds, read, types, curve)
  local reading = sys.ceilings(device, seconds, read, types)
  if curve then reading.curve = sweep(device) end
  reading.asked = types
  last[key_of(device)] = { when = sys.now_s(), ceilings = reading }
  remember(device, judge.merge(reading.best, { ops_per_s = {}, curve = reading.curve }))
  return reading
end

-- A reading of at most REUSE_S seconds ago that has all that is asked, or a new one.
function M.near(device, read, types, curve)
  local l = last[key_of(device)]
  if l and sys.now_s() - l.when < M.REUSE_S and covers(l.ceilings, read, types, curve) then return l.ceilings end
  return M.measure(device, M.QUICK_S, read, types, curve)
end

local MEMORY = { "read", "copy", "write" }

-- All ceilings, for people, in about `seconds`: { when, seconds, threads, read = { best, best_of_ten, median }, copy =,
-- write =, l1 = { best, median }, l2 =, llc =, classes = { { kernel, compute, isa, best, best_of_ten, median }, ... },
-- launch_ns =, cache_bytes = }. Kept, with the best ever seen, by machine and number of threads.
function M.measure_all(device, seconds)
  local memory = sys.all_ceilings(device, 0.5 * seconds, MEMORY)
  local classes = sys.ceiling_classes(device, 0.4 * seconds)
  local swept = sys.cache_curve(device, math.max(M.CURVE_S, 0.1 * seconds))
  local curve = sys.cache_fit(device, swept, math.max(memory.read.best, M.best(device).read_bytes_per_s))
  for _, name in ipairs { "l1_median", "l2_median", "llc_median" } do curve[name] = swept[name] end
  curve.swept_s = sys.wall_s()
  local reading = { read_bytes_per_s = memory.read.best, ops_per_s = {}, curve = curve }
  for _, c in ipairs(classes) do reading.ops_per_s[c.compute] = math.max(reading.ops_per_s[c.compute] or 0, c.best) end
  local function level(name, best)
    return curve[name .. best] and { best = curve[name .. best], median = curve[name .. "_median"] } or nil
  end
  local all = { when = sys.time_iso(), seconds = seconds, threads = device.threads, device = device.name,
    read = memory.read, copy = memory.copy, write = memory.write, l1 = level("l1", "_bytes_per_s"),
    l2 = level("l2", "_bytes_per_s"), llc = level("llc", "_bytes_per_s"), classes = classes,
    launch_ns = M.launch_ns(device), cache_bytes = curve.capacity_bytes,
    curve = { bytes = curve.bytes, bytes_per_s = curve.bytes_per_s } }
  remember(device, reading, all)
  return all
end

-- What measure_all gave last on this machine with as many threads; nil = nothing yet.
function M.measured(device)
  local stored = M.stored()[key_of(device)]
  local all = stored and stored.measured
  return type(all) == "table" and type(all.read) == "table" and type(all.classes) == "table" and all or nil
end

-- Was memory slower in it than ever read? It was swept while others were at work, or memory in another state.
local function is_slow(curve, read_bytes_per_s)
  return curve.bytes_per_s[#curve.bytes_per_s] < M.SLOW_SHARE * (read_bytes_per_s or 0)
    and math.abs(sys.wall_s() - (curve.swept_s or 0)) > M.AGAIN_S
end

-- Tells the device how much its caches hold, from what is known of this machine or by a sweep; by another where the
-- known one is slow.
function M.prepare(device)
  local best = M.best(device)
  if best.curve then use_curve(device, best) end
  if best.curve and not is_slow(best.curve, best.read_bytes_per_s) then return end
  local curve = sweep(device)
  if curve then remember(device, { ops_per_s = {}, curve = curve }) end
end

-- The least time of one launch in ns: a recorded plan of empty, independent steps, divided by their number.
function M.launch_ns(device)
  local key = key_of(device)
  if launch_costs[key] == nil then
    local ok, cost = pcall(sys.launch_ns, device)
    if not ok and sys.interrupted() then error(cost, 0) end
    launch_costs[key] = ok and cost or false
  end
  return launch_costs[key] or nil
end

return M

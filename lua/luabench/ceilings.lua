-- ceilings.lua: what the hardware does now, measured next to each case, and the best ever seen, kept per machine.
--
-- The file is <cache>/luabench/ceilings.json: { key = { read_bytes_per_s, ops_per_s = {type = rate}, when } }, the key
-- being CPU model, device, threads and the number of the measuring method, which changes when its figures do. It is written aside and renamed, under a lock.
local json = require "luabench.json"
local judge = require "luabench.judge"
local sys = require "luabench.sys"

local M = {}

local best_seen = {}      -- key -> ceilings, of this process and the file
local last = {}           -- key -> { when = s, ceilings = }
local launch_costs = {}

-- A reading this young also serves the case that starts now.
M.REUSE_S = 2
M.QUICK_S = 0.15

function M.path() return sys.cache_dir() .. "/ceilings.json" end

local function key_of(device)
  return ("%s | %s | %d threads | method 2"):format(sys.machine().cpu or "unknown cpu", device.name, device.threads)
end
M.key_of = key_of

-- All that the file knows; an unreadable file counts as empty.
function M.stored()
  local text = sys.read_file(M.path())
  local ok, value = pcall(sys.json_decode, text or "{}")
  if not ok or type(value) ~= "table" then return {} end
  local clean = {}
  for key, c in pairs(value) do
    if type(c) == "table" and type(c.ops_per_s) == "table" then clean[key] = c end
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
  return false
end

-- Keeps a reading if it is the best. A cache that cannot be written is no error: the best is then of this run.
local function remember(device, reading)
  local key = key_of(device)
  local known = M.best(device)
  if not higher(reading, known) then return end
  best_seen[key] = judge.merge(known, reading)
  pcall(function()
    sys.mkdir_p(sys.cache_dir())
    sys.with_lock(M.path() .. ".lock", 5, function()
      local all = M.stored()
      best_seen[key] = judge.merge(best_seen[key], all[key])
      all[key] = judge.merge(best_seen[key])
      all[key].when = sys.time_iso()
      sys.replace_file(M.path(), json.encode(all, { pretty = true }) .. "\n")
    end)
  end)
end

local function covers(ceilings, read, types)
  if read and (ceilings.read_bytes_per_s or 0) <= 0 then return false end
  for name in pairs(types) do
    if ceilings.asked[name] == nil then return false end
  end
  return true
end

-- Measures for about `seconds`; read: the read bandwidth too; types: set of compute types.
function M.measure(device, seconds, read, types)
  local reading = sys.ceilings(device, seconds, read, types)
  reading.asked = types
  last[key_of(device)] = { when = sys.now_s(), ceilings = reading }
  remember(device, reading)
  return reading
end

-- A reading of at most REUSE_S seconds ago that has all that is asked, or a new one.
function M.near(device, read, types)
  local l = last[key_of(device)]
  if l and sys.now_s() - l.when < M.REUSE_S and covers(l.ceilings, read, types) then return l.ceilings end
  return M.measure(device, M.QUICK_S, read, types)
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

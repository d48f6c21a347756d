-- prepared.lua: tensors that are dear to make (quantized weights), made once a run and mapped by every worker.
--
--   local t = lb.prepared("glm4 seed=1 experts", function(progress)
--     progress(27, 64)                                -- done, total; or progress("text"[, share])
--     return { gate0 = ..., up0 = ... }
--   end, "quantizing 64 experts")
--
-- The key must say everything that the tensors depend on. The first worker that asks builds them, under a lock, and
-- saves them as one checksummed file in the run's directory; others (and this one, the next time) map that file. The
-- directory belongs to the run and is removed with it. Without a runner (REPL, -e) they are kept in this process.
local sys = require "luabench.sys"
local record = require "luabench.record"

local M = {}

-- Set by the worker: where the files are, how to report, which device maps them.
M.directory = nil
M.report = nil
M.device = nil

local cached, order, cached_for = {}, {}, nil
local building = {}       -- keys whose build() runs now: asking for one of them would wait for itself
-- So many keys stay mapped: their pages are the file's, shared with other processes and given up under pressure.
local KEEP = 16

local function remember(key, tensors)
  if cached[key] == nil then order[#order + 1] = key end
  cached[key] = tensors
  while #order > KEEP do cached[table.remove(order, 1)] = nil end
end

local function check_tensors(t)
  if type(t) ~= "table" then
    error("lb.prepared: the function should return a table of tensors, got " .. type(t), 0)
  end
  local any = false
  for name, tensor in pairs(t) do
    any = true
    if type(name) ~= "string" or not sys.is_tensor(tensor) then
      error(("lb.prepared: entry %s should be a tensor under a name, got %s"):format(tostring(name), type(tensor)), 0)
    end
  end
  if not any then error("lb.prepared: the function returned no tensors", 0) end
end

local function report(text, fraction)
  if M.report then M.report(text, fraction) end
end

local function load(path)
  return sys.blob_load(path, M.device)
end

-- What build() is given: progress(done, total), or progress(text[, share]).
local function reporter(label)
  return function(a, b)
    if type(a) == "number" and type(b) == "number" then
      report(label or "preparing", b > 0 and a / b or nil)
    elseif type(a) == "string" then
      report(a, type(b) == "number" and b or nil)
    end
  end
end

local function built(key, build, label)
  report(label or "preparing")
  building[key] = true
  -- originals of what is shared and mapped are not the case's own
  sys.keep_originals(nil)
  local ok, t = pcall(build, reporter(label))
  building[key] = nil
  if not ok then error(t, 0) end
  check_tensors(t)
  return t
end

-- Builds, saves and maps under a lock that other workers wait for.
local function shared(key, build, label)
  local path = ("%s/%s.blob"):format(M.directory, record.hash(key))
  if sys.exists(path) then return load(path) end
  return sys.with_lock(path .. ".lock", -1, function()
    if sys.exists(path) then return load(path) end
    local t = built(key, build, label)
    report("saving what was prepared")
    local ok, err = pcall(sys.blob_save, path, t)
    if not ok then
      -- A full disk must not stop the run: this worker uses what it has built, the next builds again.
      report("prepared weights are not shared: " .. tostring(err))
      return t
    end
    t = nil
    collectgarbage()
    return load(path)
  end)
end

-- lb.prepared(key, build[, label]): the table of tensors that build() returns or returned before for this key.
function M.prepared(key, build, label)
  if type(key) ~= "string" or key == "" then error("lb.prepared takes a key, a string, got " .. type(key), 2) end
  if type(build) ~= "function" then
    error("lb.prepared(key, function) expected a function, got " .. type(build), 2)
  end
  local device = M.device and M.device.name .. "/" .. M.device.threads or "cpu"
  if cached_for ~= device then cached, order, cached_for = {}, {}, device end
  if cached[key] then return cached[key] end
  if building[key] then
    error(("lb.prepared: the function that builds %q asks for %q itself, which would wait for ever; give what it needs "
      .. "a key of its own"):format(key, key), 2)
  end
  local t
  if M.directory then
    t = shared(key, build, label)
  else
    t = built(key, build, label)
  end
  remember(key, t)
  return t
end

-- Drops what this process holds.
function M.forget() cached, order = {}, {} end

return M

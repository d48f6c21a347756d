-- test_ceilings.lua: the file of the best ceilings: what ages, what belongs to another machine, what is kept.
local lu = require "luaunit"
local ceilings = require "luabench.ceilings"
local core = require "luabench.core"
local json = require "luabench.json"
local sys = require "luabench.sys"

local T = {}
local folder, old

function T.setUp()
  folder, old = sys.tempdir(), os.getenv "XDG_CACHE_HOME"
  core.setenv("XDG_CACHE_HOME", folder)
  sys.mkdir_p(folder .. "/luabench")
end

function T.tearDown()
  core.setenv("XDG_CACHE_HOME", old)
  sys.tempdir_remove(folder)
end

local function stored(entries)
  sys.replace_file(ceilings.path(), json.encode(entries))
  return ceilings.stored()
end

local function days_ago(n) return os.date("!%Y-%m-%dT%H:%M:%S.000Z", os.time() - n * 86400) end

local function entry(since, when)
  return { read_bytes_per_s = 1, ops_per_s = { f32 = 1 }, since = since, when = when }
end

function T.test_dates()
  lu.assertEquals(ceilings.seconds_of "1970-01-02T00:00:01.500Z", 86401)
  lu.assertEquals(ceilings.seconds_of "2026-07-01T12:00:00.000Z", 1782907200)
  lu.assertAlmostEquals(ceilings.seconds_of(sys.time_iso()), sys.wall_s(), 2)
  lu.assertNil(ceilings.seconds_of "yesterday")
  lu.assertNil(ceilings.seconds_of(nil))
end

function T.test_what_is_too_old_is_forgotten()
  local now = stored { new = entry(days_ago(1)), grown = entry(days_ago(29), days_ago(0)),
    old = entry(days_ago(31), days_ago(0)), before_this_field = entry(nil, days_ago(3)), undated = entry(nil, nil),
      tomorrow = entry(days_ago(-3)) }
  local names = require("luabench.suggest").keys(now)
  lu.assertEquals(names, { "before_this_field", "grown", "new" })
end

function T.test_the_date_of_the_first_reading_stays()
  local device = sys.device "cpu"
  local key = ceilings.key_of(device)
  stored { [key] = entry(days_ago(10), days_ago(9)) }
  ceilings.measure(device, 0.05, true, {})
  local after = ceilings.stored()[key]
  lu.assertTrue(after.read_bytes_per_s > 1)
  lu.assertAlmostEquals(ceilings.seconds_of(after.since), sys.wall_s() - 10 * 86400, 60)
  lu.assertAlmostEquals(ceilings.seconds_of(after.when), sys.wall_s(), 60)
end

-- In a process of its own, which has seen nothing yet. What stands in the file gets higher, never lower.
function T.test_a_sweep_of_a_busy_minute_is_swept_again()
  local device = sys.device "cpu"
  local curve = sys.cache_curve(device, 0.05)
  local slow, key = {}, ceilings.key_of(device)
  for i, rate in ipairs(curve.bytes_per_s) do slow[i] = i > #curve.bytes - 6 and rate / 50 or rate end
  local function entry_of(read, swept_s)
    return { [key] = { read_bytes_per_s = read, ops_per_s = {}, when = sys.time_iso(), since = sys.time_iso(),
      curve = { bytes = curve.bytes, bytes_per_s = slow, swept_s = swept_s } } }
  end
  local function last_after_prepare(entries)
    stored(entries)
    local script = 'require("luabench.ceilings").prepare(require("luabench.sys").device "cpu")'
    local p = core.spawn { argv = { sys.self_command()[1], "-e", script }, stdin = "null", stdout = "null",
      stderr = "merge" }
    lu.assertEquals(p:wait(30).code, 0)
    p:close()
    local rates = ceilings.stored()[key].curve.bytes_per_s
    return rates[#rates]
  end
  lu.assertTrue(last_after_prepare(entry_of(curve.bytes_per_s[#slow])) > 2 * slow[#slow])
  lu.assertEquals(last_after_prepare(entry_of(slow[#slow])), slow[#slow])      -- as fast as ever seen: kept
  lu.assertEquals(last_after_prepare(entry_of(curve.bytes_per_s[#slow], sys.wall_s() - 60)), slow[#slow])
end

-- What a case is held against is what ten samples reach; what nothing may exceed is the best of all.
function T.test_the_best_of_all_is_kept_and_what_ten_samples_reach_is_given()
  local device = sys.device("cpu", 1)       -- a key of its own: what was seen before is kept in this process
  local reading = ceilings.measure(device, 0.1, true, { f32 = true })
  local best = ceilings.stored()[ceilings.key_of(device)]
  lu.assertTrue(reading.read_bytes_per_s > 0 and reading.read_bytes_per_s <= reading.best.read_bytes_per_s)
  lu.assertTrue(reading.ops_per_s.f32 > 0 and reading.ops_per_s.f32 <= reading.best.ops_per_s.f32)
  lu.assertTrue(best.read_bytes_per_s >= reading.best.read_bytes_per_s)
  lu.assertTrue(best.ops_per_s.f32 >= reading.best.ops_per_s.f32)
end

function T.test_a_machine_that_changed_is_another()
  local m = sys.machine()
  local function changed(edit)
    local copy = {}
    for k, v in pairs(m) do copy[k] = v end
    edit(copy)
    return ceilings.fingerprint(copy)
  end
  local own = ceilings.fingerprint(m)
  lu.assertEquals(changed(function() end), own)
  lu.assertNotEquals(changed(function(c) c.cores_usable = 77 end), own)
  lu.assertNotEquals(changed(function(c) c.kernel = "other" end), own)
  lu.assertNotEquals(changed(function(c) c.memory_bytes = (c.memory_bytes or 0) + 2 ^ 32 end), own)
  lu.assertEquals(changed(function(c) c.load1 = 99 end), own)
  local key = ceilings.key_of(sys.device "cpu")
  lu.assertTrue(ceilings.is_own(key))
  lu.assertFalse(ceilings.is_own((key:gsub("machine %x", "machine x"))))
  lu.assertFalse(ceilings.is_own("other " .. key))
end

-- A result tells of the devices that are there: another's ceilings, of a build or a driver that is gone, are left out.
function T.test_ceilings_of_the_devices_that_are_there()
  local here = { { name = "cpu", model = "AMD EPYC" }, { name = "cuda:0", model = "NVIDIA H200" } }
  lu.assertTrue(ceilings.is_of("AMD EPYC | cpu | 2 threads | method 3 | machine 1", here))
  lu.assertTrue(ceilings.is_of("AMD EPYC | NVIDIA H200 GPU-12 | 1 threads | method 3 | machine 1", here))
  lu.assertFalse(ceilings.is_of("AMD EPYC | cuda:1 | 1 threads | method 3 | machine 1", here))
  lu.assertFalse(ceilings.is_of("AMD EPYC | played on the CPU GPU-0 | 1 threads | method 3 | machine 1", here))
  lu.assertFalse(ceilings.is_of("rubbish", here))
end

function T.test_a_file_of_rubbish_is_an_empty_one()
  sys.replace_file(ceilings.path(), "{")
  lu.assertEquals(ceilings.stored(), {})
  lu.assertEquals(stored { a = 5, b = { ops_per_s = 1 } }, {})
end

return T

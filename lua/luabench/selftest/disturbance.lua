-- selftest/disturbance.lua: every detector is made to fire, and stays silent when nothing happens.
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { name = "disturbance", about = "burners, faults and migrations are seen" }

local BURN_S, BLOB_BYTES = 0.4, 16 * 2 ^ 20

local function spin(seconds)
  local start = sys.now_s()
  return function() while sys.now_s() - start < seconds do end end
end

local function tiny(t)
  local lb = require "luabench"
  return lb.plan(t.device):gemm { x = lb.randn({ 4, 512 }, { seed = 1 }), w = lb.randn({ 512, 512 }, { seed = 2 }) }
end

local function measured(t, seconds)
  return t.tools.measure(tiny(t), { cache = "hot", samples = math.floor(seconds * 1e3 / 1.2), warmup = 5 })
end

-- With so many processes that never sleep, anywhere or (pinned) on the CPU of this thread.
local function with_burners(count, pinned, f)
  local list = {}
  local ok, e = pcall(function()
    for i = 1, count do
      local command = sys.self_command()
      command[#command + 1] = "-e"
      command[#command + 1] = "print('on') io.stdout:flush() while true do end"
      list[i] = sys.spawn(command, pinned)
    end
    for _, p in ipairs(list) do                                -- each says that it runs
      local until_s = sys.now_s() + 5
      repeat sys.poll(p, 0.05) until sys.line(p, 1) or sys.now_s() > until_s
    end
    f()
  end)
  for _, p in ipairs(list) do
    sys.kill(p)
    sys.free(p)
  end
  if not ok then error(e, 0) end
end

local function quiet_baseline(t)
  local s = measured(t, 1)
  t.fitness.disturbed = s.disturbance.disturbed_samples / s.samples
  t:check { name = "as it is now", text = ("%d of %d samples carry a mark%s"):format(s.disturbance.disturbed_samples,
    s.samples, s.disturbance.noisy and ": this machine is busy, and rows would be called noisy" or ""),
    passed = true, figures = { disturbed_share = t.fitness.disturbed } }
end

local function burners(t)
  t:say "burners on every CPU"
  local s
  local cpus = sys.machine().cores_usable or t.device.threads
  with_burners(cpus, false, function() s = measured(t, BURN_S) end)
  local d = s.disturbance
  t:check { name = "a busy neighbour on the same cores", passed = d.noisy and ((d.involuntary_switches or 0) > 0
    or (d.run_delay_ns or 0) > 0), text = ("%d of %d samples marked, %s switches, %s of waiting for a CPU"):format(
    d.disturbed_samples, s.samples, tostring(d.involuntary_switches or "?"), units.time(d.run_delay_ns)),
    figures = { disturbed_share = d.disturbed_samples / s.samples, involuntary_switches = d.involuntary_switches,
      run_delay_ns = d.run_delay_ns } }
end

-- One burner on the CPU of this thread, which spins against it.
local function same_cpu(t)
  local hook, got = t.tools.selftest, nil
  if not hook.pin() then return t:check { name = "switches", text = "this thread cannot be pinned here" } end
  local ok, e = pcall(with_burners, 1, true, function() got = t.tools.watch(spin(0.1)) end)
  hook.back()
  if not ok then error(e, 0) end
  local m = got.marks
  t:check { name = "a burner on the same CPU", passed = (m.switched or m.delayed) and true or false,
    text = ("%s switches and %s of waiting in %s"):format(tostring(got.involuntary_switches or "?"),
      units.time(got.run_delay_ns), units.time(got.elapsed_ns)), figures = { involuntary_switches =
      got.involuntary_switches, run_delay_ns = got.run_delay_ns } }
end

local function migration(t)
  local hook, there = t.tools.selftest, nil
  local got = t.tools.watch(function() there = hook.move() end)
  hook.back()
  if not there then return t:check { name = "migration", text = "there is only one CPU to run on" } end
  t:check { name = "migration to another CPU", passed = got.marks.migrated and got.migrations == 1 or false,
    text = ("%s seen"):format(tostring(got.migrations or "?")), figures = { migrations = got.migrations } }
end

-- Pages of a mapped file that the kernel was asked to forget. Where they cannot be dropped (a file system in memory)
-- there is no fault to be seen.
local function faults(t)
  local core = require "luabench.core"
  local lb = require "luabench"
  sys.mkdir_p(sys.cache_dir())
  local path = ("%s/selftest-%d.blob"):format(sys.cache_dir(), sys.self_pid())
  local got, why
  local ok, e = pcall(function()
    core.blob_save(path, { x = lb.full({ BLOB_BYTES / 4 }, 1) })
    if not t.tools.selftest.evict(path) then why = "the file cannot be dropped from memory" return end
    got = t.tools.watch(function()
      local loaded = core.blob_load(path)
      loaded.x:sum()
      loaded.x:close()
    end)
  end)
  os.remove(path)
  if not ok then error(e, 0) end
  if why then return t:check { name = "major faults", text = why } end
  t:check { name = "major faults of a mapped file", passed = got.marks.faulted and got.major_faults > 0 or false,
    text = ("%s faults in %s of pages"):format(tostring(got.major_faults or "?"), units.bytes(BLOB_BYTES)),
    figures = { major_faults = got.major_faults } }
end

local function frequency(t)
  local s = measured(t, 0.1)
  local ghz = s.disturbance.frequency_ghz
  if not ghz then return t:check { name = "frequency", text = "unknown on this processor" } end
  t:check { name = "frequency", passed = ghz > 0.3 and ghz < 10, figures = { frequency_ghz = ghz },
    text = ("%.2f GHz; 0.3 to 10 is believable"):format(ghz) }
end

-- Nothing happens in an instant: nothing may be marked in most of them.
local function silence(t)
  local marked, tries = 0, 200
  for _ = 1, tries do
    if next(t.tools.watch(spin(0.0005)).marks) then marked = marked + 1 end
  end
  t:check { name = "silent when nothing happens", passed = marked <= tries / 2,
    text = ("%d of %d short waits were marked; at most half, on a busy machine"):format(marked, tries),
    figures = { marked = marked, tries = tries } }
end

function M.run(t)
  quiet_baseline(t)
  silence(t)
  same_cpu(t)
  burners(t)
  migration(t)
  faults(t)
  frequency(t)
end

return M

-- info.lua: `luabench info [--json] [--fresh] [--threads N]`: the machine, its devices, measured ceilings, warnings.
local json = require "luabench.json"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { usage = "info [--json] [--fresh]", about = "machine, devices, measured ceilings, warnings" }

local COMPUTE = { f32 = true, bf16 = true, int8 = true }

-- Measures what this machine does now, on its CPU; --fresh takes longer and looks at every compute type.
local function measure(fresh, threads)
  local ceilings = require "luabench.ceilings"
  local device = sys.device("cpu", threads)
  local now = ceilings.measure(device, fresh and 3 or 0.8, true, COMPUTE)
  return { device = device.name, threads = device.threads, seconds = fresh and 3 or 0.8,
    read_bytes_per_s = now.read_bytes_per_s, ops_per_s = now.ops_per_s, launch_ns = ceilings.launch_ns(device),
    best = ceilings.best(device), when = sys.time_iso() }
end

local function row(out, name, value)
  if value ~= nil and value ~= "" then out[#out + 1] = ("  %-14s %s"):format(name, value) end
end

local function known_bytes(x) return x and units.binary_bytes(x) or nil end

local function text(block, now)
  local out, cores, caches = { "machine:" }, block.cores, block.caches
  row(out, "cpu", block.cpu)
  row(out, "cores", ("%s physical, %s logical, %s usable"):format(tostring(cores.physical or "?"),
    tostring(cores.logical or "?"), tostring(cores.usable or "?")))
  row(out, "isa", block.isa)
  row(out, "caches", ("L1d %s, L2 %s, last level %s in all"):format(known_bytes(caches.l1d_bytes) or "?",
    known_bytes(caches.l2_bytes) or "?", known_bytes(caches.llc_total_bytes) or "?"))
  row(out, "memory", known_bytes(block.memory_bytes))
  row(out, "kernel", block.kernel)
  row(out, "governor", block.governor)
  if block.clock then
    row(out, "clock", ("%s, resolution %s, %s a call"):format(block.clock.name, units.time(block.clock.resolution_ns),
      units.time(block.clock.cost_ns)))
  end
  out[#out + 1] = "devices:"
  for _, d in ipairs(block.devices) do
    row(out, d.name, ("%s, %s threads"):format(d.model or "?", tostring(d.threads or d.threads_max or "?")))
  end
  out[#out + 1] = ("ceilings of %s with %d threads, now (best ever seen):"):format(now.device, now.threads)
  row(out, "read", ("%s (%s)"):format(units.si(now.read_bytes_per_s, "B/s"),
    units.si(now.best.read_bytes_per_s, "B/s")))
  for _, name in ipairs(suggest.keys(COMPUTE)) do
    local rate = now.ops_per_s[name]
    row(out, name, rate and ("%s (%s)"):format(units.si(rate, "FLOP/s"), units.si(now.best.ops_per_s[name], "FLOP/s"))
      or "no kernel for it here")
  end
  row(out, "launch", units.time(now.launch_ns))
  out[#out + 1] = #block.warnings > 0 and "warnings:" or "no warnings"
  for _, w in ipairs(block.warnings) do out[#out + 1] = "  " .. w end
  return table.concat(out, "\n") .. "\n"
end

function M.run(argv)
  local complain = require("luabench.cli").complain
  local options = require "luabench.options"
  local as_json, fresh, threads
  local i = 1
  while i <= #argv do
    local a = argv[i]
    local value = a:match("^%-%-threads=(.*)$")
    if a == "--threads" then
      i = i + 1
      value = argv[i] or ""
    end
    if value then
      local why
      threads, why = options.convert(options.common_by_name.threads, value)
      if not threads then return complain("info: " .. why) end
    elseif a == "--json" then as_json = true
    elseif a == "--fresh" then fresh = true
    elseif a == "--help" or a == "-h" then
      io.stdout:write("luabench info [--json] [--fresh] [--threads N]\n",
        "--fresh measures the ceilings for 3 s instead of 0.8 s\n")
      return 0
    else
      return complain(("info: unknown argument %s%s"):format(a, suggest.hint(a, { "--json", "--fresh", "--threads" })))
    end
    i = i + 1
  end
  local now = measure(fresh, threads)
  local block = require("luabench.machine").block()
  if as_json then
    block.now = now
    io.stdout:write(json.encode(block, { pretty = true, order = require("luabench.record").machine_order }), "\n")
  else
    io.stdout:write(text(block, now))
  end
  return 0
end

return M

-- info.lua: `luabench info [--json] [--fresh] [--threads N]`: the machine, its devices, measured ceilings, warnings.
local json = require "luabench.json"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { usage = "info [--json]", about = "machine, devices, measured ceilings, warnings" }

local QUICK_S, FRESH_S = 1.2, 5

-- What is kept from run to run, and where.
local function kept(device)
  local ceilings, choices = require "luabench.ceilings", require "luabench.choices"
  local forms, stale = choices.known(device)
  local n, objects = 0, 0
  for _ in pairs(forms) do n = n + 1 end
  local directory = require("luabench.own.objects").directory()
  local ok, names = pcall(sys.list_directory, directory)
  for _, name in ipairs(ok and names or {}) do objects = objects + (name:find "%.so$" and 1 or 0) end
  return { ceilings = ceilings.path(), choices = choices.path(), choices_forms = n, choices_stale = stale,
    kernels = directory, kernels_compiled = objects }
end

-- The ceilings as kept for this machine and number of threads; measured where nothing is, or with --fresh.
local function measure(fresh, threads)
  local ceilings = require "luabench.ceilings"
  local device = sys.device("cpu", threads)
  local now = not fresh and ceilings.measured(device) or nil
  if not now then now = ceilings.measure_all(device, fresh and FRESH_S or QUICK_S) end
  ceilings.launch_ns(device)       -- its threads run, and are pinned
  now.device, now.threads, now.best = device.name, device.threads, ceilings.best(device)
  now.read_bytes_per_s, now.ops_per_s = now.read.best, {}
  for _, c in ipairs(now.classes) do
    now.ops_per_s[c.compute] = math.max(now.ops_per_s[c.compute] or 0, c.best)
  end
  now.pinning = device.pinning
  now.kept = kept(device)
  return now
end

-- Words in lines of at most `width` characters, each after the first begun with `indent`.
local function wrapped(out, text, width, indent)
  local line
  for word in text:gmatch "%S+" do
    if line and #line + 1 + #word > width then
      out[#out + 1], line = line, indent .. word
    else
      line = line and line .. " " .. word or text:match "^%s*" .. word
    end
  end
  out[#out + 1] = line
end

local function screen() return math.max(60, math.min(require("luabench.outputs").look().width or 100, 120)) end

local function row(out, name, value)
  if value == nil or value == "" then return end
  local lines = {}
  wrapped(lines, tostring(value), screen() - 17, "")
  for i, l in ipairs(lines) do out[#out + 1] = ("  %-14s %s"):format(i == 1 and name or "", l) end
end

local function known_bytes(x) return x and units.binary_bytes(x) or nil end

local function class_name(c) return (c.kernel:gsub("^peak%.", ""):gsub("[._]", " ")) end

-- { name, unit, rate = { best, median }, the best ever seen }
local function ceiling_rows(now)
  local rows, best, curve = {}, now.best, now.best.curve or {}
  local function add(name, unit, rate, ever) if rate then rows[#rows + 1] = { name, unit, rate, ever } end end
  add("memory, read", "B/s", now.read, best.read_bytes_per_s)
  add("memory, copy (read + written)", "B/s", now.copy)
  add("memory, written past caches", "B/s", now.write)
  add("last level, read", "B/s", now.llc, curve.llc_bytes_per_s)
  add("L2, read", "B/s", now.l2, curve.l2_bytes_per_s)
  add("L1, read", "B/s", now.l1, curve.l1_bytes_per_s)
  local most = {}
  for _, c in ipairs(now.classes) do most[c.compute] = math.max(most[c.compute] or 0, c.best) end
  for _, c in ipairs(now.classes) do
    add(class_name(c), "OP/s", c, c.best == most[c.compute] and best.ops_per_s[c.compute] or nil)
  end
  return rows
end

local function ceiling_lines(out, now)
  local when = tostring(now.when):gsub("^(%S-)T(%d+:%d+)%S*$", "%1 %2 UTC")
  out[#out + 1] = ("ceilings of %s, %d thread%s, of %s (--fresh: measure again):"):format(now.device, now.threads,
    now.threads == 1 and "" or "s", when)
  local line = "  %-30s %12s %12s %12s"
  out[#out + 1] = line:format("", "best", "median", "ever seen")
  for _, r in ipairs(ceiling_rows(now)) do
    out[#out + 1] = line:format(r[1], units.si(r[3].best, r[2]), units.si(r[3].median, r[2]),
      r[4] and units.si(r[4], r[2]) or ""):gsub("%s+$", "")
  end
  out[#out + 1] = ("  %-30s %12s"):format("an empty launch", units.time(now.launch_ns))
  local seen = now.best.curve and now.best.curve.capacity_bytes
  if now.cache_bytes or seen then
    out[#out + 1] = ("  %-30s %12s %12s %12s"):format("held by caches, by reading", known_bytes(now.cache_bytes) or "-",
      "", known_bytes(seen) or "")
  end
end

local function roofline_lines(out, now)
  local memories, peaks = {}, {}
  for _, m in ipairs { { "L1", now.l1 }, { "L2", now.l2 }, { "last level", now.llc }, { "memory", now.read } } do
    if m[2] then memories[#memories + 1] = { name = m[1], rate = m[2].best } end
  end
  for _, c in ipairs(now.classes) do
    if not c.kernel:find "portable" then peaks[#peaks + 1] = { name = class_name(c), rate = c.best } end
  end
  local look = require("luabench.outputs").look()
  local lines = require("luabench.roofline").draw(memories, peaks,
    { width = screen(), unicode = sys.utf8(), colour = look.colour })
  if not lines then return end
  out[#out + 1] = "roofline, both axes logarithmic:"
  for _, l in ipairs(lines) do out[#out + 1] = l end
end

-- CPUs of the threads, as "0, 1" or "0 to 63".
local function cpu_list(cpus)
  local runs = {}
  for _, cpu in ipairs(cpus) do
    local last = runs[#runs]
    if last and cpu == last[2] + 1 then last[2] = cpu else runs[#runs + 1] = { cpu, cpu } end
  end
  for i, r in ipairs(runs) do
    runs[i] = r[1] == r[2] and tostring(r[1]) or r[2] == r[1] + 1 and r[1] .. ", " .. r[2] or r[1] .. " to " .. r[2]
  end
  return table.concat(runs, ", ")
end

local function kept_lines(out, k)
  out[#out + 1] = "kept from run to run:"
  row(out, "ceilings", k.ceilings)
  row(out, "choices", ("%s: %d form%s measured by `luabench tune` on this machine and build%s"):format(k.choices,
    k.choices_forms,
    k.choices_forms == 1 and "" or "s",
      k.choices_stale > 0 and ("; %d of another build do not count"):format(k.choices_stale) or ""))
  row(out, "own kernels", ("%s: %d compiled"):format(k.kernels, k.kernels_compiled))
end

local function text(block, now)
  local out, cores, caches = { "machine:" }, block.cores, block.caches
  row(out, "cpu", block.cpu)
  row(out, "cores", ("%s physical, %s logical, %s usable"):format(tostring(cores.physical or "?"),
    tostring(cores.logical or "?"), tostring(cores.usable or "?")))
  row(out, "isa", block.isa)
  row(out, "threads", now.pinning and ("%d, %s to CPU %s"):format(now.threads,
    now.pinning.pinned and "pinned" or "not pinned", cpu_list(now.pinning.cpus)))
  row(out, "caches", ("L1d %s, L2 %s, last level %s in all, as shown"):format(known_bytes(caches.l1d_bytes) or "?",
    known_bytes(caches.l2_bytes) or "?", known_bytes(caches.llc_total_bytes) or "?"))
  row(out, "memory", known_bytes(block.memory_bytes))
  row(out, "kernel", block.kernel)
  row(out, "governor", block.governor)
  row(out, "boost", block.boost ~= nil and (block.boost and "on" or "off") or nil)
  row(out, "huge pages", block.transparent_huge_pages and "transparent: " .. block.transparent_huge_pages)
  row(out, "NUMA nodes", cores.numa_nodes)
  if block.clock then
    row(out, "clock", ("%s, resolution %s, %s a call"):format(block.clock.name, units.time(block.clock.resolution_ns),
      units.time(block.clock.cost_ns)))
  end
  row(out, "energy", block.energy.reason and "unknown: " .. block.energy.reason
    or "counted: " .. table.concat(block.energy.zones, ", "))
  row(out, "counters", block.counters.reason and "none: " .. block.counters.reason
    or table.concat(block.counters.names, ", "))
  out[#out + 1] = "devices:"
  for _, d in ipairs(block.devices) do
    row(out, d.name, ("%s, %s threads"):format(d.model or "?", tostring(d.threads or d.threads_max or "?")))
  end
  ceiling_lines(out, now)
  kept_lines(out, now.kept)
  roofline_lines(out, now)
  out[#out + 1] = #block.warnings > 0 and "warnings:" or "no warnings"
  for _, w in ipairs(block.warnings) do wrapped(out, "  " .. w, screen(), "    ") end
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
        "Ceilings are kept by machine and number of threads; --fresh measures them again, for 5 s.\n")
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

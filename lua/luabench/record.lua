-- record.lua: the result file luabench/1: its fields in order, names of cases, and how a case is run again.
local json = require "luabench.json"

local M = {}

M.SCHEMA = "luabench/1"

local TIME = { "unit", "median", "ci95", "mean", "std", "min", "max", "p10", "p25", "p75", "p90", "p95", "p99", "mad",
  "samples", "iterations" }
-- The fields of a case; {name, fields} where the field is an object of its own. Missing ones are written as null.
M.case_order = {
  "scenario", "case", "axes", "status", "reason", "device", "threads", "mode", "cache",
  { "path", { "op", "kernel", "launches", "weight_bytes", "why" } },
  { "time", TIME },
  "samples_ns", "marks", "metrics",
  { "processes", { "median_ns", "samples_ns" } },
  { "work", { "flops", "bytes", "items", "item" } },
  { "rate", { "flops_per_s", "bytes_per_s", "items_per_s" } },
  { "sol", { "bound", "fraction", "ceiling", "ceiling_best", "compute_type" } },
  { "check", { "oracle", "nmse", "max_abs", "cosine", "tolerance", "passed" } },
  { "quantization_error", { "bits_per_weight", "sqnr_db", "rel_rmse", "output_rel_rmse" } },
  { "memory", { "weights_bytes", "peak_bytes" } },
  { "energy", { "joules_per_item" } },
  { "disturbance", { "involuntary_switches", "steal_ns", "frequency_ghz", "disturbed_samples", "contended_samples",
    "noisy" } },
  "reproduce",
}
M.run_order = { "id", "started", "argv", "seed", "version", "commit", "dirty", "flags" }
M.machine_order = { "cpu", "cores", "isa", "caches", "memory_bytes", "kernel", "governor", "devices", "ceilings",
  "warnings" }
M.order = { "schema", { "run", M.run_order }, { "machine", M.machine_order }, { "cases", M.case_order } }

M.statuses = { ok = true, skipped = true, failed = true, invalid = true, crashed = true, timeout = true }
-- Statuses that make the run's exit status 1.
M.bad = { failed = true, invalid = true, crashed = true, timeout = true }

-- An axis value as it is shown, matched by --only and compared: numbers in their shortest exact form.
function M.value_text(v)
  if type(v) == "number" then return json.number(v) end
  return tostring(v)
end

-- "tokens=1 strategy=auto"; `axes` a table, `names` its keys in order.
function M.case_id(axes, names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = name .. "=" .. M.value_text(axes[name]) end
  return table.concat(parts, " ")
end

-- Quoted for a POSIX shell, where it must be.
function M.shell_quote(s)
  if s ~= "" and not s:find("[^%w%-_./=:,+@%%]") then return s end
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- Options that say where results go or which cases run; the command that runs one case again has its own.
local DROPPED = { ["--output"] = true, ["-o"] = true, ["--only"] = true, ["--format"] = true, ["--output-dir"] = true,
  ["--trace"] = true, ["--report"] = true }
local DROPPED_FLAGS = { ["--resume"] = true, ["--quiet"] = true, ["-h"] = true, ["--help"] = true }

-- The shell line of a command and its arguments, outputs apart. `more`: further words.
function M.command(words, argv, more)
  local i = 1
  while i <= #argv do
    local a = argv[i]
    local name = a:match("^(%-%-[^=]+)=") or a
    if DROPPED[name] then
      if name == a then i = i + 1 end
    elseif not DROPPED_FLAGS[a] and not a:find("^%-o.") then
      words[#words + 1] = a
    end
    i = i + 1
  end
  for _, w in ipairs(more or {}) do words[#words + 1] = w end
  for k, w in ipairs(words) do words[k] = M.shell_quote(w) end
  return table.concat(words, " ")
end

-- The shell line that runs only this case.
function M.reproduce(script, argv, axes, names)
  local parts = {}
  for k, name in ipairs(names) do parts[k] = name .. "=" .. M.value_text(axes[name]) end
  return M.command({ "luabench", script }, argv, #names > 0 and { "--only", table.concat(parts, ",") } or nil)
end

-- The head of a result, "run": who, when, with what.
function M.head(seed)
  local sys = require "luabench.sys"
  local version = sys.version()
  return { id = ("%s-%d"):format(os.date("!%Y%m%dT%H%M%SZ"), sys.self_pid()), started = sys.time_iso(),
    argv = json.array(sys.argv()), seed = seed, version = version.version, commit = version.commit,
    dirty = version.dirty, flags = version.flags }
end

-- A record with what is known before a case runs.
-- job = { script=, name=, argv=, names= axis names, opt= parsed options }
function M.new(job, axes, status, reason)
  return {
    scenario = job.name, case = M.case_id(axes, job.names), axes = axes, status = status, reason = reason,
    device = axes.device or job.opt.device, threads = axes.threads or job.opt.threads,
    mode = axes.mode or job.opt.mode, cache = axes.cache or job.opt.cache,
    -- only where the script takes it: else the option says nothing about what ran
    dtype = axes.dtype or job.takes_dtype and job.opt.dtype or nil,
    reproduce = M.reproduce(job.script, job.argv, axes, job.names),
  }
end

-- 64-bit FNV-1a as 16 hex digits, of a string.
function M.hash(text)
  local bit = require "bit"
  local bxor, band, tohex = bit.bxor, bit.band, bit.tohex
  -- two 32-bit lanes with different starts; 16777619 * h is formed in two halves to stay exact in doubles
  local function lane(h)
    for i = 1, #text do
      h = bxor(h, text:byte(i))
      local low, high = band(h, 0xffff), bit.rshift(h, 16)
      h = band(low * 16777619 % 2 ^ 32 + band(high * 16777619, 0xffff) * 65536, -1)
    end
    return h
  end
  return tohex(lane(0x811c9dc5 - 2 ^ 32)) .. tohex(lane(0x1b873593))
end

-- What a finished case is found by in a journal: scenario, script text, axes and the options that results depend on.
function M.key(job, axes)
  local keyed = { scenario = job.name, script = job.checksum, axes = axes, options = job.keyed }
  return M.hash(json.encode(keyed))
end

-- What to say where --only keeps no case: what it was taken for, and which axis it may have meant.
function M.only_hint(filter, names)
  local suggest = require "luabench.suggest"
  local known = {}
  for _, n in ipairs(names) do known[n] = true end
  for name in ("," .. filter):gmatch ",([%a_][%w_]*)=" do
    if not known[name] then return ("; there is no axis %q%s"):format(name, suggest.hint(name, names)) end
  end
  if not filter:find(",", 1, true) then return "" end
  return (";\na comma stands between axis=value pairs, as in --only %s; without an axis the whole of \"%s\", comma "
    .. "included, is looked for in the names of the cases"):format(names[2] and names[1] .. "=A," .. names[2] .. "=B"
    or (names[1] or "axis") .. "=A," .. (names[1] or "axis") .. "=B", filter)
end

-- --only as a function of a case's axes: a list of axis=value (the same axis twice: either), else a part of its name.
function M.matcher(filter, names)
  local known = {}
  for _, n in ipairs(names) do known[n] = true end
  local wanted, pairs_only, rest = {}, true, filter
  while rest ~= "" do
    local name, tail = rest:match("^([%a_][%w_]*)=(.*)$")
    if not name or not known[name] then pairs_only = false break end
    local cut
    local from = 1
    while true do
      local at, _, following = tail:find(",([%a_][%w_]*)=", from)
      if not at then break end
      if known[following] then cut = at break end
      from = at + 1
    end
    local value = cut and tail:sub(1, cut - 1) or tail
    wanted[name] = wanted[name] or {}
    wanted[name][value] = true
    rest = cut and tail:sub(cut + 1) or ""
  end
  local function by_name(axes) return M.case_id(axes, names):find(filter, 1, true) ~= nil end
  if not pairs_only or not next(wanted) then return by_name end
  local spaced = filter:find(" ", 1, true) ~= nil    -- a case's name has spaces, and so may a value
  return function(axes)
    for name, values in pairs(wanted) do
      if not values[M.value_text(axes[name])] then return spaced and by_name(axes) end
    end
    return true
  end
end

return M

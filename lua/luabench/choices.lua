-- choices.lua: which kernel was the fastest for operands of a form, as measured on this machine; kept from run to run.
--
-- The file is <cache>/luabench/choices.json: { version, machines = { key = { build, when, forms = { form = entry } } }
-- }. The key is CPU model, device, threads and the machine's fingerprint (ceilings.lua); `build` is the program:
-- another commit, other flags, or changed sources built anew, and what was measured counts no more. It is written aside
-- and renamed, under a lock. An entry is { kernel =, default = (of highest priority), cache = "weights-cold", ns = {
-- kernel = median }, ratio =, ci95 = (time of `kernel` over the default's), verdict =, left = { kernel = why it was not
-- timed }, when = }. What a form is, and when a choice counts: engine/selection.h.
local ceilings = require "luabench.ceilings"
local core = require "luabench.core"
local json = require "luabench.json"
local record = require "luabench.record"
local sys = require "luabench.sys"

local M = {}

M.VERSION = 1

function M.path() return sys.cache_dir() .. "/choices.json" end

function M.key_of(device)
  local name = device.caps.uuid and device.caps.uuid ~= "" and device.model .. " " .. device.caps.uuid or device.name
  return ("%s | %s | %d threads | machine %s"):format(sys.machine().cpu or "unknown cpu", name, device.threads,
    ceilings.fingerprint(sys.machine()))
end

local build
-- The program that measured. Of changed sources nobody knows what they are: then it is the time of its making.
function M.build()
  if not build then
    local v = sys.version()
    local made = v.dirty and sys.modified_s(sys.self_command()[1]) or ""
    build = ("%s %s %s"):format(v.version or "?", v.commit or "",
      record.hash(table.concat({ v.flags or "", tostring(made) }, "|")):sub(1, 8))
  end
  return build
end

local function is_entry(e)
  return type(e) == "table" and type(e.kernel) == "string" and type(e.default) == "string" and type(e.ns) == "table"
end

-- All that the file has; one that cannot be read, or of another version, counts as empty.
local function stored()
  local text = sys.read_file(M.path())
  local ok, value = pcall(sys.json_decode, text or "{}")
  if not ok or type(value) ~= "table" or value.version ~= M.VERSION or type(value.machines) ~= "table" then
    return {}
  end
  return value.machines
end

local function forms_of(machine)
  local forms = {}
  if type(machine) ~= "table" or type(machine.forms) ~= "table" then return forms, 0 end
  local stale = 0
  for form, e in pairs(machine.forms) do
    if machine.build == M.build() and is_entry(e) then forms[form] = e else stale = stale + 1 end
  end
  return forms, stale
end

--- What counts on this device now: { form = entry }, and how many entries are of another build.
function M.known(device) return forms_of(stored()[M.key_of(device)]) end

local prepared = {}       -- device and threads -> { form = entry }

local function id_of(device) return device.name .. "/" .. device.threads end

local function give(device, forms)
  core.kernel_measured(device)
  for form, e in pairs(forms) do core.kernel_measured(device, form, e.kernel, e.default) end
  prepared[id_of(device)] = forms
end

-- true: recording uses what was measured; false: priorities alone (--kernels priority).
M.enabled = true

--- Tells the engine what is known of a device, once.
function M.prepare(device)
  if prepared[id_of(device)] then return end
  if M.enabled and sys.exists(M.path()) then give(device, (M.known(device)))
  else
    core.kernel_measured(device)
    prepared[id_of(device)] = {}
  end
end

function M.enable(on)
  if M.enabled ~= on then prepared = {} end
  M.enabled = on
end

--- The entry of a form that the engine knows, or nil.
function M.entry(device, form) return (prepared[id_of(device)] or {})[form] end

--- Keeps entries { form = entry }, from now on and for runs to come. A file that cannot be written is no error: they
--- count in this process then, and why is returned.
function M.keep(device, entries)
  M.prepare(device)
  local forms = prepared[id_of(device)]
  for form, e in pairs(entries) do
    e.when = e.when or sys.time_iso()
    forms[form] = e
    core.kernel_measured(device, form, e.kernel, e.default)
  end
  local ok, why = pcall(function()
    sys.mkdir_p(sys.cache_dir())
    sys.with_lock(M.path() .. ".lock", 5, function()
      local machines = stored()
      local key = M.key_of(device)
      local all = forms_of(machines[key])                -- those of another build go
      for form, e in pairs(entries) do all[form] = e end
      machines[key] = { build = M.build(), when = sys.time_iso(), forms = all }
      sys.replace_file(M.path(), json.encode({ version = M.VERSION, machines = machines }, { pretty = true }) .. "\n")
    end)
  end)
  if not ok then return "what was measured counts in this process only: " .. sys.clean(why) end
end

--- Forgets what was measured of a device; how many forms there were.
function M.forget(device)
  local forms = M.known(device)
  local n = 0
  for _ in pairs(forms) do n = n + 1 end
  core.kernel_measured(device)
  prepared[id_of(device)] = {}
  if not sys.exists(M.path()) then return n end
  sys.with_lock(M.path() .. ".lock", 5, function()
    local machines = stored()
    machines[M.key_of(device)] = nil
    sys.replace_file(M.path(), json.encode({ version = M.VERSION, machines = machines }, { pretty = true }) .. "\n")
  end)
  return n
end

return M

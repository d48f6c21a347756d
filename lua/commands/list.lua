-- list.lua: `luabench list [KIND] [--json]`: what there is, by kind.
local aligned = require "luabench.aligned"
local json = require "luabench.json"
local loader = require "luabench.loader"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = { usage = "list [KIND] [--json]",
  about = "scenarios, kernels, quantizers, devices, models, strategies, outputs" }

local function first_line(path)
  local text = sys.read_file(path) or ""
  local about = text:match("about%s*=%s*\"([^\"\n]*)\"")
  return about or text:match("^%-%-%s*[%w_.]+:?%s*([^\n]*)") or ""
end

local KINDS = {}

function KINDS.scenarios()
  local list = {}
  for _, name in ipairs(loader.scenarios()) do
    local path = loader.scenario_path(name)
    list[#list + 1] = { name = name, about = first_line(path), file = path }
  end
  return list
end

-- Of each kernel the forms that it was timed for on this machine (luabench tune): { kernel = { { form, chosen, ns,
-- default } } }.
local function measured_forms()
  local choices, by_kernel = require "luabench.choices", {}
  if not sys.exists(choices.path()) then return by_kernel end
  local ok, forms = pcall(function() return (choices.known(require("luabench.core").device())) end)
  for _, form in ipairs(ok and suggest.keys(forms) or {}) do
    local e = forms[form]
    for kernel, ns in pairs(e.ns) do
      by_kernel[kernel] = by_kernel[kernel] or {}
      table.insert(by_kernel[kernel],
        { form = form, chosen = e.kernel == kernel, default = e.default == kernel, ns = ns })
    end
  end
  return by_kernel
end

-- "(chosen for 2 of 3 measured forms)"
local function measured_text(list)
  if not list then return "" end
  local chosen = 0
  for _, m in ipairs(list) do chosen = chosen + (m.chosen and 1 or 0) end
  return (" (chosen for %d of %d measured form%s)"):format(chosen, #list, #list == 1 and "" or "s")
end

function KINDS.kernels()
  local core, list = require "luabench.core", {}
  local measured = measured_forms()
  for _, name in ipairs(core.kernels()) do
    local k = core.kernel(name)
    list[#list + 1] = { name = name, about = (k.about or ""):gsub("%s+", " "), op = k.op, format = k.format,
      device = k.device, isa = k.isa, layout = k.layout, compute = k.compute, tolerance = k.tolerance,
      usable = k.usable, source = k.source, priority = k.priority,
      measured = measured[name] and json.array(measured[name]) or nil }
  end
  return list
end

-- Bits per weight of a matrix as large as those of models: what rows or the whole matrix share hardly counts there.
local MATRIX = 4096

function KINDS.quantizers()
  local core, list = require "luabench.core", {}
  for _, name in ipairs(core.quantizers()) do
    local q = core.quantizer(name)
    local k = math.ceil(MATRIX / q.k_multiple) * q.k_multiple
    list[#list + 1] = { name = name, about = (q.about or ""):match("^[^\n]*"), family = q.family, bits = q.bits,
      group = q.group, k_multiple = q.k_multiple, bits_per_weight = q:bits_per_weight(MATRIX, k), source = q.source }
  end
  return list
end

function KINDS.devices()
  local list = {}
  for _, d in ipairs(sys.devices()) do
    d.about = ("%s, %s threads, %s"):format(d.model or "?", tostring(d.threads or d.threads_max or "?"), d.isa or "")
    list[#list + 1] = d
  end
  return list
end

-- The first line of an error, its place kept.
local function one_line(why) return (sys.clean(why):gsub("^error loading module[^\n]*\n%s*", ""):match "^[^\n]*") end

-- A file that cannot be loaded is listed with its error: one broken file must not hide the others.
local function found(kind)
  return function()
    local list = {}
    for _, name in ipairs(loader.names(kind)) do
      local ok, module = pcall(loader.load, kind, name)
      if ok and type(module) ~= "table" then ok, module = false, "the file returns no table" end
      local entry = { name = name, about = ok and module.about or nil, error = not ok and one_line(module) or nil }
      if kind == "outputs" and ok then entry.endings = json.array(module.endings) end
      list[#list + 1] = entry
    end
    return list
  end
end
KINDS.models = found "models"
KINDS.strategies = found "strategies"
KINDS.outputs = found "outputs"

local ORDER = { "scenarios", "kernels", "quantizers", "devices", "models", "strategies", "outputs" }

-- So many characters of a text, the last three "..." where that is not all of it.
local function cut(text, room)
  if aligned.width(text) <= room then return text end
  local characters = {}
  for c in text:gmatch "[^\128-\191][\128-\191]*" do characters[#characters + 1] = c end
  return table.concat(characters, "", 1, room - 3) .. "..."
end

-- A line each: on a terminal what is said of kernels and formats, of which there are many, is cut where the line would
-- be broken.
local LONG = { kernels = true, quantizers = true }
local function show(kind, list)
  local width, columns, was_cut = 0, LONG[kind] and sys.terminal_width(1), false
  for _, e in ipairs(list) do width = math.max(width, #e.name) end
  local room = columns and columns - width - 4 or math.huge
  io.stdout:write(kind, ":\n")
  if #list == 0 then io.stdout:write("  none\n") end
  for _, e in ipairs(list) do
    local note = e.usable == false and " (not on this machine)" or ""
    if kind == "kernels" then note = measured_text(e.measured) .. note end
    local text = e.error and "broken: " .. e.error or e.about or ""
    if kind == "quantizers" then text = ("%7.4f bits  %s"):format(e.bits_per_weight, text) end
    if e.endings then text = ("%s (.%s)"):format(text, table.concat(e.endings, " .")) end
    local shown = cut(text, math.max(20, room - #note))
    was_cut = was_cut or shown ~= text
    io.stdout:write(("  %-" .. width .. "s  %s%s"):format(e.name, shown, note):gsub("%s+$", "") .. "\n")
  end
  if was_cut then io.stdout:write '  (cut to fit; whole in a pipe, and by help "NAME" at the prompt)\n' end
end

function M.run(argv)
  local complain = require("luabench.cli").complain
  local wanted, as_json
  for _, a in ipairs(argv) do
    if a == "--json" then as_json = true
    elseif a == "--help" or a == "-h" then
      io.stdout:write("luabench list [KIND] [--json]\nKIND: ", table.concat(ORDER, ", "), "; all of them by default\n")
      return 0
    elseif a:sub(1, 1) == "-" then
      return complain(("list: unknown option %s%s"):format(a, suggest.hint(a, { "--json", "--help" })))
    elseif wanted then
      return complain(("list: one kind expected, got %q and %q"):format(wanted, a))
    else
      wanted = a
    end
  end
  if wanted and not KINDS[wanted] then
    if KINDS[wanted .. "s"] then wanted = wanted .. "s"
    else return complain(("list: unknown kind %q%s"):format(wanted, suggest.hint(wanted, ORDER))) end
  end
  local result, status = {}, 0
  for i, kind in ipairs(wanted and { wanted } or ORDER) do
    local list = KINDS[kind]()
    for _, e in ipairs(list) do
      if e.error then status = 1 end
    end
    if as_json then result[kind] = json.array(list)
    else
      if i > 1 then io.stdout:write "\n" end
      show(kind, list)
    end
  end
  if as_json then io.stdout:write(json.encode(wanted and result[wanted] or result, { pretty = true }), "\n") end
  return status
end

return M

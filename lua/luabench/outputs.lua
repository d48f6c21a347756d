-- outputs.lua: which format a file gets, and writing it: aside first, then renamed, compressed where it ends in .gz.
local loader = require "luabench.loader"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

-- Ending -> name of the output module, from lua/outputs/; and the modules that cannot be loaded, name -> why.
local function endings()
  local map, broken = {}, {}
  for _, name in ipairs(loader.names "outputs") do
    local ok, module = pcall(loader.load, "outputs", name)
    if not ok then broken[name] = tostring(module) end
    for _, e in ipairs(ok and module.endings or {}) do map[e] = name end
  end
  return map, broken
end

-- What --format takes: the names of the outputs; of one that writes several kinds of file (variants), their endings.
function M.formats()
  local list = {}
  for _, name in ipairs(loader.names "outputs") do
    local ok, module = pcall(loader.load, "outputs", name)
    for _, e in ipairs(ok and module.variants and module.endings or { name }) do list[#list + 1] = e end
  end
  return list
end

-- A --format as module and ending: "csv" -> "csv", "csv"; "llama.sql" -> "llama", "llama.sql".
local function named(format)
  local map = endings()
  if map[format] then return map[format], format end
  return format, (loader.load("outputs", format).endings or {})[1]
end

-- The ending of files in a format.
function M.ending_of(format) return select(2, named(format)) end

-- "r.json.gz" -> "json", true, "json"; "r.llama.csv" -> "llama", false, "llama.csv". nil and a message where the ending
-- says nothing and no --format was given.
function M.format_of(target, opt)
  if target == "-" then
    local module, ending = named(opt.format or "json")
    return module, false, ending
  end
  local name = target:gsub("^.*/", "")
  local plain, gz = name:lower():gsub("%.gz$", "")
  local map, broken = endings()
  -- of "gemm.gbench.json" the longer ending counts
  local long, short = plain:match "%.([%w_]+%.[%w_]+)$", plain:match "%.([%w_]+)$"
  for _, ending in ipairs { long or short, short } do
    if map[ending] then return map[ending], gz > 0, ending end
  end
  if opt.format and not short then
    local module, ending = named(opt.format)
    return module, gz > 0, ending
  end
  for file, why in pairs(broken) do
    if file == short then return nil, ("--output %s: %s"):format(target, why) end
  end
  return nil, ("--output %s: the ending %s no format%s"):format(target, short and '".' .. short .. '" is' or "names",
    suggest.hint(short or "", suggest.keys(map)))
end

-- Can a file of this name be written, which an option names? true, or false and why not.
function M.check_place(target, option)
  if sys.is_directory(target) then return false, ("--%s %s: it is a directory"):format(option, target) end
  local folder = target:match("^(.*)/[^/]*$")
  if folder and folder ~= "" and not sys.is_directory(folder) then
    return false, ("--%s %s: there is no directory %s"):format(option, target, folder)
  end
  if folder == nil then folder = "." elseif folder == "" then folder = "/" end
  if not sys.can_write(folder) then return false, ("--%s %s: cannot write to %s"):format(option, target, folder) end
  return true
end

-- Can this output be written? Checked before anything runs, so that hours of measuring end in a file.
function M.check(target, opt)
  local format, why = M.format_of(target, opt)
  if not format then return false, why end
  if target == "-" then return true end
  return M.check_place(target, "output")
end

-- How the standard output wants a table: as wide as the terminal, coloured unless NO_COLOR is set.
function M.look()
  if not sys.isatty(1) then return {} end
  local no_color = os.getenv "NO_COLOR"
  local width = sys.terminal_width(1)
  return { width = width and width >= 40 and width or nil,
    colour = (no_color == nil or no_color == "") and os.getenv "TERM" ~= "dumb" }
end

-- Writes a result to the standard output.
function M.show(format, result)
  local module, ending = named(format)
  local opts = M.look()
  opts.ending = ending
  io.stdout:write(loader.load("outputs", module).write(result, opts))
  io.stdout:flush()
end

-- Writes a result to a file or, for "-", to the standard output. Raises (level 0) with the reason.
function M.write_file(target, result, opt)
  local format, gz, ending = M.format_of(target, opt)
  if not format then error(gz, 0) end
  if target == "-" then return M.show(ending or format, result) end
  local text = loader.load("outputs", format).write(result, { ending = ending })
  if gz then text = sys.gzip(text) end
  sys.replace_file(target, text)
end

return M

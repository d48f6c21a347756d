-- outputs.lua: which format a file gets, and writing it: aside first, then renamed, compressed where it ends in .gz.
local loader = require "luabench.loader"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

-- Ending -> name of the output module, from lua/outputs/.
local function endings()
  local map = {}
  for _, name in ipairs(loader.names "outputs") do
    for _, e in ipairs(loader.load("outputs", name).endings or {}) do map[e] = name end
  end
  return map
end

-- "r.json.gz" -> "json", true. nil and a message where the ending says nothing and no --format was given.
function M.format_of(target, opt)
  if target == "-" then return opt.format or "json", false end
  local name = target:gsub("^.*/", "")
  local plain, gz = name:gsub("%.gz$", "")
  local ending = plain:match("%.([%w]+)$")
  local map = endings()
  local format = ending and map[ending:lower()] or nil
  if not format and opt.format and not ending then format = opt.format end
  if format then return format, gz > 0 end
  return nil, ("--output %s: the ending %s no format%s"):format(target, ending and '".' .. ending .. '" is' or "names",
    suggest.hint(ending or "", suggest.keys(map)))
end

-- Can this file be written? Checked before anything runs, so that hours of measuring end in a file.
function M.check(target, opt)
  local format, why = M.format_of(target, opt)
  if not format then return false, why end
  if target == "-" then return true end
  if sys.is_directory(target) then return false, ("--output %s: it is a directory"):format(target) end
  local folder = target:match("^(.*)/[^/]*$")
  if folder and folder ~= "" and not sys.is_directory(folder) then
    return false, ("--output %s: there is no directory %s"):format(target, folder)
  end
  if folder == nil then folder = "." elseif folder == "" then folder = "/" end
  if not sys.can_write(folder) then return false, ("--output %s: cannot write to %s"):format(target, folder) end
  return true
end

-- How the standard output wants a table: as wide as the terminal, coloured unless NO_COLOR is set.
local function look()
  if not sys.isatty(1) then return {} end
  local no_color = os.getenv "NO_COLOR"
  local width = sys.terminal_width(1)
  return { width = width and width >= 40 and width or nil,
    colour = (no_color == nil or no_color == "") and os.getenv "TERM" ~= "dumb" }
end

-- Writes a result to the standard output.
function M.show(format, result)
  io.stdout:write(loader.load("outputs", format).write(result, look()))
  io.stdout:flush()
end

-- Writes a result to a file or, for "-", to the standard output. Raises (level 0) with the reason.
function M.write_file(target, result, opt)
  local format, gz = M.format_of(target, opt)
  if not format then error(gz, 0) end
  if target == "-" then return M.show(format, result) end
  local text = loader.load("outputs", format).write(result, {})
  if gz then text = sys.gzip(text) end
  sys.replace_file(target, text)
end

return M

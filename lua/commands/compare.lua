-- compare.lua: `luabench compare BASE NEW`: two result files, a verdict per case, and a status for CI.
local options = require "luabench.options"
local sys = require "luabench.sys"

local M = { usage = "compare BASE NEW", about = "two result files; verdict per case, status 1 on a regression" }

local function threshold(text)
  local number, percent = text:match "^%s*([%d.eE+-]+)%s*(%%?)%s*$"
  local x = tonumber(number)
  return x and (percent == "%" and x / 100 or x) or nil
end

local function check_threshold(text)
  local x = threshold(text)
  if x and x > 0 and x < 1 then return true end
  return false, "a share between 0 and 1, as 2% or 0.02"
end

local OPTIONS = {
  { name = "threshold", type = "string", default = "2%", metavar = "SHARE", check = check_threshold,
    help = "what counts as a change: the interval has to clear it" },
  { name = "metric", type = "string", repeatable = true, metavar = "NAME", help = "what is compared (default time): "
    .. table.concat(require("luabench.gate_metrics").names, ", ")
    .. ", or one of the scenario's own, NAME:less or NAME:more "
    .. "saying which way is better; repeatable" },
  { name = "different_machines", type = "boolean", default = false,
    help = "compare although the machines or their ceilings differ" },
  { name = "force", type = "boolean", default = false, help = "the same as --different-machines" },
  { name = "output", short = "o", type = "string", repeatable = true, metavar = "FILE",
    help = "write it to a .md, .json or .txt file, too; - is the standard output; repeatable" },
  { name = "format", type = "string", default = "text", choices = { "text", "md", "json" },
    help = "of the standard output" },
  { name = "quiet", type = "boolean", default = false, help = "say nothing; the status tells" },
}

local WRITERS = { md = "markdown", markdown = "markdown", json = "json", txt = "text" }

local ABOUT = "Sets two result files against one another: cases are matched by scenario and axes. A case is called "
  .. "slower or faster if both results ran it in several processes (--processes 10 of a run) and the interval of the "
  .. "change clears the threshold. Status 1: a case is slower, or was ok and no longer is; 2: wrong arguments or "
  .. "files, or different machines."

local function writer_of(target, format)
  if target == "-" then return format == "md" and "markdown" or format end
  local name = WRITERS[(target:lower():match "%.(%w+)$") or ""]
  if not name then error(("--output %s: expected a name that ends in .md, .json or .txt"):format(target), 0) end
  return name
end

local function write(report, base, new, opt)
  local show, outputs = require "luabench.gate_show", require "luabench.outputs"
  local shown = opt.quiet
  for _, target in ipairs(opt.output) do
    local text = show[writer_of(target, opt.format)](report, base, new)
    if target == "-" then
      io.stdout:write(text)
      shown = true
    else
      sys.replace_file(target, text)
    end
  end
  if not shown then io.stdout:write(show[writer_of("-", opt.format)](report, base, new, outputs.look())) end
end

local function compare(opt)
  local result_of, gate = require "luabench.result", require "luabench.gate"
  for _, target in ipairs(opt.output) do writer_of(target, opt.format) end
  local base = { file = opt.base, result = result_of.load(opt.base) }
  local new = { file = opt.new, result = result_of.load(opt.new) }
  local other = gate.machines(base.result, new.result)
  local refused = #other > 0 and not (opt.force or opt.different_machines)
  local metrics = #opt.metric > 0 and opt.metric or { "time" }
  local report = gate.compare(base.result, new.result, { threshold = threshold(opt.threshold), metrics = metrics,
    no_verdict = refused })
  report.refused = refused
  write(report, base, new, opt)
  if refused then
    error(("no verdict: the results are from different machines (%s); --different-machines compares them all the same")
      :format(other[1].text), 0)
  end
  return report.regression and 1 or 0
end

function M.run(argv)
  local complain = require("luabench.cli").complain
  local opt, message = options.parse_command(argv, { name = "luabench compare", about = ABOUT, options = OPTIONS,
    arguments = { { "base", "result file to compare with" }, { "new", "result file that is judged" } } })
  if not opt then return complain("compare: " .. message) end
  if opt == "help" then
    io.stdout:write(message, "\n")
    return 0
  end
  local ok, status = pcall(compare, opt)
  if not ok then return complain("compare: " .. sys.clean(status)) end
  return status
end

return M

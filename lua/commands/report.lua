-- report.lua: `luabench report RESULT -o X.html`: a result as a page with tables and plots that needs nothing else.
local options = require "luabench.options"
local sys = require "luabench.sys"

local M = { usage = "report RESULT -o X.html", about = "a result as a page with tables and plots" }

local OPTIONS = {
  { name = "output", short = "o", type = "string", metavar = "FILE",
    help = "the page, a name that ends in .html; - is the standard output" },
  { name = "title", type = "string", metavar = "TEXT", help = "heading of the page (default: the scenarios)" },
}

local ABOUT = "Makes one self-contained HTML page of a result: machine and ceilings, a table per scenario, roofline, "
  .. "times with their intervals, samples, checks. It has no script and loads nothing."

local function write(opt)
  if not opt.output then error("-o FILE.html is missing: where the page goes", 0) end
  if opt.output ~= "-" and not opt.output:lower():find "%.html?$" then
    error(("--output %s: expected a name that ends in .html"):format(opt.output), 0)
  end
  local result = require("luabench.result").load(opt.result)
  local html = require("luabench.report.page").html(result, opt.title)
  if opt.output == "-" then io.stdout:write(html) else sys.replace_file(opt.output, html) end
end

function M.run(argv)
  local complain = require("luabench.cli").complain
  local opt, message = options.parse_command(argv, { name = "luabench report", about = ABOUT, options = OPTIONS,
    arguments = { { "result", "result file: .json, .jsonl, .yaml, plain or .gz" } } })
  if not opt then return complain("report: " .. message) end
  if opt == "help" then
    io.stdout:write(message, "\n")
    return 0
  end
  local ok, why = pcall(write, opt)
  if not ok then return complain("report: " .. sys.clean(why)) end
  return 0
end

return M

-- json.lua: the result file luabench/1, indented, keys in the order of the design.
local json = require "luabench.json"
local record = require "luabench.record"

local M = { about = "the whole result, indented", endings = { "json" } }

function M.write(result)
  local shown = { schema = record.SCHEMA, run = result.run, machine = result.machine, cases = json.array(result.cases) }
  return json.encode(shown, { pretty = true, order = record.order }) .. "\n"
end

return M

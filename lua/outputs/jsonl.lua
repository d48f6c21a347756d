-- jsonl.lua: one object a line: schema and run, machine, then each case. For appending, streaming and grep.
local json = require "luabench.json"
local record = require "luabench.record"

local M = { about = "one object a line: run, machine, then the cases", endings = { "jsonl", "ndjson" } }

function M.write(result)
  local lines = {
    json.encode({ schema = record.SCHEMA, run = result.run }, { order = { "schema", { "run", record.run_order } } }),
    json.encode({ machine = result.machine }, { order = { { "machine", record.machine_order } } }),
  }
  for _, c in ipairs(result.cases) do lines[#lines + 1] = json.encode(c, { order = record.case_order }) end
  return table.concat(lines, "\n") .. "\n"
end

return M

-- journal.lua: every finished case at once on disk, so that a crash or Ctrl-C loses nothing and --resume goes on.
--
-- JSON lines: a header {"journal": "luabench-journal/1", "run": ...}, then {"key": ..., "record": ...} per case. The
-- file is only appended to, and synced after each line; a last line that was torn is ignored when reading.
local json = require "luabench.json"
local sys = require "luabench.sys"

local M = {}
local Journal = {}
Journal.__index = Journal

M.HEADER = "luabench-journal/1"

-- Next to the first output file (then true is returned too), else in the cache directory under the scenarios' names.
function M.path(outputs, scenario_names)
  for _, o in ipairs(outputs or {}) do
    if o ~= "-" then return o .. ".journal", true end
  end
  local name = table.concat(scenario_names, "+"):gsub("[^%w_.+-]", "_"):sub(1, 100)
  return sys.cache_dir() .. "/journals/" .. name .. ".jsonl"
end

-- What a journal holds: key -> record. A missing file is an empty one; a file of another kind raises (level 0).
function M.read(path)
  local text = sys.read_file(path)
  local records, count = {}, 0
  if not text or text == "" then return records, count end
  local first = true
  for line in text:gmatch("([^\n]*)\n") do
    local ok, entry = pcall(sys.json_decode, line)
    if first then
      if not ok or type(entry) ~= "table" or entry.journal ~= M.HEADER then
        error(("%s is not a journal of luabench; move it away, or choose another output file"):format(path), 0)
      end
      first = false
    elseif ok and type(entry) == "table" and entry.key and type(entry.record) == "table" then
      if not records[entry.key] then count = count + 1 end
      records[entry.key] = entry.record
    end
  end
  return records, count
end

-- Opens for appending; `keep` = go on with what is there, else the file starts anew. Errors are raised (level 0).
function M.open(path, keep, run)
  sys.mkdir_p((path:match("^(.*)/[^/]*$")) or ".")
  local fresh = not keep or not sys.read_file(path)
  local text = fresh and json.encode { journal = M.HEADER, run = run } .. "\n" or nil
  if fresh then
    sys.replace_file(path, text)
  else
    -- a torn last line is closed, so that the next one starts on its own
    local old = sys.read_file(path)
    if old ~= "" and old:sub(-1) ~= "\n" then sys.append_file(path, "\n") end
  end
  return setmetatable({ path = path }, Journal)
end

-- One case, synced before this returns.
function Journal:add(key, record)
  sys.append_file(self.path, json.encode { key = key, record = record } .. "\n")
end

return M

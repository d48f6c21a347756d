-- journal.lua: every finished case at once on disk, so that a crash or Ctrl-C loses nothing and --resume goes on.
--
-- JSON lines: a header {"journal": "luabench-journal/1", "run": ...}, then {"key": ..., "record": ...} per case. The
-- file is only appended to, and synced after each line; a last line that was torn is ignored when reading. A run keeps
-- its journal locked, so that two runs at once never write into the same.
--
-- With `aside` (luabench model) no record is ever lost that is in no result: what a run does not go on with is kept as
-- PATH.old (.old2, ...), a later --resume finds its records there too, and remove() takes only records that the run has
-- found or measured anew, and the files that hold no others.
local core = require "luabench.core"
local json = require "luabench.json"
local sys = require "luabench.sys"

local M = {}
local Journal = {}
Journal.__index = Journal

M.HEADER = "luabench-journal/1"
-- Runs at once of the same scenarios with the same options and no output file: each has a journal of its own.
local MOST_AT_ONCE = 16
-- Journals in the cache directory that nobody has written to for so long are removed.
local KEEP_S = 30 * 86400

-- Next to the first output file (then true is returned too), else in the cache directory under the scenarios' names and
-- a fingerprint of their options.
function M.path(outputs, scenario_names, fingerprint)
  for _, o in ipairs(outputs or {}) do
    if o ~= "-" then return o .. ".journal", true end
  end
  local name = table.concat(scenario_names, "+"):gsub("[^%w_.+-]", "_"):sub(1, 100)
  return ("%s/journals/%s-%s.jsonl"):format(sys.cache_dir(), name, fingerprint)
end

-- What a journal holds: key -> record, and how many. A missing file is an empty one, as is one whose header is torn; a
-- file of another kind raises (level 0).
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

-- Which file has this name now; nil: none.
local function file_of(path) return (core.stat(path) or {}).id end

local function folder_of(path) return path:match("^(.*)/[^/]*$") or "." end

-- The first free one of "PATH.old", "PATH.old2", ...
local function free_name(path)
  local name, n = path .. ".old", 1
  while sys.modified_s(name) do
    n = n + 1
    name = path .. ".old" .. n
  end
  return name
end

-- Does it hold anything that would be missed? A file that is no journal does.
local function worth_keeping(path)
  local ok, _, count = pcall(M.read, path)
  return not ok or count > 0
end

-- The "PATH.old"s there are, from the last.
local function put_aside(path)
  local folder, name = folder_of(path), path:match "[^/]*$"
  local list = {}
  for _, other in ipairs(sys.list_directory(folder)) do
    local n = other:sub(1, #name) == name and other:sub(#name + 1):match "^%.old(%d*)$"
    if n then list[#list + 1] = { path = folder .. "/" .. other, n = tonumber(n) or 1 } end
  end
  table.sort(list, function(a, b) return a.n > b.n end)
  return list
end

-- What was put aside counts where the journal itself does not have it.
local function merge_aside(records, path)
  for _, one in ipairs(put_aside(path)) do
    local ok, more = pcall(M.read, one.path)     -- what is no journal has nothing for us
    for key, record in pairs(ok and more or {}) do
      if records[key] == nil then records[key] = record end
    end
  end
end

-- Opens for appending under a lock that lasts until close(); `keep` = go on with what is there, else the file starts
-- anew; `aside`: what was there is then copied to "PATH.old" (old2, ...: none is written over), and with `keep` the
-- records of these count too. Errors are raised (level 0); one because of another run is { busy = true, message = }.
function M.open(path, keep, run, aside)
  sys.mkdir_p(folder_of(path))
  local lock, why = sys.lock(path, 0)
  if not lock then
    error({ busy = tostring(why):find("locked by another", 1, true) ~= nil, message = tostring(why) }, 0)
  end
  local self = setmetatable({ path = path, lock = lock, file = file_of(path), run = run, keeps = aside, done = {} },
    Journal)
  local ok, e = pcall(function()
    if aside and not keep then self:put_aside() end
    self.records = keep and M.read(path) or {}
    if aside and keep then merge_aside(self.records, path) end
    local old = keep and sys.read_file(path) or ""
    if not old:find("\n", 1, true) then
      -- in place: a new file under this name would not be the one that is locked
      sys.rewrite_file(path, json.encode { journal = M.HEADER, run = run } .. "\n")
    elseif old:sub(-1) ~= "\n" then
      sys.append_file(path, "\n")     -- a torn last line is closed, so that the next one starts on its own
    end
  end)
  if not ok then
    self:close()
    error(e, 0)
  end
  return self
end

-- name.jsonl, name-2.jsonl, ... and when each was written; only those that are there if `existing`.
local function siblings(path, existing)
  local list = {}
  for i = 1, MOST_AT_ONCE do
    local p = i == 1 and path or path:gsub("%.jsonl$", "-" .. i .. ".jsonl")
    local when = sys.modified_s(p)
    if when or not existing then list[#list + 1] = { path = p, when = when or 0 } end
  end
  return list
end

-- One in the cache directory that no other run has: to resume, the one written last; else the first that is free.
-- aside: see open.
function M.open_cached(path, resume, run, aside)
  M.sweep(folder_of(path))
  local list = siblings(path, resume)
  if resume then table.sort(list, function(a, b) return a.when > b.when end) end
  if #list == 0 then list[1] = { path = path } end
  local busy
  for _, one in ipairs(list) do
    local ok, j = pcall(M.open, one.path, resume, run, aside)
    if ok then return j end
    if type(j) ~= "table" or not j.busy then error(j, 0) end
    busy = j
  end
  error(busy, 0)
end

-- The journal of a run that begins: o = { outputs =, names = (of scenarios), fingerprint = (of what results depend on),
-- resume =, run = (head of the result), aside = (see open) }. Next to an output file it must be written; in the cache
-- directory a run can do without, and says so. Two runs at once never share one: with the same output file the second
-- is refused, without one it gets its own. Raises (level 0).
function M.begin(o)
  local path, needed = M.path(o.outputs, o.names, o.fingerprint)
  local ok, j
  if needed then ok, j = pcall(M.open, path, o.resume, o.run, o.aside)
  else ok, j = pcall(M.open_cached, path, o.resume, o.run, o.aside) end
  if ok then
    j.beside = needed
    return j
  end
  if type(j) == "table" and j.busy then
    error(("another run is going on that writes %s; wait for its end%s"):format(path,
      needed and ", or choose another output file" or ""), 0)
  end
  local why = type(j) == "table" and j.message or j
  if needed or o.resume then error(why, 0) end
  io.stderr:write(("luabench: no journal, so --resume will not find this run: %s\n"):format(sys.clean(why)))
  return setmetatable({ records = {}, done = {}, unwritten = true }, Journal)
end

-- What a result found in a journal must have in common with this run, beside its options: the build, the processor and
-- what it may use of its instructions.
function M.circumstances()
  local version = sys.version()
  return { ["(build)"] = { version.version, version.commit or "", tostring(version.dirty), version.flags or "" },
    ["(cpu)"] = sys.machine().cpu, ["(isa)"] = os.getenv "LUABENCH_ISA" or "" }
end

-- Removes old journals of the cache directory; never one that a run has locked.
function M.sweep(folder)
  local ok, names = pcall(sys.list_directory, folder)
  for _, name in ipairs(ok and names or {}) do
    local path = folder .. "/" .. name
    local when = (name:find "%.jsonl$" or name:find "%.jsonl%.old%d*$") and sys.modified_s(path)
    if when and sys.wall_s() - when > KEEP_S then
      local lock = sys.lock(path, 0)
      if lock then
        os.remove(path)
        sys.unlock(lock)
      end
    end
  end
end

-- One case, synced before this returns. Where it cannot be written (a full disk) the run goes on, and what it measures
-- can still be shown and written elsewhere: the first time this is said, through say(text). What a failure may have
-- left is half a line: the next case begins on its own.
function Journal:add(key, record, say)
  self.done[key] = true
  if self.unwritten then return end
  local line = json.encode { key = key, record = record } .. "\n"
  local ok, why = pcall(sys.append_file, self.path, (self.torn and "\n" or "") .. line)
  self.torn = not ok
  if ok or self.failed then return end
  self.failed = true
  say(("the journal cannot be written, so --resume will miss cases: %s"):format(sys.clean(why)))
end

-- The record of a key, which the run goes on with; nil if there is none.
function Journal:take(key)
  local record = self.records[key]
  if record then self.done[key] = true end
  return record
end

-- What the journal's own file holds is kept as "PATH.old" (self.aside, nil where there is nothing), and the file starts
-- anew. self.records stay.
function Journal:put_aside()
  if self.unwritten or not worth_keeping(self.path) then return end
  self.aside = free_name(self.path)
  sys.replace_file(self.aside, sys.read_file(self.path))
  sys.rewrite_file(self.path, json.encode { journal = M.HEADER, run = self.run } .. "\n")
end

-- The text of a file without the records that this run has found or measured anew; nil where nothing is left. Then
-- whether there were any of these. A file that is no journal stays as it is.
local function rest_of(self, path)
  local ok = pcall(M.read, path)
  if not ok then return "", false end
  local kept, some, dropped = {}, false, false
  for line in ((sys.read_file(path) or "") .. "\n"):gmatch "([^\n]*)\n" do
    local fine, entry = pcall(sys.json_decode, line)
    local key = fine and type(entry) == "table" and type(entry.record) == "table" and entry.key
    if key and self.done[key] then
      dropped = true
    elseif key or fine and #kept == 0 then          -- a record of another run; the header
      kept[#kept + 1] = line .. "\n"
      some = some or key
    end
  end
  return some and table.concat(kept) or nil, dropped
end

-- Is the file of this name still the one that is locked? Whoever took it away has made room for another run's.
function Journal:is_ours() return self.lock ~= nil and self.file ~= nil and file_of(self.path) == self.file end

-- The result is written: the journal goes. With `aside`, so do those that were kept aside; of a file with records that
-- the result does not have these stay, and its path is returned. From then on the name may be another run's: so the
-- journal is the last to go, and nothing may be added after it.
function Journal:remove()
  local kept = {}
  if self.unwritten then return kept end
  local function settle(path)
    local rest, dropped
    if self.keeps then rest, dropped = rest_of(self, path) end
    if rest and dropped then sys.replace_file(path, rest) end
    if rest then kept[#kept + 1] = path else os.remove(path) end
  end
  for _, one in ipairs(self.keeps and put_aside(self.path) or {}) do settle(one.path) end
  self.removed = true
  if self:is_ours() then settle(self.path) end
  return kept
end

-- Lets other runs have the file. With `aside`, one that holds nothing goes; never after remove(), nor another run's.
function Journal:close()
  if self.keeps and not self.removed and self:is_ours() and not worth_keeping(self.path) then os.remove(self.path) end
  if self.lock then sys.unlock(self.lock) end
  self.lock = nil
end

return M

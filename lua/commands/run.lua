-- run.lua: `luabench run CONFIG.yml|NAME... [--include S] [--exclude S] [options]`: several scenarios, one result.
--
-- A configuration file is YAML: one entry or a list of
--   scenario: NAME or path (relative to the file)
--   options:  { tokens: [1, 4], quick: true }      as on the command line; what is given there (--NAME) wins
--   output:   FILE or a list of them               besides --output, relative to where luabench runs
local loader = require "luabench.loader"
local options = require "luabench.options"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = { usage = "run CONFIG.yml|NAME ...", about = "run configuration files or scenarios by name" }

local HELP = [[
luabench run CONFIG.yml|NAME ... [--include TEXT] [--exclude TEXT] [options of every run]
  --include TEXT   only scenarios whose name contains TEXT; repeatable
  --exclude TEXT   not those whose name contains TEXT; repeatable
A configuration file is YAML: one entry or a list of { scenario:, options: {...}, output: }.
]]

local FIELDS = { scenario = true, options = true, output = true }

local function fail(...) error({ message = (...):format(select(2, ...)) }, 0) end

local function find_script(name, base, where)
  if type(name) ~= "string" then fail("%sscenario should be a name or a path, got %s", where, type(name)) end
  local path = loader.scenario_path(name)
  if path then return path end
  if base and name:sub(1, 1) ~= "/" and sys.exists(base .. "/" .. name) then return base .. "/" .. name end
  if sys.exists(name) then return name end
  fail("%sno scenario %q%s", where, name, suggest.hint(name, loader.scenarios()))
end

local function job_of_entry(entry, path, index)
  local where = ("%s, entry %d: "):format(path, index)
  if type(entry) ~= "table" then fail("%sexpected a mapping with scenario:, got %s", where, type(entry)) end
  for _, key in ipairs(suggest.keys(entry)) do
    if not FIELDS[key] then
      fail("%sunknown key %q%s", where, tostring(key), suggest.hint(key, suggest.keys(FIELDS)))
    end
  end
  if entry.scenario == nil then fail("%sscenario: is missing", where) end
  if entry.options ~= nil and type(entry.options) ~= "table" then fail("%soptions should be a mapping", where) end
  local outputs = entry.output
  if type(outputs) == "string" then outputs = { outputs } end
  if outputs ~= nil and type(outputs) ~= "table" then fail("%soutput should be a file or a list of files", where) end
  for _, o in ipairs(outputs or {}) do
    if type(o) ~= "string" then fail("%soutput should be a file or a list of files", where) end
  end
  return { script = find_script(entry.scenario, path:match("^(.*)/[^/]*$"), where),
    argv = options.to_argv(entry.options or {}), outputs = outputs }
end

local function jobs_of_config(path)
  local text, why = sys.read_file(path)
  if not text then fail("no such file: %s (%s)", path, tostring(why)) end
  local ok, value = pcall(sys.yaml_decode, text)
  if not ok then fail("%s: %s", path, tostring(value)) end
  if type(value) ~= "table" then fail("%s: expected an entry or a list of entries with scenario:", path) end
  if value[1] == nil then value = { value } end
  local jobs = {}
  for i, entry in ipairs(value) do jobs[i] = job_of_entry(entry, path, i) end
  return jobs
end

-- Is the next argument the value of this option? Of a scenario's own options the kind is not known here: what follows
-- is a value unless it is an option, a scenario or a configuration file.
local function takes_value(flag, following, takes)
  if following == nil or flag:find("=", 1, true) then return false end
  if takes[flag] ~= nil then return takes[flag] end
  return following:sub(1, 1) ~= "-" and not loader.scenario_path(following) and not following:find("%.ya?ml$")
    and not following:find("%.lua$")
end

-- Splits the arguments: names, --include and --exclude lists, and options for every scenario.
local function split(argv)
  local names, include, exclude, rest = {}, {}, {}, {}
  local takes = {}
  for _, o in ipairs(options.common) do
    takes[options.flag(o.name)] = o.type ~= "boolean"
    if o.short then takes["-" .. o.short] = true end
  end
  local i = 1
  while i <= #argv do
    local a = argv[i]
    local kind, value = a:match("^%-%-(include)=(.*)$")
    if not kind then kind, value = a:match("^%-%-(exclude)=(.*)$") end
    if a == "--include" or a == "--exclude" then
      kind, value = a:sub(3), argv[i + 1]
      if not value then fail("run: %s needs a text", a) end
      i = i + 1
    end
    if kind then
      table.insert(kind == "include" and include or exclude, value)
    elseif a:sub(1, 1) == "-" and a ~= "-" then
      rest[#rest + 1] = a
      if takes_value(a, argv[i + 1], takes) then
        i = i + 1
        rest[#rest + 1] = argv[i]
      end
    else
      names[#names + 1] = a
    end
    i = i + 1
  end
  return names, include, exclude, rest
end

local function contains_any(name, texts)
  for _, t in ipairs(texts) do
    if name:find(t, 1, true) then return true end
  end
  return false
end

local function select_jobs(jobs, include, exclude)
  local kept = {}
  for _, job in ipairs(jobs) do
    local name = job.script:gsub("^.*/", ""):gsub("%.lua$", "")
    if (#include == 0 or contains_any(name, include)) and not contains_any(name, exclude) then kept[#kept + 1] = job end
  end
  return kept
end

-- A configuration's arguments without those that the command line has itself: a list that joins its values would have
-- both.
local function not_given(argv, rest)
  local given, kept = {}, {}
  for _, a in ipairs(rest) do given[a:match "^%-%-[^=]+" or ""] = true end
  given["--output"] = nil
  for _, a in ipairs(argv) do
    if not given[a:match "^%-%-[^=]+"] then kept[#kept + 1] = a end
  end
  return kept
end

local function collect(argv)
  local names, include, exclude, rest = split(argv)
  if #names == 0 then fail("run needs a configuration file or the name of a scenario; there are: %s",
    table.concat(loader.scenarios(), ", ")) end
  local jobs = {}
  for _, name in ipairs(names) do
    local found = name:find("%.ya?ml$") and jobs_of_config(name) or { { script = find_script(name, nil, "run: "),
      argv = {} } }
    for _, job in ipairs(found) do
      job.argv = not_given(job.argv, rest)
      for _, a in ipairs(rest) do table.insert(job.argv, a) end
      jobs[#jobs + 1] = job
    end
  end
  local kept = select_jobs(jobs, include, exclude)
  if #kept == 0 then fail("run: --include and --exclude leave no scenario of %d", #jobs) end
  return kept
end

function M.run(argv)
  if argv[1] == "--help" or argv[1] == "-h" then
    io.stdout:write(HELP)
    return 0
  end
  local ok, jobs = pcall(collect, argv)
  if not ok then
    if type(jobs) ~= "table" then error(jobs, 0) end
    return require("luabench.cli").complain(jobs.message)
  end
  sys.flag_interrupts()
  return require("luabench.runner").run(jobs)
end

return M

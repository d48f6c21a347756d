-- options.lua: options as data: the ones that every run takes, and a scenario's own.
--
-- A scenario declares  options = { name = {"help", default} }  or
--   { name = { help =, default =, choices =, type = "integer|number|string|boolean|list", check = f, min =, max =,
--     required = true, joins = true, paths = true } }.
-- The type follows from the default. A list's elements follow from its first one ("1,4,16" -> {1, 4, 16}).
-- check(value) returns true, or false and what was expected. share = true: "2%" is 0.02 too. snake_case names become
-- --kebab-case. Given twice, the last counts; of a list with joins = true all do, one behind the other, and of texts
-- with joins = ";" that stands between them. A list with paths = true takes an existing path as one element, commas or
-- not.
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = {}

local DECLARED = { help = true, default = true, choices = true, type = true, check = true, min = true, max = true,
  metavar = true, share = true, short = true, required = true, joins = true, paths = true }
local TYPES = { integer = true, number = true, string = true, boolean = true, list = true }

-- The options of every run, in the order of --help. `case`: part of what a result depends on (see --resume).
M.common = {
  { name = "device", type = "string", default = "cpu", metavar = "NAME", case = true,
    help = "where to run: cpu, cuda:0, ...; `luabench list devices` shows them" },
  { name = "threads", type = "integer", min = 1, max = 1024, metavar = "N", case = true,
    help = "threads (default: one per physical core)" },
  { name = "dtype", type = "string", default = "f32", choices = { "f32", "f16", "bf16", "f64" }, case = true,
    help = "type of activations and unquantized weights, where the script takes it" },
  { name = "mode", type = "string", default = "plan", choices = { "eager", "plan", "fused" }, case = true,
    help = "how operations are launched: one by one, recorded, or only cases with fused kernels; a result says which "
      .. "ran" },
  { name = "kernels", type = "string", default = "measured", metavar = "RULE", case = true,
    help = "which kernels run where several fit: measured (what `luabench tune` found, else by priority), priority, or "
      .. "names separated by commas, which are taken wherever they fit" },
  { name = "tune", type = "boolean", default = false, case = true,
    help = "measure, before a case, what was not measured yet for operands of its form, and keep it (see luabench "
      .. "tune)" },
  { name = "cache", type = "string", default = "weights-cold", choices = { "weights-cold", "hot", "all-cold" },
    case = true, help = "what is in the caches when a run starts" },
  { name = "quick", type = "boolean", default = false, help = "precision 5 %, at most 0.5 s a case, short warm-up" },
  { name = "full", type = "boolean", default = false, help = "precision 0.5 %, at most 20 s a case" },
  { name = "only", type = "string", metavar = "FILTER",
    help = "only cases whose name contains FILTER, or axis=value[,axis=value]" },
  { name = "seed", type = "integer", default = 1, min = 0, max = 2 ^ 53 - 1, metavar = "N", case = true,
    help = "seed of the order of cases, and opt.seed for scripts" },
  { name = "warmup_iterations", type = "integer", min = 0, max = 1e6, metavar = "N", case = true,
    help = "exactly N warm-up samples (default: until the time is stable)" },
  { name = "measurement_iterations", type = "integer", min = 1, max = 1e6, metavar = "N", case = true,
    help = "exactly N samples (default: until --precision is reached)" },
  { name = "precision", type = "number", share = true, default = 0.01, min = 0.0001, max = 0.5, metavar = "FRACTION",
    case = true,
    help = "stop when the median's 95 % interval is within this fraction; 0.01 or 1%" },
  { name = "max_time", type = "number", default = 5, min = 0.001, max = 86400, metavar = "SECONDS", case = true,
    help = "most seconds of sampling a case" },
  { name = "timeout", type = "number", default = 120, min = 0.1, max = 864000, metavar = "SECONDS",
    help = "a case, or loading the script, may take this long" },
  { name = "output", short = "o", type = "string", repeatable = true, metavar = "FILE",
    help = "write results; the ending chooses the format, .gz compresses, - is the standard output; repeatable" },
  { name = "format", type = "string", choices = require("luabench.outputs").formats(),
    help = "format of the standard output, of -o - and of files in --output-dir" },
  { name = "output_dir", type = "string", metavar = "DIR", help = "write a result file of its own name there" },
  { name = "trace", type = "string", metavar = "FILE",
    help = "trace one more run of each case: a table of time by operation, and FILE.json[.gz] for ui.perfetto.dev" },
  { name = "resume", type = "boolean", default = false, help = "run only what the journal of the last run lacks" },
  { name = "ab", type = "boolean", default = false, case = true,
    help = "each case against the scenario's baseline too, interleaved: faster, slower, same (metrics.versus)" },
  { name = "processes", type = "integer", min = 1, max = 1000, metavar = "N", case = true,
    help = "repeat each case in N fresh processes; the time is the median of their medians" },
  { name = "log_level", type = "string", default = "info", choices = { "error", "warn", "info", "debug" },
    help = "how much is said on the standard error" },
  { name = "no_isolation", type = "boolean", default = false,
    help = "run cases in this process: a crash ends the run, timeouts do not work" },
  { name = "quiet", type = "boolean", default = false, help = "no table, no progress; errors only" },
}

M.common_by_name = {}
for _, o in ipairs(M.common) do M.common_by_name[o.name] = o end

-- Axes and options of a scenario may have these names of common options; --name then gives the axis its values.
local SHARED = { device = true, threads = true, dtype = true, mode = true, cache = true }
M.shared = SHARED

function M.flag(name) return "--" .. (name:gsub("_", "-")) end

local function infer_type(default)
  local kind = type(default)
  if kind == "table" then return "list" end
  if kind == "number" then return default == math.floor(default) and "integer" or "number" end
  return kind == "nil" and "string" or kind
end

local function declare_one(name, spec, level)
  local where = ("option %q"):format(name)
  if type(spec) ~= "table" then
    error(("%s should be {help, default}, got %s"):format(where, type(spec)), level + 1)
  end
  local o = { name = name }
  for k, v in pairs(spec) do
    if k == 1 then o.help = v
    elseif k == 2 then o.default = v
    elseif DECLARED[k] then o[k] = v
    else
      error(("%s has no field %q%s"):format(where, tostring(k), suggest.hint(k, suggest.keys(DECLARED))), level + 1)
    end
  end
  if type(o.help) ~= "string" then error(where .. " needs a help text", level + 1) end
  o.type = o.type or infer_type(o.default)
  if not TYPES[o.type] then
    local hint = suggest.hint(o.type, suggest.keys(TYPES))
    error(("%s: unknown type %q%s"):format(where, tostring(o.type), hint), level + 1)
  end
  if o.type == "list" then
    if type(o.default) ~= "table" and o.default ~= nil then o.default = { o.default } end
    o.element = infer_type((o.default or {})[1])
    if o.element == "integer" then o.element = "number" end
  end
  if o.joins and o.type ~= (o.joins == true and "list" or "string") then
    error(where .. ": joins should be true for a list, or what stands between for a string", level + 1)
  end
  if o.choices ~= nil and type(o.choices) ~= "table" then error(where .. ": choices should be a list", level + 1) end
  if o.check ~= nil and type(o.check) ~= "function" then error(where .. ": check should be a function", level + 1) end
  return o
end

-- Validates a scenario's `options`; returns them as a list in alphabetical order.
function M.declare(options, level)
  level = (level or 1) + 1
  if type(options) ~= "table" then error("options should be a table, got " .. type(options), level) end
  local list = {}
  for _, name in ipairs(suggest.keys(options)) do
    if type(name) ~= "string" or not name:find("^%a[%w_]*$") then
      error(("an option is named by a Lua identifier, got %s"):format(tostring(name)), level)
    end
    if M.common_by_name[name] and not SHARED[name] or name == "help" then
      error(("option %q is one that every run takes; choose another name"):format(name), level)
    end
    list[#list + 1] = declare_one(name, options[name], level)
  end
  return list
end

local function range_text(o, what)
  if o.min and o.max and o.max >= 2 ^ 53 - 1 then return ("%s of at least %.14g"):format(what, o.min) end
  if o.min and o.max then return ("%s from %.14g to %.14g"):format(what, o.min, o.max) end
  if o.min then return ("%s of at least %.14g"):format(what, o.min) end
  if o.max then return ("%s of at most %.14g"):format(what, o.max) end
  return what
end

local function convert_scalar(o, kind, text)
  if kind == "string" then return text end
  if kind == "boolean" then
    if text == "true" or text == "yes" or text == "1" then return true end
    if text == "false" or text == "no" or text == "0" then return false end
    return nil, "yes or no"
  end
  local plain = o.share and text:match "^(.-)%s*%%$"
  local n = plain and tonumber(plain) and tonumber(plain) / 100 or tonumber(text)
  local integer = kind == "integer"
  local want = range_text(o, integer and "a whole number" or "a number")
  if not n or n ~= n or math.abs(n) == math.huge or not text:find("^[-+%d.]") then return nil, want end
  if integer and (n ~= math.floor(n) or math.abs(n) > 2 ^ 53) then return nil, want end
  if o.min and n < o.min or o.max and n > o.max then return nil, want end
  return n
end

local function check_choice(o, value)
  if not o.choices then return true end
  for _, c in ipairs(o.choices) do
    if c == value then return true end
  end
  local names = {}
  for i, c in ipairs(o.choices) do names[i] = tostring(c) end
  local near = type(value) == "string" and suggest.nearest(value, names)[1] or nil
  return false, "one of " .. table.concat(names, ", "), near
end

-- Elements of a list keep being numbers where they look like one and the default's are, or the list is of an axis.
local function convert_list(o, text)
  if o.paths and sys.exists(text) then return { text } end
  local list = {}
  for piece in (text .. ","):gmatch("%s*([^,]-)%s*,") do
    if piece == "" then return nil, "values separated by commas" end
    local value, want
    if o.element == "any" then
      value = tonumber(piece) or piece
      if piece == "true" then value = true elseif piece == "false" then value = false end
    else
      value, want = convert_scalar(o, o.element, piece)
    end
    if value == nil then return nil, "a list of " .. want:gsub("^a ", "", 1) .. "s separated by commas" end
    local ok, expected, near = check_choice(o, value)
    if not ok then return nil, expected .. " (a list separated by commas)", near end
    list[#list + 1] = value
  end
  return list
end

-- Text from the command line (or a value from a configuration file) to a checked value: value, or nil and a message.
function M.convert(o, given)
  local value, want, near
  local text = given
  if type(given) == "table" then
    local parts = {}
    for i, v in ipairs(given) do parts[i] = tostring(v) end
    text = table.concat(parts, ",")
  elseif type(given) ~= "string" then
    text = type(given) == "number" and ("%.17g"):format(given) or tostring(given)
  end
  if o.type == "list" then
    value, want, near = convert_list(o, text)
  else
    value, want = convert_scalar(o, o.type, text)
    if value ~= nil then
      local ok, expected, guess = check_choice(o, value)
      if not ok then value, want, near = nil, expected, guess end
    end
  end
  if value ~= nil and o.check then
    local ok, expected = o.check(value)
    if not ok then value, want = nil, expected or "another value" end
  end
  if value == nil then
    return nil, ("%s: expected %s, got %q%s"):format(M.flag(o.name), want, text,
      near and ('; did you mean "' .. near .. '"?') or "")
  end
  return value
end

local function default_text(o)
  if o.default == nil or o.type == "boolean" and o.default == false then return "" end
  local text = type(o.default) == "table" and table.concat(o.default, ",") or tostring(o.default)
  if text == "" then return "" end
  return (" (default %s)"):format(text)
end

-- argparse's parser over a list of option specs; it sees text only, M.convert does the rest. `columns`: the terminal's.
local function build_parser(name, about, groups, columns)
  local width = math.max(60, math.min(100, columns or 100))
  local parser = require "argparse"(name):add_help(false):usage_max_width(width):help_max_width(width)
  parser:description(about)
  parser:flag "-h --help"
  for _, group in ipairs(groups) do
    local options = {}
    for _, o in ipairs(group) do
      local names = (o.short and "-" .. o.short .. " " or "") .. M.flag(o.name)
      local help = o.help .. default_text(o)
      if o.choices then
        local shown, told = {}, true
        for i, c in ipairs(o.choices) do
          shown[i] = tostring(c)
          told = told and o.help:find(shown[i], 1, true) ~= nil
        end
        if not told then help = help .. "; one of " .. table.concat(shown, ", ") end
      end
      if o.type == "boolean" then
        options[#options + 1] = parser:flag(names):description(help):target(o.name):count "*"
        if o.default then
          options[#options + 1] = parser:flag("--no-" .. M.flag(o.name):sub(3)):target("no!" .. o.name):count "*"
            :description("not " .. o.name)
        end
      else
        options[#options + 1] = parser:option(names):description(help):target(o.name):count "*":args(1)
          :argname(o.metavar and o.metavar or o.type == "list" and "A,B,..." or o.type:upper())
      end
    end
    if #options > 0 then parser:group(group.title, unpack(options)) end
  end
  return parser
end

local function own_groups(own, axes)
  local mine, taken = { title = "Options of this scenario" }, {}
  for _, o in ipairs(own) do
    mine[#mine + 1] = o
    taken[o.name] = true
  end
  for _, axis in ipairs(axes or {}) do
    if not taken[axis.name] and (SHARED[axis.name] or not M.common_by_name[axis.name]) then
      taken[axis.name] = true
      local shown = {}
      for i = 1, math.min(#axis.values, 12) do shown[i] = tostring(axis.values[i]) end
      mine[#mine + 1] = { name = axis.name, type = "list", element = "any", axis = true,
        help = ("values of the axis %s (%s%s)"):format(axis.name, table.concat(shown, ","),
          #axis.values > 12 and ",..." or "") }
    end
  end
  local common = { title = "Options of every run" }
  for _, o in ipairs(M.common) do
    if not taken[o.name] then common[#common + 1] = o end
  end
  return { mine, common }
end

-- The values of an option that was given once or several times, as what the script gets.
local function together(o, list)
  if o.repeatable then return list end
  if type(o.joins) == "string" then return table.concat(list, o.joins) end
  if not o.joins then return list[#list] end
  local all = {}
  for _, one in ipairs(list) do
    for _, value in ipairs(one) do all[#all + 1] = value end
  end
  return all
end

local function collect(specs, raw, values, given)
  for _, group in ipairs(specs) do
    for _, o in ipairs(group) do
      local texts = raw[o.name]
      if o.type == "boolean" then
        values[o.name] = o.default or false
        if texts and texts > 0 then values[o.name], given[o.name] = true, true end
        local no = raw["no!" .. o.name]
        if no and no > 0 then values[o.name], given[o.name] = false, true end
      elseif texts and #texts > 0 then
        local list = {}
        for i, text in ipairs(texts) do
          if type(text) == "table" then text = text[1] end
          local value, message = M.convert(o, text)
          if value == nil then return nil, message end
          if o.axis and SHARED[o.name] then
            -- an axis named as a common option takes what that option takes
            for k, element in ipairs(value) do
              value[k], message = M.convert(M.common_by_name[o.name], element)
              if value[k] == nil then return nil, message end
            end
          end
          list[i] = value
        end
        given[o.name] = true
        values[o.name] = together(o, list)
      elseif o.required then
        return nil, ("%s is missing: %s"):format(M.flag(o.name), o.help)
      else
        values[o.name] = o.repeatable and {} or o.default
      end
    end
  end
  return true
end

-- --quick and --full change the defaults of what was not given.
local function apply_presets(values, given)
  if values.quick and values.full then return nil, "--quick and --full exclude one another" end
  local preset = {}
  if values.quick then preset = { precision = 0.05, max_time = 0.5 } end
  if values.full then preset = { precision = 0.005, max_time = 20 } end
  for name, value in pairs(preset) do
    if not given[name] then values[name] = value end
  end
  return true
end

-- "--seed -5" as "--seed=-5", so that a negative number is seen as a value and not as an option; and a long option with
-- one dash, such as llama-bench's -pg, as one with two. Behind "--" all stays as it is.
local function join_negatives(argv, groups)
  local takes = {}
  for _, group in ipairs(groups) do
    for _, o in ipairs(group) do takes[M.flag(o.name)] = o.type ~= "boolean" end
  end
  local out, i, last = {}, 1, false
  while i <= #argv do
    local a, b = tostring(argv[i]), argv[i + 1]
    last = last or a == "--"
    if not last and a:find "^%-%a[%w-]" and takes["-" .. a] ~= nil then a = "-" .. a end
    if not last and takes[a] and b ~= nil and tostring(b):find("^%-[%d.]") then
      a, i = a .. "=" .. tostring(b), i + 1
    end
    out[#out + 1], i = a, i + 1
  end
  return out
end

-- argparse's reading, or false and its message in our words. --help goes before what is missing.
local function parse(parser, argv, groups)
  local ok, raw = parser:pparse(join_negatives(argv, groups))
  if ok then return true, raw end
  for _, a in ipairs(argv) do
    if a == "--help" or a == "-h" then return true, { help = true } end
  end
  return false, (tostring(raw):gsub("\n+(Did you mean)", "; %1"):gsub("Did you mean", "did you mean")
    :gsub("^too many arguments", "an argument is neither an option nor the value of one"))
end

-- Parses a command line. what = { name =, about =, options = declared list, axes = list of {name=, values=},
-- columns = of the terminal that help is for }.
-- Returns values and the set of names given; or nil, message; or "help", text.
function M.parse(argv, what)
  local groups = own_groups(what.options or {}, what.axes)
  local parser = build_parser(what.name or "luabench SCRIPT.lua", what.about, groups, what.columns)
  local ok, raw = parse(parser, argv, groups)
  if not ok then return nil, raw .. (what.hint or "") end
  if raw.help then return "help", parser:get_help() end
  local values, given = {}, {}
  local fine, message = collect(groups, raw, values, given)
  if not fine then return nil, message end
  fine, message = apply_presets(values, given)
  if not fine then return nil, message end
  return values, given
end

-- Parses the command line of a command. what = { name = "luabench compare", about =, arguments = { { name, help } }
-- (all of them needed), options = list of specs as M.common has them }. Returns values, arguments among them, and the
-- set of options given; or nil, message; or "help", text.
function M.parse_command(argv, what)
  local group = { title = "Options" }
  for i, o in ipairs(what.options) do group[i] = o end
  local parser = build_parser(what.name, what.about, { group }, sys.terminal_width(1))
  for _, a in ipairs(what.arguments) do parser:argument(a[1]):description(a[2]):target(a[1]):argname(a[1]:upper()) end
  local ok, raw = parse(parser, argv, { group })
  if not ok then return nil, raw .. ("\n`%s --help` says more"):format(what.name) end
  if raw.help then return "help", parser:get_help() end
  local values, given = {}, {}
  local fine, message = collect({ group }, raw, values, given)
  if not fine then return nil, message end
  for _, a in ipairs(what.arguments) do values[a[1]] = raw[a[1]] end
  return values, given
end

-- For a command that hands the rest of its line on: the values of its own options `own` (with defaults), and that
-- rest. What is behind "--" is rest; any other word, at i, goes to other(rest, i, flag = of "--flag=value"), which
-- returns the number of the last word that it took. fail(format, ...) raises.
function M.split(argv, own, other, fail)
  local by_flag, values, rest = {}, {}, {}
  for _, o in ipairs(own) do
    values[o.name], by_flag[M.flag(o.name)] = o.default, o
    if o.short then by_flag["-" .. o.short] = o end
  end
  local i = 1
  while i <= #argv do
    local a = argv[i]
    local flag, value = a:match "^(%-%-[^=]+)=(.*)$"
    local o = by_flag[flag or a]
    if a == "--" then
      for k = i + 1, #argv do rest[#rest + 1] = argv[k] end
      break
    elseif not o then i = other(rest, i, flag)
    elseif o.type == "boolean" then values[o.name] = true
    else
      if not value then i, value = i + 1, argv[i + 1] end
      if not value then fail("%s needs a value", a) end
      local got, why = M.convert(o, value)
      if got == nil then fail("%s", why) end
      values[o.name] = got
    end
    i = i + 1
  end
  return values, rest
end

-- A name -> value table (of a configuration file) as a command line.
function M.to_argv(options)
  local argv = {}
  for _, name in ipairs(suggest.keys(options)) do
    local v = options[name]
    local flag = M.flag(tostring(name))
    if v == true then argv[#argv + 1] = flag
    elseif v ~= false then
      if type(v) == "table" then
        local parts = {}
        for i, item in ipairs(v) do parts[i] = type(item) == "number" and ("%.17g"):format(item) or tostring(item) end
        v = table.concat(parts, ",")
      elseif type(v) == "number" then
        v = ("%.17g"):format(v)
      end
      argv[#argv + 1] = flag .. "=" .. tostring(v)
    end
  end
  return argv
end

return M

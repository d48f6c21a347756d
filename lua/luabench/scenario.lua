-- scenario.lua: what a scenario script returns, validated.
--
--   return lb.scenario {
--     about    = "one line",                      what is measured; required
--     options  = { name = {"help", default} },    the scenario's own options; see luabench.options
--     grid     = lb.grid{...} | function(opt) return lb.grid{...} end
--     case     = function(axes, opt) ... end,     returns a plan, lb.skip(reason), or a table (below); required
--     baseline = { strategy = "slow_path" },      speed-up is against the case with these axes and else the same
--     ab       = true,                            each case is compared with it too, interleaved, as with --ab
--                                                 (versus.lua)
--     group    = "tokens",                        the table has a section per value of this axis
--     sort     = "time" | axis | list of them,    order of the rows of a section (default: the grid's)
--     together = { "model" },                     cases that agree in these axes, or options that may be axes, run one
--                                                 after the other: what they share is made once
--     columns  = { "strategy", "time", ... },     what the table shows; names are in luabench/columns.lua, or
--                                                 { title=, field="metrics.regret.median", unit="%" }
--     check    = function(plan, axes, opt) ... end,   more checks for every case, as extra_checks below
--     finish   = function(cases) ... end,         called once with all records; may set case.metrics entries and
--                                                 returns lines of text that are shown under the table
--   }
--
-- The table that case() may return instead of a plan:
--   plan         what is timed; required
--   items, item  how many of what one run handles (64, "token")
--   work         { flops =, bytes = } where the recorded operations do not know better
--   quantization_error   { bits_per_weight =, sqnr_db =, rel_rmse =, output_rel_rmse = }, or a function() of it, called
--                while the outputs are those of the check after measuring. Without it the runner computes what it can:
--                the weights' error where t:quantize made them in case(), the output's too where the plan is one
--                product
--   weights_bytes        bytes of all weights that the case holds, touched by a run or not
--   extra_checks list of functions, each called with the plan after the timed runs and before them; each returns
--                { name =, nmse =, tolerance =, passed =, reason = } or a list of such tables
--   metrics      { name = { unit =, median =, ... } }, or a function(samples) of it, called last: it may run other
--                plans
--   memory       { weights_bytes =, peak_bytes = }
--   after        function(samples) called after measuring, for what a script wants to do with them
--   cache        the cache regime of this case, where the option's does not apply
--   note         a sentence kept in the record
--   close        function() called when the case is over
local suggest = require "luabench.suggest"
local grid = require "luabench.grid"

local M = {}

local Scenario = { __tostring = function(s) return "scenario: " .. s.about end }
local Skip = { __tostring = function(s) return "skip: " .. s.reason end }

local FIELDS = { about = "string", options = "table", grid = "grid", case = "function", baseline = "table",
  ab = "boolean", group = "string", sort = "sort", columns = "table", together = "table", check = "function",
  finish = "function" }
local CASE_FIELDS = { plan = true, items = true, item = true, work = true, quantization_error = true,
  weights_bytes = true, extra_checks = true, metrics = true, memory = true, after = true, cache = true, note = true,
  close = true }
M.case_fields = CASE_FIELDS

local function check_field(name, want, value, level)
  local kind = type(value)
  if want == "grid" then
    if kind ~= "function" and not grid.is_grid(value) then
      error(("scenario: grid should be lb.grid{...} or a function(opt) that returns one, got %s"):format(kind),
        level + 1)
    end
  elseif want == "sort" then
    if kind ~= "string" and kind ~= "table" then
      error("scenario: sort should be a name or a list of names, got " .. kind, level + 1)
    end
  elseif kind ~= want then
    error(("scenario: %s should be a %s, got %s"):format(name, want, kind), level + 1)
  end
end

-- Raises with "did you mean" for unknown fields, and for fields of a wrong type.
function M.scenario(spec)
  if type(spec) ~= "table" then error("lb.scenario takes a table, got " .. type(spec), 2) end
  suggest.check_keys(spec, FIELDS, "a scenario", 2)
  for _, name in ipairs { "about", "case" } do
    if spec[name] == nil then error(("scenario: %s is missing"):format(name), 2) end
  end
  local self = {}
  for _, name in ipairs(suggest.keys(spec)) do
    check_field(name, FIELDS[name], spec[name], 2)
    self[name] = spec[name]
  end
  self.options = require("luabench.options").declare(spec.options or {}, 2)
  self.grid = self.grid or grid.grid {}
  return setmetatable(self, Scenario)
end

function M.is_scenario(x) return getmetatable(x) == Scenario end

-- lb.skip(reason): what case() returns when a combination makes no sense or is not supported.
function M.skip(reason)
  if type(reason) ~= "string" or reason == "" then
    error("lb.skip takes the reason, a string, got " .. type(reason), 2)
  end
  return setmetatable({ reason = reason }, Skip)
end

function M.is_skip(x) return getmetatable(x) == Skip end

local NUMBERS = { "items", "weights_bytes" }

local function check_case_types(result)
  for _, name in ipairs(NUMBERS) do
    local v = result[name]
    if v ~= nil and (type(v) ~= "number" or not (v >= 0) or v == math.huge) then
      error(("case: %s should be a number >= 0, got %s"):format(name, tostring(v)), 0)
    end
  end
  for name, kind in pairs { item = "string", work = "table", memory = "table", after = "function", close = "function",
    cache = "string", note = "string", extra_checks = "table" } do
    if result[name] ~= nil and type(result[name]) ~= kind then
      error(("case: %s should be a %s, got %s"):format(name, kind, type(result[name])), 0)
    end
  end
  for _, name in ipairs { "quantization_error", "metrics" } do
    local kind = type(result[name])
    if kind ~= "nil" and kind ~= "table" and kind ~= "function" then
      error(("case: %s should be a table or a function that returns one, got %s"):format(name, kind), 0)
    end
  end
  for i, f in ipairs(result.extra_checks or {}) do
    if type(f) ~= "function" then
      error(("case: extra_checks[%d] should be a function, got %s"):format(i, type(f)), 0)
    end
  end
end

-- What case() returned, as a table of the fields above; a skip is returned as it is.
function M.normalize(result)
  if M.is_skip(result) then return result end
  if type(result) == "userdata" then return { plan = result } end
  if type(result) ~= "table" then
    error(("case() should return a plan, lb.skip(reason) or a table with a plan, got %s"):format(type(result)), 0)
  end
  if result.plan == nil then
    error("case() returned a table without a plan" .. (next(result) and "" or "; it is empty"), 0)
  end
  suggest.check_keys(result, CASE_FIELDS, "a case", 0)
  check_case_types(result)
  return result
end

return M

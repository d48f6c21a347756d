-- selftest/init.lua: the self-test: does this engine tell the truth on this machine? One file here is one part.
--
-- A part is { name =, about =, run = function(t) }. It calls t:check for every line of the result:
--   t:check { name =, passed =, text =, figures = { ... } }     passed = nil: cannot be shown here, and why
-- t.tools holds what is put to the test, so that tests of the self-test can break one thing after another.
local json = require "luabench.json"
local sys = require "luabench.sys"

local M = {}
local Test = {}
Test.__index = Test

M.SCHEMA = "luabench-selftest/1"
M.parts = { "clock", "rotation", "oracle", "disturbance", "comparison", "processes" }

-- The real things.
function M.tools()
  local core = require "luabench.core"
  local pairs_of = require "luabench.pairs"
  return { now_ns = core.now_ns, wall_s = core.time_s, clock = core.clock, measure = sys.measure, trace = core.trace,
    compare = require("luabench.compare").compare, life = require("luabench.life").run, watch = core.selftest.watch,
    selftest = core.selftest, pairs = pairs_of.run, workers = pairs_of.workers, rotate = function(plan, cache)
      return plan:rotate(cache)
    end }
end

function Test:check(c)
  c.part = self.part
  table.insert(self.checks, c)
  if self.on_check then self.on_check(c) end
  return c.passed
end

-- What is going on, for a person who waits.
function Test:say(text, fraction)
  if self.on_progress then self.on_progress(text, fraction) end
end

-- Seconds that a part may still take; trials end when it is used up, and limits widen accordingly.
function Test:left() return self.deadline - sys.now_s() end

-- Counts over trials: trial(i) -> table of booleans (or nil to stop). Runs `most` trials, fewer (but at least `least`)
-- when `seconds` are over. Returns counts by name and the number of trials.
function Test:trials(name, least, most, seconds, trial)
  local counts, n, start = {}, 0, sys.now_s()
  for i = 1, most do
    if n >= least and (sys.now_s() - start > seconds or self:left() <= 0) then break end
    if sys.interrupted() then error("interrupted", 0) end
    self:say(name, (i - 1) / most)
    self.trial = self.trial + 1
    local got = trial(i)
    n = n + 1
    for key, yes in pairs(got) do counts[key] = (counts[key] or 0) + (yes and 1 or 0) end
  end
  self:say(name, 1)
  return counts, n
end

-- The same, judged: judge(counts, n) -> list of { name, passed, ... }. What fails is tried once more with twice the
-- trials, and that second, fresh attempt decides: a right engine fails one attempt in forty or so.
function Test:judged(name, least, most, seconds, trial, judge)
  local counts, n = self:trials(name, least, most, seconds, trial)
  local checks = judge(counts, n)
  local fine = true
  for _, c in ipairs(checks) do fine = fine and c.passed end
  if fine then return checks end
  local again, m = self:trials(name .. ", once more", least, 2 * most, 2 * seconds, trial)
  local second = judge(again, m)
  for i, c in ipairs(second) do
    c.figures = c.figures or {}
    c.figures.first_attempt = { passed = checks[i].passed, trials = n, count = checks[i].figures.count }
    if not checks[i].passed then c.text = c.text .. ("; a first attempt of %d trials had %d"):format(n,
      checks[i].figures.count) end
  end
  return second
end

local function run_part(t, name)
  local part = require("luabench.selftest." .. name)
  t.part = name
  t:say(part.about)
  local before = #t.checks
  local ok, e = xpcall(function() part.run(t) end, function(e)
    return type(e) == "table" and e or tostring(e)
  end)
  if sys.interrupted() then error("interrupted", 0) end
  if not ok then
    t:check { name = "runs to its end", passed = false, text = type(e) == "table" and tostring(e.message) or e }
  elseif #t.checks == before then
    t:check { name = "checks something", passed = false, text = "the part ended without a check" }
  end
end

-- opts = { quick =, seed =, threads =, parts = list or nil, tools = table of replacements, on_check, on_progress }.
-- Returns { schema, passed, quick, seconds, checks = { { part, name, passed, text, figures } }, fitness }.
function M.run(opts)
  local t = setmetatable({ checks = {}, quick = opts.quick, seed = opts.seed or 1, tools = M.tools(), trial = 0,
    on_check = opts.on_check, on_progress = opts.on_progress, fitness = {} }, Test)
  for name, tool in pairs(opts.tools or {}) do t.tools[name] = tool end
  t.device = sys.device("cpu", opts.threads)
  local start = sys.now_s()
  t.deadline = start + (opts.seconds or (opts.quick and 150 or 1620))
  for _, name in ipairs(opts.parts or M.parts) do run_part(t, name) end
  local passed = true
  for _, c in ipairs(t.checks) do passed = passed and c.passed ~= false end
  local fitness = require("luabench.selftest.fitness").of(t, passed)
  return { schema = M.SCHEMA, passed = passed, quick = opts.quick or false, seed = t.seed, threads = t.device.threads,
    started = sys.time_iso(), seconds = sys.now_s() - start, checks = json.array(t.checks), fitness = fitness }
end

return M

-- tuning.lua: lb.tune(plan): the kernels that could do each step, against one another, interleaved; the fastest is kept
-- as the choice for operands of that form (choices.lua). Its regret is what the choice now in force costs over the
-- best.
--
-- A kernel takes the default's place only if it is faster beyond doubt (verdict.lua: its interval clears 1 %, under
-- Holm), so that noise moves nothing; what is within that is left as it is. Each is checked against f64 before it is
-- timed.
local choices = require "luabench.choices"
local compare = require "luabench.compare"
local core = require "luabench.core"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = {}

M.MAX_TIME = 0.3          -- seconds of sampling for each kernel of a form
-- What is slower than the best of a first look by this factor is not timed further.
M.FAR = 3
-- Kernels without a priority are references: they are for checks, and can take minutes.
local REFERENCE = 0

local Result = {}
Result.__index = Result

local function fail(...) error("lb.tune: " .. (...):format(select(2, ...)), 0) end

-- The operands and parameters of a step as a table to record it again; of a step that picks, with one item.
local function arguments(plan, i, step, item)
  local a = {}
  for name, t in pairs(plan:operands(i)) do a[name] = step.items and type(t) == "table" and t[item] or t end
  for name, v in pairs(step.params) do a[name] = v end
  return a
end

-- { form =, default =, kernels = {names}, left = { name = why }, arguments = } of a step's item, or nil if there is
-- nothing to choose.
local function question(plan, i, step, item)
  local list, form = plan:candidates(i, item)
  local fits, left = {}, {}
  for _, c in ipairs(list) do
    if c.fits and not c.loaded then fits[#fits + 1] = c end
  end
  if #fits < 2 then return nil end
  local default = fits[1]
  for _, c in ipairs(fits) do
    if c.priority > default.priority then default = c end
  end
  local names = { default.kernel }
  for _, c in ipairs(fits) do
    if c.kernel ~= default.kernel then
      if c.priority > REFERENCE then names[#names + 1] = c.kernel else left[c.kernel] = "a reference" end
    end
  end
  if #names < 2 then return nil end
  return { form = form, op = step.op, default = default.kernel, kernels = names, left = left, step = i, item = item,
    native = form:find " native$" ~= nil }
end

-- What there is to choose in a plan, each form once.
function M.questions(plan)
  local list, seen = {}, {}
  for i, step in ipairs(plan:steps()) do
    for item = 1, step.items or 1 do
      local q = question(plan, i, step, item)
      if q and not seen[q.form] then
        seen[q.form] = true
        q.label = step
        list[#list + 1] = q
      end
    end
  end
  return list
end

local function single(plan, q, kernel)
  local a = arguments(plan, q.step, q.label, q.item)
  if q.native then a.native = true end
  return core.plan(plan.device):call(kernel, a)
end

-- A look at each, so that what is far behind costs one run and no more.
local function first_look(plan, q)
  local looks, best = {}, math.huge
  for i, name in ipairs(q.kernels) do
    local ok, p = pcall(single, plan, q, name)
    if not ok then
      q.left[name] = sys.clean(p)
    else
      sys.snapshot_updates(p)
      local c = sys.check(p)
      if not c.passed then
        q.left[name] = "its result is wrong: " .. (c.reason or "?")
      else
        p:submit(1)
        local ns = math.min((p:submit(1)), (p:submit(1)))
        looks[#looks + 1] = { kernel = name, plan = p, ns = ns, rank = i }
        best = math.min(best, ns)
      end
    end
  end
  local kept = {}
  for _, l in ipairs(looks) do
    if l.ns <= M.FAR * best or l.kernel == q.default then kept[#kept + 1] = l
    else q.left[l.kernel] = ("%.1f times as long as the best in a first look"):format(l.ns / best) end
  end
  return kept
end

local LETTERS = "abcdefghijklmnopqrstuvwxyz"

-- Times what is left, the default first; fills q.ns and gives lb.compare's result by kernel.
local function timed(q, kept, o)
  local plans, by_letter = { check = false, cache = o.cache, max_time = o.max_time, seed = o.seed,
    precision = o.precision }, {}
  for i, l in ipairs(kept) do
    if i > #LETTERS then
      q.left[l.kernel] = "more than 26 kernels"
    else
      plans[LETTERS:sub(i, i)], by_letter[LETTERS:sub(i, i)] = l.plan, l.kernel
      sys.snapshot_outputs(l.plan)
    end
  end
  local c = compare.compare(plans)
  local pairs_by = {}
  for letter, kernel in pairs(by_letter) do
    q.ns[kernel] = c.times[letter].median
    pairs_by[kernel] = c.pairs[letter]
    local out = c.outputs[letter]
    if out and not out.agree then
      q.left[kernel] = "its output differs from the default's: " .. (out.reason or ("NMSE %.2g"):format(out.nmse))
      pairs_by[kernel] = nil
    end
  end
  q.noisy = c.noisy or false
  return pairs_by
end

-- Which one, by what the pairs say against the default.
local function decide(q, pairs_by)
  q.kernel, q.verdict, q.ratio, q.ci95 = q.default, "the default", nil, nil
  for _, name in ipairs(suggest.keys(pairs_by)) do
    local r = pairs_by[name]
    if r.verdict == "faster" and (not q.ratio or r.ratio < q.ratio) then
      q.kernel, q.verdict, q.ratio, q.ci95 = name, "faster", r.ratio, r.ci95
    end
  end
end

local function ask(plan, q, o)
  q.ns = {}
  local kept = first_look(plan, q)
  if #kept == 0 then fail("%s: no kernel gives the right result: %s", q.form, q.left[q.default] or "?") end
  if kept[1].kernel ~= q.default then
    fail("%s: the default kernel %s cannot be used: %s", q.form, q.default, q.left[q.default] or "?")
  end
  local pairs_by = {}
  if #kept > 1 then pairs_by = timed(q, kept, o)
  else q.ns[q.default] = kept[1].ns end
  decide(q, pairs_by)
  for _, l in ipairs(kept) do l.plan:close() end
end

-- What the kernel in force costs over the best: 0 if it is the best.
local function regret(q, chosen)
  local best, least = nil, math.huge
  for name, ns in pairs(q.ns) do
    if not q.left[name] and ns < least then best, least = name, ns end
  end
  if not best or not q.ns[chosen] then return nil end
  return q.ns[chosen] / least - 1, best
end

local OPTIONS = { keep = true, again = true, max_time = true, cache = true, seed = true, precision = true,
  progress = true }

local function check_options(o)
  if type(o) ~= "table" then fail("a table of options expected, got %s", type(o)) end
  for name in pairs(o) do
    if not OPTIONS[name] then
      fail("there is no option %q%s", tostring(name), suggest.hint(tostring(name), suggest.keys(OPTIONS)))
    end
  end
  if o.max_time ~= nil and not (type(o.max_time) == "number" and o.max_time > 0 and o.max_time < 1e5) then
    fail("max_time: seconds expected, got %s", tostring(o.max_time))
  end
  if o.progress ~= nil and type(o.progress) ~= "function" then
    fail("progress: a function expected, got %s", type(o.progress))
  end
end

-- The kernel that the plan's step uses for the item, and why.
local function in_force(plan, q)
  local step = q.label
  if step.kernel then return step.kernel, step.why end
  local p = core.plan(plan.device)
  local a = arguments(plan, q.step, step, q.item)
  a.native = q.native or nil
  p[q.op](p, a)
  local s = p:steps()[1]
  p:close()
  return s.kernel, s.why
end

--- Options: keep = false: only measured, nothing is kept; again = true: forms that are known, too; max_time = 0.3
--- seconds of sampling for each kernel; cache = "weights-cold", seed, precision as in lb.compare; progress = f(done,
--- total, form). The plan is run once, for what its steps read of one another. Returns a printable list of
---   { form, op, step, kernel = the fastest, default, chosen = in the plan, why, verdict, ratio, ci95, ns = { kernel =
--median },
---     left = { kernel = why it was not timed }, regret = chosen over the best - 1, best, regret_of_default, noisy,
---     known = it was not asked again }
--- with seconds, asked (forms that were measured) and problem (why they could not be kept).
function M.tune(plan, o)
  o = o or {}
  check_options(o)
  if not sys.is_plan(plan) then fail("a plan expected, got %s", type(plan)) end
  choices.prepare(plan.device)
  local result = setmetatable({ seconds = 0 }, Result)
  local list, entries, started = M.questions(plan), {}, sys.now_s()
  if #list > 0 then plan:run() end
  for i, q in ipairs(list) do
    local known = choices.entry(plan.device, q.form)
    q.chosen, q.why = in_force(plan, q)
    if o.progress then o.progress(i - 1, #list, q.form) end
    if known and not o.again then
      for _, name in ipairs { "kernel", "verdict", "ratio", "ci95", "ns", "left" } do q[name] = known[name] end
      q.left = q.left or {}
      q.known = true
    else
      ask(plan, q, { cache = o.cache or "weights-cold", max_time = o.max_time or M.MAX_TIME, seed = o.seed or 1,
        precision = o.precision })
      entries[q.form] = { kernel = q.kernel, default = q.default, ns = q.ns, ratio = q.ratio, ci95 = q.ci95,
        verdict = q.verdict,
        left = next(q.left) and q.left or nil, cache = o.cache or "weights-cold", noisy = q.noisy or nil }
    end
    q.regret, q.best = regret(q, q.chosen)
    q.regret_of_default = regret(q, q.default)
    q.label = nil
    result[i] = q
  end
  if o.keep ~= false and next(entries) then result.problem = choices.keep(plan.device, entries) end
  result.seconds = sys.now_s() - started
  result.asked = 0
  for _ in pairs(entries) do result.asked = result.asked + 1 end
  return result
end

-- "gemm.q4_k.avx512 103 us, gemm.q4_k.avx2 140 us", the fastest first.
function M.times_text(ns)
  local names = suggest.keys(ns)
  table.sort(names, function(a, b) return ns[a] < ns[b] end)
  for i, name in ipairs(names) do names[i] = name .. " " .. units.time(ns[name]) end
  return table.concat(names, ", ")
end

function Result:__tostring()
  if #self == 0 then return "nothing to choose: no step has two kernels that fit, references apart" end
  local lines = {}
  for _, q in ipairs(self) do
    lines[#lines + 1] = q.form
    lines[#lines + 1] = ("  %s %s%s"):format(q.kernel == q.default and "stays with the default" or "takes", q.kernel,
      q.ratio and (": %.3f of the default's time (%s)"):format(q.ratio, q.default) or "")
    lines[#lines + 1] = "  " .. M.times_text(q.ns) .. (q.noisy and " (noisy)" or "")
    if q.regret and q.regret > 0 then
      lines[#lines + 1] = ("  the plan's choice, %s (%s), took %s more than the best"):format(q.chosen, q.why,
        units.percent(q.regret))
    end
  end
  lines[#lines + 1] = self.problem
  return table.concat(lines, "\n")
end

return M

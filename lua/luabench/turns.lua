-- turns.lua: one case in a worker that takes turns with a case in another process (pairs.lua asks, worker.lua answers).
--
-- Two fresh processes are open at once and measure a few samples each in turn, so that what the machine does meanwhile
-- meets both; what differs between processes (where pages lie, how code is aligned) still differs from pair to pair.
-- Between its turns a process sleeps. The case is checked before and, bit for bit, after; no ceiling is measured.
local life = require "luabench.life"
local scenario = require "luabench.scenario"
local sys = require "luabench.sys"

local M = {}

local held      -- the open case: { ctx, case, rec, axes, opt, sampler }

-- Failures of a case are said with their status before the reason: "skipped: ...".
local function guarded(f, ...)
  local ok, e = pcall(f, ...)
  if ok then return e end
  if held and held.case and held.case.close then pcall(held.case.close) end
  held = nil
  if sys.interrupted() then error("interrupted", 0) end
  if type(e) == "table" then error((e.status or "failed") .. ": " .. sys.clean(e.reason or "?"), 0) end
  error("failed: " .. sys.clean(e), 0)
end

-- The kernel that the request names is taken wherever it fits, from here on.
function M.prefer(request) sys.kernel_prefer(request.kernel) end

-- Why a step did not take the kernel.
local function why_not(plan, name, op)
  for i, step in ipairs(plan:steps()) do
    if step.op == op then
      for _, c in ipairs(plan:candidates(i)) do
        if c.kernel == name and not c.fits then return c.why end
      end
      return ("the script asks for %s"):format(step.kernel)
    end
  end
  return ("it has no %s"):format(op)
end

local function check_kernel(name, account, plan)
  for _, entry in ipairs(account.path) do
    if entry.kernel == name and entry.launches > 0 then return end
  end
  life.fail(("kernel %s does not run in this case: %s"):format(name, why_not(plan, name, name:match "^[^.]+")))
end

-- Short: a pair of processes warms up two of them. What the user asked for goes before.
local function warm(o, opt)
  if not opt.full and not opt.warmup_iterations then o.warmup_min, o.warmup_max = 0.03, 0.3 end
  return o
end

local function open(ctx, request)
  local parts = life.parts
  local rec = {}
  ctx.phase "prepare"
  local opt = parts.case_options(ctx, request.axes)
  held = { ctx = ctx, rec = rec, axes = request.axes, opt = opt }
  local case = scenario.normalize(ctx.scenario.case(request.axes, opt))
  if scenario.is_skip(case) then life.fail(case.reason, "skipped") end
  held.case = case
  if not sys.is_plan(case.plan) then life.fail("case() should give a plan, got " .. type(case.plan)) end
  sys.snapshot_updates(case.plan)
  parts.check_before(ctx, case, rec, request.axes, opt)
  sys.snapshot_outputs(case.plan)
  local account = sys.account(case.plan)
  if request.kernel then check_kernel(request.kernel, account, case.plan) end
  local device = sys.plan_device(case.plan)
  ctx.phase "warm up"
  local o = warm(parts.measure_opts(opt, case.cache or opt.cache), opt)
  o.seed, o.extra_work, o.max_time = request.seed or opt.seed, request.extra_work, nil
  held.sampler = sys.sampler(case.plan, o)
  return { iterations = held.sampler.iterations, quantum = held.sampler.quantum, share = held.sampler.share,
    run_ns = held.sampler.run_ns, path = account.path, device = device.name, threads = device.threads,
    mode = parts.mode_of(opt, account), cache = case.cache or opt.cache, items = case.items, item = case.item }
end

-- request = { script, argv, axes, prepared, kernel, seed, extra_work }
-- -> { iterations, quantum, share, run_ns, path, device, threads, mode, cache, items, item }
function M.open(request_ctx, request) return guarded(open, request_ctx, request) end

-- request = { samples, iterations, quantum }: takes so many samples.
function M.take(request)
  return guarded(function()
    if not held then life.fail "no case is open" end
    held.sampler:take(request.samples, request.iterations, request.quantum)
    return {}
  end)
end

-- -> { time = statistics, samples_ns, disturbance, check }; after it the process has no open case.
function M.close()
  return guarded(function()
    if not held then life.fail "no case is open" end
    local h = held
    local s = h.sampler:finish()
    life.parts.check_again(h.ctx, h.case, h.rec, h.axes, h.opt)
    if h.case.close then h.case.close() end
    held = nil
    return { median_ns = s.median, samples_ns = s.samples_ns, iterations = s.iterations, disturbance = s.disturbance,
      check = h.rec.check }
  end)
end

return M

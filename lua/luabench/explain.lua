-- explain.lua: lb.explain(plan): an account of a plan in words: its steps, why these kernels and not others, what moves
-- and what is computed, and the least time that the machine allows for it.
local judge = require "luabench.judge"
local show = require "luabench.show"
local units = require "luabench.units"
local M = {}

local STEPS, CANDIDATES = 16, 6

local function sorted_operands(op, operands)
  local parts = {}
  for _, o in ipairs(op and op.operands or {}) do
    if operands[o.name] then
      parts[#parts + 1] = ("%s%s = %s"):format(o.role == "write" and "-> " or o.role == "update" and "updates " or "",
        o.name, operands[o.name])
    end
  end
  return table.concat(parts, ", ")
end

-- The kernel of a step: how it works, its layout, its accuracy.
local function kernel_lines(add, name, core)
  local k = core.kernel(name)
  add("     kernel  %s: %s", name, k.about)
  local facts = { "weights in layout " .. tostring(k.layout) }
  if k.layout == nil then facts[1] = "native layout" end
  if k.activation and k.activation ~= "none" then facts[#facts + 1] = "activations as " .. k.activation end
  if k.accumulator and k.accumulator ~= "none" then facts[#facts + 1] = "adds in " .. k.accumulator end
  facts[#facts + 1] = ("NMSE at most %s"):format(units.error(k.tolerance))
  add("             %s", table.concat(facts, "; "))
  if k.serial then add "             runs on one thread: too small to split" end
end

-- Measured, by priority, or because somebody said so; and the figures where there are any.
local function choice_lines(add, plan, i, step)
  local _, form = plan:candidates(i)
  local entry = require("luabench.choices").entry(plan.device, form)
  if step.why == "asked for" then add "     chosen  because the script names it"
  elseif step.why == "preferred" then
    add "     chosen  because it is preferred (--kernels, luabench ab), whatever its priority"
  elseif step.why == "measured" then
    add("     chosen  by measurement, %s: %s", entry and entry.when or "?", entry and entry.ratio
      and ("%.3f of the time of %s, which has the highest priority"):format(entry.ratio, entry.default)
      or "as fast as any other that fits")
  else
    add("     chosen  by priority%s", entry and "; what was measured does not apply"
      or "; nothing was measured for this form (lb.tune(plan), luabench tune)")
  end
  if entry then
    add("     timed   %s%s", require("luabench.tuning").times_text(entry.ns), entry.noisy and " (noisy)" or "")
  end
end

-- Why that kernel: the others of the operation and what keeps them out, the ones that fit first.
local function candidate_lines(add, plan, i, chosen)
  local list, priority = plan:candidates(i), nil
  for _, c in ipairs(list) do
    if c.kernel == chosen then priority = c.priority end
  end
  table.sort(list, function(a, b)
    if a.fits ~= b.fits then return a.fits end
    if a.priority ~= b.priority then return a.priority > b.priority end
    return a.kernel < b.kernel
  end)
  local shown = 0
  for _, c in ipairs(list) do
    if c.kernel ~= chosen then
      shown = shown + 1
      if shown <= CANDIDATES then
        local why = c.fits and ("fits too, %s (priority %d, chosen has %d)"):format(
          priority and c.priority > priority and "but was not asked for" or "but comes after it", c.priority,
            priority or 0)
          or c.why or "does not fit"
        add("     %-7s %s: %s", shown == 1 and "others" or "", c.kernel, why)
      end
    end
  end
  if shown > CANDIDATES then add("             ... and %d more that do not fit", shown - CANDIDATES) end
  if shown == 0 then add "     others  none: it is the only kernel of this operation" end
end

local function signature(step)
  local parts = { step.op, step.kernel or "", tostring(step.barrier) }
  for name, text in pairs(step.operands) do parts[#parts + 1] = name .. text end
  table.sort(parts)
  return table.concat(parts, "|")
end

local function step_lines(add, plan, steps, core)
  local ops, seen, described = {}, {}, 0
  for _, op in ipairs(core.ops()) do ops[op.name] = op end
  for i, step in ipairs(steps) do
    local key = signature(step)
    if i > 1 and step.barrier and described < STEPS then
      add "     ---- barrier: all threads wait here, the next step reads what was written above"
    end
    if described < STEPS then
      add("%4d  %s%s", i, step.op, step.label and step.label ~= "" and "  " .. step.label or "")
      add("     data    %s", sorted_operands(ops[step.op], step.operands))
      if seen[key] then
        add("     kernel  %s, as in step %d", step.kernel or "one for each item", seen[key])
      elseif step.kernel then
        kernel_lines(add, step.kernel, core)
        choice_lines(add, plan, i, step)
        candidate_lines(add, plan, i, step.kernel)
      else
        add "     kernel  one for each item, by the item's format"
      end
      described = described + 1
    end
    seen[key] = seen[key] or i
  end
  if #steps > described then add("      ... and %d more steps", #steps - described) end
end

-- The least time: bytes over read bandwidth, operations over peak rate; the larger one binds.
local function bound_lines(add, plan, account, best)
  local compute_s, by = 0, nil
  local capacity = require("luabench.sys").cache_capacity(plan.device)
  local reads = judge.reads(account, "weights-cold", { sets = math.huge }, capacity)
  local memory = judge.memory({ reads = reads, capacity_bytes = capacity }, best)
  local memory_s = memory and memory.ns * 1e-9
  for name, flops in pairs(account.flops_by) do
    local rate = best.ops_per_s and best.ops_per_s[name] or 0
    if rate <= 0 then
      compute_s, by = nil, name
      break
    end
    compute_s, by = compute_s + flops / rate, name
  end
  if not memory_s or not compute_s then
    add("     bound   unknown: the ceilings of this machine were not measured yet%s; a run or `luabench info` does",
      compute_s and "" or " for " .. tostring(by))
    return
  end
  if memory_s == 0 and compute_s == 0 then
    add "     bound   launches: nothing moves and nothing is computed"
    return
  end
  add("     memory  at least %s cold: %s from memory at %s, %s from caches%s", units.time(memory.ns),
    units.bytes(memory.dram_bytes), units.si(memory.dram_bytes_per_s, "B/s"), units.bytes(memory.cache_bytes),
    memory.cache_bytes_per_s and " at " .. units.si(memory.cache_bytes_per_s, "B/s") or "")
  if compute_s > 0 then
    add("     compute at least %s: %s (%s)", units.time(compute_s * 1e9), units.si(account.flops, "FLOP"), by)
  end
  add("     bound   %s: no run with cold weights can be faster than %s (best ceilings seen on this machine, %d"
    .. " threads)",
    memory_s >= compute_s and "memory" or "compute", units.time(math.max(memory_s, compute_s) * 1e9),
      plan.device.threads)
end

local function account_lines(add, plan)
  local a = plan:account()
  add "in all"
  add("     work    %d launch%s, %s", a.launches, a.launches == 1 and "" or "es", units.si(a.flops, "FLOP"))
  for _, p in ipairs(a.path) do
    add("             %d x %s%s", p.launches, p.kernel or p.op,
      p.weight_bytes > 0 and ", weights " .. units.bytes(p.weight_bytes) or "")
  end
  if a.conditions then
    add("     values  that steps hang on are read by the %s",
      a.conditions == "device" and "device, in the graph" or a.conditions)
  end
  add("     bytes   weights %s once, %s as streamed; all data %s once, %s as streamed", units.bytes(a.weight_bytes),
    units.bytes(a.weight_bytes_streamed), units.bytes(a.bytes_min), units.bytes(a.bytes_streamed))
  bound_lines(add, plan, a, require("luabench.ceilings").best(plan.device))
end

--- The account as text. Runs the plan once, to count what it launches.
function M.text(plan)
  if type(plan) == "table" and plan.plan then plan = plan.plan end -- what a case() returns
  local core = require "luabench.core"
  if type(plan) ~= "userdata" or getmetatable(plan) ~= core.classes().plan.metatable then
    error("explain: a plan expected, got " .. type(plan) .. ", as in lb.explain(lb.plan():gemm{ x = x, w = w })", 3)
  end
  local lines = {}
  local function add(text, ...)
    lines[#lines + 1] = show.wrap(select("#", ...) > 0 and text:format(...) or text, 13)
  end
  local steps = plan:steps()
  add("plan on %s, %d thread%s, %d step%s", plan.device.name, plan.device.threads,
    plan.device.threads == 1 and "" or "s",
    #steps, #steps == 1 and "" or "s")
  if #steps == 0 then
    add "it is empty: record with a method per operation, as in plan:gemm{ x = x, w = w }; help(plan) lists them"
  else
    step_lines(add, plan, steps, core)
    account_lines(add, plan)
  end
  return table.concat(lines, "\n")
end

--- lb.explain(plan): prints the account.
function M.explain(plan)
  io.stdout:write(M.text(plan), "\n")
end

return M

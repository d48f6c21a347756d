-- force.lua: --kernels: what a run says about the choice of kernels: "measured", "priority", or names that are taken
-- wherever they fit, the first of them first. A case in which none of the names runs is skipped and says why: it would
-- else be timed with kernels that nobody asked for.
local choices = require "luabench.choices"
local core = require "luabench.core"
local suggest = require "luabench.suggest"

local M = {}

local RULES = { measured = true, priority = true }

-- The names of --kernels, or nil for a rule.
function M.names(opt)
  if RULES[opt.kernels or "measured"] then return nil end
  local list = {}
  for name in opt.kernels:gmatch "[^,%s]+" do list[#list + 1] = name end
  return #list > 0 and list or nil
end

-- Before a case is recorded; opt.device is open. Without --kernels nothing that is preferred (luabench ab) is touched.
function M.apply(opt)
  choices.enable(opt.kernels ~= "priority")
  choices.prepare(opt.device)
  local names = M.names(opt)
  if names or M.applied then core.kernel_prefer(names) end
  M.applied = names ~= nil
end

local function why_not(plan, name)
  local op = name:match "^[^.]+"
  for i, step in ipairs(plan:steps()) do
    if step.op == op then
      for _, c in ipairs(plan:candidates(i)) do
        if c.kernel == name then
          return c.fits and ("the script asks for %s"):format(step.kernel or "others") or c.why or "it does not fit"
        end
      end
    end
  end
  local known, names = pcall(core.kernels), core.kernels()
  for _, n in ipairs(known and names or {}) do
    if n == name then return ("it has no %s"):format(op) end
  end
  return "there is no such kernel" .. suggest.hint(name, names)
end

-- Why the case is not one of --kernels; nil if it is, or if no kernel was named.
function M.missing(opt, account, plan)
  local names = M.names(opt)
  if not names then return nil end
  for _, entry in ipairs(account.path) do
    for _, name in ipairs(names) do
      if entry.kernel == name and entry.launches > 0 then return nil end
    end
  end
  for i, name in ipairs(names) do names[i] = name .. ": " .. why_not(plan, name) end
  return "--kernels: none of them runs in this case: " .. table.concat(names, "; ")
end

return M

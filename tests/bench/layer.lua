-- layer.lua: GLM-4.7-Flash's MoE layer, fast_mixed: at one token of the read bandwidth by turns, weights cold; at 256
-- tokens by turns with slow_path. `make bench` runs it; beside another engine: peer.lua.
local lb = require "luabench"
local beside = dofile "tests/bench/lib/beside.lua"
local programs = dofile "tests/bench/lib/programs.lua"
local job_of, layer_of = require "luabench.moe.job", require "luabench.moe.layer"
local core = lb.core

local SECONDS, WANTED, TIMES = 6, 0.75, 3
local device = beside.device()
local layer = layer_of.new(lb.model_table "glm4", { seed = 0, device = device, overrides = {} })

local function plan_of(strategy, tokens)
  local job = job_of.new { layer = layer, tokens = tokens, routing = "router", device = device }
  local plan = job_of.plan(job, lb.strategy(strategy))
  plan:run()
  return plan
end

-- Of what routing chose in this run.
local function weight_bytes(plan)
  local bytes = 0
  plan:rotate "weights-cold"
  for _, w in ipairs(core.trace(plan, { cache = "weights-cold" }).work) do
    if w.ran then bytes = bytes + w.weight_bytes end
  end
  return bytes
end

local one = plan_of("fast_mixed", 1)
local bytes = weight_bytes(one)
local rate, share = beside.by_turns(one, { work = bytes, ceiling = "read", seconds = SECONDS })
print(("GLM-4.7-Flash's MoE layer, %d threads, weights cold"):format(device.threads))
print(("fast_mixed, 1 token: %.0f us, %.1f GB/s, %.1f %% of the read bandwidth by turns   %.0f %%%s"):format(
  bytes / rate * 1e6, rate * 1e-9, share * 100, WANTED * 100, beside.verdict(share, WANTED)))
one:close()

local fast, slow = plan_of("fast_mixed", 256), plan_of("slow_path", 256)
local plans = { fast, slow }
for _, plan in ipairs(plans) do
  plan:rotate "weights-cold"
  plan:submit(1)
end
-- One run of each by turns: what the machine does meanwhile is in both.
local ns, ratios, stop = { {}, {} }, {}, core.now_ns() + 2 * SECONDS * 1e9
while core.now_ns() < stop or #ratios < 5 do
  for i, plan in ipairs(plans) do table.insert(ns[i], (plan:submit(1))) end
  table.insert(ratios, ns[2][#ns[2]] / ns[1][#ns[1]])
end
local times = programs.median(ratios)
print(("256 tokens: fast_mixed %.1f ms, slow_path %.1f ms: %.1f times   %d times%s"):format(
  programs.median(ns[1]) * 1e-6, programs.median(ns[2]) * 1e-6, times, TIMES, times < TIMES and "  off" or ""))

-- peer.lua: a GGUF file's prompt and generation rates in this process, as one line of JSON: MODEL, PROMPT, GEN, REPACK
-- in the environment. tests/bench/peer.lua runs it by turns with llama-bench.
local lb = require "luabench"
local PROMPT, GEN, TIMES = tonumber(os.getenv "PROMPT"), tonumber(os.getenv "GEN"), 3

-- Bytes a nanosecond that all threads read of memory now.
local function reader()
  local timer, x, plan = lb.timer(), lb.full({ 96 * 2 ^ 20 }, 1), lb.plan()
  plan:peak_read { x = x, rounds = 1 }
  return function()
    local start = timer:now_ns()
    plan:run()
    return x:nbytes() / (timer:now_ns() - start)
  end
end

-- Tokens a second of a prompt, and of generation; and the share of memory's bandwidth, next to it, that the latter
-- reads weights with, only those of the experts that a token has.
local function runner(model, read)
  local prompt, one, gen = lb.plan(), lb.plan(), lb.plan()
  local a = model:forward(prompt, { tokens = PROMPT, logits = "last", capacity = PROMPT })
  local b = model:forward(one, { tokens = 1, capacity = GEN })
  for _ = 1, GEN do gen:append(one) end
  b.lengths:fill(0)
  local timer, bytes = lb.timer(), GEN * one:account().weight_bytes
  local function run(plan, lengths)
    lengths:fill(0)
    local start = timer:now_ns()
    plan:run()
    return timer:now_ns() - start
  end
  return function()
    local prompt_ns, before = run(prompt, a.lengths), read()
    local gen_ns = run(gen, b.lengths)
    return PROMPT / prompt_ns * 1e9, GEN / gen_ns * 1e9, bytes / gen_ns / ((before + read()) / 2)
  end
end

local model = lb.model.load(os.getenv "MODEL", { repack = os.getenv "REPACK" ~= "0" })
local run = runner(model, reader())
local best = { prompt = 0, gen = 0, shares = {} }
run()
for i = 1, TIMES do
  local prompt, gen, share = run()
  best.prompt, best.gen = math.max(best.prompt, prompt), math.max(best.gen, gen)
  best.shares[i] = share
end
print(require("luabench.json").encode { prompt = best.prompt, gen = best.gen, shares = best.shares,
  load_s = model.load_ns * 1e-9, repack_s = model.repack_ns * 1e-9, threads = model.device.threads })

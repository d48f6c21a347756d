-- reference.lua: what a MoE layer should give, in f64: with its original weights, or with a quantized set's.
--
-- The activations stay f64 all the way, so against a strategy's output this shows everything that the strategy
-- rounds: activations to int8 (bounded, see LAYER_TOLERANCE) and, with the originals, the weights' format too.
local lb = require "luabench"
local job_of = require "luabench.moe.job"
local steps = require "luabench.moe.steps"
local M = {}

-- Bound of a whole layer against f64 on the same quantized weights. Rounding activations to int8 in blocks of 32 to
-- 256 gives each product an NMSE near 5e-5 (43 to 46 dB for normal values); gate and up carry it into h, h is rounded
-- once more, and SwiGLU can amplify it a few times: some 2e-4 in all. A swapped expert or a wrong weight gives 0.1 to
-- 2.
M.LAYER_TOLERANCE = 1e-3
-- Bound between strategies on the same weights. All multiply the same integers; h may differ in its last f32 bit, which
-- flips about one in 1e5 int8 roundings by one step: NMSE near 1e-8.
M.AGREE_TOLERANCE = 1e-7

local function gated(g, u, clamp)
  if not clamp then return g / ((-g):exp() + 1) * u end
  g, u = g:minimum(clamp.limit), u:minimum(clamp.limit):maximum(-clamp.limit)
  return g / ((g * -clamp.alpha):exp() + 1) * (u + 1)
end

-- biased(product, "gate") adds what the model adds to it.
local function expert_output(x, gate, up, down, biased, clamp)
  local g, u = biased(lb.oracle.matmul(x, gate), "gate"), biased(lb.oracle.matmul(x, up), "up")
  return biased(lb.oracle.matmul(gated(g, u, clamp), down), "down")
end

--- gate, up, down of an expert in `set` ("original" = f32 weights made anew; `close` tells that they may go).
local function weights_of(layer, set, expert)
  if set == "original" then
    return layer:original(expert, "gate"), layer:original(expert, "up"), layer:original(expert, "down"), true
  end
  local w = layer:weights(set)
  if expert == "shared" then return w.shared.gate, w.shared.up, w.shared.down end
  return w.gate[expert], w.up[expert], w.down[expert]
end

local function add_expert(out, job, x, expert, set, rows)
  local inputs = {}
  for i, r in ipairs(rows) do inputs[i] = x:slice(1, r.token, r.token) end
  local gate, up, down, close = weights_of(job.layer, set, expert)
  local biases = expert ~= "shared" and job.layer:biases()
  local function biased(product, name)
    return biases and product + biases[name]:slice(1, expert, expert):to "f64" or product
  end
  local y = expert_output(#inputs == 1 and inputs[1] or lb.cat(inputs, 1), gate, up, down, biased,
    expert ~= "shared" and job.layer.model.clamp or nil)
  if close then gate:close() up:close() down:close() end
  for i, r in ipairs(rows) do
    local o = out:slice(1, r.token, r.token)
    o:copy(o + y:slice(1, i, i) * r.weight)
  end
end

local function build(layer, set, tokens, routing, device, progress)
  local m = layer.model
  local job = job_of.new { layer = layer, tokens = tokens, routing = routing, device = device }
  local plan = lb.plan(device)
  steps.router(plan, job)
  plan:run()
  local ids, weights = job.ids:totable(), job.weights:totable()
  local rows = {}
  for t = 1, tokens do
    for s = 1, m.top_k do
      local e = ids[t][s] + 1
      rows[e] = rows[e] or {}
      table.insert(rows[e], { token = t, weight = weights[t][s] })
    end
  end
  local x = job.x:to "f64"
  local out = lb.zeros({ tokens, m.hidden }, { dtype = "f64" })
  for _, expert in ipairs(layer:members()) do
    local mine = rows[expert]
    if expert == "shared" then
      mine = {}
      for t = 1, tokens do mine[t] = { token = t, weight = 1 } end
    end
    if mine then add_expert(out, job, x, expert, set, mine) end
    progress(expert == "shared" and m.experts or expert, m.experts)
  end
  return { y = out }
end

--- Expected layer output [tokens, H] f64 for the first `tokens` of a batch of `most` (prepared once for `most`).
-- Routing decisions and weights are the plan's own (they are checked as steps of their own).
function M.output(layer, set, tokens, most, routing, device)
  local key = ("moe reference %s %s %d %d %s"):format(layer.key, set, set == "uniform" and layer:uniform_width() or 0,
    most,
    routing)
  local label = ("reference output (%s weights)"):format(set)
  local tensors = lb.prepared(key, function(progress)
    return build(layer, set, most, routing, device, progress)
  end, label)
  return tensors.y:slice(1, 1, tokens)
end

--- sum (got - want)^2 / sum want^2 of two tensors; nil where one is not finite.
function M.nmse(got, want)
  local a, b = got:to "f64", want:to "f64"
  local value = ((a - b):norm() / b:norm()) ^ 2
  return value == value and value < math.huge and value or nil
end

return M

-- moe_mixed.lua: a mixture-of-experts layer whose experts carry mixed bits, run by strategies that really differ.
--
--   luabench scenarios/moe_mixed.lua --model glm4 -o r.json -o r.csv
--   luabench scenarios/moe_mixed.lua --model-path model.gguf --layer 2
--
-- All strategies work on the same original weights, the same routing and the same inputs. What each one launched is in
-- its record's `path`; how far its output is from the original weights' is in `quantization_error`.
local lb = require "luabench"
local file_of = require "luabench.moe.file"
local formats_of = require "luabench.moe.formats"
local job_of = require "luabench.moe.job"
local layer_of = require "luabench.moe.layer"
local model_table = require "luabench.moe.model"
local reference = require "luabench.moe.reference"
local routing_of = require "luabench.moe.routing"
local costs = require "luabench.moe.costs"
local steps = require "luabench.moe.steps"

local STRATEGIES = { "slow_path", "fast_uniform", "fast_mixed", "hybrid", "max_bits_padded", "auto" }
local KERNEL_FORMATS = { "auto", "k", "uniform" }

local TOKENS = { 1, 4, 16, 64, 256 }

-- The table that --model names, or that of a layer of the file in --model-path, opened once.
local spec_for
do
  local opened = {}
  function spec_for(opt)
    if not opt.model_path then return lb.model_table(opt.model) end
    local device = type(opt.device) == "userdata" and opt.device or nil       -- a name still, where the grid is made
    local key = ("%s %s %s %s"):format(opt.model_path, tostring(opt.layer), opt.formats, tostring(device))
    opened[key] = opened[key] or file_of.open(opt.model_path, opt.layer, device,
      opt.formats ~= "auto" and opt.formats or nil)
    return opened[key]
  end
end

local layers = {} -- by key, so that the cases of one process share prepared weights

local function overrides_of(opt)
  return {
    hidden = opt.hidden_dim, intermediate = opt.intermediate_dim, experts = opt.num_experts, top_k = opt.top_k,
    formats = opt.formats ~= "auto" and opt.formats or nil,
  }
end

local function layer_for(opt)
  local layer = layer_of.new(spec_for(opt), {
    seed = opt.seed, device = opt.device, overrides = overrides_of(opt), uniform_bits = opt.uniform_bits,
  })
  layers[layer.key] = layers[layer.key] or layer
  return layers[layer.key]
end

local function tokens_of(opt)
  if opt.batch_size or opt.seq_len then return { (opt.batch_size or 1) * (opt.seq_len or 1) } end
  return opt.tokens
end

-- Tokens are whole numbers from 1: a check for the option.
local function whole_tokens(list)
  for _, n in ipairs(list) do
    if n < 1 or n ~= math.floor(n) then return false, "whole numbers from 1, separated by commas" end
  end
  return true
end

--- Rows from which a class is grouped: the number given, or the fastest of a few, measured.
local function threshold_for(opt, layer, axes)
  if opt.threshold ~= "auto" then return tonumber(opt.threshold) end
  local candidates, plans = { 1, 2, 4, 8, 16, 32, 64 }, {}
  local key = ("moe threshold %s %d %s %s %s %d threads"):format(layer.key, axes.tokens, axes.routing, opt.cache,
    opt.mode, opt.device.threads)
  return lb.prepared(key, function()
    for i, rows in ipairs(candidates) do
      local job = job_of.new { layer = layer, tokens = axes.tokens, routing = axes.routing, threshold = rows,
                               device = opt.device }
      plans[i] = job_of.plan(job, lb.strategy "hybrid")
    end
    local times, best = costs.times(plans, opt), 1
    for i, plan in ipairs(plans) do
      plan:close()
      if times[i] < times[best] then best = i end
    end
    return { threshold = lb.tensor({ candidates[best] }, { dtype = "i32" }) }
  end, "measuring hybrid's threshold").threshold:get(1)
end

--- The whole layer's output against f64 on the same quantized weights.
local function layer_check(layer, job, axes, most, set)
  return function()
    local want = reference.output(layer, set, axes.tokens, most, axes.routing, job.device)
    local nmse = reference.nmse(job.out, want)
    local passed = nmse ~= nil and nmse <= reference.LAYER_TOLERANCE
    return {
      name = "layer", nmse = nmse, tolerance = reference.LAYER_TOLERANCE, passed = passed,
      reason = not passed and ("layer output differs from f64 on the same weights: NMSE %s, at most %g is expected "
        .. "from rounding activations to int8"):format(tostring(nmse), reference.LAYER_TOLERANCE) or nil,
    }
  end
end

--- Strategies on the same weights must agree with the one that ran first.
local function agreement_check(layer, job, axes, set, strategy)
  return function()
    local key = ("moe output %s %s %d %s"):format(layer.key, set, axes.tokens, axes.routing)
    local first = lb.prepared(key, function() return { y = job.out:clone() } end)
    local nmse = reference.nmse(job.out, first.y)
    local passed = nmse ~= nil and nmse <= reference.AGREE_TOLERANCE
    return {
      name = "agreement", nmse = nmse, tolerance = reference.AGREE_TOLERANCE, passed = passed,
      reason = not passed and ("%s and another strategy on the same weights differ: NMSE %s, at most %g is expected")
        :format(strategy, tostring(nmse), reference.AGREE_TOLERANCE) or nil,
    }
  end
end

--- The set of weights whose output a strategy gives; auto's depends on what it chose.
local function set_of(strategy, job)
  if strategy.name ~= "auto" then return strategy.weights[1] end
  local flags = job.auto.flags:totable()
  for i, name in ipairs(job.auto.candidates) do
    if flags[i] == 1 then return lb.strategy(name).weights[1], name end
  end
  error("auto chose no strategy", 0)
end

local function quantization_error(layer, job, axes, most, set)
  return function()
    set = set or set_of(lb.strategy "auto", job)
    local w = layer:weights(set)
    local want = reference.output(layer, "original", axes.tokens, most, axes.routing, job.device)
    local nmse = reference.nmse(job.out, want)
    return { bits_per_weight = w.bits_per_weight, rel_rmse = w.rel_rmse, sqnr_db = w.sqnr_db,
             output_rel_rmse = nmse and math.sqrt(nmse) }
  end
end

local function held_bytes(layer, strategy)
  local bytes = 0
  for _, set in ipairs(strategy.weights) do bytes = bytes + layer:weights(set).bytes end
  return bytes
end

--- A candidate of auto with the router before it, as when the strategy runs alone: equal work on both sides.
local function with_router(job, candidate)
  local plan = lb.plan(job.device)
  steps.router(plan, job)
  plan:append(candidate)
  return plan
end

-- A regret above this is measured twice more, and the middle one of the three counts: where a plan's cold copies lie in
-- memory is the same for all rounds of a measurement. Seen once: 12 % for a plan that was the fastest of its table.
local REGRET_DOUBTED = 0.05

-- The plans' times (ns) by turns; `shift`: which of them is the first whose copies are made.
local function times_by_turns(plans, job, shift)
  local turned, out = {}, {}
  local function place(i) return (i - 1 + shift) % #plans + 1 end
  for i = 1, #plans do turned[i] = plans[place(i)] end
  for i, t in ipairs(costs.by_turns(turned, job)) do out[place(i)] = t end
  return out
end

--- How the first of the plans does beside the best of the others: { regret, best (index), times (ns), measured (how
--- often) }.
local function regret_of(plans, job)
  local function measured(shift)
    local times, best = times_by_turns(plans, job, shift), 2
    for i = 3, #plans do
      if times[i] < times[best] then best = i end
    end
    return { regret = times[1] / times[best] - 1, best = best, times = times, measured = 1 }
  end
  local first = measured(0)
  if first.regret <= REGRET_DOUBTED then return first end
  local three = { first, measured(1), measured(2) }
  table.sort(three, function(x, y) return x.regret < y.regret end)
  three[2].measured = 3
  return three[2]
end

--- auto's own figures: what it chose, and its time against the best of up to three others in the same rounds: those
--- that should be the fastest by the costs that it chose by, if they are near. Others have no time here.
local function auto_metrics(job, plan)
  return function()
    local names, plans = job.auto.candidates, { plan }
    local close = costs.close(costs.expected(job.auto.costs, job.ids))
    for k, i in ipairs(close) do plans[k + 1] = with_router(job, job.auto.plans[i]) end
    local r = regret_of(plans, job)
    local best, times = r.best, r.times
    for k = 2, #plans do plans[k]:close() end
    local _, chosen = set_of(lb.strategy "auto", job)
    local out = {
      regret = { unit = "ratio", median = r.regret },
      measured = { unit = "times", median = r.measured },
      chosen = { unit = "strategy", name = chosen },
      best = { unit = "strategy", name = names[close[best - 1]] },
      compared = { unit = "strategies", median = #close },
    }
    for k, i in ipairs(close) do out["time_" .. names[i]] = { unit = "ns", median = times[k + 1] } end
    return out
  end
end

local function case(axes, opt)
  local layer = layer_for(opt)
  local strategy = lb.strategy(axes.strategy)
  local most = math.max(unpack(tokens_of(opt)))
  local threshold = strategy.name ~= "hybrid" and strategy.name ~= "auto" and 8 or threshold_for(opt, layer, axes)
  local job = job_of.new { layer = layer, tokens = axes.tokens, routing = axes.routing, threshold = threshold,
                           device = opt.device, cache = opt.cache, mode = opt.mode }
  local plan = job_of.plan(job, strategy)
  local is_auto = strategy.name == "auto"
  local set = not is_auto and strategy.weights[1] or nil
  local function with_set(make)
    return function() return make(set or (set_of(strategy, job)))() end
  end
  return {
    plan = plan, items = axes.tokens, item = "token",
    weights_bytes = held_bytes(layer, strategy), note = layer.model.random and "random weights" or nil,
    quantization_error = quantization_error(layer, job, axes, most, set),
    extra_checks = {
      with_set(function(s) return layer_check(layer, job, axes, most, s) end),
      with_set(function(s) return agreement_check(layer, job, axes, s, strategy.name) end),
    },
    metrics = is_auto and auto_metrics(job, plan)
      or strategy.name == "hybrid" and { threshold = { unit = "rows", median = threshold } } or nil,
  }
end

local function check_strategy(name)
  local s = lb.strategy(name)
  local good = type(s) == "table" and s.name == name and type(s.record) == "function" and type(s.weights) == "table"
  if not good then
    error(("strategy %q: its file should return { name = %q, about =, weights = { sets }, "
        .. "record = function(plan, job) }")
      :format(name, name), 0)
  end
  return s
end

--- The mixed weights' formats must divide K: hidden for gate and up, intermediate for down.
local function check_formats(model)
  for _, tuple in ipairs(model.tuples) do
    for i, projection in ipairs(model_table.projections) do
      local recipe = formats_of.recipe(model.formats, tuple[i])
      local multiple, k = lb.quantizer(recipe).k_multiple, projection == "down" and model.intermediate or model.hidden
      if k % multiple ~= 0 then
        error(("model '%s': %s takes K in multiples of %d, but that of %s is %d; other formats: --formats %s")
          :format(model.name, recipe, multiple, projection, k, model.formats == "k" and "uniform" or "k"), 0)
      end
    end
  end
end

--- What no case could run with is an error of the command line, before any case.
local function check_options(opt)
  if (opt.batch_size or opt.seq_len) and table.concat(opt.tokens, ",") ~= table.concat(TOKENS, ",") then
    error("--tokens and --batch-size with --seq-len both give the tokens; expected one of them", 0)
  end
  if opt.layer and not opt.model_path then error("--layer belongs to --model-path", 0) end
  for _, name in ipairs { "hidden_dim", "intermediate_dim", "num_experts", "top_k" } do
    if opt.model_path and opt[name] then
      error(("--%s: the sizes are those of the file in --model-path"):format((name:gsub("_", "-"))), 0)
    end
  end
  local model = model_table.resolve(spec_for(opt), overrides_of(opt))
  local mixed = false
  for _, name in ipairs(opt.strategies) do
    for _, set in ipairs(check_strategy(name).weights) do mixed = mixed or set == "mixed" end
  end
  if mixed then check_formats(model) end
  for _, text in ipairs(opt.routing) do
    local routing = routing_of.parse(text)
    if routing.kind == "file" then routing_of.make(routing, model, math.max(unpack(tokens_of(opt))), opt.seed) end
  end
end

return lb.scenario {
  about = "MoE layer with mixed-bits experts: six strategies on the same weights, routing and inputs",
  options = {
    model = { "model table: a file in lua/models/", "synthetic" },
    model_path = { help = "a model file or folder: the experts, formats and router of one of its layers",
                   type = "string", metavar = "FILE" },
    layer = { help = "which layer of --model-path, from 1 (default: the first with experts)", type = "integer", min = 1,
              max = 100000 },
    strategies = { "which strategies to run", STRATEGIES },
    tokens = { help = "tokens in the batch", default = TOKENS, type = "list", check = whole_tokens },
    routing = { "routing: " .. routing_of.about, { "router" } },
    threshold = { help = "hybrid: least rows of a class that is grouped; auto measures", default = "8", type = "string",
                  check = function(v)
                    local n = tonumber(v)
                    if v == "auto" or n and n >= 1 and n == math.floor(n) then return true end
                    return false, "auto or a whole number from 1"
                  end },
    formats = { help = "which formats the bits become (auto: the model's own)", default = "auto",
      choices = KERNEL_FORMATS },
    uniform_bits = { help = "fast_uniform: the one width (default: the mean width, rounded up)", type = "integer",
                     choices = { 2, 3, 4, 5, 6, 8 } },
    batch_size = { help = "sequences; with --seq-len gives the tokens", type = "integer", min = 1, max = 65536 },
    seq_len = { help = "tokens per sequence", type = "integer", min = 1, max = 65536 },
    hidden_dim = { help = "instead of the model's hidden size", type = "integer", min = 1, max = 65536 },
    intermediate_dim = { help = "instead of the model's expert size", type = "integer", min = 1, max = 65536 },
    num_experts = { help = "instead of the model's number of experts", type = "integer", min = 1, max = 4096 },
    top_k = { help = "instead of the model's experts per token", type = "integer", min = 1, max = 64 },
  },
  grid = function(opt)
    check_options(opt)
    return lb.grid { { "routing", opt.routing }, { "tokens", tokens_of(opt) }, { "strategy", opt.strategies } }
  end,
  case = case,
  baseline = { strategy = "slow_path" },
  group = "tokens",
  sort = "time",
  columns = { "routing", "strategy", "time", "ci", "items", "speedup", "versus", "ceiling",
              { title = "streams", field = "sol.streamed_fraction", unit = "%" }, "weights", "nmse", "quantization",
              { title = "auto took", field = "metrics.chosen.name" },
              { title = "regret", field = "metrics.regret.median", unit = "%" } },
}

-- test_moe.lua: every strategy does what its name says: launches, weight bytes, results, and checks that can fail.
local lu = require "luaunit"
local lb = require "luabench"
local job_of = require "luabench.moe.job"
local layer_of = require "luabench.moe.layer"
local model_table = require "luabench.moe.model"
local reference = require "luabench.moe.reference"
local routing_of = require "luabench.moe.routing"

-- A small layer with three classes, a shared expert and the k formats' block of 256.
local SMALL = {
  name = "small", hidden = 256, intermediate = 512, experts = 8, shared = 1, top_k = 2, formats = "k",
  router = { score = "sigmoid", bias = true, renormalize = true, scale = 1.8 },
  bits = { { count = 5, 6, 2, 3 }, { count = 2, 6, 3, 3 }, { count = 1, 6, 2, 4 } }, shared_bits = { 6, 2, 3 },
}

local layer
local function small_layer()
  layer = layer or layer_of.new(SMALL, { seed = 3 })
  return layer
end

local function make(name, tokens, opts)
  opts = opts or {}
  local job = job_of.new { layer = opts.layer or small_layer(), tokens = tokens, routing = opts.routing or "router",
                           threshold = opts.threshold, cache = "hot" }
  return job, job_of.plan(job, lb.strategy(name))
end

local function launches(account, op)
  local n = 0
  for _, p in ipairs(account.path) do
    if p.op == op then n = n + p.launches end
  end
  return n
end

--- Rows per class in the batch, from the ids that the plan computed.
local function class_rows(job, weights)
  local rows, class = {}, weights.class:totable()
  for _, ids in ipairs(job.ids:totable()) do
    for _, e in ipairs(ids) do rows[class[e + 1]] = (rows[class[e + 1]] or 0) + 1 end
  end
  return rows
end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

local function passes(plan)
  local check = plan:check()
  lu.assertTrue(check.passed, check.reason)
  lu.assertTrue(check.steps_checked > 0)
end

local T = {}

function T.test_slow_path_is_a_sequence_per_token_and_expert()
  for _, tokens in ipairs { 1, 5 } do
    local _, plan = make("slow_path", tokens)
    local a = plan:account()
    local slots = tokens * SMALL.top_k
    lu.assertEquals(launches(a, "axpy"), slots)
    lu.assertEquals(launches(a, "gemm"), 3 * slots + 3 + 1) -- experts, shared expert, router
    lu.assertEquals(launches(a, "swiglu"), slots + 1)
    lu.assertEquals(launches(a, "moe_ffn"), 0)
    passes(plan)
  end
end

function T.test_fast_mixed_is_one_dispatch_per_tuple_present()
  for _, tokens in ipairs { 1, 4, 32 } do
    local job, plan = make("fast_mixed", tokens)
    plan:run()
    local present = count(class_rows(job, job.layer:weights "mixed"))
    lu.assertEquals(launches(plan:account(), "moe_ffn"), present)
    passes(plan)
  end
  local _, plan = make("fast_mixed", 2, { routing = "single" }) -- two experts at most two classes
  lu.assertTrue(launches(plan:account(), "moe_ffn") <= 2)
end

function T.test_fast_uniform_and_padded_are_one_dispatch()
  for _, name in ipairs { "fast_uniform", "max_bits_padded" } do
    local _, plan = make(name, 16)
    lu.assertEquals(launches(plan:account(), "moe_ffn"), 1)
    passes(plan)
  end
end

function T.test_padded_pays_in_bytes()
  local _, mixed = make("fast_mixed", 32)
  local _, padded = make("max_bits_padded", 32)
  local a, b = mixed:account(), padded:account()
  lu.assertEquals(a.weights_touched, b.weights_touched)
  lu.assertTrue(b.weight_bytes > 1.4 * a.weight_bytes)
  local l = small_layer()
  lu.assertTrue(l:weights("padded").bytes > 1.4 * l:weights("mixed").bytes)
end

function T.test_hybrid_runs_both_kinds()
  local job, plan = make("hybrid", 8, { threshold = 6 })
  plan:run()
  local rows = class_rows(job, job.layer:weights "mixed")
  local grouped, sequential = 0, 0
  for _, n in pairs(rows) do
    if n >= 6 then grouped = grouped + 1 else sequential = sequential + n end
  end
  lu.assertTrue(grouped > 0 and sequential > 0, "the seed must give both kinds")
  local a = plan:account()
  lu.assertEquals(launches(a, "moe_ffn"), grouped)
  lu.assertEquals(launches(a, "gemm"), 3 * sequential + 3 + 1)
  passes(plan)
end

function T.test_strategies_agree_and_match_f64()
  for _, tokens in ipairs { 1, 6 } do
    local outputs = {}
    for _, name in ipairs { "slow_path", "fast_mixed", "hybrid", "fast_uniform", "max_bits_padded" } do
      local job, plan = make(name, tokens, { threshold = 3 })
      plan:run()
      local set = lb.strategy(name).weights[1]
      local nmse = reference.nmse(job.out, reference.output(job.layer, set, tokens, 6, "router"))
      lu.assertTrue(nmse and nmse <= reference.LAYER_TOLERANCE, name .. ": " .. tostring(nmse))
      if set == "mixed" then outputs[#outputs + 1] = job.out end
    end
    for i = 2, #outputs do lu.assertTrue(reference.nmse(outputs[i], outputs[1]) <= reference.AGREE_TOLERANCE) end
  end
end

function T.test_swapped_experts_are_caught_by_the_layer_check()
  local job, plan = make("fast_mixed", 6)
  local w = job.layer:weights "mixed"
  local a, b
  local class = w.class:totable()
  for i = 1, #class do
    for j = i + 1, #class do
      if not a and class[i] == class[j] then a, b = i, j end
    end
  end
  plan:run()
  local ids = job.ids:totable()
  local used = false
  for _, row in ipairs(ids) do
    for _, e in ipairs(row) do used = used or e + 1 == a or e + 1 == b end
  end
  lu.assertTrue(used)
  w.gate[a], w.gate[b] = w.gate[b], w.gate[a]
  local swapped_job, swapped = make("fast_mixed", 6)
  swapped:run()
  w.gate[a], w.gate[b] = w.gate[b], w.gate[a]
  local nmse = reference.nmse(swapped_job.out, reference.output(job.layer, "mixed", 6, 6, "router"))
  lu.assertTrue(nmse > 10 * reference.LAYER_TOLERANCE, tostring(nmse))
end

function T.test_auto_chooses_one_and_reports_it()
  local job, plan = make("auto", 4)
  plan:run()
  local flags, sum = job.auto.flags:totable(), 0
  for _, f in ipairs(flags) do sum = sum + f end
  lu.assertEquals(sum, 1)
  lu.assertEquals(launches(plan:account(), "choose"), 1)
  passes(plan)
end

function T.test_candidates_that_are_compared_again()
  local costs = require "luabench.moe.costs"
  lu.assertEquals(costs.close { 5, 5, 5, 5, 5 }, { 1, 2, 3 })               -- equal: the first, as `choose` has it
  lu.assertEquals(costs.close { 100, 9, 10, 30, 11 }, { 2, 3, 5 })
  lu.assertEquals(costs.close { 4, 1, 4 }, { 2 })
  lu.assertEquals(costs.close { 7 }, { 1 })
  local ids = lb.tensor({ { 0, 1 }, { 1, 2 }, { 0, 2 } }, { dtype = "i32" }) -- 6 rows, 3 experts
  local expected = costs.expected(lb.tensor({ { 10, 1, 100 }, { 20, 0, 0 } }), ids)
  lu.assertEquals(expected, { 316, 20 })
end

function T.test_synthetic_model_with_uniform_formats_is_exact_when_padded()
  local l = layer_of.new(lb.model_table "synthetic", { seed = 1 })
  local mixed, padded = l:weights "mixed", l:weights "padded"
  for e = 1, l.model.experts do
    lu.assertTrue(mixed.up[e]:dequantize():equal(padded.up[e]:dequantize()), "expert " .. e)
  end
  lu.assertAlmostEquals(mixed.rel_rmse, padded.rel_rmse, 1e-9)
end

function T.test_routing_distributions()
  local m = model_table.resolve(SMALL)
  local ids = routing_of.make({ kind = "single" }, m, 3, 1)
  lu.assertEquals(ids:totable(), { { 0, 1 }, { 0, 1 }, { 0, 1 } })
  local many = routing_of.make({ kind = "zipf", s = 1.5 }, m, 400, 7):totable()
  local hits = {}
  for e = 0, 7 do hits[e] = 0 end
  for _, row in ipairs(many) do
    lu.assertNotEquals(row[1], row[2])
    for _, e in ipairs(row) do hits[e] = hits[e] + 1 end
  end
  lu.assertTrue(hits[0] > 2 * hits[4] and hits[1] > hits[6])
  local few = routing_of.make({ kind = "uniform" }, m, 4, 7):totable()
  local more = routing_of.make({ kind = "uniform" }, m, 9, 7):totable()
  for t = 1, 4 do lu.assertEquals(few[t], more[t]) end
  lu.assertErrorMsgContains("unknown routing", routing_of.parse, "zip")
  lu.assertErrorMsgContains("unknown routing", routing_of.parse, "zipf:-1")
end

function T.test_bad_model_tables_are_explained()
  local function broken(change)
    local spec = {}
    for k, v in pairs(SMALL) do spec[k] = v end
    for k, v in pairs(change) do spec[k] = v end
    return function() model_table.resolve(spec) end
  end
  lu.assertErrorMsgContains("unknown field 'hiden'", broken { hiden = 1 })
  lu.assertErrorMsgContains("'top_k' is 9", broken { top_k = 9 })
  lu.assertErrorMsgContains("'bits' gives formats to 3 experts, 'experts' is 8",
    broken { bits = { { count = 3, 6, 2, 3 } } })
  lu.assertErrorMsgContains("7-bit", broken { bits = { { 7, 2, 3 } } })
  lu.assertErrorMsgContains("router.score", broken { router = { score = "relu" } })
end

-- The widest of all projections, the shared expert's too: padding must never narrow.
function T.test_padded_is_as_wide_as_the_shared_expert()
  local spec = { name = "wide", hidden = 256, intermediate = 256, experts = 2, shared = 1, top_k = 1,
                 bits = { { count = 2, 2, 2, 2 } }, shared_bits = { 8, 8, 8 } }
  lu.assertEquals(layer_of.new(spec, {}):widest(), 8)
end

-- What is prepared for one layer must not be taken for another's.
function T.test_a_layers_key_says_all_that_its_outputs_depend_on()
  local function key(change, opts)
    local spec = {}
    for k, v in pairs(SMALL) do spec[k] = v end
    for k, v in pairs(change) do spec[k] = v end
    return layer_of.new(spec, opts or {}).key
  end
  local own = key {}
  lu.assertEquals(key {}, own)
  lu.assertNotEquals(key({}, { uniform_bits = 8 }), own)
  lu.assertNotEquals(key { router = { score = "sigmoid", bias = true, renormalize = true, scale = 1 } }, own)
  lu.assertNotEquals(key { router = { score = "sigmoid", bias = true, renormalize = false, scale = 1.8 } }, own)
  lu.assertNotEquals(key { router = { score = "softmax", bias = true, renormalize = true, scale = 1.8 } }, own)
  lu.assertNotEquals(key { router = { score = "sigmoid", bias = false, renormalize = true, scale = 1.8 } }, own)
end

function T.test_bad_tuples_and_routers_are_named()
  local function bad(change, part)
    local spec = { name = "bad", hidden = 256, intermediate = 256, experts = 4, top_k = 1, bits = { { 2, 2, 2 } } }
    for k, v in pairs(change) do spec[k] = v end
    lu.assertErrorMsgContains(part, require("luabench.moe.model").resolve, spec)
  end
  bad({ bits = { 5 } }, "a bits tuple is a number")
  bad({ bits = { { 2, 2, 2, count = -1 }, { 3, 3, 3, count = 5 } } }, "count -1")
  bad({ bits = { { 2, 2, 2, count = 0.5 } } }, "count 0.5")
  bad({ router = { score = "softmax", scale = "x" } }, "router.scale")
end

-- ---- layers of model files ----

local file_of = require "luabench.moe.file"
local tiny = dofile "tests/lua/tiny_models.lua"

function T.test_a_layer_of_a_file()
  local core = lb.core
  local folder = core.tempdir "luabench-test-"
  local ok, why = pcall(function()
    tiny.make(folder .. "/m", "mixtral")
    local done = require("luabench.convert.run").run { input = folder .. "/m", output = folder .. "/q.gguf",
      recipe = "q4_0", overrides = { "ffn_down=q8_0" }, report = { item = function() end, rows = function() end } }
    local file = lb.model_file(done.path)
    local spec = file_of.open(folder .. "/q.gguf", 2)
    lu.assertEquals({ spec.hidden, spec.intermediate, spec.experts, spec.top_k, spec.shared }, { 64, 96, 4, 2, 0 })
    local layer = layer_of.new(spec, {})
    lu.assertEquals(layer:bits("mixed", 3, 1), "q4_0")
    lu.assertEquals(layer:bits("mixed", 3, 3), "q8_0")
    lu.assertEquals(layer:bits("padded", 3, 1), "q8_0")
    local w = layer:weights "mixed"
    lu.assertEquals(w.class_names, { "(q4_0,q4_0,q8_0)" })
    local stack = file:tensor "blk.1.ffn_down_exps.weight"
    for e = 1, 4 do
      lu.assertEquals(core.checksum(w.down[e]), core.checksum(stack:slice(1, e, e)), "the file's own blocks")
    end
    lu.assertEquals(w.rel_rmse, 0)
    lu.assertTrue(layer:router_weights():equal(file:tensor "blk.1.ffn_gate_inp.weight"))
    lu.assertTrue(layer:original(2, "up"):equal(file:tensor("blk.1.ffn_up_exps.weight"):slice(1, 2, 2):dequantize()
      :reshape { 96, 64 }))
    lu.assertErrorMsgContains("layer 3 has no experts", file_of.open, folder .. "/q.gguf", 3)
    -- in floating point: bits by the rule, for each expert on its own
    local plain = layer_of.new(file_of.open(folder .. "/m", 1), {})
    lu.assertEquals(plain.model.formats, "uniform")                     -- 256 does not divide 64 and 96
    for e = 1, 4 do
      lu.assertEquals(plain:bits("mixed", e, 1), 6)                     -- gates
      lu.assertTrue(type(plain:bits("mixed", e, 2)) == "number")
    end
    tiny.make(folder .. "/dense", "llama")
    lu.assertErrorMsgContains("has no experts", file_of.open, folder .. "/dense")
  end)
  core.tempdir_remove(folder)
  if not ok then error(why, 0) end
end

return T

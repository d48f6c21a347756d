-- steps.lua: the parts that MoE strategies are recorded from. A job (see layer.lua) names the operands.
local lb = require "luabench"
local M = {}

local function f32(job, ...) return lb.zeros({ ... }, { dtype = "f32", device = job.device }) end
local function i32(job, n) return lb.zeros({ n }, { dtype = "i32", device = job.device }) end
M.f32 = f32

--- Router: logits by a dense product, then top-k. Fills job.ids and job.weights. Nothing for given routings. A bias
-- takes part in the choice only, or (gpt-oss: "adds") is part of the logits.
function M.router(plan, job)
  if job.routing.kind ~= "router" then return end
  local m = job.layer.model
  local logits, bias = f32(job, job.tokens, m.experts), m.router.bias and job.layer:router_bias() or nil
  plan:gemm { x = job.x, w = job.layer:router_weights(), out = logits, label = "router" }
  if m.router.bias == "adds" then
    local sums = f32(job, job.tokens, m.experts)
    plan:add { a = logits, b = bias, out = sums, label = "router" }
    logits, bias = sums, nil
  end
  plan:topk {
    logits = logits, bias = bias, ids = job.ids, weights = job.weights,
    k = m.top_k, sigmoid = m.router.score == "sigmoid" and 1 or 0, renormalize = m.router.renormalize and 1 or 0,
    scale = m.router.scale, groups = m.router.groups, top_groups = m.router.top_groups,
    group_sum = m.router.group_sum, label = "router",
  }
end

--- The shared expert over all tokens in three pieces, for strategies that put other steps between them: gate and up
-- now, the activation by `activate()`, and down into `out` [T, H] by `finish(out)`. nil if the model has none.
function M.shared_pieces(plan, job, weights)
  local shared = weights.shared
  if not shared then return nil end
  local m = job.layer.model
  local function buffer() return f32(job, job.tokens, m.shared_intermediate or m.intermediate) end
  local gate, up, h = buffer(), buffer(), buffer()
  plan:gemm { x = job.x, w = shared.gate, out = gate, label = "shared gate" }
  plan:gemm { x = job.x, w = shared.up, out = up, label = "shared up" }
  return {
    activate = function() plan:swiglu { gate = gate, up = up, out = h, label = "shared" } end,
    finish = function(out) plan:gemm { x = h, w = shared.down, out = out, label = "shared down" } end,
  }
end

--- The shared expert over all tokens, into `out` [T, H]. False if the model has none.
function M.shared(plan, job, weights, out)
  local pieces = M.shared_pieces(plan, job, weights)
  if not pieces then return false end
  pieces.activate()
  pieces.finish(out)
  return true
end

--- Buffers of one row that sequential steps share.
function M.row_buffers(job)
  local m = job.layer.model
  local buf = { gate = f32(job, 1, m.intermediate), up = f32(job, 1, m.intermediate), h = f32(job, 1, m.intermediate),
                y = f32(job, 1, m.hidden) }
  if job.layer:biases() then
    for _, name in ipairs { "gate", "up", "down" } do
      local width = name == "down" and m.hidden or m.intermediate
      buf[name .. " product"], buf[name .. " bias"] = f32(job, 1, width), f32(job, 1, width)
    end
    buf.ids = job.ids:reshape { job.tokens * m.top_k }
  end
  return buf
end

-- One product of a slot's expert into `out` [1, N], with that expert's bias where it has one.
local function product(plan, job, weights, buf, slot, name, x, out, when)
  local biases, label = job.layer:biases(), "expert " .. name
  local result = biases and buf[name .. " product"] or out
  plan:gemm { x = x, w = weights[name], pick = { job.ids, slot }, when = when, out = result, label = label }
  if not biases then return end
  local row = buf[name .. " bias"]
  plan:gather { x = biases[name], ids = buf.ids:slice(1, slot, slot), out = row, when = when, label = label }
  plan:add { a = result, b = row, out = out, when = when, label = label }
end

--- Gate and up of one routed slot on its own, with the expert that ids[slot] names (slot from 1).
function M.sequence_begin(plan, job, weights, buf, slot, when)
  local x = job.x_rows[math.floor((slot - 1) / job.layer.model.top_k) + 1]
  product(plan, job, weights, buf, slot, "gate", x, buf.gate, when)
  product(plan, job, weights, buf, slot, "up", x, buf.up, when)
end

--- The activation and down after it. `out` [1, H] gets the expert's output.
function M.sequence_end(plan, job, weights, buf, slot, out, when)
  local clamp = job.layer.model.clamp
  local step = { gate = buf.gate, up = buf.up, out = buf.h, when = when, label = "expert" }
  if clamp then
    step.alpha, step.limit = clamp.alpha, clamp.limit
    plan:swiglu_clamped(step)
  else
    plan:swiglu(step)
  end
  product(plan, job, weights, buf, slot, "down", buf.h, out, when)
end

--- Both: gate, up, activation, down. `when` = {tensor, index} makes all of it conditional.
function M.sequence(plan, job, weights, buf, slot, out, when)
  M.sequence_begin(plan, job, weights, buf, slot, when)
  M.sequence_end(plan, job, weights, buf, slot, out, when)
end

--- The grouping that auto has recorded already (job.group), as `weights` need it; nil if theirs differs.
local function group_at_hand(job, weights, threshold)
  local g = job.group
  if not g or (threshold or 1) ~= 1 then return nil end
  if weights.classes > 1 then return weights.class == g.class and g or nil end
  -- one class: the same order of slots, always rows to work on, and none of them rare
  return { class = weights.class, classes = 1, offsets = g.offsets, rows = g.rows,
           rare = i32(job, job.tokens * job.layer.model.top_k),
           grouped = lb.full({ 1 }, 1, { dtype = "i32", device = job.device }) }
end

--- Sorts slots by expert; returns the index tensors that grouped dispatches read.
function M.group(plan, job, weights, threshold)
  local known = group_at_hand(job, weights, threshold)
  if known then return known end
  local m = job.layer.model
  local slots = job.tokens * m.top_k
  local g = {
    class = weights.class, classes = weights.classes, offsets = i32(job, m.experts + 1), rows = i32(job, slots),
    class_rows = i32(job, weights.classes), grouped = i32(job, weights.classes), rare = i32(job, slots),
  }
  plan:moe_group {
    ids = job.ids, class = g.class, offsets = g.offsets, rows = g.rows, class_rows = g.class_rows, grouped = g.grouped,
    rare = g.rare, classes = weights.classes, threshold = threshold or 1, label = "group",
  }
  return g
end

-- A GPU's kernels take experts of several classes in one launch: items of all of them, handed out as blocks come free.
-- With a launch each, and a condition, one token's would wait for one another longer than its bytes take.
local function together(plan) return plan.device.name:find "^cuda" ~= nil end

--- One fused dispatch per class whose `grouped` flag is set, writing expert outputs by slot into y [T*k, H]. `every`:
-- the flag of each class that has rows is; then a GPU does all of them in one launch, which hangs on no value.
function M.grouped(plan, job, weights, g, y, every)
  local m = job.layer.model
  local h, biases, clamp = f32(job, job.tokens * m.top_k, m.intermediate), job.layer:biases() or {}, m.clamp or {}
  local function dispatch(only, when, label)
    plan:moe_ffn {
      x = job.x, gate = weights.gate, up = weights.up, down = weights.down, offsets = g.offsets, rows = g.rows,
      class = g.class, h = h, y = y, only = only, when = when, label = label,
      gate_bias = biases.gate, up_bias = biases.up, down_bias = biases.down, alpha = clamp.alpha, limit = clamp.limit,
    }
  end
  if every and together(plan) then return dispatch(-1, nil, table.concat(weights.class_names, " ")) end
  for c = 1, g.classes do dispatch(c - 1, { g.grouped, c }, weights.class_names[c]) end
end

--- out[t] = shared + weighted expert outputs, in slot order. `pieces`: of the shared expert, where it is under way.
function M.combine(plan, job, weights, y, pieces)
  local out
  if weights.shared then
    out = f32(job, job.tokens, job.layer.model.hidden)
    if pieces then pieces.finish(out) else M.shared(plan, job, weights, out) end
  end
  plan:combine { y = y, weights = job.weights, shared = out, out = job.out, label = "combine" }
end

--- The whole routed part and the shared expert, grouped and fused: one dispatch per class of `weights` present (a GPU
-- does them in one launch). The shared expert's steps stand where they need no barrier of their own: its gate and up
-- beside the grouping, which is one thread's work, its activation beside the first dispatch, its down beside the last.
function M.fused(plan, job, weights)
  local y = f32(job, job.tokens * job.layer.model.top_k, job.layer.model.hidden)
  local pieces = M.shared_pieces(plan, job, weights)
  local g = M.group(plan, job, weights)
  if pieces then pieces.activate() end
  M.grouped(plan, job, weights, g, y, true)
  M.combine(plan, job, weights, y, pieces)
end

return M

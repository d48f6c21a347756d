-- feed_forward.lua: what follows attention in a block: one SwiGLU for all rows, or experts chosen by a router.
--
-- roles and record as in attention.lua. Roles of experts have shapes [E, N, K] and become lists of E matrices.
local core = require "luabench.core"

local M = {}

-- ---- dense ----

M.swiglu = {}

function M.swiglu.roles(s)
  local n = s.intermediate
  return {
    { "gate", { n, s.hidden }, "mlp.gate_proj.weight", "ffn_gate.weight" },
    { "up", { n, s.hidden }, "mlp.up_proj.weight", "ffn_up.weight" },
    { "down", { s.hidden, n }, "mlp.down_proj.weight", "ffn_down.weight" },
  }
end

-- All of it in one dispatch: as the only expert of a layer, to which every row goes.
local function as_one_expert(b, x, gate, up, down, name)
  local offsets, rows = b:every_row()
  return b:emit("moe_ffn", { x = x, gate = gate, up = up, down = down, offsets = offsets, rows = rows,
    class = b:i32("class of one", { 1 }), h = b:f32(name .. "gated", { b.rows, gate.shape[1] }),
    y = b:f32(name .. "ffn out", { b.rows, down.shape[1] }), label = name .. "ffn" }).y
end

local function gated(b, x, gate, up, down, name)
  if up and b:fuses_ffn({ gate, up, down }, x, name) then return as_one_expert(b, x, gate, up, down, name) end
  local g, u = unpack(b:project(x, up and { gate, up } or { gate }, {}, name .. "gate up"))
  if not up then                                                     -- one matrix, gate above up
    local n = g.shape[2] / 2
    g, u = g:slice(2, 1, n), g:slice(2, n + 1, 2 * n)
  end
  local h = b:emit("swiglu", { gate = g, up = u, out = b:f32(name .. "gated", g.shape), label = name .. "gated" })
  return b:project(h, { down }, {}, name .. "ffn out")[1]
end

function M.swiglu.record(b, l, x) return gated(b, x, l.gate, l.up, l.down, "") end

-- Gate and up in one matrix (GLM-4).
M.swiglu_joined = {}

function M.swiglu_joined.roles(s)
  return {
    { "gate_up", { 2 * s.intermediate, s.hidden }, "mlp.gate_up_proj.weight", "ffn_up.weight" },
    { "down", { s.hidden, s.intermediate }, "mlp.down_proj.weight", "ffn_down.weight" },
  }
end

function M.swiglu_joined.record(b, l, x) return gated(b, x, l.gate_up, nil, l.down, "") end

-- ---- experts ----

M.moe = {}

function M.moe.roles(s)
  local m = s.moe
  local inner, outer = { m.experts, m.intermediate, s.hidden }, { m.experts, s.hidden, m.intermediate }
  local roles = {
    { "router", { m.experts, s.hidden }, "mlp.gate.weight", "ffn_gate_inp.weight" },
    { "gate_exps", inner, "mlp.experts.%d.gate_proj.weight", "ffn_gate_exps.weight" },
    { "up_exps", inner, "mlp.experts.%d.up_proj.weight", "ffn_up_exps.weight" },
    { "down_exps", outer, "mlp.experts.%d.down_proj.weight", "ffn_down_exps.weight" },
  }
  local function add(...) roles[#roles + 1] = { ... } end
  if m.bias == "selects" then
    add("router_bias", { m.experts }, "mlp.gate.e_score_correction_bias", "exp_probs_b.bias")
  elseif m.bias == "adds" then
    add("router_bias", { m.experts }, "mlp.gate.bias", "ffn_gate_inp.bias")
  end
  if m.clamp then
    add("gate_exps_bias", { m.experts, m.intermediate }, nil, "ffn_gate_exps.bias")
    add("up_exps_bias", { m.experts, m.intermediate }, nil, "ffn_up_exps.bias")
    add("down_exps_bias", { m.experts, s.hidden }, nil, "ffn_down_exps.bias")
  end
  if m.shared > 0 then
    add("shared_gate", { m.shared, s.hidden }, "mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight")
    add("shared_up", { m.shared, s.hidden }, "mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight")
    add("shared_down", { s.hidden, m.shared }, "mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight")
  end
  return roles
end

-- The class of every expert, for grouping: all are of one.
function M.moe.prepare(l, s, device)
  l.classes = core.zeros({ s.moe.experts }, { dtype = "i32", device = device })
end

local function routed(b, l, x)
  local m, slots = b.spec.moe, b.rows * b.spec.moe.top_k
  local adds, selects = m.bias == "adds" and l.router_bias or nil, m.bias == "selects" and l.router_bias or nil
  local logits = b:project(x, { l.router }, { adds }, "router")[1]
  local ids, weights = b:i32("expert ids", { b.rows, m.top_k }), b:f32("expert weights", { b.rows, m.top_k })
  b:emit("topk", { logits = logits, bias = selects, ids = ids, weights = weights, k = m.top_k,
    sigmoid = m.score == "sigmoid" and 1 or 0, renormalize = m.renormalize and 1 or 0, scale = m.scale,
    groups = m.groups, top_groups = m.top_groups, group_sum = m.group_sum, label = "router" })
  local offsets, rows = b:i32("expert offsets", { m.experts + 1 }), b:i32("expert rows", { slots })
  b:emit("moe_group", { ids = ids, class = l.classes, offsets = offsets, rows = rows,
    class_rows = b:i32("class rows", { 1 }), grouped = b:i32("grouped", { 1 }), rare = b:i32("rare", { slots }),
    classes = 1, threshold = 1, label = "group" })
  return weights, offsets, rows
end

function M.moe.record(b, l, x)
  local s, m = b.spec, b.spec.moe
  local weights, offsets, rows = routed(b, l, x)
  local slots = b.rows * m.top_k
  local y = b:f32("expert out", { slots, s.hidden })
  local step = { x = x, gate = l.gate_exps, up = l.up_exps, down = l.down_exps, offsets = offsets, rows = rows,
    class = l.classes, h = b:f32("expert h", { slots, m.intermediate }), y = y, label = "experts" }
  if m.clamp then
    step.gate_bias, step.up_bias, step.down_bias = l.gate_exps_bias, l.up_exps_bias, l.down_exps_bias
    step.alpha, step.limit = m.clamp.alpha, m.clamp.limit
  end
  b:emit("moe_ffn", step)
  local shared
  if m.shared > 0 then shared = gated(b, x, l.shared_gate, l.shared_up, l.shared_down, "shared ") end
  return b:emit("combine", { y = y, weights = weights, shared = shared, out = b:f32("ffn out", { b.rows, s.hidden }) })
end

-- The part of each layer: f(layer).
function M.parts(spec, arch)
  return function(layer)
    if spec.moe and layer > spec.moe.dense then return M.moe end
    return arch.feed_forward or M.swiglu
  end
end

return M

-- job.lua: one batch through a MoE layer: activations, routing, output, and the plan of a strategy over them.
local lb = require "luabench"
local routing_of = require "luabench.moe.routing"
local steps = require "luabench.moe.steps"
local M = {}

local function rows_of(t)
  local rows = {}
  for i = 1, t.shape[1] do rows[i] = t:slice(1, i, i) end
  return rows
end

--- opts: layer, tokens, routing ("router", "zipf:1.2", ...), threshold (rows of a grouped class), device.
-- The job holds x, ids, weights, out and rows of x and out as views.
function M.new(opts)
  local m = opts.layer.model
  local job = { layer = opts.layer, tokens = opts.tokens, threshold = opts.threshold or 8, device = opts.device,
                cache = opts.cache or "weights-cold", mode = opts.mode or "plan", routing_name = opts.routing,
                routing = routing_of.parse(opts.routing) }
  job.x = opts.layer:activations(opts.tokens)
  if job.routing.kind == "router" then
    job.ids = lb.zeros({ opts.tokens, m.top_k }, { dtype = "i32", device = opts.device })
    job.weights = lb.zeros({ opts.tokens, m.top_k }, { dtype = "f32", device = opts.device })
  else
    local seed = opts.layer:stream(1, "routing")
    job.ids, job.weights = routing_of.make(job.routing, m, opts.tokens, seed, opts.device)
  end
  job.out = lb.zeros({ opts.tokens, m.hidden }, { dtype = "f32", device = opts.device })
  job.x_rows, job.out_rows = rows_of(job.x), rows_of(job.out)
  return job
end

--- Records routing and the strategy into a new plan.
function M.plan(job, strategy)
  local plan = lb.plan(job.device)
  steps.router(plan, job)
  strategy.record(plan, job)
  return plan
end

return M

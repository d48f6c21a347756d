-- routing.lua: which experts each token goes to, where it is not the router that decides.
local M = {}

M.about = "router | uniform | zipf:S (S > 0, for example zipf:1.2) | single | file:PATH (.npy of i32 [T, k])"

--- Parses "zipf:1.2" into { kind = "zipf", s = 1.2 }; raises with the choices.
function M.parse(text)
  local kind, rest = text:match "^(%a+):?(.*)$"
  if (kind == "router" or kind == "uniform" or kind == "single") and rest == "" then return { kind = kind } end
  if kind == "zipf" then
    local s = rest == "" and 1.0 or tonumber(rest)
    if s and s > 0 and s < 20 then return { kind = "zipf", s = s } end
  end
  if kind == "file" and rest ~= "" then return { kind = "file", path = rest } end
  error(("unknown routing '%s'; expected %s"):format(text, M.about), 0)
end

--- k distinct experts a token with the given log-weights, by the Gumbel trick: the k largest of log p + noise.
-- Row t of the noise depends on (seed, t) alone, so fewer tokens are a prefix of more.
local function sample(lb, tokens, experts, k, seed, log_p)
  local noise = lb.uniform({ tokens, experts }, { seed = seed, dtype = "f32" }):totable()
  local ids = {}
  for t = 1, tokens do
    local order = {}
    for e = 1, experts do
      local u = math.min(math.max(noise[t][e], 1e-9), 1 - 1e-9)
      order[e] = { e - 1, log_p(e) - math.log(-math.log(u)) }
    end
    table.sort(order, function(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end)
    ids[t] = {}
    for s = 1, k do ids[t][s] = order[s][1] end
  end
  return ids
end

local function recorded(lb, path, tokens, experts, k)
  local all = lb.load(path)
  local shape = all.shape
  if #shape ~= 2 or shape[2] ~= k then
    error(("%s: expected expert ids [tokens, %d], got %s"):format(path, k, tostring(all)), 0)
  end
  if shape[1] < tokens then error(("%s: has %d tokens, %d are needed"):format(path, shape[1], tokens), 0) end
  local ids = all:to("i32"):totable()
  local out = {}
  for t = 1, tokens do
    out[t] = ids[t]
    for s = 1, k do
      if ids[t][s] < 0 or ids[t][s] >= experts then
        error(("%s: token %d goes to expert %d, the layer has 0 to %d"):format(path, t, ids[t][s], experts - 1), 0)
      end
    end
  end
  return out
end

--- ids [T, k] i32 and weights [T, k] f32 tensors of a distribution (not "router": that one is computed by the plan).
-- Weights are equal and sum to the model's routed scaling.
function M.make(routing, model, tokens, seed, device)
  local lb = require "luabench"
  local k, experts = model.top_k, model.experts
  local ids
  if routing.kind == "uniform" then
    ids = sample(lb, tokens, experts, k, seed, function() return 0 end)
  elseif routing.kind == "zipf" then
    ids = sample(lb, tokens, experts, k, seed, function(e) return -routing.s * math.log(e) end)
  elseif routing.kind == "single" then
    ids = {}
    for t = 1, tokens do
      ids[t] = {}
      for s = 1, k do ids[t][s] = s - 1 end -- every token to the same k experts
    end
  else
    ids = recorded(lb, routing.path, tokens, experts, k)
  end
  local weights = lb.full({ tokens, k }, model.router.scale / k, { dtype = "f32", device = device })
  return lb.tensor(ids, { dtype = "i32", device = device }), weights
end

return M

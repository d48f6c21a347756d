-- model_bench.lua: llama-bench's tests of a model: prompt processing, generation, both, at a depth.
--
--   luabench scenarios/model_bench.lua --model m.gguf -p 512 -n 128 --pg 512,128 -d 0,4096 -o r.llama.md
--
-- A prompt is taken in launches of --ubatch rows, with the logits of its last token; a generated token is one pass with
-- logits, as deep in the cache as it comes. Token numbers are random: what they are does not change the work. The
-- oracle checks every step of every token in f64: for models of many weights, --n-gen costs time before it is measured
-- (--timeout).
local lb = require "luabench"

local KV_TYPES = { "f16", "f32", "bf16", "f8e4m3", "q8_0", "q4_0" }

local models = {} -- by key, so that the cases of one process share weights

local function model_for(opt)
  local key = table.concat({ opt.model, tostring(opt.random_weights), opt.quantize, tostring(opt.repack),
    opt.device.name }, "\n")
  if not models[key] then
    models[key] = lb.model.load(opt.model, { device = opt.device, random_weights = opt.random_weights or nil,
      seed = opt.random_weights and opt.seed or nil, quantize = opt.quantize ~= "" and opt.quantize or nil,
      repack = opt.repack })
  end
  return models[key]
end

-- The type that most bytes of weights have.
local function main_type(model)
  local by, best = {}, nil
  local function add(t)
    if type(t) == "table" then
      for _, one in ipairs(t) do add(one) end
    elseif t and t.numel then
      local name = t.quantizer and t.quantizer.name or t.dtype
      by[name] = (by[name] or 0) + t:nbytes()
      if not best or by[name] > by[best] then best = name end
    end
  end
  for _, t in pairs(model.weights) do add(t) end
  for _, layer in ipairs(model.layers) do
    for role, t in pairs(layer) do
      if role ~= "classes" then add(t) end
    end
  end
  return best
end

local function model_name(model, opt)
  local n = model.parameters
  local size = n >= 1e9 and ("%.2fB"):format(n / 1e9) or ("%.2fM"):format(n / 1e6)
  return ("%s %s %s%s"):format(model.type, size, main_type(model):upper(), model.random and " (random weights)" or "")
end

-- "pp512", "tg128", "pp512+tg128" -> 512, 128
local function counts_of(test)
  return tonumber(test:match "pp(%d+)") or 0, tonumber(test:match "tg(%d+)") or 0
end

local function whole(list)
  for _, n in ipairs(list) do
    if n < 0 or n ~= math.floor(n) then return false, "whole numbers from 0, separated by commas" end
  end
  return true
end

local function pairs_ok(text)
  for pair in text:gmatch "[^;]+" do
    if not pair:find "^%s*[1-9]%d*,[1-9]%d*%s*$" then return false, "pairs such as 512,128;1024,32" end
  end
  return true
end

local function tests_of(opt)
  local list = {}
  for _, n in ipairs(opt.n_prompt) do
    if n > 0 then list[#list + 1] = ("pp%d"):format(n) end
  end
  for _, n in ipairs(opt.n_gen) do
    if n > 0 then list[#list + 1] = ("tg%d"):format(n) end
  end
  for prompt, gen in opt.pg:gmatch "(%d+),(%d+)" do list[#list + 1] = ("pp%d+tg%d"):format(prompt, gen) end
  if #list == 0 then error("no test: -p, -n and --pg are all 0 or empty", 0) end
  return list
end

--- Rows of a prompt in launches of at most ubatch, then single tokens, all with the same caches.
local function record(model, opt, prompt, gen, depth)
  local plan, io = lb.plan(opt.device), nil
  local how = { past = depth, capacity = depth + prompt + gen, fused = opt.mode == "fused", cache = opt.cache_type,
    seed = opt.seed }
  local function pass(rows, logits, times)
    local one = lb.plan(opt.device)
    how.tokens, how.logits, how.shares = rows, logits, io
    io = model:forward(one, how)
    for _ = 1, times do plan:append(one) end
    one:close()
  end
  local full, rest = math.floor(prompt / opt.ubatch), prompt % opt.ubatch
  if rest == 0 and full > 0 then full, rest = full - 1, opt.ubatch end
  if full > 0 then pass(opt.ubatch, "none", full) end
  if rest > 0 then pass(rest, "last", 1) end
  if gen > 0 then pass(1, true, gen) end
  return plan, io
end

local function note_of(model)
  local parts = {}
  if model.random then parts[1] = "random weights" end
  if model.second_copy then parts[#parts + 1] = "weights held twice: " .. model.second_copy end
  return #parts > 0 and table.concat(parts, "; ") or nil
end

local function case(axes, opt)
  local model = model_for(opt)
  local prompt, gen = counts_of(axes.test)
  local context = model.spec.context
  if context and axes.depth + prompt + gen > context then
    return lb.skip(("%d positions are more than the model's context of %d"):format(axes.depth + prompt + gen, context))
  end
  local plan, io = record(model, opt, prompt, gen, axes.depth)
  return {
    plan = plan, items = prompt + gen, item = "token", weights_bytes = model.nbytes,
    note = note_of(model),
    metrics = {
      llama_bench = { model_filename = opt.model, model_type = model_name(model, opt), model_size = model.nbytes,
        model_n_params = model.parameters, n_prompt = prompt, n_gen = gen, n_depth = axes.depth,
        n_batch = math.max(opt.ubatch, prompt), n_ubatch = opt.ubatch, type_k = opt.cache_type,
        type_v = opt.cache_type },
      kv_cache = { unit = "B", median = io.cache.nbytes },
      load = { unit = "ns", median = model.load_ns }, repack = { unit = "ns", median = model.repack_ns },
    },
  }
end

return lb.scenario {
  about = "a model as llama-bench measures it: prompt processing, generation, both, at a depth",
  options = {
    model = { help = "model file or folder; with --random-weights a config.json", type = "string", metavar = "MODEL",
      short = "m" },
    random_weights = { "seeded random weights; the result says so", false },
    quantize = { help = "quantize matrices to this recipe while loading", default = "", type = "string",
      metavar = "RECIPE" },
    repack = { "kernels choose their own layout of the weights", true },
    n_prompt = { help = "prompt tokens", default = { 512 }, type = "list", check = whole, short = "p" },
    n_gen = { help = "tokens to generate", default = { 128 }, type = "list", check = whole, short = "n" },
    pg = { help = "prompt and generation in one: PROMPT,GEN;PROMPT,GEN (also -pg)", default = "", type = "string",
      check = pairs_ok },
    n_depth = { help = "tokens in the cache before", default = { 0 }, type = "list", check = whole, short = "d" },
    ubatch = { help = "most rows of one launch", default = 512, type = "integer", min = 1, max = 65536 },
    cache_type = { help = "type of the KV cache", default = "f16", choices = KV_TYPES },
  },
  grid = function(opt)
    return lb.grid { { "test", tests_of(opt) }, { "depth", opt.n_depth } }
  end,
  case = case,
  columns = { "test", "depth", "items", "time", "ci", "ceiling",
    { title = "streams", field = "sol.streamed_fraction", unit = "%" }, "weights",
    { title = "KV cache", field = "metrics.kv_cache.median", unit = "B" }, "nmse" },
}

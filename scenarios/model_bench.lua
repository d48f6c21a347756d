-- model_bench.lua: llama-bench's tests of a model: prompt processing, generation, both, at a depth.
--
--   luabench scenarios/model_bench.lua --model m.gguf -p 512 -n 128 --pg 512,128 -d 0,4096 -o r.llama.md
--
-- A prompt is taken in launches of --ubatch rows, with the logits of its last token; a generated token is one pass with
-- logits, as deep in the cache as it comes. Token numbers are random: what they are does not change the work. The
-- oracle checks every step of every token in f64: for models of many weights, --n-gen costs time before it is measured
-- (--timeout).
--
-- Lists of models, recipes (none: as the file is), threads, cache types, --ubatch and --batch make axes, separated by
-- commas or given one by one, as llama-bench takes them:
--   luabench scenarios/model_bench.lua -m a.gguf -m b.gguf -p 0 -n 32 -t 1,2 --quantize none,q4_0 --batch 1,4,16
-- Cases of one model, recipe and number of threads run one after the other. --batch is of sequences at once, as
-- llama-batched-bench's -npl: each has a prompt and caches of its own, tokens/s are those of all, and a launch has at
-- most --ubatch rows in all; it has a row of each sequence at least, so more sequences than rows are skipped.
local lb = require "luabench"
local model_file = require "luabench.model_file"
local stored = require "luabench.model.stored"

local KV_TYPES = { "f16", "f32", "bf16", "f8e4m3", "q8_0", "q4_0" }

-- Options that are axes where a list is given.
local LISTS = { "model", "quantize", "threads", "cache_type", "ubatch", "batch" }

-- What a loaded model belongs to; cases that agree in it run one after the other.
local TOGETHER = { "model", "quantize", "threads" }

local held = {} -- the model of the case before: cases of one process share weights, but no two models are held

-- Some options as this case has them: its axis, or the only value.
local function settings(axes, opt)
  local s = {}
  for _, name in ipairs(LISTS) do
    s[name] = axes[name]
    if s[name] == nil then s[name] = type(opt[name]) == "table" and opt[name][1] or opt[name] end
  end
  if s.quantize == "none" then s.quantize = nil end
  return s
end

local function model_for(set, opt)
  local key = table.concat({ set.model, tostring(opt.random_weights), set.quantize or "", tostring(opt.repack),
    opt.device.name, tostring(opt.threads) }, "\n")
  if held.key ~= key then
    if held.model then held.model:close() end
    held = {}
    local model = lb.model.load(set.model, { device = opt.device, random_weights = opt.random_weights or nil,
      seed = opt.random_weights and opt.seed or nil, quantize = set.quantize,
      repack = opt.repack })
    held = { key = key, model = model }
  end
  return held.model
end

-- The type that most bytes of weights have; of as many the first by name.
local function main_type(model)
  local best, most
  for name, bytes in pairs(stored.types(model)) do
    if not best or bytes > most or bytes == most and name < best then best, most = name, bytes end
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
  if #list == 0 then error("-p, -n and --pg: no test, all are 0 or empty", 0) end
  return list
end

--- Rows of a prompt in launches of at most ubatch (of all sequences), then single tokens, all with the same caches.
local function record(model, set, opt, prompt, gen, depth)
  local plan, io = lb.plan(opt.device), nil
  local how = { past = depth, capacity = depth + prompt + gen, fused = opt.mode == "fused", cache = set.cache_type,
    seed = opt.seed, batch = set.batch }
  local function pass(rows, logits, times)
    local one = lb.plan(opt.device)
    how.tokens, how.logits, how.shares = rows, logits, io
    io = model:forward(one, how)
    for _ = 1, times do plan:append(one) end
    one:close()
  end
  local most = math.floor(set.ubatch / set.batch)
  local full, rest = math.floor(prompt / most), prompt % most
  if rest == 0 and full > 0 then full, rest = full - 1, most end
  if full > 0 then pass(most, "none", full) end
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

-- llama-bench has no field for sequences at once.
local function llama_bench(model, set, opt, prompt, gen, depth)
  if set.batch > 1 then return nil end
  return { model_filename = set.model, model_type = model_name(model, opt), model_size = model.nbytes,
    model_n_params = model.parameters, n_prompt = prompt, n_gen = gen, n_depth = depth,
    n_batch = math.max(set.ubatch, prompt), n_ubatch = set.ubatch, type_k = set.cache_type, type_v = set.cache_type }
end

local function case(axes, opt)
  local set = settings(axes, opt)
  if set.batch > set.ubatch then
    return lb.skip(("%d sequences at once are more than the %d rows of one launch (--ubatch)"):format(set.batch,
      set.ubatch))
  end
  local model = model_for(set, opt)
  local prompt, gen = counts_of(axes.test)
  local context = model.spec.context
  if context and axes.depth + prompt + gen > context then
    return lb.skip(("%d positions are more than the model's context of %d"):format(axes.depth + prompt + gen, context))
  end
  local plan, io = record(model, set, opt, prompt, gen, axes.depth)
  return {
    plan = plan, items = (prompt + gen) * set.batch, item = "token", weights_bytes = model.nbytes,
    note = note_of(model),
    metrics = {
      llama_bench = llama_bench(model, set, opt, prompt, gen, axes.depth),
      kv_cache = { unit = "B", median = io.cache.nbytes },
      load = { unit = "ns", median = model.load_ns }, repack = { unit = "ns", median = model.repack_ns },
    },
  }
end

local function positive(list)
  for _, text in ipairs(list) do
    local n = tonumber(text)
    if not n or n < 1 or n > 65536 or n ~= math.floor(n) then return false, "whole numbers from 1 to 65536" end
  end
  return true
end

-- What no case could run with is an error of the command line, before any case.
local function check_options(opt)
  for _, path in ipairs(opt.model or {}) do
    local ok, why = pcall(model_file.kind_at, path, opt.random_weights)
    if not ok then error("--model: " .. tostring(why), 0) end
  end
  for _, recipe in ipairs(opt.quantize or {}) do
    local ok, why = pcall(lb.quantizer, recipe)
    if recipe ~= "none" and not ok then error("--quantize: " .. tostring(why), 0) end
  end
  local least, most = math.min(unpack(opt.batch)), math.max(unpack(opt.ubatch))
  if least > most then
    error(("--batch %d: a launch has a row of each sequence, and --ubatch %d is the most rows of one; give --ubatch %d "
      .. "or more"):format(least, most, least), 0)
  end
  local files = { opt.format or "" }
  for _, name in ipairs(opt.output or {}) do files[#files + 1] = name end
  for _, name in ipairs(files) do
    if math.max(unpack(opt.batch)) > 1 and (name:find "^llama" or name:find "%.llama%.%a+$") then
      error(("--batch: llama-bench's formats have no field for it (%s)"):format(name), 0)
    end
  end
end

-- One value is an option, several are an axis; a batch above 1 always is: it is other work. A number of threads goes
-- where the runner looks for it.
local function grid(opt)
  check_options(opt)
  local axes = {}
  if opt.threads then
    local list = {}
    for i, text in ipairs(opt.threads) do list[i] = tonumber(text) end
    opt.threads = #list == 1 and list[1] or nil
    if #list > 1 then axes[1] = { "threads", list } end
  end
  for _, name in ipairs(LISTS) do
    local list = opt[name]
    local wanted = type(list) == "table" and (#list > 1 or name == "batch" and list[1] > 1)
    if wanted then axes[#axes + 1] = { name, list } end
  end
  axes[#axes + 1], axes[#axes + 2] = { "test", tests_of(opt) }, { "depth", opt.n_depth }
  return lb.grid(axes)
end

return lb.scenario {
  about = "a model as llama-bench measures it: prompt processing, generation, both, at a depth",
  options = {
    model = { help = "model files or folders; with --random-weights config.jsons", type = "list", required = true,
      metavar = "MODEL,...", short = "m", joins = true, paths = true },
    random_weights = { "seeded random weights; the result says so", false },
    quantize = { help = "quantize matrices to these recipes while loading; none: as the file is", type = "list",
      metavar = "RECIPE,...", joins = true },
    threads = { help = "threads (default: one per physical core)", type = "list", check = positive, short = "t",
      joins = true },
    batch = { help = "sequences at once, at most --ubatch", default = { 1 }, type = "list", check = positive,
      joins = true },
    repack = { "kernels choose their own layout of the weights", true },
    n_prompt = { help = "prompt tokens", default = { 512 }, type = "list", check = whole, short = "p",
      joins = true },
    n_gen = { help = "tokens to generate", default = { 128 }, type = "list", check = whole, short = "n",
      joins = true },
    pg = { help = "prompt and generation in one: PROMPT,GEN;PROMPT,GEN (also -pg)", default = "", type = "string",
      check = pairs_ok, joins = ";" },
    n_depth = { help = "tokens in the cache before", default = { 0 }, type = "list", check = whole, short = "d",
      joins = true },
    ubatch = { help = "most rows of one launch, of all sequences", default = { 512 }, type = "list", check = positive,
      joins = true },
    cache_type = { help = "types of the KV cache", default = { "f16" }, choices = KV_TYPES, type = "list",
      joins = true },
  },
  together = TOGETHER,
  grid = grid,
  case = case,
  columns = { { axis = "model" }, { axis = "quantize" }, { axis = "threads" }, { axis = "cache_type" },
    { axis = "ubatch" }, { axis = "batch" }, "test", "depth", "items", "time", "ci", "ceiling",
    { title = "streams", field = "sol.streamed_fraction", unit = "%" }, "weights",
    { title = "KV cache", field = "metrics.kv_cache.median", unit = "B" }, "nmse" },
}

-- generate.lua: what is done with a model's sessions: text that goes on, logits, perplexity, plans to be timed.
local arguments = require "luabench.model.arguments"
local builder = require "luabench.model.builder"
local core = require "luabench.core"
local kv = require "luabench.kv"
local score = require "luabench.model.score"
local session = require "luabench.model.session"

local M = {}
local check, number = arguments.table, arguments.number
local GIVE_BACK_EVERY = 16          -- tokens: see Session:give_back

-- Text or token numbers as token numbers; text with the tokens that stand around one.
local function tokens_of(model, prompt)
  if type(prompt) == "string" then return model:tokenizer():encode(prompt, { special = true }) end
  if type(prompt) ~= "table" then error("a text or a list of token numbers expected, got " .. type(prompt), 0) end
  return prompt
end

-- ---- logits ----

local LOGITS = { mode = true, cache = true, prompt_rows = true, each = true }

-- model:logits(text or numbers[, { mode =, cache = "f32", prompt_rows =, each = f(first row, logits) }]): f32 [T,
-- vocab], row t after token t; with `each` nothing is returned, and the parts are handed over as they come.
function M.logits(model, prompt, o)
  o = check(o, LOGITS, "model:logits")
  local tokens = tokens_of(model, prompt)
  if #tokens == 0 then error("no tokens to give logits of", 0) end
  local s = session.new(model, { batch = 1, capacity = #tokens, cache = o.cache or "f32", mode = o.mode,
    prompt_rows = o.prompt_rows })
  if arguments.of_type(o, "each", "function") then return s:all_logits(tokens, o.each) end
  local all = core.zeros({ #tokens, model.spec.vocab }, { dtype = "f32", device = model.device })
  s:all_logits(tokens, function(first, part) all:slice(1, first, first + part.shape[1] - 1):copy(part) end)
  return all
end

-- ---- perplexity ----

local PERPLEXITY = { context = true, mode = true, cache = true, chunks = true, progress = true, prompt_rows = true }

-- model:perplexity(text or numbers[, { context = 512, chunks =, mode =, cache =, progress = f(done, total) }]):
-- { perplexity, standard_error, nll (mean, in nats), tokens (scored), chunks, context, seconds }, by the windows of
-- score.lua.
function M.perplexity(model, text, o)
  o = check(o, PERPLEXITY, "model:perplexity")
  local tokens = tokens_of(model, text)
  local windows, first = score.windows(tokens, number(o, "context", 512, 2, 2 ^ 24, true), {
    chunks = number(o, "chunks", 2 ^ 31, 1, 2 ^ 31, true),
    begin = type(text) == "string" and model:begin_token() or nil })
  local s = session.new(model, { batch = 1, capacity = #windows[1], cache = o.cache or "f32", mode = o.mode,
    prompt_rows = o.prompt_rows })
  local nll, t0 = {}, s.timer:now_ns()
  for w, window in ipairs(windows) do
    score.each(s, window, first, function(_, logits, targets)
      for _, v in ipairs(score.nll(logits, targets)) do nll[#nll + 1] = v end
    end)
    if o.progress then o.progress(w, #windows) end
  end
  local result = score.perplexity(nll)
  result.chunks, result.context, result.seconds = #windows, #windows[1], (s.timer:now_ns() - t0) / 1e9
  return result
end

-- ---- generation ----

local GENERATE = { max_new_tokens = true, temperature = true, top_k = true, top_p = true, min_p = true, seed = true,
  stop = true, on_token = true, mode = true, cache = true, layout = true, prompt_rows = true, context = true,
  session = true }

local function stops_of(model, o)
  local set, list = {}, o.stop
  if list == nil then list = model.spec.stop or {} end
  if list == false then list = {} end
  if type(list) ~= "table" then error("stop: a list of token numbers, or false, expected", 0) end
  for _, id in ipairs(list) do set[id] = true end
  return set
end

-- One prompt, or a list of them.
local function prompts_of(model, given)
  local many = type(given) == "table" and (type(given[1]) == "table" or type(given[1]) == "string")
  local list = many and given or { given }
  local prompts = {}
  for b = 1, #list do
    prompts[b] = tokens_of(model, list[b])
    if #prompts[b] == 0 then error(("prompt %d has no tokens"):format(b), 0) end
  end
  if #prompts == 0 then error("no prompt", 0) end
  return prompts, many
end

local function session_for(model, prompts, o, budget)
  local longest, lengths = 0, {}
  for b = 1, #prompts do lengths[b], longest = #prompts[b], math.max(longest, #prompts[b]) end
  local s = o.session
  if s ~= nil then
    if not session.is(s) then error("session: what model:session gives expected, got " .. type(s), 0) end
    if s.batch ~= #prompts then error(("the session has %d sequences, got %d prompts"):format(s.batch, #prompts), 0) end
    s:reset()
  else
    s = session.new(model, { batch = #prompts, capacity = o.context or longest + budget, cache = o.cache,
      layout = o.layout, mode = o.mode, prompt_rows = o.prompt_rows })
  end
  return s, lengths
end

-- Notes the token of each sequence that goes on; returns how many still do.
local function take(run, ids, ns)
  local alive = 0
  for b, r in ipairs(run.sequences) do
    if not r.finish then
      local id = ids:get(b)
      r.tokens[#r.tokens + 1] = id
      if run.stops[id] then r.finish = "stop"
      elseif #r.tokens >= run.budget then r.finish = "length"
      else alive = alive + 1 end
      if run.on_token then run.on_token(b, id, ns, r.stream and r.finish ~= "stop" and r.stream:add(id) or nil) end
    end
  end
  return alive
end

-- model:generate(prompt or prompts[, opts]); lua/README.md says what comes back.
function M.generate(model, given, o)
  o = check(o, GENERATE, "model:generate")
  arguments.of_type(o, "on_token", "function")
  local prompts, many = prompts_of(model, given)
  local how = session.sampling(o)
  local run = { budget = number(o, "max_new_tokens", 128, 1, 2 ^ 24, true), stops = stops_of(model, o),
    on_token = o.on_token, sequences = {} }
  local s, lengths = session_for(model, prompts, o, run.budget)
  local text = type(given) == "string" or type(given) == "table" and type(given[1]) == "string"
  for b = 1, #prompts do
    local stream = text and o.on_token and model:tokenizer():stream() or nil
    run.sequences[b] = { tokens = {}, prompt_tokens = #prompts[b], stream = stream }
  end
  s:prepare(lengths, how)
  local clock = s.timer
  local t0 = clock:now_ns()
  s:prompt(prompts)
  local ids = s:first(how)
  local t1 = clock:now_ns()
  local alive, steps, before = take(run, ids, t1 - t0), {}, t1
  while alive > 0 do
    if #steps % GIVE_BACK_EVERY == 0 then s:give_back() end
    before = clock:now_ns()
    s:next(how)
    local ns = clock:now_ns() - before
    steps[#steps + 1] = ns
    alive = take(run, ids, ns)
  end
  local result = { sequences = run.sequences, prompt_ns = t1 - t0, step_ns = steps, end_to_end_ns = clock:now_ns() - t0,
    record_ns = s.record_ns, mode = s.mode, kv_bytes = s:kv_bytes(), batch = #prompts }
  for _, r in ipairs(run.sequences) do
    r.stream = nil
    if text then
      local kept = {}
      for i, id in ipairs(r.tokens) do kept[i] = id end
      if r.finish == "stop" then kept[#kept] = nil end
      r.text = model:tokenizer():decode(kept, { skip_special = true })
    end
  end
  if not many then
    for k, v in pairs(run.sequences[1]) do result[k] = v end
  end
  return result
end

-- ---- plans for scenarios ----

local FORWARD = { tokens = true, batch = true, past = true, cache = true, layout = true, fused = true, layer = true,
  logits = true, seed = true, capacity = true, shares = true }

-- The last row of each sequence.
local function last_rows(b, tokens, batch)
  local list = {}
  for i = 1, batch do list[i] = i * tokens - 1 end
  return core.tensor(list, { dtype = "i32", device = b.device })
end

-- model:forward(plan[, { tokens = 1, batch = 1, past = 0, layer =, fused = true, logits = true, cache =, seed =,
-- capacity =, shares = }]): records a pass over `tokens` rows of each of `batch` sequences that have `past` positions
-- behind them (zeros in the caches), from random token numbers; with `layer` that block alone, from random rows. logits
-- = "last": of each sequence's last row only, as for a prompt (behind its attention the last layer works on these rows
-- alone); "none": the same without logits, as for a part of a prompt; false: no logits, all rows in h. capacity:
-- positions that the caches hold, where plans follow one another; shares: what an earlier forward returned, whose
-- caches and buffers this one goes on with. Returns the tensors: { ids, positions, lengths, cache, h, logits, pool }.
function M.forward(model, plan, o)
  if type(plan) ~= "userdata" or not tostring(plan):find "^plan" then error("model:forward: a plan expected", 0) end
  o = check(o, FORWARD, "model:forward")
  local s = model.spec
  local tokens, batch, past = number(o, "tokens", 1, 1, 2 ^ 24, true), number(o, "batch", 1, 1, 2 ^ 16, true),
    number(o, "past", 0, 0, 2 ^ 24, true)
  local rows, seed = tokens * batch, number(o, "seed", 1, 0, 2 ^ 53, true)
  local shape = model.architecture.attention.cache(s)
  local before = o.shares or {}
  local cache = before.cache or kv.cache { layers = s.layers, batch = batch, heads = shape.heads, dim = shape.dim,
    capacity = number(o, "capacity", past + tokens, past + tokens, 2 ^ 24, true), value_dim = shape.value_dim,
    type = o.cache or "f16", layout = o.layout or "bhsd", device = model.device }
  if not o.shares then cache.lengths:fill(past) end
  local random = core.uniform({ rows }, { seed = seed, lo = 0, hi = s.vocab - 1e-3, device = model.device })
  local ids, list = core.zeros({ rows }, { dtype = "i32", device = model.device }), random:totable()
  for i = 1, rows do list[i] = math.floor(list[i]) end
  ids:copy(core.tensor(list, { dtype = "i32" }))
  local io = { ids = ids, lengths = cache.lengths,
    positions = core.zeros({ rows }, { dtype = "i32", device = model.device }) }
  local b = builder.new { model = model, rows = rows, sequences = batch, cache = cache, io = io,
    fused = o.fused ~= false, pool = before.pool or {}, record = function(op, args) plan[op](plan, args) end }
  plan:advance { lengths = io.lengths, positions = io.positions, step = tokens }
  if o.layer then
    local layer = number(o, "layer", 1, 1, s.layers, true)
    b.h = core.randn({ rows, s.hidden }, { seed = seed, device = model.device })
    b:block(layer)
    b:settle()
  else
    local some = o.logits == "last" or o.logits == "none"
    b.keep = some and tokens > 1 and last_rows(b, tokens, batch) or nil
    b:trunk()
    if o.logits ~= false and o.logits ~= "none" then io.logits = b:head() else b:settle() end
  end
  io.cache, io.h, io.pool = cache, b.h, b.pool
  return io
end

return M

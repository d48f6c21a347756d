-- session.lua: sequences of a model under way: their caches, the plans for prompts and for tokens, each recorded once.
--
-- What changes from token to token (numbers, positions, lengths) is in tensors, so that the plan of a token is
-- replayed: it moves the lengths on, runs the layers, samples, and the token it drew is the next one's input. Lua only
-- reads it.
local arguments = require "luabench.model.arguments"
local builder = require "luabench.model.builder"
local core = require "luabench.core"
local kv = require "luabench.kv"
local places = require "luabench.places"
local suggest = require "luabench.suggest"

local Session = { __name = "session", __tostring = function(s)
  return ("session of %s: %d %s of up to %d positions, caches of %s, mode %s"):format(tostring(s.model), s.batch,
    s.batch == 1 and "sequence" or "sequences", s.capacity, s.cache.type, s.mode)
end }
Session.__index = Session
local M = { class = Session }

local MODES = { eager = true, plan = true, fused = true }
M.modes = { "eager", "plan", "fused" }

-- o: batch (1), capacity (positions a sequence), cache ("f16"), layout, mode ("fused"), prompt_rows (512: most rows of
-- one launch).
function M.new(model, o)
  local s = model.spec
  local shape = model.architecture.attention.cache(s)
  local self = setmetatable({ model = model, batch = o.batch or 1, capacity = o.capacity, mode = o.mode or "fused",
    prompt_rows = arguments.number(o, "prompt_rows", 512, 1, 2 ^ 20, true), pool = {}, plans = {}, prompts_used = {},
    outgrown = 0, record_ns = 0, timer = core.timer(model.device) }, Session)
  if not MODES[self.mode] then
    error(("mode %q is not known; there are eager, plan, fused"):format(tostring(self.mode)), 0)
  end
  self.cache = kv.cache { layers = s.layers, batch = self.batch, capacity = self.capacity, heads = shape.heads,
    dim = shape.dim, value_dim = shape.value_dim, type = o.cache or "f16", layout = o.layout or "bhsd",
      device = model.device }
  local function i32(n) return core.zeros({ n }, { dtype = "i32", device = model.device }) end
  self.token = { ids = i32(self.batch), positions = i32(self.batch), lengths = self.cache.lengths }
  self.last = core.zeros({ self.batch, s.hidden }, { dtype = "f32", device = model.device })
  self.draws = i32(self.batch)
  self.used = {}
  for b = 1, self.batch do self.used[b] = 0 end
  return self
end

function M.is(s) return type(s) == "table" and getmetatable(s) == Session end

-- ---- recording ----

-- Something to :run(): a plan, or for eager its steps one by one.
local function recorder(self)
  if self.mode ~= "eager" then
    local plan = core.plan(self.model.device)
    return plan, function(op, args) plan[op](plan, args) end
  end
  local steps = {}
  local eager = core.eager
  local list = { steps = steps, run = function()
    for i = 1, #steps do steps[i][1](steps[i][2]) end
  end }
  return list, function(op, args) steps[#steps + 1] = { eager[op], args } end
end

local function builder_of(self, rows, io, emit)
  return builder.new { model = self.model, rows = rows, sequences = self.batch, cache = self.cache, io = io,
    fused = self.mode == "fused", pool = self.pool, record = emit }
end

local function drop(self, key)
  local p = self.plans[key]
  self.plans[key] = nil
  if type(p.plan) == "userdata" and not p.lent then p.plan:close() end
end

-- A plan under a key, recorded when first wanted. Where it wants larger buffers than there were, the other plans go:
-- they hold the smaller ones, and are recorded anew when they are wanted.
local function planned(self, key, record)
  local p = self.plans[key]
  if p then return p end
  local t0 = self.timer:now_ns()
  local plan, emit = recorder(self)
  self.pool.outgrown = nil
  p = record(emit) or {}
  p.plan = plan
  if self.pool.outgrown then
    self.outgrown = self.outgrown + 1
    for other in pairs(self.plans) do drop(self, other) end
    collectgarbage()
    core.memory_trim()
  end
  self.plans[key] = p
  self.record_ns = self.record_ns + self.timer:now_ns() - t0
  return p
end

-- Plans of prompts have workspaces of some MiB each. Those of the last few lengths are kept: a prompt needs two.
local KEPT_PROMPTS = 3
local function used_prompt(self, key)
  local list = self.prompts_used
  for i = #list, 1, -1 do
    if list[i] == key or not self.plans[list[i]] then table.remove(list, i) end
  end
  list[#list + 1] = key
  if #list > KEPT_PROMPTS then drop(self, table.remove(list, 1)) end
end

-- Rows of a prompt: T rows in all, which `starts` shares among the sequences. Row io.rows[b] (none: -1) becomes row
-- io.to[b] of self.last; with `all`, logits of every row instead.
local function prompt_plan(self, rows, all)
  local key = ("prompt %d %s"):format(rows, all and "all" or "")
  local p = planned(self, key, function(emit)
    local function i32(n) return core.zeros({ n }, { dtype = "i32", device = self.model.device }) end
    local io = { ids = i32(rows), positions = i32(rows), starts = i32(self.batch + 1), lengths = self.cache.lengths,
      rows = i32(self.batch), to = i32(self.batch) }
    emit("advance", { starts = io.starts, lengths = io.lengths, positions = io.positions })
    local b = builder_of(self, rows, io, emit)
    b.keep = not all and io.rows or nil
    b:trunk()
    if all then
      io.logits = b:head()
    else
      b:settle()
      emit("scatter", { x = b.h, ids = io.to, out = self.last })
    end
    return { io = io }
  end)
  used_prompt(self, key)
  return p
end

-- Logits [B, vocab] of self.last.
local function head_plan(self)
  return planned(self, "head", function(emit)
    local b = builder_of(self, self.batch, self.token, emit)
    b.h = self.last
    return { logits = b:head() }
  end)
end

-- What is sampled goes where the next token is read from.
local function sample(self, emit, logits, how)
  emit("sample", { logits = logits, ids = self.token.ids, state = how.temperature > 0 and self.draws or nil,
    temperature = how.temperature, top_k = how.top_k, top_p = how.top_p, min_p = how.min_p, seed = how.seed })
end

-- The tables that M.sampling has made: they need no second look.
local checked = setmetatable({}, { __mode = "k" })
local HOW = { temperature = true, top_k = true, top_p = true, min_p = true, seed = true }

-- How tokens are drawn, from a table that may have other fields too: checked, and with the key of its plans.
function M.sampling(o)
  local number = arguments.number
  local how = { temperature = number(o, "temperature", 0, 0, 1e6), top_k = number(o, "top_k", 0, 0, 2 ^ 31, true),
    top_p = number(o, "top_p", 1, 0, 1), min_p = number(o, "min_p", 0, 0, 1),
    seed = number(o, "seed", 1, 0, 2 ^ 53, true) }
  how.key = ("%.17g %d %.17g %.17g %.17g"):format(how.temperature, how.top_k, how.top_p, how.min_p, how.seed)
  checked[how] = true
  return how
end

local function way(how, what)
  if checked[how or false] then return how end
  return M.sampling(arguments.table(how, HOW, what))
end

local function first_plan(self, how)
  return planned(self, "first " .. how.key, function(emit)
    local b = builder_of(self, self.batch, self.token, emit)
    b.h = self.last
    local logits = b:head()
    sample(self, emit, logits, how)
    return { logits = logits }
  end)
end

-- One token of every sequence; how = nil: without sampling.
local function token_plan(self, how)
  return planned(self, "token " .. (how and how.key or ""), function(emit)
    local io = self.token
    emit("advance", { lengths = io.lengths, positions = io.positions })
    local b = builder_of(self, self.batch, io, emit)
    b:trunk()
    local logits = b:head()
    if how then sample(self, emit, logits, how) end
    return { logits = logits }
  end)
end

-- ---- running ----

-- Raises unless t is a table with nothing but t[1] to t[most], some of which may be nil.
local function check_list(t, most, what)
  if type(t) ~= "table" then error(("%s expected, got %s"):format(what, type(t)), 0) end
  for k in pairs(t) do
    if type(k) ~= "number" or k % 1 ~= 0 or k < 1 or k > most then
      error(("%s expected, got a table with [%s]"):format(what, tostring(k)), 0)
    end
  end
end

local function check_tokens(self, list)
  local vocab = self.model.spec.vocab
  for i = 1, #list do
    local id = list[i]
    if type(id) ~= "number" or id % 1 ~= 0 or id < 0 or id >= vocab then
      error(("token %d is %s; the model has 0 to %d"):format(i, tostring(id), vocab - 1), 0)
    end
  end
end

-- Shares of each sequence in the next launch: up to prompt_rows rows, in order of sequences. Then, for each sequence,
-- the row that its prompt ends with, and where that goes; -1 where it does not end here.
local function next_rows(self, prompts, done)
  local ids, starts, ends, to, rows = {}, { 0 }, {}, {}, 0
  for b = 1, self.batch do
    local list = prompts[b] or {}
    local take = math.min(#list - done[b], self.prompt_rows - rows)
    for i = 1, take do ids[rows + i] = list[done[b] + i] end
    rows, done[b] = rows + take, done[b] + take
    starts[b + 1] = rows
    local ended = take > 0 and done[b] == #list
    ends[b], to[b] = ended and rows - 1 or -1, ended and b - 1 or -1
  end
  return rows, ids, starts, ends, to
end

local function fill(t, list) t:copy(core.tensor(list, { dtype = "i32", device = t.device })) end

-- Runs a plan that moves the lengths on. Where it fails on the way, they are what they were.
local function run_from(self, p)
  local ok, why = pcall(p.plan.run, p.plan)
  if ok then return end
  pcall(fill, self.cache.lengths, self.used)
  error(why, 0)
end

-- Are these prompts that the session can take in? How many tokens in all.
local function check_prompts(self, prompts)
  check_list(prompts, self.batch, ("a list with the token numbers of each of the %d sequences, as in "
    .. "s:prompt{ { 1, 2, 3 } },"):format(self.batch))
  local total = 0
  for b = 1, self.batch do
    local list = prompts[b]
    if list == nil then list = {} end
    check_list(list, type(list) == "table" and #list or 0, ("sequence %d: a list of token numbers"):format(b))
    check_tokens(self, list)
    total = total + #list
    if self.used[b] + #list > self.capacity then
      error(("%d positions are taken and %d more wanted; the caches hold %d: context = %d would do")
        :format(self.used[b], #list, self.capacity, self.used[b] + #list), 0)
    end
  end
  if total == 0 then error("there are no tokens to take in", 0) end
  return total
end

-- Launches for the prompts from where their sequences stand; each(rows, plan, done) after every launch, whose tokens
-- are then taken in: also where each() raises.
local function feed(self, prompts, all, each)
  local total = check_prompts(self, prompts)
  local done, launched = {}, 0
  for b = 1, self.batch do done[b] = 0 end
  while launched < total do
    local rows, ids, starts, ends, to = next_rows(self, prompts, done)
    local p = prompt_plan(self, rows, all)
    fill(p.io.ids, ids)
    fill(p.io.starts, starts)
    if not all then
      fill(p.io.rows, ends)
      fill(p.io.to, to)
    end
    run_from(self, p)
    for b = 1, self.batch do self.used[b] = self.used[b] + starts[b + 1] - starts[b] end
    launched = launched + rows
    if launched < total then self:give_back() end
    if each then each(rows, p, launched) end
  end
  self.prompted = not all     -- all_logits leaves no row that a first token is drawn from
end

local function check_prompted(self, what)
  if not self.prompted then error(what .. ": nothing was taken in yet; s:prompt{ { 1, 2, 3 } } comes first", 0) end
end

-- Records what prompts of these lengths and their tokens need, so that no recording falls into what is timed. Where a
-- token of many sequences wants larger buffers than the prompts did, the prompts' plans went, and are recorded again.
function Session:prepare(lengths, how)
  how = way(how, "session:prepare")
  check_list(lengths, self.batch, ("session:prepare: a list with the prompt's length of each of the %d sequences")
    :format(self.batch))
  local prompts, before = {}, nil
  for b = 1, self.batch do
    prompts[b] = {}
    local what = "length of sequence " .. b
    local n = arguments.number({ [what] = lengths[b] }, what, 0, 0, 2 ^ 31, true)
    if n > self.capacity then
      error(("%d positions wanted; the caches hold %d: context = %d would do"):format(n, self.capacity, n), 0)
    end
    for i = 1, n do prompts[b][i] = 0 end
  end
  repeat
    before = self.outgrown
    local done = {}
    for b = 1, self.batch do done[b] = 0 end
    local rows = next_rows(self, prompts, done)
    while rows > 0 do
      prompt_plan(self, rows, false)
      rows = next_rows(self, prompts, done)
    end
    first_plan(self, how)
    token_plan(self, how)
  until self.outgrown == before
end

-- Takes prompts in: a list of lists of token numbers, one a sequence.
function Session:prompt(prompts) feed(self, prompts, false) end

-- Logits of all rows of one sequence's tokens: each(first row from 1, logits [n, vocab], valid until the next launch).
function Session:all_logits(tokens, each)
  if type(each) ~= "function" then
    error("session:all_logits: a function of (row, logits) expected, got " .. type(each), 0)
  end
  if tokens == nil then error("session:all_logits: a list of token numbers expected, got nil", 0) end
  feed(self, { tokens }, true, function(rows, p, done) each(done - rows + 1, p.io.logits) end)
end

-- Logits [B, vocab] after what was taken in last by prompt().
function Session:logits()
  check_prompted(self, "session:logits")
  local p = head_plan(self)
  p.plan:run()
  return p.logits
end

-- Draws the first token of each sequence after prompt(); then next() one more of each. how: { temperature, top_k,
-- top_p, min_p, seed }, greedy without. Both return the numbers' tensor.
function Session:first(how)
  how = way(how, "session:first")
  check_prompted(self, "session:first")
  first_plan(self, how).plan:run()
  return self.token.ids
end

function Session:next(how)
  how = way(how, "session:next")
  check_prompted(self, "session:next")
  for b = 1, self.batch do
    if self.used[b] >= self.capacity then
      error(("the caches hold %d positions, and all are taken"):format(self.capacity), 0)
    end
  end
  run_from(self, token_plan(self, how))
  for b = 1, self.batch do self.used[b] = self.used[b] + 1 end
  return self.token.ids
end

-- A tied embedding that was repacked is read where the file has it, beside its repacked form: a few pages a row, or a
-- MiB where the page cache holds the file in large pieces. Gives them back; a fraction of a ms, so not every token.
function Session:give_back()
  local m = self.model
  if m.closed or not m.file or m.native or m.native_head or m.repack_bytes == 0 then return end
  if not m.weights.head and m.weights.embedding.quantizer then m.weights.embedding:forget() end
end

-- Forgets all sequences; plans and caches stay.
function Session:reset()
  self.cache.lengths:fill(0)
  self.draws:fill(0)
  self.prompted = false
  for b = 1, self.batch do self.used[b] = 0 end
end

local KINDS = { token = true, first = true, prompt = true }

-- The plan of a kind that was recorded: "token" or "first" (any of them, where ways of sampling differ), or "prompt" of
-- so many rows; nil if there is none. It runs for as long as it is held, also when the session has recorded another.
function Session:plan_of(kind, rows)
  if not KINDS[kind] then
    error(("session:plan_of: token, first or prompt expected, got %s%s"):format(tostring(kind),
      type(kind) == "string" and suggest.hint(kind, suggest.keys(KINDS)) or ""), 0)
  end
  if kind == "prompt" then
    if rows == nil then error("session:plan_of: of how many rows? s:plan_of(\"prompt\", 16)", 0) end
    arguments.number({ rows = rows }, "rows", nil, 1, 2 ^ 31, true)
  end
  local found = kind == "prompt" and self.plans[("prompt %d "):format(rows)] or nil
  for key, p in pairs(self.plans) do
    if not found and kind ~= "prompt" and key:find("^" .. kind .. " ") then found = p end
  end
  if not found then return end
  found.lent = true
  return found.plan
end

function Session:kv_bytes() return self.cache.nbytes end

local function method(f)
  return places.guard(function(self, ...)
    if not M.is(self) then error("a session expected, got " .. type(self), 0) end
    if self.model.closed then error("the session's model is closed", 0) end
    return f(self, ...)
  end)
end

for name, f in pairs(Session) do
  if type(f) == "function" and not name:find "^__" then Session[name] = method(f) end
end

return M

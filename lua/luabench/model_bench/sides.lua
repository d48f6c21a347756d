-- sides.lua: `luabench model`'s coordinator: a process for each model, one after the other: loaded, asked all prompts,
-- its quality measured. A process that dies costs the prompt that it died of; the model is loaded again for the next.
local coordinator = require "luabench.coordinator"
local memory = require "luabench.model_bench.memory"
local record = require "luabench.record"
local sys = require "luabench.sys"

local M = {}
local Side = {}
Side.__index = Side

local LOAD_KEYS = { "device", "threads", "dtype", "mode", "repack", "random_weights", "seed", "model_type", "batch",
  "iterations", "max_new_tokens", "temperature", "top_k", "top_p", "min_p", "context", "cache", "ignore_stop" }

local function load_options(opt)
  local o = {}
  for _, k in ipairs(LOAD_KEYS) do o[k] = opt[k] end
  return o
end

-- run = { opt =, bar =, timeout =, folder = (for logits), text =, questions = (a list, or nil), quality =, roles =,
-- shown = { names of paths }, memo = (resume.lua), reproduce = f(prompt) }
local function new(run, name, path)
  local s = setmetatable({ run = run, name = name, path = path, shown = run.shown[name] or path }, Side)
  local bar = run.bar
  s.coordinator = coordinator.new { isolation = not run.opt.no_isolation, tick_s = memory.EVERY_S,
    on_phase = function(text) bar:set_phase(text) end,
    on_progress = function(text, fraction)
      bar:set_phase(bar.terminal and text or name .. ": " .. text, fraction)
    end,
    on_print = function(line)
      bar:clear()
      io.stderr:write(line, "\n")
    end,
    on_stderr = function(line)
      bar:clear()
      io.stderr:write(line, "\n")
    end,
    on_tick = function()
      if s.watch then s.watch:tick() end
      bar:draw()
    end }
  return s
end

-- A step in the worker; the value, or nil and { status, reason }.
function Side:call(step, request)
  request.cmd, request.step, request.side = "model", step, self.name
  local reply = self.coordinator:call(request, self.run.timeout)
  if reply.kind == "done" then return reply.value end
  if reply.kind == "interrupted" or sys.interrupted() then error("interrupted", 0) end
  if reply.kind ~= "error" then self.loaded = nil end
  return nil, { status = reply.kind == "error" and "failed" or reply.kind,
    reason = reply.reason or sys.clean(reply.message) }
end

-- A device, or a number of threads, that the first process cannot have is an error of the command line; one that is
-- gone later costs what is asked of it.
function Side:without_device(reason)
  local opt = self.run.opt
  if self.name == "original" and not self.first_load then
    local threads = opt.threads and (" --threads %d"):format(opt.threads) or ""
    error(("--device %s%s: %s"):format(opt.device, threads, reason), 0)
  end
  return { status = "failed", reason = reason }
end

function Side:load()
  local hello, why = self:call("hello", {})
  if not hello then return nil, why end
  self.initial = self.initial or hello.resident.now
  self.watch = self.watch or memory.new(function() return self.coordinator.process end, self.run.opt.device)
  local loaded
  loaded, why = self:call("load", { path = self.path, options = load_options(self.run.opt) })
  if not loaded then return nil, why end
  if loaded.refused then return nil, self:without_device(loaded.refused) end
  self.loaded = loaded
  self.first_load = self.first_load or loaded
  return loaded
end

-- ---- prompts as records ----

local function pool(list, values)
  for _, v in ipairs(values) do list[#list + 1] = v end
end

local STATISTICS = { "median", "ci95", "mean", "std", "min", "max", "p10", "p25", "p75", "p90", "p95", "p99", "mad" }

local function metric(unit, values)
  if #values == 0 then return nil end
  local s = sys.stats(values)
  local m = { unit = unit }
  for _, k in ipairs(STATISTICS) do m[k] = s[k] end
  m.samples = #values
  return m
end
M.metric = metric

local function equal(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

local function per_second(items, ns) return items / ns * 1e9 end

-- Times and rates of a prompt's runs, in the record's metrics.
local function fill(rec, value, opt)
  local e2e, ttft, prompt_rate, generation_rate, gaps, steps_ns = {}, {}, {}, {}, {}, 0
  local batch, generated = opt.batch, 0
  for i, r in ipairs(value.runs) do
    e2e[i], ttft[i] = r.end_to_end_ns, r.prompt_ns
    prompt_rate[i] = per_second(value.prompt_tokens * batch, r.prompt_ns)
    generated = r.generated
    local sum = 0
    for _, ns in ipairs(r.step_ns) do sum = sum + ns end
    steps_ns = steps_ns + sum
    if #r.step_ns > 0 then generation_rate[#generation_rate + 1] = per_second(r.generated - batch, sum) end
    pool(gaps, r.step_ns)
  end
  local s = sys.stats(e2e)
  rec.time = { unit = "ns", samples = #e2e, iterations = 1 }
  for _, k in ipairs(STATISTICS) do rec.time[k] = s[k] end
  rec.samples_ns, rec.mode = e2e, value.runs[1].mode
  rec.work = { items = value.prompt_tokens * batch + generated, item = "token" }
  rec.rate = { items_per_s = per_second(rec.work.items, rec.time.median) }
  rec.metrics = { time_to_first_token = metric("ns", ttft), prompt_rate = metric("tokens/s", prompt_rate),
    generation_rate = metric("tokens/s", generation_rate), inter_token_latency = metric("ns", gaps),
    prompt_tokens = { unit = "tokens", median = value.prompt_tokens * batch },
    generated_tokens = { unit = "tokens", median = generated },
    tokenize = value.tokenizer and { unit = "ns", median = value.tokenize_ns } or nil,
    recording = { unit = "ns", median = value.runs[1].record_ns },
    kv = { unit = "B", median = value.runs[1].kv_bytes } }
  rec.runs = { ttft_ns = ttft, end_to_end_ns = e2e, step_ns = gaps, steps_ns = steps_ns,
    generation_rates = generation_rate }
end

function Side:record(prompt, status, reason)
  local opt = self.run.opt
  local l = self.loaded or self.first_load or {}
  return { scenario = "model", case = ("model=%s prompt=%s"):format(self.name, prompt.name),
    axes = { model = self.name, prompt = prompt.name, category = prompt.category }, status = status, reason = reason,
    device = l.device or opt.device, threads = l.threads, mode = opt.mode, cache = "hot", dtype = opt.dtype,
    random_weights = l.random_weights or nil, file = self.shown, prompt_text = prompt.text,
    memory = { weights_bytes = l.weights_bytes }, reproduce = self.run.reproduce(prompt) }
end

-- The same prompt and seed give the same tokens, each time: else one of the runs computed something else.
local function check_repeats(rec, value)
  for i = 2, #value.runs do
    if not equal(value.runs[1].tokens, value.runs[i].tokens) then
      rec.status, rec.reason = "failed", ("run %d of the same prompt and seed gave other tokens than run 1"):format(i)
      return
    end
  end
  rec.check = { oracle = "runs of one prompt and seed give the same tokens", passed = true }
end

function Side:prompt(prompt)
  local loaded, why = self.loaded, self.refused
  if not loaded and not why then
    loaded, why = self:load()
    if not loaded and why.status == "failed" then self.refused = why end -- it would say the same again
  end
  if not loaded then return self:record(prompt, why.status, "load: " .. why.reason) end
  local value
  value, why = self:call("prompt", { text = prompt.text, timing = self.run.opt.timing })
  if not value then return self:record(prompt, why.status, why.reason) end
  local rec = self:record(prompt, "ok")
  if value.skipped then
    rec.status, rec.reason = "skipped", value.skipped
    return rec
  end
  fill(rec, value, self.run.opt)
  check_repeats(rec, value)
  local last = value.runs[1]
  rec.generated = { text = last.text, tokens = last.tokens, finish = last.finish }
  rec.memory.peak_bytes = value.resident.peak
  self.peak = math.max(self.peak or 0, value.resident.peak or 0)
  self.now, self.file = value.resident.now, value.resident.file
  self.kv = math.max(self.kv or 0, last.kv_bytes or 0)
  return rec
end

-- ---- a whole side ----

local function memory_of(side, watched)
  local l = side.first_load
  local m = { initial_bytes = side.initial, peak_bytes = side.peak and side.peak > 0 and side.peak or l.resident.peak,
    weights_bytes = l.weights_bytes, kv_bytes = side.kv, after_load_bytes = l.resident.now,
    current_bytes = side.now, file_bytes = side.file }
  local r = watched.resident
  if r then
    m.min_bytes, m.mean_bytes, m.max_bytes, m.std_bytes, m.samples = r.min, r.mean, r.max, r.std, r.samples
    -- what was seen from outside may be of a moment behind the last prompt
    m.peak_bytes = m.peak_bytes and math.max(m.peak_bytes, r.max)
  end
  if m.peak_bytes and m.initial_bytes then
    m.increase_bytes = m.peak_bytes - m.initial_bytes
    local rest = m.increase_bytes - m.weights_bytes - (m.kv_bytes or 0)
    m.overhead_bytes = rest >= 0 and rest or nil      -- below 0: not all weights were ever in memory
  end
  m.gpu = watched.gpu
  return m
end

-- ---- what a run that was interrupted has left ----

-- A prompt of it: what that process held at most counts for the model.
function Side:recall(rec)
  self.peak = math.max(self.peak or 0, (rec.memory or {}).peak_bytes or 0)
  self.kv = math.max(self.kv or 0, ((rec.metrics or {}).kv or {}).median or 0)
  self.recalled = (self.recalled or 0) + 1
end

function Side:remember(kind, value, prompt)
  local bar = self.run.bar
  self.run.memo:put(self.name, kind, value, function(text) bar:log("error", text) end, prompt)
end

-- ---- the steps of a side ----

local function load_and_start(side, out, prompts)
  side.run.bar:start(side.name)
  if not side:load() then return end
  local cold = side:call("prompt", { text = prompts[1].text, cold = true })
  local first = cold and cold.runs and cold.runs[1]
  out.cold_start_ns = first and first.wall_ns
end

local function ask(side, out, prompts, done)
  local run = side.run
  for _, prompt in ipairs(prompts) do
    local rec, again = run.memo:get(side.name, "prompt", prompt), side.refused ~= nil
    local old = rec ~= nil
    if old then side:recall(rec)
    else
      run.bar:start(side.name .. ": " .. prompt.name)
      rec = side:prompt(prompt)
      if rec.status == "ok" or rec.status == "skipped" then side:remember("prompt", rec, prompt) end
    end
    out.records[#out.records + 1] = rec
    if not again then run.bar:finish(rec, old) end
    done(rec)
  end
end

-- Loading, cold start, prompts and memory; from the journal where all of it is there.
local function measure(side, out, prompts, done)
  local memo = side.run.memo
  local known = memo:done(side.name) == #prompts and memo:get(side.name, "side") or nil
  if not known then load_and_start(side, out, prompts) end
  ask(side, out, prompts, done)
  if known then
    out.loaded, out.cold_start_ns, out.memory, out.recalled = known.loaded, known.cold_start_ns, known.memory,
      known.recalled
    return
  end
  local watched = side.watch and side.watch:close() or {}            -- what quality takes is not the model's
  side.watch = nil
  out.loaded, out.recalled = side.first_load, side.recalled
  if not out.loaded then return end
  out.memory = memory_of(side, watched)
  side:remember("side", { loaded = out.loaded, cold_start_ns = out.cold_start_ns, memory = out.memory,
    recalled = out.recalled })
end

-- What a step of the worker says of the loaded model, as part of the result: where it fails { status =, reason = },
-- which --resume asks again.
local function judged(side, kind, request)
  side.run.bar:start(side.name)
  local value, why = side.loaded, nil
  if not value then value, why = side:load() end
  if value then value, why = side:call(kind, request) end
  if value then side:remember(kind, value) end
  return value or { reason = why.reason, status = why.status }
end

-- Perplexity and the comparison with the original's logits; the original's is taken again where the other model is
-- still to be compared with its logits. Questions are a step of their own: what goes wrong there costs nothing else.
local function judge(side, out)
  local run, memo = side.run, side.run.memo
  if not run.quality or not out.loaded then return end
  local known = memo:get(side.name, "quality")
  if known and side.name == "original" and memo.sides.quantized and not memo:get("quantized", "quality") then
    known = nil
  end
  out.quality = known or judged(side, "quality", { text = run.text, context = run.opt.quality_context,
    most = run.opt.quality_tokens, folder = run.folder, role = run.roles[side.name] })
  if run.questions then
    out.quality.questions = memo:get(side.name, "questions")
      or judged(side, "questions", { questions = run.questions })
  end
end

-- Loads and asks; done(record) after each prompt. Returns { name, path, loaded =, cold_start_ns =, memory =, quality =,
-- records =, recalled = how many of them another process measured }; loaded is nil, and records say why, if the model
-- could not be loaded. What is done is in run.memo (resume.lua), and what is there is not done again.
function M.run(run, name, path, prompts, done)
  local side = new(run, name, path)
  local out = { name = name, path = side.shown, records = {} }
  local ok, why = pcall(function()
    measure(side, out, prompts, done)
    judge(side, out)
  end)
  if not ok and side.first_load and not out.loaded then
    out.loaded, out.memory = side.first_load, memory_of(side, side.watch and side.watch:close() or {})
  elseif side.watch then
    side.watch:close()
  end
  side.coordinator:close()
  if not ok then
    out.interrupted = sys.interrupted()
    if not out.interrupted then error(why, 0) end
  end
  return out
end

return M

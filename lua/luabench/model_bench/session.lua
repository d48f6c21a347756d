-- session.lua: the worker's side of `luabench model`: one model in this process: loaded, asked, its quality measured.
-- Requests are { cmd = "model", step = "hello" | "load" | "prompt" | "quality" | "close", ... }.
local lb = require "luabench"
local core = require "luabench.core"
local json = require "luabench.json"
local quality = require "luabench.model_bench.quality"
local questions = require "luabench.model_bench.questions"
local stored = require "luabench.model.stored"
local sys = require "luabench.sys"

local M = {}
local held          -- { model =, tokenizer =, opts =, sessions = {} } of this process

local steps = {}

local function status_bytes(field)
  local text = sys.read_file "/proc/self/status"
  local kib = text and text:match(field .. ":%s*(%d+) kB")
  return kib and tonumber(kib) * 1024 or nil
end

-- What this process holds now, and held at most; of what it holds now, pages of files that the page cache has too.
local function resident()
  return { now = status_bytes "VmRSS", peak = status_bytes "VmHWM", file = status_bytes "RssFile" }
end

function steps.hello() return { resident = resident(), pid = sys.self_pid() } end

-- ---- loading ----

-- That of the file; or tokenizer.json beside a configuration: a model of random weights has no file of its own.
local function tokenizer_of(model, path)
  if model:has_tokenizer() then return model:tokenizer() end
  if model.file then return nil end
  local folder = sys.is_directory(path) and path or path:match "^(.*)/[^/]*$" or "."
  if sys.exists(folder .. "/tokenizer.json") then return lb.tokenizer(folder) end
end

function steps.load(request, emit)
  local o = request.options
  emit { event = "phase", phase = "load" }
  local there, device = pcall(sys.device, o.device, o.threads)
  if not there then return { refused = sys.clean(device) } end
  local before, t0 = resident(), sys.now_s()
  local model = lb.model.load(request.path, { device = device, dtype = o.dtype, repack = o.repack,
    random_weights = o.random_weights or nil, seed = o.random_weights and o.seed or nil, type = o.model_type,
    progress = function(done, total) emit { event = "progress", text = "loading", fraction = done / total } end })
  local t1 = sys.now_s()
  local tokenizer = tokenizer_of(model, request.path)
  local t2 = sys.now_s()
  held = { model = model, tokenizer = tokenizer, options = o, sessions = {}, path = request.path }
  return { load_ns = (t1 - t0) * 1e9 - model.repack_ns, repack_ns = model.repack_ns, repack_bytes = model.repack_bytes,
    layer_load_ns = model.layer_load_ns, layer_repack_ns = model.layer_repack_ns, note = model.second_copy
      and "weights are held twice, as made and repacked: " .. model.second_copy or nil,
    tokenizer_ns = tokenizer and (t2 - t1) * 1e9 or nil, weights_bytes = model.nbytes,
    parameters = model.parameters, type = model.type, types = stored.types(model),
    random_weights = model.random or false,
    vocabulary = model.spec.vocab, context = model.spec.context, format = model.file and model.file.format or nil,
    device = device.name, threads = device.threads, resident_before = before, resident = resident() }
end

-- ---- prompts ----

-- Without a tokenizer a text is as many numbers as it has fours of bytes, drawn from its own bytes: the same for the
-- same text, and said so in the result.
local function numbers_of(text, vocabulary)
  local list = {}
  for i = 1, #text, 4 do
    local h = 5381
    for j = i, math.min(i + 3, #text) do h = (h * 33 + text:byte(j)) % 2 ^ 31 end
    list[#list + 1] = h % vocabulary
  end
  return list
end

local function tokens_of(text)
  local t0 = sys.now_s()
  local list = held.tokenizer and held.tokenizer:encode(text, { special = true })
    or numbers_of(text, held.model.spec.vocab)
  return list, (sys.now_s() - t0) * 1e9
end

-- A prompt is taken in launches of so many rows: as fast as 512 within a few per cent, in less memory
-- (lua/README.md has the figures).
local PROMPT_ROWS = 192

-- Plans and caches for prompts of this size are kept: a server has them too.
local function session_for(batch, room)
  local o = held.options
  local capacity = o.context or room
  local s = held.session
  if not s or held.batch ~= batch or held.capacity < capacity then
    held.session, s = nil, nil
    collectgarbage()                                                 -- caches and buffers of the smaller one
    collectgarbage()
    core.memory_trim()
    s = held.model:session { batch = batch, capacity = capacity, cache = o.cache, mode = o.mode,
      prompt_rows = PROMPT_ROWS }
    held.session, held.batch, held.capacity = s, batch, capacity
  end
  return s
end

-- A line for each token of the first sequence: the model's name, its time, its number, and the text that it completes
-- (of a character that several tokens make, all of it with the last).
local function timing_lines(request)
  if not request.timing then return nil end
  local stream = held.tokenizer and held.tokenizer:stream()
  return function(b, id, ns)
    if b > 1 then return end
    local text = stream and json.encode(stream:add(id)) or ""
    io.stdout:write((("%-9s %9.3f ms  %6d  %s"):format(request.side or "", ns / 1e6, id, text):gsub("%s+$", "")), "\n")
    io.stdout:flush()
  end
end

local function decoded(sequence, stop)
  if not held.tokenizer then return nil end
  local kept = {}
  for i, id in ipairs(sequence.tokens) do kept[i] = id end
  if sequence.finish == "stop" and stop then kept[#kept] = nil end
  return held.tokenizer:decode(kept, { skip_special = true })
end

local function run_once(request, tokens, o, most)
  local prompts = {}
  for b = 1, o.batch do prompts[b] = tokens end
  local s = session_for(o.batch, #tokens + most)
  local recorded, stop = s.record_ns, nil
  if o.ignore_stop then stop = false end
  local r = held.model:generate(prompts, { session = s, max_new_tokens = most, temperature = o.temperature,
    top_k = o.top_k, top_p = o.top_p, min_p = o.min_p, seed = o.seed, stop = stop, on_token = timing_lines(request) })
  local generated = 0
  for _, q in ipairs(r.sequences) do generated = generated + #q.tokens end
  return { prompt_ns = r.prompt_ns, step_ns = r.step_ns, end_to_end_ns = r.end_to_end_ns, generated = generated,
    record_ns = s.record_ns - recorded, kv_bytes = r.kv_bytes, mode = r.mode, tokens = r.sequences[1].tokens,
    finish = r.sequences[1].finish, text = decoded(r.sequences[1], true) }
end

-- request: text, iterations, cold = true: one token, everything recorded anew, as the first request of a process is.
function steps.prompt(request, emit)
  local o = held.options
  local tokens, tokenize_ns = tokens_of(request.text)
  if #tokens == 0 then error("the prompt has no tokens", 0) end
  local most = request.cold and 1 or o.max_new_tokens
  local context = o.context or held.model.spec.context
  if context and #tokens + most > context then
    return { skipped = ("%d tokens of the prompt and %d new ones are more than the context of %d"):format(#tokens, most,
      context), prompt_tokens = #tokens }
  end
  local runs = {}
  for i = 1, request.cold and 1 or o.iterations do
    emit { event = "progress", text = ("run %d of %d"):format(i, o.iterations) }
    local t0 = sys.now_s()
    runs[i] = run_once(request, tokens, o, most)
    runs[i].wall_ns = (sys.now_s() - t0) * 1e9
    if sys.interrupted() then error("interrupted", 0) end
  end
  return { prompt_tokens = #tokens, tokenize_ns = tokenize_ns, runs = runs, tokenizer = held.tokenizer ~= nil,
    resident = resident() }
end

-- ---- quality ----

-- What generation has taken is let go of; and a report(done, total) of what is done.
local function judging(emit, text)
  held.session = nil
  collectgarbage()
  return function(done, total) emit { event = "progress", text = text, fraction = done / total } end
end

-- request: text, context, most (tokens), folder, role = "reference" (writes its logits there) or "compared".
function steps.quality(request, emit)
  local tokens = tokens_of(request.text)
  return quality.run(held.model, tokens, { context = request.context, most = request.most, folder = request.folder,
    role = request.role, mode = held.options.mode, report = judging(emit, "quality") })
end

-- request: questions = a list.
function steps.questions(request, emit)
  return questions.run(held.model, held.tokenizer, request.questions, { mode = held.options.mode,
    report = judging(emit, "questions") })
end

function steps.close()
  held = nil
  collectgarbage()
  collectgarbage()
  return { resident = resident() }
end

function M.handle(request, emit)
  local step = steps[request.step]
  if not step then error("unknown step " .. tostring(request.step), 0) end
  if not held and request.step ~= "hello" and request.step ~= "load" then error("no model is loaded", 0) end
  return step(request, emit)
end

return M

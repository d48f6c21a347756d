-- summary.lua: a model's figures over all its prompts, those of each category, and two models side by side.
local sides = require "luabench.model_bench.sides"

local M = {}

local metric = sides.metric

-- Of the tokens of a run the first few still settle: they are left out of the steady rate (at most a quarter of them).
local SETTLING = 3

local function steady(gaps)
  local skip, kept = math.min(SETTLING, math.floor(#gaps / 4)), {}
  for i = skip + 1, #gaps do kept[#kept + 1] = gaps[i] end
  return kept
end

local function add(list, values)
  for _, v in ipairs(values) do list[#list + 1] = v end
end

-- Sums and statistics of records that are ok. The first token of a run comes with the prompt: generation is what is
-- behind it, in count, time and rates (a rate for each run).
function M.of_records(records, batch)
  local ttft, prompt_rates, rates, gaps, e2e, settled = {}, {}, {}, {}, {}, {}
  local p = { count = 0, duration_ns = 0 }
  local g = { count = 0, duration_ns = 0 }
  local ok, failed, skipped, generated = 0, 0, 0, 0
  for _, r in ipairs(records) do
    if r.status == "ok" then
      ok = ok + 1
      local m = r.metrics
      local runs = #r.runs.ttft_ns
      for i = 1, runs do
        ttft[#ttft + 1], e2e[#e2e + 1] = r.runs.ttft_ns[i], r.runs.end_to_end_ns[i]
        prompt_rates[#prompt_rates + 1] = m.prompt_tokens.median / r.runs.ttft_ns[i] * 1e9
        p.count, p.duration_ns = p.count + m.prompt_tokens.median, p.duration_ns + r.runs.ttft_ns[i]
      end
      generated = generated + m.generated_tokens.median * runs
      add(gaps, r.runs.step_ns)
      add(settled, steady(r.runs.step_ns))
      g.count, g.duration_ns = g.count + (m.generated_tokens.median - batch) * runs, g.duration_ns + r.runs.steps_ns
      add(rates, r.runs.generation_rates)
    elseif r.status == "skipped" then skipped = skipped + 1
    else failed = failed + 1 end
  end
  p.rate = p.duration_ns > 0 and p.count / p.duration_ns * 1e9 or nil
  g.rate = g.duration_ns > 0 and g.count / g.duration_ns * 1e9 or nil
  if ok == 0 then p, g, generated = {}, {}, nil end                  -- nothing ran: nothing is 0
  local gap = metric("ns", gaps)
  local settled_gap = metric("ns", settled)
  return { prompts = { ok = ok, failed = failed, skipped = skipped }, generated_tokens = generated,
    time_to_first_token = metric("ns", ttft),
    prompt = p, prompt_rate = metric("tokens/s", prompt_rates), generation = g,
    generation_rate = metric("tokens/s", rates),
    inter_token_latency = gap, end_to_end = metric("ns", e2e),
    peak_rate = gap and batch / gap.min * 1e9 or nil,
    steady_rate = settled_gap and batch / settled_gap.mean * 1e9 or nil }
end

-- What must be known of the figures of a model: lines, or nil.
local function note_of(side)
  local notes = { side.loaded and side.loaded.note }
  if side.recalled then
    notes[#notes + 1] = ("%d of %d prompts are of a process that was interrupted; load, cold start and memory over time"
      .. " are of the one that went on"):format(side.recalled, #side.records)
  end
  return notes[1] and table.concat(notes, "; ") or nil
end

-- { name, path, ..., performance =, categories = { { category, ... } } } of what sides.run gave.
function M.of_side(side, batch)
  local l = side.loaded or {}
  local out = { name = side.name, path = side.path, type = l.type, format = l.format, parameters = l.parameters,
    weight_types = l.types, random_weights = l.random_weights, device = l.device, threads = l.threads,
    bits_per_weight = (l.parameters or 0) > 0 and l.weights_bytes and l.weights_bytes * 8 / l.parameters or nil,
    load = l.load_ns and { model_ns = l.load_ns, repack_ns = l.repack_ns, tokenizer_ns = l.tokenizer_ns,
      total_ns = l.load_ns + (l.repack_ns or 0) + (l.tokenizer_ns or 0), repack_bytes = l.repack_bytes,
      layer_load_ns = l.layer_load_ns, layer_repack_ns = l.layer_repack_ns } or nil, note = note_of(side),
    cold_start_ns = side.cold_start_ns, memory = side.memory, quality = side.quality,
    performance = M.of_records(side.records, batch), categories = {} }
  local by, order = {}, {}
  for _, r in ipairs(side.records) do
    local c = r.axes.category
    if not by[c] then
      by[c] = {}
      order[#order + 1] = c
    end
    table.insert(by[c], r)
  end
  for i, c in ipairs(order) do
    out.categories[i] = M.of_records(by[c], batch)
    out.categories[i].category = c
  end
  return out
end

-- ---- side by side ----

-- The number (or what else is `wanted`) under a path such as "memory.gpu.memory_bytes.max" or "time.ci95.1"; nil where
-- there is none.
local function at(value, path, wanted)
  for part in path:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    value = value[tonumber(part) or part]
  end
  return type(value) == (wanted or "number") and value or nil
end
M.at = at

-- title, unit, path in a model's summary, the unit that people are shown instead; a line without a path is a heading.
M.LINES = {
  { "load" },
  { "model", "ns", "load.model_ns" }, { "repacking", "ns", "load.repack_ns" },
  { "tokenizer", "ns", "load.tokenizer_ns" }, { "in all", "ns", "load.total_ns" },
  { "cold start: first token of the process", "ns", "cold_start_ns" },
  { "prompt" },
  { "time to first token, median", "ns", "performance.time_to_first_token.median" },
  { "time to first token, p95", "ns", "performance.time_to_first_token.p95" },
  { "prompt tokens", "count", "performance.prompt.count" }, { "prompt time", "ns", "performance.prompt.duration_ns" },
  { "prompt rate", "tokens/s", "performance.prompt.rate" },
  { "generation" },
  { "generated tokens", "count", "performance.generated_tokens" },
  { "after the first of each run", "count", "performance.generation.count" },
  { "generation time of these", "ns", "performance.generation.duration_ns" },
  { "generation rate", "tokens/s", "performance.generation.rate" },
  { "generation rate, least", "tokens/s", "performance.generation_rate.min" },
  { "generation rate, mean", "tokens/s", "performance.generation_rate.mean" },
  { "generation rate, most", "tokens/s", "performance.generation_rate.max" },
  { "generation rate, std", "tokens/s", "performance.generation_rate.std" },
  { "steady rate", "tokens/s", "performance.steady_rate" }, { "peak rate", "tokens/s", "performance.peak_rate" },
  { "between tokens, median", "ns", "performance.inter_token_latency.median" },
  { "between tokens, p90", "ns", "performance.inter_token_latency.p90" },
  { "between tokens, p95", "ns", "performance.inter_token_latency.p95" },
  { "between tokens, p99", "ns", "performance.inter_token_latency.p99" },
  { "end to end, median", "ns", "performance.end_to_end.median" },
  { "memory" },
  { "weights", "B", "memory.weights_bytes" }, { "bits a weight", "bits", "bits_per_weight" },
  { "KV cache", "B", "memory.kv_bytes" }, { "overhead", "B", "memory.overhead_bytes" },
  { "initial", "B", "memory.initial_bytes" }, { "least", "B", "memory.min_bytes" },
  { "mean", "B", "memory.mean_bytes" }, { "std", "B", "memory.std_bytes" },
  { "most", "B", "memory.max_bytes" }, { "peak", "B", "memory.peak_bytes" },
  { "at the end", "B", "memory.current_bytes" }, { "at the end, pages of files", "B", "memory.file_bytes" },
  { "increase", "B", "memory.increase_bytes" },
  { "GPU utilisation, mean", "%", "memory.gpu.utilization_percent.mean" },
  { "GPU memory, most", "B", "memory.gpu.memory_bytes.max" },
  { "quality" },
  { "perplexity", "ppl", "quality.perplexity" }, { "its standard error", "ppl", "quality.standard_error" },
  { "perplexity over the original's", "x", "quality.perplexity_ratio.value" },
  { "its 95 % interval, low", "x", "quality.perplexity_ratio.ci95.1" },
  { "its 95 % interval, high", "x", "quality.perplexity_ratio.ci95.2" },
  { "KL divergence from the original, mean", "nats", "quality.kl.mean" },
  { "KL divergence, standard error of the mean", "nats", "quality.kl.standard_error" },
  { "KL divergence, p99", "nats", "quality.kl.p99" },
  { "KL divergence, most", "nats", "quality.kl.max" },
  { "same likeliest token", "fraction", "quality.top1_agreement" },
  { "probability of the text's tokens, mean change", "fraction", "quality.token_probability.mean_change", "points" },
  { "probability of the text's tokens, RMS change", "fraction", "quality.token_probability.rms_change", "points" },
  { "questions", "count", "quality.questions.count" },
  { "of these cut at the left to the context", "count", "quality.questions.truncated" },
  { "questions skipped", "count", "quality.questions.skipped" },
  { "right choices", "fraction", "quality.questions.accuracy" },
  { "its standard error", "fraction", "quality.questions.standard_error" },
  { "right choices, normalized by length", "fraction", "quality.questions.normalized.accuracy" },
  { "its standard error", "fraction", "quality.questions.normalized.standard_error" },
  { "same choice as the original", "fraction", "quality.questions.against.same" },
  { "change of right choices, 95 % interval, low", "fraction", "quality.questions.against.ci95.1", "points" },
  { "change of right choices, 95 % interval, high", "fraction", "quality.questions.against.ci95.2", "points" },
}

local shown = {}
for _, line in ipairs(M.LINES) do
  if line[3] then shown[line[3]] = line[4] or line[2] end
end

-- The unit in which people are shown a row of compare().
function M.shown_unit(row) return shown[row.field] end

-- What people are shown before it.
function M.label(row) return row.note and ("%s (%s)"):format(row.metric, row.note) or row.metric end

-- Shares of the questions that a model was asked: no more than two numbers where the other was asked others.
local OF_QUESTIONS = { ["quality.questions.accuracy"] = true, ["quality.questions.standard_error"] = true,
  ["quality.questions.normalized.accuracy"] = true, ["quality.questions.normalized.standard_error"] = true }

local function asked_others(a, b)
  local x, y = at(a, "quality.questions.asked", "table"), at(b, "quality.questions.asked", "table")
  if not x or not y then return false end
  for i = 1, math.max(#x, #y) do
    if x[i] ~= y[i] then return true end
  end
  return false
end

-- A list of { metric, field, unit, original, quantized, difference, ratio, note } and headings { heading = }, lines
-- without any value left out; `note` says why there is no difference of two values. b = nil: one model.
function M.compare(a, b)
  local rows, heading = {}, nil
  local others = asked_others(a, b)
  for _, line in ipairs(M.LINES) do
    if not line[3] then
      heading = line[1]
    else
      local x, y = at(a, line[3]), b and at(b, line[3])
      if x or y then
        if heading then rows[#rows + 1] = { heading = heading } end
        heading = nil
        local note = x and y and others and OF_QUESTIONS[line[3]] and "not of the same questions" or nil
        local both = x and y and not note
        rows[#rows + 1] = { metric = line[1], field = line[3], unit = line[2], original = x, quantized = y,
          difference = both and y - x or nil, ratio = both and x ~= 0 and y / x or nil, note = note }
      end
    end
  end
  return rows
end

return M

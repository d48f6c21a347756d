-- test_model_bench.lua: quality figures against plain arithmetic; sums of runs; prompts.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core
local prompts = require "luabench.model_bench.prompts"
local quality = require "luabench.model_bench.quality"
local questions = require "luabench.model_bench.questions"
local score = require "luabench.model.score"
local show = require "luabench.model_bench.show"
local summary = require "luabench.model_bench.summary"
local tiny = dofile "tests/lua/tiny_models.lua"

local T = {}
local folder

function T.setUp() folder = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(folder) end

local function quiet() end

local function log_softmax(row)
  local top, sum, out = -math.huge, 0, {}
  for _, v in ipairs(row) do top = math.max(top, v) end
  for _, v in ipairs(row) do sum = sum + math.exp(v - top) end
  for i, v in ipairs(row) do out[i] = v - top - math.log(sum) end
  return out
end

function T.test_quality()
  tiny.make(folder .. "/m", "qwen2")
  local a = lb.model.load(folder .. "/m")
  local b = lb.model.load(folder .. "/m", { quantize = "q4_0" })
  local tokens = {}
  for i = 1, 70 do tokens[i] = i * 37 % 600 end
  local how = { context = 32, most = 1000, folder = folder, role = "reference", report = quiet }
  local qa = quality.run(a, tokens, how)
  how.role = "compared"
  local qb = quality.run(b, tokens, how)
  lu.assertAlmostEquals(qa.perplexity, a:perplexity(tokens, { context = 32 }).perplexity, 1e-4 * qa.perplexity)
  lu.assertAlmostEquals(qb.perplexity, b:perplexity(tokens, { context = 32 }).perplexity, 1e-4 * qb.perplexity)
  lu.assertEquals(qb.windows, 2)
  lu.assertNil(qa.kl)
  -- the same from the logits, number by number
  local kl, same, count, deltas, changes = 0, 0, 0, {}, {}
  for w = 0, 1 do
    local window = {}
    for i = 1, 32 do window[i] = tokens[w * 32 + i] end
    local la, lq = a:logits(window):totable(), b:logits(window):totable()
    for row = 17, 31 do
      local p, q = log_softmax(la[row]), log_softmax(lq[row])
      local best_p, best_q = 1, 1
      for i = 1, #p do
        kl = kl + math.exp(p[i]) * (p[i] - q[i])
        if p[i] > p[best_p] then best_p = i end
        if q[i] > q[best_q] then best_q = i end
      end
      same, count = same + (best_p == best_q and 1 or 0), count + 1
      local target = window[row + 1] + 1
      deltas[count], changes[count] = p[target] - q[target], math.exp(q[target]) - math.exp(p[target])
    end
  end
  lu.assertEquals(qb.kl.tokens, count)
  lu.assertAlmostEquals(qb.kl.mean, kl / count, 1e-6)
  lu.assertAlmostEquals(qb.top1_agreement, same / count, 1e-12)
  lu.assertTrue(qb.kl.mean > 0)
  local d, c = core.stats(deltas), core.stats(changes)
  local ratio, half = qb.perplexity_ratio, 1.96 * d.std / math.sqrt(count)
  lu.assertAlmostEquals(ratio.value, math.exp(d.mean), 1e-6)
  lu.assertAlmostEquals(ratio.value, qb.perplexity / qa.perplexity, 1e-5)
  lu.assertAlmostEquals(ratio.ci95[1], math.exp(d.mean - half), 1e-6)
  lu.assertAlmostEquals(ratio.ci95[2], math.exp(d.mean + half), 1e-6)
  lu.assertAlmostEquals(qb.token_probability.mean_change, c.mean, 1e-7)
  lu.assertAlmostEquals(qb.token_probability.rms_change, math.sqrt(c.mean ^ 2 + c.std ^ 2 * (count - 1) / count), 1e-7)
  lu.assertEquals(qb.errors_by, "tokens")                        -- of two windows
  how.context = 8
  quality.run(a, tokens, { context = 8, most = 1000, folder = folder, role = "reference", report = quiet })
  local eight = quality.run(b, tokens, how)
  lu.assertEquals({ eight.windows, eight.errors_by }, { 8, "windows" })
  lu.assertTrue(eight.perplexity_ratio.ci95[1] < eight.perplexity_ratio.value and eight.kl.standard_error > 0)
  how.context = 32
  quality.run(a, tokens, { context = 32, most = 1000, folder = folder, role = "reference", report = quiet })
  -- against itself nothing is lost; without the reference's logits it says so
  local again = quality.run(a, tokens, how)
  lu.assertEquals(again.kl.max, 0)
  lu.assertEquals(again.perplexity_ratio, { value = 1, ci95 = { 1, 1 } })
  lu.assertEquals(again.top1_agreement, 1)
  how.folder = folder .. "/nothing"
  local alone = quality.run(a, tokens, how)
  lu.assertNil(alone.kl)
  lu.assertNil(alone.perplexity_ratio)
  lu.assertStrContains(alone.no_comparison, "not there")
end

function T.test_windows()
  local function cut(n, context, o)
    local tokens = {}
    for i = 1, n do tokens[i] = i end
    local windows, first = score.windows(tokens, context, o or {})
    for i, w in ipairs(windows) do windows[i] = ("%d %d..%d"):format(#w, w[1], w[#w]) end
    return table.concat(windows, "; "), first
  end
  local function check(n, context, o, text, first)
    local got, row = cut(n, context, o)
    lu.assertEquals({ got, row }, { text, first })
  end
  check(7, 8, nil, "7 1..7", 1)                                  -- all of a text that is too short for a window
  check(8, 8, nil, "8 1..8", 5)
  check(17, 8, nil, "8 1..8; 8 9..16", 5)
  check(17, 8, { begin = 99 }, "8 99..8; 8 99..16", 5)
  check(24, 8, { chunks = 2 }, "8 1..8; 8 9..16", 5)
  check(24, 8, { most = 12 }, "8 1..8", 5)
  check(24, 8, { most = 3 }, "8 1..8", 5)
  check(7, 7, nil, "7 1..7", 4)
  lu.assertErrorMsgContains("at least two tokens", score.windows, { 1 }, 8, {})
end

function T.test_unlikely_tokens()
  local logits = core.tensor { { 0, 100, 0 }, { 300, -500, 0 }, { 1, 1, 1 } }
  local nll = score.nll(logits, { 1, 1, 2 })
  lu.assertAlmostEquals(nll[1], 0, 1e-6)
  lu.assertAlmostEquals(nll[2], 800, 1e-9)       -- e^-800 is 0 in any float
  lu.assertAlmostEquals(nll[3], math.log(3), 1e-6)
  local mean, spread = score.mean { 1, 2, 6 }
  lu.assertEquals({ mean, spread }, { 3, math.sqrt(7 / 3) })
  lu.assertEquals({ score.mean { 5 } }, { 5 })
end

local QUESTIONS = {
  { context = "This License does not permit ", answer = 0,
    choices = { "you to convey it", "a", "WARRANTY DISCLAIMED" } },
  { context = "You may not use this file except in", answer = 1,
    choices = { " xyzzy", " compliance with the License" } },
  { context = "Licensed under the Apache", choices = { " of", " License, Version 2.0", "t" }, answer = 0 },
}

-- The same from the logits of whole texts, number by number.
function T.test_questions()
  local m = lb.model.load "tests/fixtures/models/tiny-llama"
  local tokenizer, expected = m:tokenizer(), { picks = {}, right = 0, normalized = 0 }
  for q, question in ipairs(QUESTIONS) do
    local best, best_normalized = {}, {}
    for i, choice in ipairs(question.choices) do
      local tokens = tokenizer:encode(question.context .. choice, { special = true })
      local behind = #tokenizer:encode((question.context:gsub("%s+$", "")), { special = true })
      local logits, sum = m:logits(tokens):totable(), 0
      for row = behind, #tokens - 1 do sum = sum + log_softmax(logits[row])[tokens[row + 1] + 1] end
      if not best.value or sum > best.value then best = { value = sum, i = i } end
      sum = sum / #choice:gsub("^ ", "")
      if not best_normalized.value or sum > best_normalized.value then best_normalized = { value = sum, i = i } end
    end
    expected.picks[q] = best.i - 1
    expected.right = expected.right + (best.i - 1 == question.answer and 1 or 0)
    expected.normalized = expected.normalized + (best_normalized.i - 1 == question.answer and 1 or 0)
  end
  local got = questions.run(m, tokenizer, QUESTIONS, { report = quiet })
  lu.assertEquals(got.picks, expected.picks)
  lu.assertEquals(got.count, 3)
  lu.assertAlmostEquals(got.accuracy, expected.right / 3, 1e-12)
  lu.assertAlmostEquals(got.normalized.accuracy, expected.normalized / 3, 1e-12)
  local p = got.accuracy
  lu.assertAlmostEquals(got.standard_error, math.sqrt(p * (1 - p) / 2), 1e-12)
  lu.assertErrorMsgContains("need a tokenizer", questions.run, m, nil, QUESTIONS, { report = quiet })
  lu.assertEquals(got.truncated, 0)
end

-- What is too long loses its first tokens; a choice that has none, or is itself too long, is named.
function T.test_questions_that_do_not_fit()
  local m = lb.model.load "tests/fixtures/models/tiny-llama"
  local tokenizer, context = m:tokenizer(), m.spec.context
  local function ask(list) return questions.run(m, tokenizer, list, { report = quiet }) end
  local long = { { context = ("word "):rep(context), choices = { "License", "x" }, answer = 0 }, QUESTIONS[1] }
  local got = ask(long)
  lu.assertEquals({ got.count, got.truncated }, { 2, 1 })
  local best
  for i, choice in ipairs(long[1].choices) do
    local tokens = tokenizer:encode(long[1].context .. choice)
    local own, kept, sum = #tokens - #tokenizer:encode((long[1].context:gsub(" $", ""))), {}, 0
    for t = #tokens - context + 1, #tokens do kept[#kept + 1] = tokens[t] end
    local logits = m:logits(kept)
    for row = context - own, context - 1 do
      sum = sum + log_softmax(logits:slice(1, row, row):totable()[1])[kept[row + 1] + 1]
    end
    if not best or sum > best.sum then best = { sum = sum, i = i } end
  end
  lu.assertEquals(got.picks[1], best.i - 1)
  local big = { context = "big", choices = { " a", (" word"):rep(context) }, answer = 0 }
  got = ask { QUESTIONS[1], big, QUESTIONS[2] }
  lu.assertEquals({ got.count, got.asked, got.skipped, #got.picks }, { 2, { 1, 3 }, 1, 2 })
  lu.assertStrContains(got.reasons[1], "question 2 (\"big\"): choice 1 has ")
  lu.assertEquals(got.picks, ask({ QUESTIONS[1], QUESTIONS[2] }).picks)
  lu.assertErrorMsgContains("none could be asked: question 1 (\"big\"): choice 1 has ", ask, { big, big })
  local mute = setmetatable({}, { __index = tokenizer })
  function mute.encode(_, text, o) return tokenizer:encode(text:gsub("!", ""), o) end
  lu.assertErrorMsgContains("question 1 (mute): choice 0 adds no token", questions.run, m, mute,
    { { name = "mute", context = "a", choices = { "!", " b" }, answer = 0 } }, { report = quiet })
end

-- A text begins with the begin token once, and nothing that a template puts behind texts is taken for a choice's.
function T.test_tokens_around_questions()
  local m = lb.model.load "tests/fixtures/models/tiny-llama"
  local plain = m:tokenizer()
  lu.assertEquals(score.begin_of(plain), plain:encode("", { special = true })[1])
  lu.assertNil(score.begin_of(lb.tokenizer "tests/parity/tokenizers/unigram.json"))        -- only behind a text
  lu.assertNil(score.begin_of(lb.tokenizer "tests/parity/tokenizers/qwen2.json"))
  local ending = {}
  function ending.encode(_, text, o)
    local list = plain:encode(text, o)
    if o then list[#list + 1] = 5 end
    return list
  end
  lu.assertEquals(questions.run(m, ending, QUESTIONS, { report = quiet }),
    questions.run(m, plain, QUESTIONS, { report = quiet }))
  local begin, marked = plain:decode { score.begin_of(plain) }, {}
  for q, question in ipairs(QUESTIONS) do
    marked[q] = { context = begin .. question.context, choices = question.choices, answer = question.answer }
  end
  lu.assertEquals(plain:encode(begin), { score.begin_of(plain) })
  lu.assertEquals(questions.run(m, plain, marked, { report = quiet }),
    questions.run(m, plain, QUESTIONS, { report = quiet }))
end

function T.test_questions_to_two_models()
  local function asked(picks, right, numbers)
    local all = {}
    for i in ipairs(picks) do all[i] = i end
    return { asked = numbers or all, picks = picks, right = right }
  end
  local first = asked({ 0, 1, 2, 0 }, { true, true, false, false })
  local r = questions.compare(first, asked({ 0, 0, 1, 0 }, { true, false, true, false }))
  lu.assertEquals({ r.same, r.gained, r.lost, r.difference }, { 0.5, 1, 1, 0 })
  lu.assertAlmostEquals(r.ci95[2], 1.96 * math.sqrt(3) / 6, 1e-12)
  lu.assertAlmostEquals(r.ci95[1], -r.ci95[2], 1e-12)
  -- nothing changed: still nobody knows that nothing can
  local picks, right = {}, {}
  for q = 1, 20 do picks[q], right[q] = 0, q > 3 end
  local same = questions.compare(asked(picks, right), asked(picks, right))
  lu.assertEquals({ same.gained, same.lost, same.difference, same.same }, { 0, 0, 0, 1 })
  lu.assertAlmostEquals(same.ci95[1], -1.96 / 22, 1e-12)
  lu.assertAlmostEquals(same.ci95[2], 1.96 / 22, 1e-12)
  local worse = {}
  for q = 1, 20 do worse[q] = q > 13 end
  r = questions.compare(asked(picks, right), asked(picks, worse))
  lu.assertEquals({ r.gained, r.lost, r.difference }, { 0, 10, -0.5 })
  lu.assertTrue(r.ci95[1] < -0.5 and r.ci95[2] > -0.5 and r.ci95[2] < 0)
  -- only those that both were asked
  r = questions.compare(first, asked({ 1, 2 }, { true, true }, { 2, 3 }))
  lu.assertEquals({ r.same, r.gained, r.lost, r.difference }, { 1, 1, 0, 0.5 })
  lu.assertNil(questions.compare(first, asked({ 1 }, { true }, { 9 })))
end

-- Values that are alike within a window say no more than the windows do.
function T.test_errors_by_window()
  local values, windows = {}, {}
  for w = 1, 8 do
    windows[w] = 10
    for _ = 1, 10 do values[#values + 1] = w end
  end
  local mean, spread, by = score.clustered_mean(values, windows)
  lu.assertEquals({ mean, by }, { 4.5, "windows" })
  lu.assertAlmostEquals(spread, core.stats({ 1, 2, 3, 4, 5, 6, 7, 8 }).std / math.sqrt(8), 1e-12)
  mean, spread, by = score.clustered_mean({ 1, 2, 6 }, { 2, 1 })
  lu.assertEquals({ mean, spread, by }, { 3, math.sqrt(7 / 3), "tokens" })
  lu.assertEquals({ score.clustered_mean({ 5 }, { 1 }) }, { 5, nil, "tokens" })
end

function T.test_files_of_questions()
  local function load(text, ending)
    local path = folder .. "/q" .. (ending or ".json")
    core.write_file(path, text)
    return questions.load(path)
  end
  local one = '{"context": "a", "choices": [" b", " c"], "answer": 1}'
  lu.assertEquals(load("[" .. one .. "]"), { { context = "a", choices = { " b", " c" }, answer = 1 } })
  lu.assertEquals(#load(one .. "\n\n" .. one .. "\n", ".jsonl"), 2)
  for _, bad in ipairs {
    { "[]", "a list of questions" }, { "{}", "a list of questions" }, { "[1]", "question 1: an object" },
    { '[{"context": "a", "choices": ["b"], "answer": 0}]', "at least two choices" },
    { '[{"context": "a", "choices": ["b", "c"], "answer": 2}]', "from 0 to 1" },
    { '[{"context": "a", "choices": ["b", "c"], "answer": 0.5}]', "from 0 to 1" },
    { '[{"context": "a", "choices": ["b", "c"], "answer": "b"}]', "answer should be a number" },
    { '[{"context": "a", "choices": ["b", " "], "answer": 0}]', "choice 1 is no text" },
    { '[{"context": " ", "choices": ["b", "c"], "answer": 0}]', "no context" },
    { '[{"query": "a", "choices": ["b", "c"], "answer": 0}]', 'unknown field "query"' } } do
    lu.assertErrorMsgContains(bad[2], load, bad[1])
  end
  lu.assertErrorMsgContains("q.jsonl:2", load, one .. "\n{", ".jsonl")
  lu.assertErrorMsgContains("no such file", questions.load, folder .. "/nothing.json")
  lu.assertErrorMsgContains("no UTF-8", load, '[{"context": "\255"}]')
end

local function run_record(ttft, steps, prompt, generated, rates)
  local sum, first = 0, 0
  for _, ns in ipairs(steps) do sum = sum + ns end
  for _, ns in ipairs(ttft) do first = first + ns end
  return { status = "ok", axes = { category = "c" }, runs = { ttft_ns = ttft, end_to_end_ns = ttft, step_ns = steps,
    steps_ns = sum, generation_rates = rates },
    metrics = { prompt_tokens = { median = prompt }, generated_tokens = { median = generated } } }
end

function T.test_sums()
  local s = summary.of_records({ run_record({ 2e6, 2e6 }, { 1e6, 1e6, 1e6, 3e6 }, 10, 3, { 1000, 500 }),
    run_record({ 4e6 }, { 1e6, 1e6 }, 20, 3, { 1000 }), { status = "failed" }, { status = "skipped" } }, 1)
  lu.assertEquals(s.prompts, { ok = 2, failed = 1, skipped = 1 })
  lu.assertEquals(s.prompt.count, 40)
  lu.assertAlmostEquals(s.prompt.rate, 40 / 8e-3, 1e-6)
  lu.assertEquals(s.generation.count, 6)
  lu.assertEquals(s.generated_tokens, 9)
  lu.assertEquals({ s.generation_rate.min, s.generation_rate.max, s.generation_rate.samples }, { 500, 1000, 3 })
  lu.assertAlmostEquals(s.generation.rate, 6 / 8e-3, 1e-6)
  lu.assertAlmostEquals(s.peak_rate, 1000, 1e-6)
  lu.assertEquals(s.inter_token_latency.samples, 6)
end

function T.test_comparison()
  local rows = summary.compare({ memory = { weights_bytes = 100 } }, { memory = { weights_bytes = 25 } })
  lu.assertEquals(rows[1], { heading = "memory" })
  lu.assertEquals(rows[2].ratio, 0.25)
  lu.assertEquals(rows[2].difference, -75)
  lu.assertEquals(#rows, 2)
  lu.assertNil(summary.compare({ memory = { weights_bytes = 100 } })[2].ratio)
  -- a share of 1 in the file, points for people
  local change = summary.compare({}, { quality = { token_probability = { mean_change = -0.0125 } } })[2]
  lu.assertEquals({ change.unit, change.quantized }, { "fraction", -0.0125 })
  lu.assertEquals({ show.cells(change) }, { "-", "-1.250 points", "", "" })
end

-- Shares of right choices stand beside one another only where they are of the same questions.
function T.test_comparison_of_questions()
  local function of(asked, accuracy)
    return { quality = { questions = { count = #asked, asked = asked, accuracy = accuracy } } }
  end
  local function row(a, b)
    for _, r in ipairs(summary.compare(a, b)) do
      if r.field == "quality.questions.accuracy" then return r end
    end
  end
  local same, other = row(of({ 1, 2 }, 0.5), of({ 1, 2 }, 1)), row(of({ 1, 2 }, 0.5), of({ 1, 3 }, 1))
  lu.assertEquals({ same.difference, same.ratio, summary.label(same) }, { 0.5, 2, "right choices" })
  lu.assertEquals({ other.original, other.quantized }, { 0.5, 1 })
  lu.assertNil(other.difference or other.ratio)
  lu.assertEquals(summary.label(other), "right choices (not of the same questions)")
  lu.assertEquals(summary.label(row(of({ 1, 2 }, 0.5), of({ 1 }, 1))), "right choices (not of the same questions)")
  lu.assertEquals(summary.label(row(of({ 1 }, 0.5))), "right choices")
end

function T.test_problems_with_questions()
  local side = { name = "original", records = {}, quality = { questions = { reasons = { "question 2: long" } } } }
  lu.assertEquals(show.problems(side), { "original: questions: 1 skipped; the first: question 2: long" })
  side.quality.questions.reasons[2] = "question 3: long"
  lu.assertEquals(show.problems(side), { "original: questions: 2 skipped; the first: question 2: long" })
  side.quality.questions.reasons = {}
  lu.assertEquals(show.problems(side), {})
end

function T.test_eleven_prompts()
  local list, categories = prompts.load(), {}
  lu.assertEquals(#list, 11)
  for _, p in ipairs(list) do categories[p.category] = (categories[p.category] or 0) + 1 end
  for _, length in ipairs { "short", "medium", "long" } do
    for _, kind in ipairs { "factual", "creative", "reasoning" } do
      lu.assertEquals(categories[length .. "_" .. kind], 1)
    end
  end
  lu.assertEquals(categories.very_long_factual, 1)
  lu.assertEquals(categories.very_long_creative, 1)
end

return T

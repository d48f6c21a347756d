-- questions.lua: questions with several answers to choose from, as lm-eval's "multiple_choice" scores them: the answer
-- whose tokens the model finds likeliest behind the question is its choice; normalized: by the logarithm of that over
-- the answer's characters. Of two models the right answers are compared question by question.
local core = require "luabench.core"
local json = require "luabench.json"
local models = require "luabench.model_file"
local score = require "luabench.model.score"
local sys = require "luabench.sys"

local M = {}

local FIELDS = { name = "string", context = "string", choices = "table", answer = "number" }

local function entry(where, q)
  local function bad(why, ...) error(where .. ": " .. why:format(...), 0) end
  if type(q) ~= "table" then bad("an object { \"context\", \"choices\", \"answer\" } was expected, got %s", type(q)) end
  for key, v in pairs(q) do
    if not FIELDS[key] then bad("unknown field %q; there are name, context, choices and answer", tostring(key)) end
    if type(v) ~= FIELDS[key] then bad("%s should be a %s, got a %s", key, FIELDS[key], type(v)) end
  end
  if not (q.context or ""):find "%S" then bad "it has no context" end
  if not q.choices or #q.choices < 2 then bad "at least two choices were expected" end
  for i, text in ipairs(q.choices) do
    if type(text) ~= "string" or not text:find "%S" then bad("choice %d is no text, or an empty one", i - 1) end
  end
  if not q.answer or q.answer % 1 ~= 0 or q.answer < 0 or q.answer >= #q.choices then
    bad("answer should be the right choice's number, from 0 to %d", #q.choices - 1)
  end
  return { name = q.name, context = q.context, choices = q.choices, answer = q.answer }
end

local function lines_of(path)
  local list, n = {}, 0
  for line in (sys.file_read(path) .. "\n"):gmatch "([^\n]*)\n" do
    n = n + 1
    if line:find "%S" then
      local where = ("%s:%d"):format(path, n)
      core.json_check(where, line)
      list[#list + 1] = entry(where, (core.json_decode(line)))
    end
  end
  return list
end

-- The questions of a JSON file (a list) or, with the ending .jsonl, of its lines: { name?, context, choices =
-- { texts }, answer = number of the right one, from 0 }. A choice stands right behind its context: it begins with the
-- space that belongs there. Raises (level 0).
function M.load(path)
  if not sys.exists(path) then error(path .. ": no such file", 0) end
  local wrong = sys.not_utf8(sys.file_read(path))
  if wrong then error(("%s: byte %d is no UTF-8"):format(path, wrong), 0) end
  local list = {}
  if path:lower():find "%.jsonl$" then
    list = lines_of(path)
  else
    for i, q in ipairs(models.read_json(path)) do list[i] = entry(("%s: question %d"):format(path, i), q) end
  end
  if #list == 0 then
    error(path .. ": a list of questions { \"context\", \"choices\", \"answer\" } was expected", 0)
  end
  return list
end

-- Of a choice, without the space that it begins with, which lm-eval puts there itself.
local function characters(text)
  local _, n = text:gsub("^%s+", ""):gsub("[^\128-\191]", "")
  return n
end

-- What a message calls a question.
local function called(question, q)
  return ("question %d (%s)"):format(q, question.name or ("%q"):format(question.context:sub(1, 60)))
end

-- The tokens of context and choice, and how many of them are the context's: white space at its end goes with the
-- choice, since tokens begin with spaces. Of the tokens that stand around a text only the one it begins with is there
-- (once, where the context has it itself): one that ends it would stand behind the choice, and count as a part of it.
-- What is longer than `most` tokens loses its first ones, as lm-eval does it. Third result: were any lost. Of a choice
-- without tokens, or with more than `most`: nil and why.
local function tokens_of(tokenizer, begin, most, question, q, i)
  local whole = tokenizer:encode(question.context .. question.choices[i])
  local behind = #tokenizer:encode((question.context:gsub("%s+$", "")))
  if begin and whole[1] ~= begin then
    table.insert(whole, 1, begin)
    behind = behind + 1
  end
  if behind < 1 or #whole <= behind then
    return nil, ("%s: choice %d adds no token to it"):format(called(question, q), i - 1)
  end
  local lost = math.max(0, #whole - most)
  if lost >= behind then
    return nil, ("%s: choice %d has %d tokens, and the model's context is %d"):format(called(question, q), i - 1,
      #whole - behind, most)
  end
  local kept = {}
  for t = lost + 1, #whole do kept[#kept + 1] = whole[t] end
  return kept, behind - lost, lost > 0
end

-- A question's choices as { tokens =, behind = }, of how many tokens the longest is, and was any cut; or nil and why.
local function prepare_one(tokenizer, begin, most, question, q)
  local choices, longest, any = {}, 0, false
  for i = 1, #question.choices do
    local tokens, behind, cut = tokens_of(tokenizer, begin, most, question, q, i)
    if not tokens then return nil, behind end
    choices[i], longest, any = { tokens = tokens, behind = behind }, math.max(longest, #tokens), any or cut
  end
  return choices, longest, any
end

-- { asked = numbers of the questions that fit, choices = of each of these, longest = tokens, truncated = questions that
-- were cut, reasons = of those that do not fit }.
local function prepare(model, tokenizer, list)
  local begin, most = score.begin_of(tokenizer), model.spec.context or math.huge
  local p = { asked = {}, choices = {}, longest = 0, truncated = 0, reasons = {} }
  for q, question in ipairs(list) do
    local choices, longest, cut = prepare_one(tokenizer, begin, most, question, q)
    if choices then
      p.asked[#p.asked + 1], p.choices[#p.choices + 1] = q, choices
      p.longest, p.truncated = math.max(p.longest, longest), p.truncated + (cut and 1 or 0)
    else
      p.reasons[#p.reasons + 1] = longest
    end
  end
  return p
end

local function pick(values)
  local best = 1
  for i = 2, #values do
    if values[i] > values[best] then best = i end
  end
  return best
end

-- What the model chooses: numbers from 1, by likelihood, and normalized.
local function choose(s, question, prepared)
  local likely, normalized = {}, {}
  for i, one in ipairs(prepared) do
    local sum = 0
    score.each(s, one.tokens, one.behind, function(_, logits, targets)
      for _, nll in ipairs(score.nll(logits, targets)) do sum = sum - nll end
    end)
    likely[i], normalized[i] = sum, sum / characters(question.choices[i])
  end
  collectgarbage()
  return pick(likely), pick(normalized)
end

local function share(right)
  local values = {}
  for i, ok in ipairs(right) do values[i] = ok and 1 or 0 end
  return score.mean(values)
end

-- o = { mode =, report = f(done, total) }. { count = questions asked, asked = their numbers from 1, skipped = how many
-- could not be, reasons = why, a text each, truncated = questions that lost tokens at their left since they are longer
-- than the model's context, accuracy, standard_error, normalized = { accuracy, standard_error }, picks (from 0), right
-- (a boolean each) }. A question with a choice that has no tokens, or more than the context, is skipped; raises (level
-- 0) where all are.
function M.run(model, tokenizer, list, o)
  if not tokenizer then error("questions need a tokenizer, and the model has none", 0) end
  local p = prepare(model, tokenizer, list)
  local count = #p.asked
  if count == 0 then error("none could be asked: " .. p.reasons[1], 0) end
  local s = model:session { batch = 1, capacity = p.longest, cache = "f32", mode = o.mode }
  local picks, right, normalized = {}, {}, {}
  for i, q in ipairs(p.asked) do
    local likely, by_length = choose(s, list[q], p.choices[i])
    picks[i], right[i], normalized[i] = likely - 1, likely - 1 == list[q].answer, by_length - 1 == list[q].answer
    if sys.interrupted() then error("interrupted", 0) end
    o.report(i, count)
  end
  local out = { count = count, asked = p.asked, skipped = #p.reasons, reasons = json.array(p.reasons),
    truncated = p.truncated, picks = picks, right = right, normalized = {} }
  out.accuracy, out.standard_error = share(right)
  out.normalized.accuracy, out.normalized.standard_error = share(normalized)
  return out
end

-- The 95 % interval of a difference of paired shares, by Agresti and Min (Statistics in Medicine 24, 2005): a half is
-- added to each of the four counts, so that a few questions, none of which changed, do not make an interval of nothing.
local function paired_interval(gained, lost, count)
  local n, b, c = count + 2, gained + 0.5, lost + 0.5
  local middle, half = (b - c) / n, score.NORMAL_95 * math.sqrt(b + c - (b - c) ^ 2 / n) / n
  return { math.max(-1, middle - half), math.min(1, middle + half) }
end

-- What both models were asked, of which contexts and tokenizers may differ: { same = share of equal choices, gained,
-- lost = questions that only the second, only the first has right, difference = of accuracies, ci95 = { low, high } of
-- it }; nil if there is no such question.
function M.compare(a, b)
  local same, gained, lost, count, at = 0, 0, 0, 0, {}
  for i, q in ipairs(a.asked) do at[q] = i end
  for j, q in ipairs(b.asked) do
    local i = at[q]
    if i then
      local x, y = a.right[i], b.right[j]
      count, same = count + 1, same + (a.picks[i] == b.picks[j] and 1 or 0)
      gained, lost = gained + (y and not x and 1 or 0), lost + (x and not y and 1 or 0)
    end
  end
  if count == 0 then return nil end
  return { same = same / count, gained = gained, lost = lost, difference = (gained - lost) / count,
    ci95 = paired_interval(gained, lost, count) }
end

return M

-- quality.lua: what a model makes of a text: perplexity; and, of two models on the same tokens, how far their
-- next-token distributions are apart: KL divergence, and how often the likeliest token is the same.
--
-- The text is cut into windows of `context` tokens; the first token of each is the model's first where texts begin with
-- one; the second half of each window is scored, as llama.cpp's perplexity does it. A shorter text is one window,
-- scored from its second token on. The reference's logits at the scored positions go through files (f32), one a window.
local core = require "luabench.core"
local sys = require "luabench.sys"

local M = {}

local ROWS = 16                 -- rows of logits that are compared at a time

local function windows_of(tokens, context, most)
  if #tokens < 2 then error("quality needs a text of at least two tokens", 0) end
  if #tokens < context then return { tokens }, 1 end
  local list, count = {}, math.max(1, math.floor(math.min(#tokens, most) / context))
  for w = 1, count do
    list[w] = {}
    for i = 1, context do list[w][i] = tokens[(w - 1) * context + i] end
  end
  return list, math.floor(context / 2) + 1
end

-- log softmax of rows [n, V], f64
local function log_softmax(logits)
  local x = logits:to "f64"
  local n = x.shape[1]
  local shifted = x - x:max(2):reshape { n, 1 }
  return shifted - shifted:exp():sum(2):log():reshape { n, 1 }
end

local function path_of(folder, w) return ("%s/window-%d.npy"):format(folder, w) end

-- Sums over the scored rows of one window; `other`: the reference's logits there.
local function compare(sums, logits, reference)
  local p, q = log_softmax(reference), log_softmax(logits)
  local kl, a, b = (p:exp() * (p - q)):sum(2):totable(), p:argmax(2):totable(), q:argmax(2):totable()
  for i = 1, #kl do
    sums.kl[#sums.kl + 1] = math.max(kl[i], 0)
    sums.same = sums.same + (a[i] == b[i] and 1 or 0)
  end
end

local function score(sums, logits, targets)
  local q = log_softmax(logits)
  for i, target in ipairs(targets) do
    local nll = -q:get(i, target + 1)
    sums.nll, sums.squares, sums.count = sums.nll + nll, sums.squares + nll * nll, sums.count + 1
  end
end

-- Logits of the scored rows of a window, [n, V]: row t after token t, rows first .. #window - 1.
local function scored_logits(s, window, first, vocab, device)
  local all = core.zeros({ #window - first, vocab }, { dtype = "f32", device = device })
  s:reset()
  s:all_logits(window, function(row, part)
    for i = 1, part.shape[1] do
      local at = row + i - 1
      if at >= first and at < #window then all:slice(1, at - first + 1, at - first + 1):copy(part:slice(1, i, i)) end
    end
  end)
  return all
end

local function one_window(sums, logits, window, first, reference)
  local n = logits.shape[1]
  for at = 1, n, ROWS do
    local last = math.min(n, at + ROWS - 1)
    local part, targets = logits:slice(1, at, last), {}
    for i = at, last do targets[#targets + 1] = window[first + i] end
    score(sums, part, targets)
    if reference then compare(sums, part, reference:slice(1, at, last)) end
    collectgarbage()
    if sys.interrupted() then error("interrupted", 0) end
  end
end

local function result_of(sums, windows, context)
  local mean = sums.nll / sums.count
  local variance = sums.count > 1 and math.max(sums.squares / sums.count - mean * mean, 0) / (sums.count - 1) or nil
  local out = { perplexity = math.exp(mean), nll = mean, tokens = sums.count, windows = #windows, context = context,
    standard_error = variance and math.exp(mean) * math.sqrt(variance) or nil }
  if #sums.kl > 0 then
    local s = sys.stats(sums.kl)
    out.kl = { mean = s.mean, median = s.median, max = s.max, p90 = s.p90, p99 = s.p99, tokens = #sums.kl }
    out.top1_agreement = sums.same / #sums.kl
  end
  return out
end

-- o = { context =, most =, folder =, role = "reference" or "compared" or nil, mode =, report = f(done, total) }.
-- { perplexity, standard_error, nll, tokens, windows, context, kl = { mean, median, p90, p99, max, tokens },
-- top1_agreement }; the last two where it is compared, no_comparison = reason where it could not be.
function M.run(model, tokens, o)
  local context = math.min(o.context or 512, model.spec.context or math.huge)
  local windows, first = windows_of(tokens, context, o.most or math.huge)
  local begin = model.file and model:begin_token()
  local s = model:session { batch = 1, capacity = #windows[1], cache = "f32", mode = o.mode }
  local sums = { nll = 0, squares = 0, count = 0, kl = {}, same = 0 }
  local vocab, why = model.spec.vocab, nil
  for w, window in ipairs(windows) do
    if begin and #windows > 1 then window[1] = begin end
    local logits, reference = scored_logits(s, window, first, vocab, model.device), nil
    if o.role == "reference" then core.npy_save(path_of(o.folder, w), logits) end
    if o.role == "compared" then
      local ok, t = pcall(core.npy_load, path_of(o.folder, w))
      reference = ok and t.shape[1] == logits.shape[1] and t.shape[2] == vocab and t or nil
      why = why or not reference and "the original's logits are not there, or of another vocabulary or length" or nil
    end
    one_window(sums, logits, window, first, not why and reference or nil)
    o.report(w, #windows)
  end
  if why then sums.kl = {} end
  local out = result_of(sums, windows, #windows[1])
  out.no_comparison = why
  return out
end

return M

-- quality.lua: what a model makes of a text: perplexity; and, of two models on the same tokens, how far their
-- next-token distributions are apart: the ratio of their perplexities, from the differences token by token (so that
-- what makes a text easy or hard does not blur it); KL divergence; how often the likeliest token is the same; how the
-- probabilities of the text's own tokens change.
--
-- Windows and what is scored of them: model/score.lua. The reference's logits at the scored positions go through files
-- (f32), one a window.
local core = require "luabench.core"
local score = require "luabench.model.score"
local sys = require "luabench.sys"

local M = {}

local ROWS = 16                 -- rows of logits that are compared at a time

-- log softmax of rows [n, V], f64
local function log_softmax(logits)
  local x = logits:to "f64"
  local n = x.shape[1]
  local shifted = x - x:max(2):reshape { n, 1 }
  return shifted - shifted:exp():sum(2):log():reshape { n, 1 }
end

local function path_of(folder, w) return ("%s/window-%d.npy"):format(folder, w) end

-- Some rows of both, and the tokens behind them: what they add to the sums.
local function compare(sums, logits, reference, targets, nll)
  local p, q = log_softmax(reference), log_softmax(logits)
  local kl, a, b = (p:exp() * (p - q)):sum(2):totable(), p:argmax(2):totable(), q:argmax(2):totable()
  for i, target in ipairs(targets) do
    sums.kl[#sums.kl + 1] = math.max(kl[i], 0)
    sums.same = sums.same + (a[i] == b[i] and 1 or 0)
    sums.deltas[#sums.deltas + 1] = p:get(i, target + 1) - q:get(i, target + 1)
    sums.changes[#sums.changes + 1] = math.exp(-nll[i]) - math.exp(p:get(i, target + 1))
  end
end

-- The reference's logits of a window, or nil.
local function reference_of(o, w, rows, vocab)
  local ok, t = pcall(core.npy_load, path_of(o.folder, w))
  return ok and t.shape[1] == rows and t.shape[2] == vocab and t or nil
end

-- kept: [scored rows, vocab] to be filled with the logits, or nil; reference: those to be compared with, or nil.
local function one_window(sums, s, window, first, kept, reference)
  score.each(s, window, first, function(row, logits, targets)
    local at = row - first
    if kept then kept:slice(1, at + 1, at + #targets):copy(logits) end
    for from = 1, #targets, ROWS do
      local to, some = math.min(#targets, from + ROWS - 1), {}
      for i = from, to do some[#some + 1] = targets[i] end
      local part = logits:slice(1, from, to)
      local nll = score.nll(part, some)
      for _, v in ipairs(nll) do sums.nll[#sums.nll + 1] = v end
      if reference then compare(sums, part, reference:slice(1, at + from, at + to), some, nll) end
      collectgarbage()
      if sys.interrupted() then error("interrupted", 0) end
    end
  end)
end

local function against_reference(out, sums)
  local mean, spread, by = score.clustered_mean(sums.deltas, sums.windows)
  local half = spread and score.NORMAL_95 * spread
  out.errors_by = spread and by
  out.perplexity_ratio = { value = math.exp(mean), ci95 = half and { math.exp(mean - half), math.exp(mean + half) } }
  local kl, s = sys.stats(sums.kl), 0
  local _, kl_spread = score.clustered_mean(sums.kl, sums.windows)
  out.kl = { mean = kl.mean, standard_error = kl_spread, median = kl.median, max = kl.max, p90 = kl.p90, p99 = kl.p99,
    tokens = #sums.kl }
  out.top1_agreement = sums.same / #sums.kl
  for _, v in ipairs(sums.changes) do s = s + v * v end
  out.token_probability = { mean_change = score.mean(sums.changes), rms_change = math.sqrt(s / #sums.changes) }
end

-- o = { context =, most =, folder =, role = "reference" or "compared" or nil, mode =, report = f(done, total) }.
-- { perplexity, standard_error, nll, tokens, windows, context }, and where it is compared (else no_comparison = reason
-- where it could not be) perplexity_ratio = { value, ci95 = { low, high } } (over the reference's), kl = { mean,
-- standard_error, median, p90, p99, max, tokens }, errors_by = what that interval and the standard error of kl take as
-- independent of one another, "windows" or (where these are too few) "tokens", top1_agreement, token_probability = {
-- mean_change, rms_change } (of the text's tokens, from 0 to 1).
function M.run(model, tokens, o)
  local context = math.min(o.context or 512, model.spec.context or math.huge)
  local windows, first = score.windows(tokens, context, { most = o.most, begin = model.file and model:begin_token() })
  local s = model:session { batch = 1, capacity = #windows[1], cache = "f32", mode = o.mode }
  local sums = { nll = {}, kl = {}, deltas = {}, changes = {}, windows = {}, same = 0 }
  local rows, vocab, why = #windows[1] - first, model.spec.vocab, nil
  for w, window in ipairs(windows) do
    local kept = o.role == "reference" and core.zeros({ rows, vocab }, { dtype = "f32", device = model.device }) or nil
    local reference = o.role == "compared" and reference_of(o, w, rows, vocab) or nil
    why = why or o.role == "compared" and not reference
      and "the original's logits are not there, or of another vocabulary or length" or nil
    local before = #sums.deltas
    one_window(sums, s, window, first, kept, not why and reference or nil)
    sums.windows[w] = #sums.deltas - before
    if kept then core.npy_save(path_of(o.folder, w), kept) end
    o.report(w, #windows)
  end
  local out = score.perplexity(sums.nll)
  out.windows, out.context, out.no_comparison = #windows, #windows[1], why
  if o.role == "compared" and not why then against_reference(out, sums) end
  return out
end

return M

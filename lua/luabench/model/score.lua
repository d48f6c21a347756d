-- score.lua: a text cut into windows, and how likely a model finds their tokens, as llama.cpp's perplexity does it: the
-- first token of each window is the model's first where texts begin with one, and the second half is scored. A text
-- shorter than a window is one, scored from its second token on.
local core = require "luabench.core"

local M = {}

-- The token that a tokenizer puts in front of texts; nil where it puts none there, whatever it puts behind them.
function M.begin_of(tokenizer)
  local plain, around = tokenizer:encode "a", tokenizer:encode("a", { special = true })
  if #plain == #around or around[1] == plain[1] then return nil end
  return around[1]
end

-- tokens: a list of numbers; o = { begin = token or nil, most = tokens that are used, chunks = windows that are used }.
-- Returns the windows (lists) and the first row of each that is scored: row t tells of token t + 1.
function M.windows(tokens, context, o)
  if #tokens < 2 then error("perplexity needs a text of at least two tokens", 0) end
  local n = math.min(context, #tokens)
  local count = math.min(math.max(1, math.floor(math.min(#tokens, o.most or #tokens) / n)), o.chunks or math.huge)
  local list = {}
  for w = 1, count do
    list[w] = {}
    for i = 1, n do list[w][i] = tokens[(w - 1) * n + i] end
    if o.begin then list[w][1] = o.begin end
  end
  return list, #tokens < context and 1 or math.floor(n / 2) + 1
end

-- Takes a window in; f(row, logits [n, vocab], targets) for its rows from `first` on, in parts: `row` is that of the
-- first logits, valid until the next part, and targets[i] the token behind the i-th of them.
function M.each(s, window, first, f)
  s:reset()
  s:all_logits(window, function(row, logits)
    local from, to = math.max(row, first), math.min(row + logits.shape[1], #window) - 1
    if from > to then return end
    local targets = {}
    for i = from, to do targets[#targets + 1] = window[i + 1] end
    f(from, logits:slice(1, from - row + 1, to - row + 1), targets)
  end)
end

-- Of a probability below this, f32 has too few digits left.
local SMALL = 1e-30

-- -ln p of each row's target, in nats.
function M.nll(logits, targets)
  local list, p = {}, core.eager.softmax { x = logits }
  for i, target in ipairs(targets) do
    local q = p:get(i, target + 1)
    if q < SMALL then
      local row = logits:slice(1, i, i):to "f64"
      local top = row:max()
      list[i] = top + math.log((row - top):exp():sum()) - row:get(1, target + 1)
    else
      list[i] = -math.log(q)
    end
  end
  p:close()
  return list
end

-- Mean of values, and its standard error (nil of one value).
function M.mean(values)
  local n, sum, squares = #values, 0, 0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / n
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, n > 1 and math.sqrt(squares / (n - 1) / n) or nil
end

-- The normal distribution's: mean -/+ so many standard errors is a 95 % interval.
M.NORMAL_95 = 1.96

-- Fewer windows say too little of how windows differ.
local LEAST_WINDOWS = 8

-- Mean and standard error of values that come in windows: windows = { how many values each has }, in their order. What
-- is in one window is not independent: from 8 windows on the error is that of their sums about the mean (clustered by
-- window), with fewer as if the values were. Third result: "windows" or "tokens", whichever it was.
function M.clustered_mean(values, windows)
  local mean, spread = M.mean(values)
  local n = #windows
  if n < LEAST_WINDOWS then return mean, spread, "tokens" end
  local at, squares = 0, 0
  for _, count in ipairs(windows) do
    local sum = 0
    for i = at + 1, at + count do sum = sum + (values[i] - mean) end
    at, squares = at + count, squares + sum * sum
  end
  return mean, math.sqrt(squares * n / (n - 1)) / #values, "windows"
end

-- { perplexity, standard_error, nll, tokens } of tokens' -ln p.
function M.perplexity(nll)
  local mean, spread = M.mean(nll)
  return { perplexity = math.exp(mean), nll = mean, standard_error = spread and math.exp(mean) * spread,
    tokens = #nll }
end

return M

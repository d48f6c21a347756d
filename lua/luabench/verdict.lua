-- verdict.lua: faster, slower, same or inconclusive: the one place where times become a claim. The statistics are C's
-- (engine/contrast.h); lb.compare, `luabench ab`, `luabench compare`, scenarios with a baseline and the self-test ask
-- here.
--
-- A result is a table
--   n, m          pairs (m = n), or values of a and of b
--   ratio         time of b over time of a; ci95 = { lo, hi } its interval, absent where there are too few values
--   epsilon       what counts as a difference: 0.01 is 1 % either way
--   verdict       "faster" or "slower" (of b): the interval clears +-epsilon; "same": it lies inside; "inconclusive"
--   p_difference  two-sided, that the ratio lies beyond +-epsilon; p_same: that it lies within. At 95 % a verdict other
--                 than inconclusive goes with a p of at most 0.05, and the other way round
--   p_flip        secondary: sign-flip permutation test that the mean log ratio is 0 (paired only)
--   detectable    minimum detectable effect: the least change (0.02 = 2 %) that so many values with this scatter would
--                 have called faster or slower with 80 % power; absent where it is unknown
--   family, p_difference_holm, p_same_holm     after M.holm over a grid
local sys = require "luabench.sys"

local M = {}

M.EPSILON = 0.01
M.CONFIDENCE = 0.95

local log, exp = math.log, math.exp

local function check_epsilon(e, who)
  if e == nil then return M.EPSILON end
  if type(e) ~= "number" or not (e > 0 and e < 1) then
    error(("%s: epsilon should be a number between 0 and 1 (0.01 = 1 %%), got %s"):format(who, tostring(e)), 0)
  end
  return e
end
M.check_epsilon = check_epsilon

-- The verdict that two p values give at a level.
local function decide(r, p_difference, p_same, alpha)
  if not r.ci95 then return "inconclusive" end
  if p_difference <= alpha then return r.ratio < 1 and "faster" or "slower" end
  if p_same <= alpha then return "same" end
  return "inconclusive"
end

local function result_of(c, epsilon)
  local r = { n = c.n, m = c.m, ratio = c.shift and exp(c.shift), epsilon = epsilon,
    ci95 = c.lo and { exp(c.lo), exp(c.hi) } or nil, half_width = c.lo and (c.hi - c.lo) / 2 or nil,
    p_difference = math.min(1, 2 * math.min(c.p_below, c.p_above)), p_same = math.min(1, 2 * c.p_inside),
    detectable = c.detectable and exp(c.detectable) - 1 or nil }
  r.verdict = decide(r, r.p_difference, r.p_same, 1 - M.CONFIDENCE)
  return r
end

local function opts_of(epsilon) return { limit = log(1 + epsilon), confidence = M.CONFIDENCE } end

-- logs = list of ln(time of b / time of a), one of each pair. opts = { epsilon = 0.01, seed = 1 (of p_flip) }.
function M.paired_logs(logs, opts)
  opts = opts or {}
  local epsilon = check_epsilon(opts.epsilon, "verdict")
  local r = result_of(sys.contrast(logs, opts_of(epsilon)), epsilon)
  r.p_flip = sys.sign_flip_p(logs, opts.seed)
  return r
end

-- ln(b[i] / a[i]) for the pairs that both lists have.
function M.logs(a, b)
  local out = {}
  for i = 1, math.min(#a, #b) do out[i] = log(b[i] / a[i]) end
  return out
end

-- a, b = times; entry i of both were taken side by side (the same round, the same pair of processes).
function M.paired(a, b, opts) return M.paired_logs(M.logs(a, b), opts) end

-- a, b = times that have nothing to do with one another (the medians of the processes of two saved runs). The value of
-- a side is a process: samples of one process are no values of their own. Fewer than 4 on a side give no interval at 95
-- %.
function M.unpaired(a, b, opts)
  local epsilon = check_epsilon((opts or {}).epsilon, "verdict")
  local la, lb = {}, {}
  for i, x in ipairs(a) do la[i] = log(x) end
  for i, x in ipairs(b) do lb[i] = log(x) end
  return result_of(sys.contrast_unpaired(la, lb, opts_of(epsilon)), epsilon)
end

-- Holm over a family of results (a grid's rows, several sides): differences and sameness are two families, so that the
-- chance of any false "faster" or "slower" is at most 5 %, and that of any false "same" too. Changes the verdicts.
function M.holm(results)
  local difference, same, list = {}, {}, {}
  for _, r in ipairs(results) do
    if r.p_difference and r.p_same then
      list[#list + 1] = r
      difference[#list], same[#list] = r.p_difference, r.p_same
    end
  end
  difference, same = sys.holm(difference), sys.holm(same)
  for i, r in ipairs(list) do
    r.family, r.p_difference_holm, r.p_same_holm = #list, difference[i], same[i]
    r.verdict = decide(r, difference[i], same[i], 1 - M.CONFIDENCE)
  end
  return results
end

-- "slower: time ratio 1.0203, 95 % interval 1.0187 to 1.0219 (12 pairs)"; what = "pairs", "rounds", "processes".
function M.text(r, what)
  local parts = { r.verdict }
  if r.ratio then parts[#parts + 1] = (": time ratio %.4f"):format(r.ratio) end
  if r.ci95 then parts[#parts + 1] = (", 95 %% interval %.4f to %.4f"):format(r.ci95[1], r.ci95[2]) end
  if not r.ci95 then parts[#parts + 1] = ", too few for an interval" end
  parts[#parts + 1] = (" (%d %s)"):format(r.n, what or "pairs")
  if r.verdict == "inconclusive" and r.detectable then
    parts[#parts + 1] = ("; it would take a change of %.2g %% to be found with so many"):format(r.detectable * 100)
  end
  return table.concat(parts)
end

return M

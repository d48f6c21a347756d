-- selftest/judge.lua: what counts as right in so many trials. Shares of trials scatter: each limit is widened by
-- 1.96 standard errors of the share that is asked for. Pure functions.
local M = {}

M.ALPHA = 0.05
local Z = 1.96

local function error_of(share, trials) return Z * math.sqrt(share * (1 - share) / trials) end

-- The most false positives that go with a level: 7.1 % in 400 trials. Fewer than expected is as good: exact tests of
-- discrete statistics are conservative.
function M.false_positives(count, trials, alpha)
  alpha = alpha or M.ALPHA
  local limit = alpha + error_of(alpha, trials)
  return count <= limit * trials, limit
end

-- The least share of intervals that must hold the truth.
function M.coverage(count, trials)
  local limit = 1 - M.ALPHA - error_of(M.ALPHA, trials)
  return count >= limit * trials, limit
end

-- The least share of real differences that must be found.
function M.power(count, trials, least)
  local limit = least - error_of(least, trials)
  return count >= limit * trials, limit
end

return M

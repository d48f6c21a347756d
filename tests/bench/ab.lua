-- ab.lua: how often `luabench ab`, with what it does by default, finds 2 % more work in a compute-bound kernel, and how
-- often it calls a kernel different from itself. `make bench` runs it, for ten to twenty minutes; RUNS=n: n times each.
--
-- With each share stands the bound that so many runs support at 95 % (Clopper and Pearson); hence the numbers of runs:
-- 20 of 20 found say "at least 86.1 %", 60 without a false verdict "at most 4.9 %".
local lb = require "luabench"
local programs = dofile "tests/bench/lib/programs.lua"
local core = lb.core

local FOUND_RUNS, SAME_RUNS = tonumber(os.getenv "RUNS") or 20, tonumber(os.getenv "RUNS") or 60
local SCRIPT = core.exe_path():gsub("/build/luabench$", "") .. "/lua/luabench/selftest/product.lua"

-- P(Bin(n, p) >= k)
local function at_least(k, n, p)
  local sum, term = 0, 1
  for i = 0, n do
    local log_choose = 0
    for j = 1, i do log_choose = log_choose + math.log((n - i + j) / j) end
    term = math.exp(log_choose + i * math.log(p) + (n - i) * math.log(1 - p))
    if i >= k then sum = sum + term end
  end
  return sum
end

local function solve(f)
  local lo, hi = 1e-9, 1 - 1e-9
  for _ = 1, 60 do
    local middle = (lo + hi) / 2
    if f(middle) then hi = middle else lo = middle end
  end
  return (lo + hi) / 2
end

-- The share that k of n is at least, and at most, with 95 % confidence each.
local function lower(k, n) return k == 0 and 0 or solve(function(p) return at_least(k, n, p) >= 0.05 end) end
local function upper(k, n) return k == n and 1 or solve(function(p) return 1 - at_least(k + 1, n, p) <= 0.05 end) end

local function verdicts(folder, runs, extra)
  local counts, seconds, pairs_taken = {}, 0, 0
  for i = 1, runs do
    local path = folder .. "/ab.json"
    local argv = { core.exe_path(), "ab", SCRIPT, SCRIPT, "--cache", "hot", "--threads", "1", "--quiet", "--seed",
      tostring(i), "-o", path }
    if extra then argv[#argv + 1], argv[#argv + 2] = "--extra-work", tostring(extra) end
    programs.run(argv, 300)                       -- status 1 is a verdict
    local r = core.json_decode(io.open(path):read "*a")
    local c = r.cases[1]
    local verdict = c.noisy and "noisy" or c.verdict or "failed"
    counts[verdict] = (counts[verdict] or 0) + 1
    seconds, pairs_taken = seconds + r.seconds, pairs_taken + r.pairs
    os.remove(path)
  end
  return counts, seconds / runs, pairs_taken / runs
end

local function row(name, runs, counts, seconds, pairs_taken, k, bound, wanted, off)
  local parts = {}
  for verdict, n in pairs(counts) do parts[#parts + 1] = n .. " " .. verdict end
  table.sort(parts)
  print(("%-22s %3d of %d (%5.1f %%), %s   should be %s%s"):format(name, k, runs, 100 * k / runs, bound, wanted,
    off and "  off" or ""))
  print(("%22s   %s; %.1f pairs, %.1f s each"):format("", table.concat(parts, ", "), pairs_taken, seconds))
end

programs.with_folder(function(folder)
  local a, a_s, a_pairs = verdicts(folder, FOUND_RUNS, 0.02)
  local found = a.slower or 0
  row("2 % found", FOUND_RUNS, a, a_s, a_pairs, found, ("at least %.1f %%"):format(100 * lower(found, FOUND_RUNS)),
    "at least 80 %", found < 0.8 * FOUND_RUNS)
  local b, b_s, b_pairs = verdicts(folder, SAME_RUNS)
  local called = (b.slower or 0) + (b.faster or 0)
  row("identical, different", SAME_RUNS, b, b_s, b_pairs, called,
    ("at most %.1f %%"):format(100 * upper(called, SAME_RUNS)),
    "at most 5 %", called > 0.05 * SAME_RUNS)
end)

-- test_verdict.lua: times to verdicts: what is called different, what the same, what is left open, and Holm over many.
local lu = require "luaunit"
local verdict = require "luabench.verdict"

local T = {}

-- n pairs whose ratio is `ratio` with a scatter of +-`scatter`.
local function times(n, ratio, scatter)
  local a, b = {}, {}
  for i = 1, n do
    a[i] = 1000 + 37 * (i % 5)
    b[i] = a[i] * ratio * (1 + scatter * ((i * 7 % n) / (n - 1) * 2 - 1))
  end
  return a, b
end

local function of(n, ratio, scatter, epsilon)
  local a, b = times(n, ratio, scatter)
  return verdict.paired(a, b, { epsilon = epsilon })
end

function T.test_the_four_verdicts()
  local slower, faster, same, open = of(12, 1.03, 0.005), of(12, 0.97, 0.005), of(12, 1.001, 0.005), of(12, 1.01, 0.01)
  lu.assertEquals({ slower.verdict, faster.verdict, same.verdict, open.verdict },
    { "slower", "faster", "same", "inconclusive" })
  lu.assertAlmostEquals(slower.ratio, 1.03, 0.002)
  lu.assertTrue(slower.ci95[1] > 1.01 and slower.ci95[1] < 1.03 and slower.ci95[2] > 1.03)
  lu.assertTrue(slower.p_difference <= 0.05 and slower.p_flip < 0.001 and slower.p_same > 0.05)
  lu.assertTrue(same.p_same <= 0.05 and same.p_difference > 0.05)
end

function T.test_epsilon_decides_what_counts()
  lu.assertEquals(of(12, 1.03, 0.005, 0.05).verdict, "same")
  lu.assertEquals(of(12, 1.03, 0.005, 0.001).verdict, "slower")
  lu.assertError(verdict.paired, { 1 }, { 1 }, { epsilon = 0 })
  lu.assertError(verdict.paired, { 1 }, { 1 }, { epsilon = "1%" })
end

function T.test_too_few_pairs_decide_nothing()
  for n = 2, 5 do
    local r = of(n, 2, 0.001)
    lu.assertEquals(r.verdict, "inconclusive")
    lu.assertNil(r.ci95)
    lu.assertNil(r.detectable)
    lu.assertStrContains(verdict.text(r), "too few")
  end
  lu.assertEquals(of(6, 2, 0.001).verdict, "slower")
  lu.assertEquals(verdict.paired({}, {}).verdict, "inconclusive")
end

-- More scatter: only a greater change would be found; and a change as great is.
function T.test_minimum_detectable_effect()
  local calm, wild = of(20, 1, 0.002), of(20, 1, 0.05)
  lu.assertTrue(calm.detectable > 0.01 and calm.detectable < 0.015)
  lu.assertTrue(wild.detectable > 0.03 and wild.detectable < 0.1)
  lu.assertStrContains(verdict.text(wild), "%")
  lu.assertEquals(of(20, 1 + 2 * wild.detectable, 0.05).verdict, "slower")
end

function T.test_one_process_a_side_is_never_significant()
  for n = 1, 3 do
    local a, b = times(3, 3, 0.001)
    local one, other = {}, {}
    for i = 1, n do one[i], other[i] = a[i], b[i] end
    lu.assertEquals(verdict.unpaired(one, other).verdict, "inconclusive")
  end
  local a, b = times(6, 1.05, 0.002)
  for i = 1, 6 do a[i] = 1000 * (1 + 0.001 * i) end
  for i = 1, 6 do b[i] = 1050 * (1 + 0.001 * (7 - i)) end
  local r = verdict.unpaired(a, b)
  lu.assertEquals(r.verdict, "slower")
  lu.assertAlmostEquals(r.ratio, 1.05, 0.002)
  lu.assertNil(r.p_flip)
  lu.assertEquals(verdict.unpaired(a, a).verdict, "same")
end

-- Eight pairs have a p of 2/256: enough for one comparison, not for the worst of seven.
function T.test_holm_over_a_grid()
  local list = {}
  for i = 1, 7 do list[i] = of(8, i <= 4 and 1.03 or 1, 0.001) end
  for i = 1, 4 do lu.assertEquals(list[i].verdict, "slower") end
  lu.assertAlmostEquals(list[1].p_difference, 2 / 256, 1e-12)
  verdict.holm(list)
  for i = 1, 7 do
    lu.assertEquals(list[i].family, 7)
    lu.assertEquals(list[i].verdict, "inconclusive")
  end
  lu.assertAlmostEquals(list[1].p_difference_holm, 7 * 2 / 256, 1e-12)
  local more = {}
  for i = 1, 7 do more[i] = of(12, i <= 4 and 1.03 or 1, 0.001) end
  verdict.holm(more)
  for i = 1, 7 do lu.assertEquals(more[i].verdict, i <= 4 and "slower" or "same") end
  lu.assertEquals(verdict.holm {}, {})
end

return T

-- test_grid.lua: grids, ranges, scenario validation, case names and filters.
local lu = require "luaunit"
local grid = require "luabench.grid"
local record = require "luabench.record"
local scenario = require "luabench.scenario"
local suggest = require "luabench.suggest"

local T = {}

local function ids(g, names)
  local list = {}
  for i, axes in ipairs(g:expand()) do list[i] = record.case_id(axes, names or g:axes()) end
  return list
end

function T.test_product_is_deterministic_and_last_axis_varies_fastest()
  lu.assertEquals(ids(grid.grid { b = { 1, 2 }, a = { "x", "y" } }), { "a=x b=1", "a=x b=2", "a=y b=1", "a=y b=2" })
  lu.assertEquals(ids(grid.grid { { "b", { 1, 2 } }, { "a", { "x" } } }), { "b=1 a=x", "b=2 a=x" })
  lu.assertEquals(ids(grid.grid({ a = { 1, 2 }, b = { 3, 4 } }):order { "b", "a" }),
    { "b=3 a=1", "b=3 a=2", "b=4 a=1", "b=4 a=2" })
end

function T.test_where_and_zip()
  local g = grid.grid { m = { 1, 2 } }:zip { k = { 10, 20 },
    n = { 30, 40 } }:where(function(a) return a.m * 10 <= a.k end)
  lu.assertEquals(ids(g), { "m=1 k=10 n=30", "m=1 k=20 n=40", "m=2 k=20 n=40" })
  lu.assertErrorMsgContains("equally many", function() grid.grid({}):zip { a = { 1 }, b = { 1, 2 } } end)
end

function T.test_scalars_become_axes_and_an_empty_grid_is_one_case()
  lu.assertEquals(ids(grid.grid { a = 5 }), { "a=5" })
  lu.assertEquals(#grid.grid({}):expand(), 1)
end

function T.test_bad_axes_are_refused()
  for text, spec in pairs { ["at least one value"] = { a = {} }, ["twice"] = { a = { 1, 1 } },
    ["number, string or boolean"] = { a = { {} } }, ["NaN"] = { a = { 0 / 0 } },
      ["no other keys"] = { a = { 1, x = 2 } },
    ["list of values"] = { a = print } } do
    lu.assertErrorMsgContains(text, grid.grid, spec)
  end
  lu.assertErrorMsgContains("given twice", function() grid.grid({ a = { 1 } }):zip { a = { 2 } } end)
  lu.assertErrorMsgContains("takes a table", grid.grid, nil)
  lu.assertErrorMsgContains("takes a function", function() grid.grid({}):where(1) end)
  lu.assertErrorMsgContains('did you mean "where"', function() grid.grid({}):wher(1) end)
end

function T.test_override()
  local g = grid.grid { a = { 1, 2 }, b = { 3 } }
  g:override("a", { 7 })
  lu.assertEquals(ids(g), { "a=7 b=3" })
  lu.assertErrorMsgContains("no axis", function() g:override("c", { 1 }) end)
  local zipped = grid.grid({}):zip { a = { 1 }, b = { 2 } }
  lu.assertErrorMsgContains("--only", function() zipped:override("a", { 1 }) end)
end

function T.test_too_many_cases_are_refused_before_they_are_made()
  local many = grid.range(1, 1000)
  lu.assertErrorMsgContains("more than", function() grid.grid({ a = many, b = many, c = many }):expand() end)
end

function T.test_ranges()
  lu.assertEquals(grid.range(1, 4), { 1, 2, 3, 4 })
  lu.assertEquals(grid.range(0, 1, 0.25), { 0, 0.25, 0.5, 0.75, 1 })
  lu.assertEquals(grid.range(5, 1, -2), { 5, 3, 1 })
  lu.assertEquals(grid.pow2(1, 10), { 1, 2, 4, 8 })
  for _, bad in ipairs { { 1, 4, 0 }, { 4, 1 }, { 1, math.huge }, { 0 / 0, 1 }, { "a", 2 }, { nil, 2 } } do
    lu.assertError(grid.range, bad[1], bad[2], bad[3])
  end
  for _, bad in ipairs { { 0, 4 }, { 4, 1 }, { 1, math.huge }, { -1, 2 }, { 1 } } do
    lu.assertError(grid.pow2, unpack(bad))
  end
end

local function minimal(extra)
  local s = { about = "x", case = function() end }
  for k, v in pairs(extra or {}) do s[k] = v end
  return s
end

function T.test_scenarios_are_validated()
  lu.assertTrue(scenario.is_scenario(scenario.scenario(minimal())))
  lu.assertFalse(scenario.is_scenario {})
  lu.assertErrorMsgContains('did you mean "grid"', scenario.scenario, minimal { grd = {} })
  lu.assertErrorMsgContains("about is missing", scenario.scenario, { case = print })
  lu.assertErrorMsgContains("case is missing", scenario.scenario, { about = "x" })
  lu.assertErrorMsgContains("case should be a function", scenario.scenario, { about = "x", case = 1 })
  lu.assertErrorMsgContains("lb.grid", scenario.scenario, minimal { grid = { a = { 1 } } })
  lu.assertErrorMsgContains("takes a table", scenario.scenario, 5)
end

function T.test_what_a_case_returns_is_validated()
  lu.assertErrorMsgContains("should return a plan", scenario.normalize, nil)
  lu.assertErrorMsgContains("without a plan", scenario.normalize, {})
  lu.assertErrorMsgContains('did you mean "items"', scenario.normalize, { plan = {}, itms = 1 })
  lu.assertErrorMsgContains("items should be", scenario.normalize, { plan = {}, items = -1 })
  lu.assertErrorMsgContains("extra_checks[1]", scenario.normalize, { plan = {}, extra_checks = { 5 } })
  lu.assertErrorMsgContains("metrics should be", scenario.normalize, { plan = {}, metrics = 5 })
  lu.assertTrue(scenario.is_skip(scenario.normalize(scenario.skip "why")))
  lu.assertError(scenario.skip, nil)
  lu.assertError(scenario.skip, "")
end

function T.test_only_filters()
  local names = { "tokens", "strategy" }
  local a, b = { tokens = 1, strategy = "auto" }, { tokens = 16, strategy = "slow_path" }
  local function pick(filter)
    local m = record.matcher(filter, names)
    return m(a), m(b)
  end
  lu.assertEquals({ pick "tokens=1" }, { true, false })
  lu.assertEquals({ pick "tokens=1,strategy=slow_path" }, { false, false })
  lu.assertEquals({ pick "tokens=1,tokens=16" }, { true, true })
  lu.assertEquals({ pick "slow" }, { false, true })
  lu.assertEquals({ pick "tokens=1 strategy" }, { true, false })
  lu.assertEquals({ pick "tokens=1 strategy=slow" }, { false, false })
  lu.assertEquals({ pick "nothing" }, { false, false })
  -- a value with a comma belongs to its axis as long as what follows is no axis
  local m = record.matcher("routing=zipf:1,2,tokens=1", { "routing", "tokens" })
  lu.assertTrue(m { routing = "zipf:1,2", tokens = 1 })
end

function T.test_case_names_and_the_command_that_runs_one_again()
  lu.assertEquals(record.case_id({ a = 0.5, b = "x", c = true }, { "b", "a", "c" }), "b=x a=0.5 c=true")
  lu.assertEquals(record.reproduce("s.lua", { "--tokens", "1,4", "-o", "r.json", "--only=x", "--quick", "--resume" },
    { tokens = 4 }, { "tokens" }), "luabench s.lua --tokens 1,4 --quick --only tokens=4")
  lu.assertEquals(record.shell_quote "it's", "'it'\\''s'")
  lu.assertEquals(record.shell_quote "", "''")
end

function T.test_keys_depend_on_everything_that_a_result_depends_on()
  local function key(change)
    local job = { name = "s", checksum = "c", keyed = { n = 1 } }
    local axes = { a = 1 }
    change(job, axes)
    return record.key(job, axes)
  end
  local base = key(function() end)
  lu.assertEquals(key(function() end), base)
  lu.assertNotEquals(key(function(j) j.name = "t" end), base)
  lu.assertNotEquals(key(function(j) j.checksum = "d" end), base)
  lu.assertNotEquals(key(function(j) j.keyed.n = 2 end), base)
  lu.assertNotEquals(key(function(_, a) a.a = 2 end), base)
  lu.assertEquals(record.hash("a"):sub(1, 8), "e40c292c")   -- FNV-1a, 32 bits, published value
end

function T.test_suggestions()
  lu.assertEquals(suggest.nearest("gird", { "grid", "about" }), { "grid" })
  lu.assertEquals(suggest.distance("kitten", "sitting"), 3)
  lu.assertEquals(suggest.distance("ab", "ba"), 1)
  lu.assertStrContains(suggest.hint("zzz", { "a", "b" }), "there are: a, b")
  lu.assertStrContains(suggest.hint("zzz", {}), "none")
end

return T

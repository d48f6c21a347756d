-- test_runner.lua: the runner's parts: judging against ceilings, order of cases, processes, journal, progress, results
-- in other scenarios' terms. The command line as a whole is tested in tests/cli.
local lu = require "luaunit"
local columns = require "luabench.columns"
local journal = require "luabench.journal"
local judge = require "luabench.judge"
local progress = require "luabench.progress"
local runner = require "luabench.runner"
local sys = require "luabench.sys"

local T = {}

local NEAR = { read_bytes_per_s = 10e9, ops_per_s = { f32 = 100e9, int8 = 400e9 } }

function T.test_memory_bound()
  local sol, invalid = judge.judge({ cold_bytes = 5e6, flops_by = { f32 = 1e6 }, launches = 1, launch_ns = 100 }, 1e6,
    NEAR)
  lu.assertNil(invalid)
  lu.assertEquals(sol.bound, "memory")
  lu.assertAlmostEquals(sol.fraction, 0.5, 1e-12)
  lu.assertAlmostEquals(sol.ceiling, 10e9, 1)
end

function T.test_compute_bound_adds_the_types()
  local sol = judge.judge({ cold_bytes = 1, flops_by = { f32 = 5e7, int8 = 4e7 } }, 1e6, NEAR)
  lu.assertEquals(sol.bound, "compute")
  lu.assertEquals(sol.compute_type, "f32")
  lu.assertAlmostEquals(sol.fraction, 0.6, 1e-12)       -- 0.5 ms + 0.1 ms of 1 ms
  lu.assertAlmostEquals(sol.ceiling, 9e7 / 0.6e-3, 1)
end

function T.test_launch_bound_never_exceeds_the_time()
  local work = { launches = 100, launch_ns = 1000 }
  local sol = judge.judge(work, 2e5, NEAR)
  lu.assertEquals(sol.bound, "launch")
  lu.assertAlmostEquals(sol.fraction, 0.5, 1e-12)
  sol = judge.judge(work, 5e4, NEAR)
  lu.assertNil(sol.bound)
end

function T.test_faster_than_the_best_ever_seen_is_invalid()
  local sol, invalid = judge.judge({ cold_bytes = 20e6 }, 1e6, NEAR, { read_bytes_per_s = 15e9, ops_per_s = {} })
  lu.assertStrContains(invalid, "20.00 GB/s of memory")
  lu.assertStrContains(invalid, "15.00 GB/s")
  lu.assertStrContains(invalid, "cache")
  lu.assertTrue(sol.fraction > 1)
end

function T.test_faster_than_the_neighbours_but_not_than_the_best_uses_the_best()
  local sol, invalid = judge.judge({ cold_bytes = 12e6 }, 1e6, NEAR, { read_bytes_per_s = 15e9, ops_per_s = {} })
  lu.assertNil(invalid)
  lu.assertEquals(sol.ceiling_from, "best")
  lu.assertAlmostEquals(sol.fraction, 0.8, 1e-12)
end

-- A faster case never has the lower fraction, as long as the readings beside it bear it out.
function T.test_faster_than_ten_samples_reach_but_not_than_the_best_of_them_is_at_the_ceiling()
  local near = { read_bytes_per_s = 10e9, ops_per_s = { f32 = 100e9 },
    best = { read_bytes_per_s = 11e9, ops_per_s = { f32 = 105e9 } } }
  local ever = { read_bytes_per_s = 15e9, ops_per_s = { f32 = 150e9 } }
  local sol, invalid = judge.judge({ cold_bytes = 10.5e6 }, 1e6, near, ever)
  lu.assertNil(invalid)
  lu.assertEquals(sol.ceiling_from, "near")
  lu.assertEquals(sol.fraction, 1)
  lu.assertAlmostEquals(sol.ceiling, 10.5e9, 1)
  lu.assertEquals({ sol.floors_ns.memory, sol.dram_bytes_per_s }, { 1e6, 11e9 })
  sol = judge.judge({ flops_by = { f32 = 102e6 } }, 1e6, near, ever)
  lu.assertEquals(sol.fraction, 1)
  lu.assertAlmostEquals(sol.ceiling, 102e9, 1)
  sol = judge.judge({ cold_bytes = 12e6 }, 1e6, near, ever)
  lu.assertEquals(sol.ceiling_from, "best")
  lu.assertAlmostEquals(sol.fraction, 0.8, 1e-12)
  lu.assertAlmostEquals(sol.floors_ns.memory, 0.8e6, 1e-3)
  near.best.ops_per_s = {}                  -- unknown is not reached
  lu.assertEquals(judge.judge({ flops_by = { f32 = 102e6 } }, 1e6, near, ever).ceiling_from, "best")
  near.best.ops_per_s.f32 = 105e9
  local both = judge.merge(near, { read_bytes_per_s = 12e9, ops_per_s = {}, best = { read_bytes_per_s = 13e9,
    ops_per_s = {} } })
  lu.assertEquals({ both.read_bytes_per_s, both.best.read_bytes_per_s, both.best.ops_per_s.f32 }, { 12e9, 13e9, 105e9 })
end

function T.test_unknown_ceilings_give_no_fraction()
  local sol, invalid = judge.judge({ cold_bytes = 1e6, flops_by = { f64 = 1e9 } }, 1e6, { ops_per_s = {} })
  lu.assertNil(sol.fraction)
  lu.assertNil(sol.bound)
  lu.assertNil(invalid)
end

-- 10 GB/s from memory, 40 from the cache: a cache of 8 bytes, half of 16
local CURVE = { bytes = { 4, 8, 16, 32, 64 }, bytes_per_s = { 40e9, 40e9, 16e9, 10e9, 9e9 }, llc_bytes_per_s = 40e9 }
local CACHED = { read_bytes_per_s = 10e9, ops_per_s = {}, curve = CURVE }

function T.test_reads_by_distance()
  local a = { weight_bytes = 60, act_bytes = 50, reuse = { { 8, 20 } }, first = { { 40, 60 } } }
  local reads, cold = judge.reads(a, "weights-cold", { sets = 5 }, 30)
  lu.assertEquals(reads, { { 8, 20 }, { 40 + 4 * 60, 60 } })     -- four other sets lie in between
  lu.assertEquals(cold, 0)
  reads, cold = judge.reads(a, "hot", nil, 30)
  lu.assertEquals(reads, { { 8, 20 }, { 40, 60 } })
  lu.assertEquals(cold, 20)                                      -- what exceeds the caches
  lu.assertEquals(select(2, judge.reads(a, "hot", nil, nil)), 0)
  local all_cold = { sets = 5, touched_bytes = 60 + 35 }                         -- 15 of the 50 are written: they stay
  lu.assertEquals(select(2, judge.reads(a, "all-cold", all_cold, 30)), 35)
  lu.assertEquals(select(2, judge.reads(a, "all-cold", { sets = 1, touched_bytes = 10 }, 30)), 0)
  all_cold.capped = true
  lu.assertEquals(select(2, judge.reads(a, "all-cold", all_cold, 30)), 20)       -- maybe hot
end

function T.test_bytes_from_memory_and_from_caches()
  local function memory(...) return judge.memory({ reads = { ... } }, CACHED) end
  local m = memory({ 1e6, 100 })
  lu.assertEquals({ m.ns, m.dram_bytes, m.cache_bytes }, { 10, 100, 0 })
  lu.assertNil(m.cache_bytes_per_s)
  m = memory({ 8, 100 })
  lu.assertAlmostEquals(m.ns, 2.5, 1e-12)
  lu.assertEquals({ m.dram_bytes, m.cache_bytes }, { 0, 100 })
  lu.assertAlmostEquals(m.cache_bytes_per_s, 40e9, 1)
  m = memory({ 16, 100 })                                        -- 16 GB/s: half of the bytes from each
  lu.assertAlmostEquals(m.ns, 6.25, 1e-12)
  lu.assertAlmostEquals(m.dram_bytes, 50, 1e-9)
  lu.assertAlmostEquals(m.cache_bytes, 50, 1e-9)
  m = memory({ 1e6, 100 }, { 8, 100 }, { 11, 100 }, { 1, 10 })
  lu.assertAlmostEquals(m.ns, m.dram_bytes / m.dram_bytes_per_s * 1e9 + m.cache_bytes / m.cache_bytes_per_s * 1e9, 1e-9)
  lu.assertAlmostEquals(m.dram_bytes + m.cache_bytes, 310, 1e-9)
  lu.assertEquals(memory({ 40, 100 }).ns, 10)                    -- the curve's noise below memory's rate is none
end

function T.test_reads_without_a_curve()
  local function memory(distance, capacity)
    return judge.memory({ reads = { { distance, 100 } }, capacity_bytes = capacity }, NEAR)
  end
  lu.assertEquals(memory(50, 60).ns, 0)
  lu.assertEquals(memory(70, 60).ns, 10)
  lu.assertNil(memory(70, nil))
  lu.assertNil(judge.memory({}, NEAR))
end

function T.test_cached_bytes_count_towards_the_floor()
  local work = { reads = { { 1e6, 1000 }, { 8, 4000 } } }
  local sol, invalid = judge.judge(work, 400, CACHED)
  lu.assertNil(invalid)
  lu.assertEquals(sol.bound, "memory")
  lu.assertAlmostEquals(sol.fraction, 0.5, 1e-12)                -- 100 ns from memory, 100 from the cache
  lu.assertEquals({ sol.dram_bytes, sol.cache_bytes }, { 1000, 4000 })
  lu.assertAlmostEquals(sol.ceiling, 5000 / 200e-9, 1)
  sol, invalid = judge.judge(work, 150, CACHED)
  lu.assertStrContains(invalid, "faster than this machine")
  lu.assertAlmostEquals(sol.fraction, 200 / 150, 1e-12)
end

function T.test_curves_merge_point_by_point()
  local other = { bytes = CURVE.bytes, bytes_per_s = { 30e9, 50e9, 16e9, 10e9, 11e9 }, llc_bytes_per_s = 50e9 }
  local m = judge.merge(CACHED, { ops_per_s = {}, curve = other })
  lu.assertEquals(m.curve.bytes_per_s, { 40e9, 50e9, 16e9, 10e9, 11e9 })
  lu.assertEquals(m.curve.llc_bytes_per_s, 50e9)
  lu.assertEquals(judge.merge(CACHED, { curve = { bytes = { 1 }, bytes_per_s = { 1 } } }).curve.bytes, { 1 })
  lu.assertEquals(judge.merge(CACHED, {}).curve, CURVE)
end

function T.test_ceilings_merge_to_the_higher()
  local m = judge.merge(NEAR, { read_bytes_per_s = 5e9, ops_per_s = { f32 = 200e9, bf16 = 1 } })
  lu.assertEquals(m.read_bytes_per_s, 10e9)
  lu.assertEquals(m.ops_per_s, { f32 = 200e9, int8 = 400e9, bf16 = 1 })
  lu.assertEquals(judge.merge(nil, nil).read_bytes_per_s, 0)
end

function T.test_the_order_of_cases_follows_the_seed()
  local function order(seed)
    local list = {}
    for i = 1, 50 do list[i] = i end
    return runner.shuffle(list, seed)
  end
  lu.assertEquals(order(1), order(1))
  lu.assertNotEquals(order(1), order(2))
  local sorted = order(3)
  table.sort(sorted)
  for i = 1, 50 do lu.assertEquals(sorted[i], i) end
end

function T.test_cases_stay_together()
  local cases = {}
  for _, model in ipairs { "a", "b", "c" } do
    for _, threads in ipairs { 1, 2 } do
      for test = 1, 5 do cases[#cases + 1] = { axes = { model = model, threads = threads, test = test } } end
    end
  end
  local function runs(together, seed)
    local list, count, last, seen = runner.order(cases, together, seed), 0, nil, {}
    for _, case in ipairs(list) do
      local key = case.axes.model .. case.axes.threads
      if key ~= last then count = count + 1 end
      last, seen[case] = key, true
    end
    for _, case in ipairs(cases) do lu.assertTrue(seen[case]) end
    lu.assertEquals(#list, #cases)
    return count, list
  end
  for seed = 1, 5 do lu.assertEquals(runs({ "model", "quantize", "threads" }, seed), 6) end
  lu.assertTrue(runs({}, 1) > 10)
  local _, one = runs({ "model", "threads" }, 1)
  local _, two = runs({ "model", "threads" }, 2)
  lu.assertNotEquals(one, two)
  local in_order = true
  for i = 2, 5 do in_order = in_order and one[i].axes.test > one[i - 1].axes.test end
  lu.assertFalse(in_order)                      -- within a group too the seed decides
end

local function ok_record(median, samples)
  return { status = "ok", time = { median = median, iterations = 2 }, samples_ns = samples or { median },
    work = { items = 2 },
    sol = { fraction = 0.5 } }
end

function T.test_processes_are_the_unit()
  local records = {}
  for i = 1, 7 do records[i] = ok_record(100 + i, { 100 + i, 200 }) end
  local r = runner.merge_processes(records)
  lu.assertEquals(r.time.median, 104)
  lu.assertEquals(#r.processes, 7)
  lu.assertEquals(r.processes[7].median_ns, 107)
  lu.assertEquals(r.time.samples, 14)
  lu.assertTrue(r.time.ci95[1] >= 101 and r.time.ci95[2] <= 107)
  lu.assertAlmostEquals(r.rate.items_per_s, 2 / 104e-9, 1)
  lu.assertEquals(r.sol.fraction, 0.5)
  local few = runner.merge_processes { ok_record(10), ok_record(20) }
  lu.assertEquals(few.time.median, 15)
  lu.assertNil(few.time.ci95)
  local bad = { status = "crashed" }
  lu.assertIs(runner.merge_processes { ok_record(1), bad }, bad)
end

-- The interval beside a percentile is of the processes', and there is no percentile without one.
function T.test_percentiles_across_processes()
  local function rec(i, p99)
    local r = ok_record(100 + i, { 100 + i, 200 })
    r.time.p90, r.time.p99, r.time.percentiles_ci95 = 150 + i, p99, { p90 = { 1, 2 }, p99 = { 1, 2 } }
    return r
  end
  local records = {}
  for i = 1, 7 do records[i] = rec(i, i ~= 3 and 190 or nil) end
  local t = runner.merge_processes(records).time
  lu.assertEquals(t.p90, 154)
  lu.assertEquals(t.percentiles_ci95, { p90 = { 151, 157 } })
  lu.assertNil(t.p99)
  t = runner.merge_processes { rec(1, 190), rec(2, 190) }.time
  lu.assertNil(t.p90)
  lu.assertEquals(t.percentiles_ci95, {})
end

-- The first process may have been the slowest: its fraction with the merged time would be 1.53.
function T.test_merged_processes_are_judged_by_one_of_them()
  local function rec(median, fraction, switches)
    return { status = "ok", time = { median = median }, samples_ns = { median, median }, marks = { 0, 1 }, work = {},
      sol = { fraction = fraction }, disturbance = { involuntary_switches = switches, noisy = switches > 1 } }
  end
  local r = runner.merge_processes { rec(100, 0.95, 1), rec(60, 0.9, 2), rec(62, 0.88, 0) }
  lu.assertEquals(r.sol.fraction, 0.88)
  lu.assertEquals(#r.marks, 6)
  lu.assertEquals(r.disturbance.involuntary_switches, 3)
  lu.assertTrue(r.disturbance.noisy)
end

-- One disturbed process of many does not make the row noisy; a twentieth of all samples does.
function T.test_merged_processes_are_noisy_by_all_their_samples()
  local function noisy(disturbed)
    local records = {}
    for i = 1, 10 do
      records[i] = { status = "ok", time = { median = 100, samples = 20 }, samples_ns = { 100 }, work = {},
        disturbance = { disturbed_samples = disturbed[i] or 0, noisy = (disturbed[i] or 0) > 1 } }
    end
    return runner.merge_processes(records).disturbance.noisy
  end
  lu.assertFalse(noisy { 9 })
  lu.assertTrue(noisy { 5, 6 })
  lu.assertTrue(noisy { 20 })
end

function T.test_speedups_are_over_the_same_case_with_the_baseline()
  local function case(m, s, t)
    return { axes = { m = m, s = s }, status = "ok", case = m .. s, time = { median = t } }
  end
  local cases = { case(1, "slow", 100), case(1, "fast", 20), case(2, "slow", 300), case(2, "fast", 100) }
  cases[5] = { axes = { m = 3, s = "fast" }, status = "ok", time = { median = 5 } }
  runner.add_speedups({ layout = { baseline = { s = "slow" } }, names = { "m", "s" } }, cases)
  lu.assertEquals(cases[2].metrics.speedup.median, 5)
  lu.assertEquals(cases[4].metrics.speedup.median, 3)
  lu.assertNil(cases[5].metrics)
end

local function scratch(f)
  local dir = sys.tempdir()
  local ok, e = pcall(f, dir)
  sys.tempdir_remove(dir)
  if not ok then error(e, 0) end
end

function T.test_journal_survives_a_torn_line()
  scratch(function(dir)
    local path = dir .. "/deep/er/j"
    local j = journal.open(path, false, { id = "r" })
    j:add("k1", { status = "ok" })
    j:add("k2", { status = "failed", reason = "x\ny" })
    sys.append_file(path, '{"key":"k3","rec')
    local _, busy = pcall(journal.open, path, true)
    lu.assertTrue(busy.busy)                     -- while one run has it, another is refused
    j:close()
    local records, n = journal.read(path)
    lu.assertEquals(n, 2)
    lu.assertEquals(records.k2.reason, "x\ny")
    j = journal.open(path, true)
    lu.assertEquals(j.records.k1, { status = "ok" })
    j:add("k4", { status = "ok" })
    j:close()
    records, n = journal.read(path)
    lu.assertEquals(n, 3)
    lu.assertNotNil(records.k4)
    journal.open(path, false, {}):close()
    lu.assertEquals(select(2, journal.read(path)), 0)
    sys.rewrite_file(path, '{"journal": "luabe')    -- a header torn by a power cut
    j = journal.open(path, true, {})
    j:add("k5", { status = "ok" })
    j:close()
    lu.assertEquals(select(2, journal.read(path)), 1)
    lu.assertEquals(select(2, journal.read(dir .. "/none")), 0)
  end)
end

function T.test_a_file_that_is_no_journal_is_refused()
  scratch(function(dir)
    sys.replace_file(dir .. "/x", '{"a":1}\n')
    lu.assertErrorMsgContains("not a journal", journal.read, dir .. "/x")
  end)
end

function T.test_journal_places()
  lu.assertEquals({ journal.path({ "-", "a/r.json" }, { "s" }) }, { "a/r.json.journal", true })
  lu.assertStrContains(journal.path({}, { "s", "t/x" }, "f00"), "/journals/s+t_x-f00.jsonl")
end

function T.test_runs_at_once_without_an_output_file_have_journals_of_their_own()
  scratch(function(dir)
    local path = dir .. "/s-1.jsonl"
    local a = journal.open_cached(path, false, {})
    local b = journal.open_cached(path, false, {})
    lu.assertEquals(a.path, path)
    lu.assertNotEquals(b.path, path)
    a:add("a", { status = "ok" })
    b:add("b", { status = "ok" })
    a:close()
    -- b still runs: what is resumed is a's; then the one that was written last
    local again = journal.open_cached(path, true, {})
    lu.assertNotNil(again.records.a)
    lu.assertNil(again.records.b)
    b:add("c", { status = "ok" })
    b:close()
    local other = journal.open_cached(path, true, {})
    lu.assertNotNil(other.records.c)
    again:close()
    other:close()
  end)
end

local function bar(opts)
  local out = {}
  opts.write = function(text) out[#out + 1] = text end
  return progress.new(opts), function() return table.concat(out) end
end

local OK = { status = "ok", scenario = "s", case = "m=1", time = { median = 1500 } }

function T.test_progress_is_plain_lines_off_a_terminal()
  local p, text = bar { total = 2, terminal = false }
  p:start "m=1"
  p:set_phase "measure"
  p:finish(OK)
  p:finish { status = "failed", reason = "why", scenario = "s", case = "m=2" }
  lu.assertEquals(text(), "[1/2] s  m=1  1.500 us\n[2/2] s  m=2  failed: why\n")
end

function T.test_progress_is_a_bar_on_a_terminal()
  local p, text = bar { total = 2, terminal = true, width = 60 }
  p:start "m=1"
  p:set_phase("quantizing", 0.43)
  lu.assertTrue(#p:line(60) < 60)
  lu.assertStrContains(p:line(80), "quantizing 43 %")
  p:finish(OK)
  p:close()
  lu.assertStrContains(p:line(80), "1/2")
  lu.assertStrContains(p:line(80), "left")
  lu.assertStrContains(text(), "\r")
  lu.assertNotStrContains(text(), "\n")
end

function T.test_quiet_is_silent_but_for_errors()
  local p, text = bar { total = 1, quiet = true, terminal = false }
  p:start "m=1"
  p:finish(OK)
  p:log("info", "x")
  lu.assertEquals(text(), "")
  p:log("error", "bad")
  lu.assertStrContains(text(), "bad")
end

function T.test_prepared_is_made_once()
  local lb = require "luabench"
  local made, said = 0, {}
  local prepared = require "luabench.prepared"
  local old = prepared.report
  prepared.report = function(text, share) said[#said + 1] = { text, share } end
  local function build(progress)
    made = made + 1
    progress(1, 2)
    return { t = lb.zeros { 2 } }
  end
  local a = lb.prepared("test key", build, "making")
  lu.assertIs(lb.prepared("test key", build), a)
  prepared.report = old
  lu.assertEquals(made, 1)
  lu.assertEquals(said[2], { "making", 0.5 })
  -- one that asks for itself would wait for its own lock; through another key it may ask
  lu.assertErrorMsgContains("asks for \"k4\" itself", lb.prepared, "k4", function()
    return lb.prepared("k5", function() return lb.prepared("k4", build) end)
  end)
  lu.assertNotNil(lb.prepared("k4", function() return lb.prepared("k6", build) end).t)
  lu.assertErrorMsgContains("returned no tensors", lb.prepared, "k2", function() return {} end)
  lu.assertErrorMsgContains("a tensor under a name", lb.prepared, "k3", function() return { x = 5 } end)
  lu.assertErrorMsgContains("takes a key", lb.prepared, nil, build)
  prepared.forget()
end

function T.test_rows_are_sorted_with_numbers_as_numbers()
  local cases = {}
  for i, m in ipairs { 16, 2, 1 } do cases[i] = { axes = { m = m }, status = "ok", time = { median = m } } end
  local s = columns.sections(cases, { group = "m", names = { "m" } })
  lu.assertEquals({ s[1].title, s[2].title, s[3].title }, { "m = 1", "m = 2", "m = 16" })
end

return T

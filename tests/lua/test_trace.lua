-- test_trace.lua: rows of made-up traces with known sums; lb.trace of real plans; trace files as JSON.
local lu = require "luaunit"
local lb = require "luabench"
local sys = require "luabench.sys"
local trace = require "luabench.trace"

local T = {}

local function span(step, thread, kind, begin_ns, end_ns)
  return { step = step, thread = thread, kind = kind, begin_ns = begin_ns, end_ns = end_ns, phase = 1, pick = 0 }
end

-- The weights are read for the first time (a thousand bytes after their last read), or again, at once.
local function work(kernel, bytes, flops, again)
  return { ran = true, kernel = kernel, pick = 0, bytes = bytes, weight_bytes = bytes,
    first_bytes = again and 0 or bytes, first_distance = 1000, again_bytes = again and bytes or 0,
      again_distance = bytes, flops = flops,
    flops_by = { f32 = flops } }
end

-- Two gemms that overlap, a wait, a step that did not run, a serial copy.
local function made_up()
  local t = { wall_ns = 1000, threads = 2, sets = 10, spans = {
    span(1, 1, "launch", 0, 300), span(1, 2, "launch", 100, 400), span(2, 1, "launch", 300, 500),
    span(2, 2, "launch", 400, 600), span(4, 1, "wait", 500, 600), span(4, 1, "launch", 600, 1000),
    span(5, 2, "wait", 600, 1000) },
    work = { work("g.a", 100, 1000), work("g.a", 100, 1000, true), { ran = false }, work("c.b", 10, 0) } }
  local steps = { { op = "gemm", label = "up \"1\"", operands = { w = "f32[2, 2]" }, params = {} },
    { op = "gemm", operands = {}, params = { alpha = 1 } }, { op = "never", operands = {}, params = {} },
    { op = "copy", operands = {}, params = {} } }
  return t, steps
end

function T.test_rows_add_up()
  local t, steps = made_up()
  local rows, waits, rest = trace.rows(t, steps)
  lu.assertEquals(#rows, 2)
  local gemm, copy = rows[1], rows[2]
  lu.assertEquals({ gemm.op, gemm.kernel, gemm.launches, gemm.bytes, gemm.flops }, { "gemm", "g.a", 2, 200, 2000 })
  lu.assertEquals(gemm.time_ns, 600)       -- 0 to 600: the union of four spans
  lu.assertAlmostEquals(gemm.share, 1000 / 2000, 1e-12)
  lu.assertEquals({ copy.op, copy.time_ns, copy.launches }, { "copy", 400, 1 })
  lu.assertAlmostEquals(copy.share, 0.2, 1e-12)
  lu.assertAlmostEquals(waits, 0.25, 1e-12)
  lu.assertAlmostEquals(rest, 0.05, 1e-12)
  lu.assertNil(gemm.fraction)
end

function T.test_fraction_of_the_limit()
  local t, steps = made_up()
  local ceilings = { near = { read_bytes_per_s = 1e9, ops_per_s = { f32 = 5e9 } },
    best = { read_bytes_per_s = 2e9, ops_per_s = { f32 = 5e9 } }, launch_ns = 1, capacity_bytes = 1500 }
  local gemm = trace.rows(t, steps, ceilings)[1]
  -- 2000 operations at 5e9/s are 400 ns; 100 bytes that 1990 others drove out, at 1 GB/s, are 100 ns; it took 600
  lu.assertEquals(gemm.bound, "compute")
  lu.assertAlmostEquals(gemm.fraction, 400 / 600, 1e-12)
  ceilings.near.ops_per_s.f32, ceilings.best.ops_per_s.f32 = 1e12, 1e12
  gemm = trace.rows(t, steps, ceilings)[1]
  lu.assertEquals(gemm.bound, "memory")
  lu.assertAlmostEquals(gemm.fraction, 100 / 600, 1e-12)
  t.sets = 1                                            -- without rotation all stays in the cache
  gemm = trace.rows(t, steps, ceilings)[1]
  lu.assertNotEquals(gemm.bound, "memory")
end

function T.test_events_are_json_and_keep_every_ns()
  local t, steps = made_up()
  t.spans[1].begin_ns, t.spans[1].end_ns = 1, 300
  local lines = trace.events(t, steps, 7, "a \"case\"\n")
  lu.assertEquals(#lines, 3 + #t.spans)
  local seen = {}
  for i, line in ipairs(lines) do
    lu.assertNotStrContains(line, "\n")
    seen[i] = sys.json_decode(line)
    lu.assertEquals(seen[i].pid, 7)
  end
  lu.assertEquals(seen[1].args.name, "a \"case\"\n")
  lu.assertEquals({ seen[4].ph, seen[4].name, seen[4].ts, seen[4].dur }, { "X", "up \"1\"", 0.001, 0.299 })
  lu.assertEquals(seen[4].args.kernel, "g.a")
  lu.assertEquals(seen[4].args.operands, { w = "f32[2, 2]" })
  lu.assertEquals(seen[4].args.bytes, 100)
  lu.assertEquals(seen[6].args.params, { alpha = 1 })
  lu.assertEquals({ seen[8].name, seen[8].cat, seen[8].args.before }, { "wait", "wait", "copy" })
  lu.assertEquals(seen[10].args.before, "end of the run")
end

local function plan_of_two()
  local x, w = lb.randn({ 2, 256 }, { seed = 1 }), lb.randn({ 256, 256 }, { seed = 2 })
  local p = lb.plan():gemm { x = x, w = w, label = "first" }
  return p:gemm { x = p:last(), w = w }, w
end

function T.test_trace_of_a_plan()
  local p = plan_of_two()
  for _, mode in ipairs { "plan", "eager" } do
    local t = lb.trace(p, { cache = "hot", mode = mode, runs = 3 })
    lu.assertEquals(#t.operations, 1)
    local row = t.operations[1]
    lu.assertEquals({ row.op, row.launches }, { "gemm", 2 })
    lu.assertEquals(row.bytes, p:account().bytes_streamed)
    lu.assertEquals(row.flops, p:account().flops)
    local shares = t.wait_share + t.rest_share
    for _, r in ipairs(t.operations) do shares = shares + r.share end
    lu.assertAlmostEquals(shares, 1, 1e-9)
    lu.assertTrue(row.time_ns <= t.wall_ns)
    lu.assertStrContains(tostring(t), "(waiting at barriers)")
  end
  lu.assertTrue(p:check().passed)
end

function T.test_trace_refuses_what_it_cannot_do()
  local p = plan_of_two()
  lu.assertErrorMsgContains("a plan expected, got nil", lb.trace)
  lu.assertErrorMsgContains("the plan is empty", lb.trace, lb.plan())
  lu.assertErrorMsgContains("did you mean \"cache\"", lb.trace, p, { cach = "hot" })
  lu.assertErrorMsgContains("\"hot\", \"weights-cold\"", lb.trace, p, { cache = "warm" })
  lu.assertErrorMsgContains("runs", lb.trace, p, { runs = 0 })
  local t = lb.trace(p, { runs = 1 })
  lu.assertErrorMsgContains(".json", t.save, t, "x.txt")
  lu.assertErrorMsgContains("there is no directory", t.save, t, "/nowhere/x.json")
  lu.assertErrorMsgContains("a file name expected", t.save, t)
end

function T.test_saved_traces_can_be_read()
  local dir = sys.tempdir()
  local t = lb.trace(plan_of_two(), { runs = 1 })
  for _, name in ipairs { "/t.json", "/t.json.gz" } do
    t:save(dir .. name)
    local file = lb.load(dir .. name)
    lu.assertEquals(#file.traceEvents, #t.spans + 1 + t.threads)
    lu.assertEquals(file.displayTimeUnit, "ns")
  end
  sys.tempdir_remove(dir)
end

return T

-- pairs.lua: A against B in pairs of fresh processes, the process being the unit: what lies differently in memory from
-- one process to the next is part of the scatter, so that a verdict holds for the next process too.
--
--   local pairs_of = require "luabench.pairs"
--   local r = pairs_of.run { take = pairs_of.workers { cases = { { key = "m=1", a = side, b = side } } }, seed = 1 }
--
-- M.run knows nothing of processes: it draws orders, calls take(order, index) for each pair, and judges. Three ways to
-- take a pair: M.workers (cases of scenarios in workers of this program, which take turns), M.commands (command lines,
-- wall time), M.builds (a scenario run by two luabench programs). The self-test calls these with work injected
-- (extra_work).
local core = require "luabench.core"
local coordinator = require "luabench.coordinator"
local json = require "luabench.json"
local sys = require "luabench.sys"
local verdict = require "luabench.verdict"

local M = {}

M.LEAST, M.MOST, M.MAX_TIME = 10, 60, 60
M.PROCESS_TIME = 0.15
-- An interval this small a share of the effect is tight enough, however wide: a factor of two needs no 0.5 %.
local EFFECT_SHARE = 0.1
local TURNS, SAMPLES_LEAST, SAMPLES_MOST, SAMPLE_MOST_NS = 8, 4, 256, 1e8
local QUANTUM_MOST = 2 ^ 20             -- as sampler:take() allows

-- ---- orders and stopping ----

-- For each pair whether A goes first: of two consecutive pairs one each way, which one drawn from the seed.
function M.orders(count, seed)
  local blocks = math.ceil(count / 2)
  local draws = core.uniform({ blocks }, { seed = seed }):totable()
  local list = {}
  for i = 1, blocks do
    local first = draws[i] < 0.5 and "ab" or "ba"
    list[#list + 1] = first
    list[#list + 1] = first == "ab" and "ba" or "ab"
  end
  return list
end

local function judge(c, o, index)
  c.result = verdict.paired(c.a_ns, c.b_ns, { epsilon = o.epsilon, seed = o.seed + index })
  return c.result
end

-- Tight enough: never whether the difference is significant, only how wide the interval is, in itself or for the
-- effect.
local function enough(c, precision)
  local r, done = c.result, nil
  done, c.stop_at = sys.enough(#c.a_ns, r.half_width, math.max(precision, EFFECT_SHARE * math.abs(math.log(r.ratio))),
    c.stop_at)
  c.enough = c.enough or done
  return c.enough
end

local function add(cases, by_key, entry, order, index)
  local c = by_key[entry.key]
  if not c then
    c = { key = entry.key, a_ns = {}, b_ns = {}, orders = {}, details = {} }
    by_key[entry.key] = c
    cases[#cases + 1] = c
  end
  if entry.skipped then
    c.skipped = entry.skipped
    return
  end
  local n = #c.a_ns + 1
  c.a_ns[n], c.b_ns[n], c.orders[n], c.details[n] = entry.a, entry.b, order, entry.details or { index = index }
  if entry.about then c.about = entry.about end
end

local function measured(cases)
  local list = {}
  for _, c in ipairs(cases) do
    if not c.skipped and #c.a_ns > 0 then list[#list + 1] = c end
  end
  return list
end

local function all_precise(cases, o, index)
  local list, all = measured(cases), true
  for _, c in ipairs(list) do
    judge(c, o, index)
    if index >= o.least then all = enough(c, o.precision) and all end
  end
  return all and #list > 0
end

-- ---- disturbance ----

-- A comparison is noisy beyond this share (engine/measure.h).
M.NOISY = 0.05

-- Which share of a side's samples was disturbed; of commands, of its time. nil = unknown. And the share that others
-- took a hand in: without the samples whose only mark is the clock's frequency.
function M.disturbed_share(c, side)
  local disturbed, contended, all = 0, 0, 0
  for _, d in ipairs(c.details) do
    local s = d[side]
    if s and s.contended_ns then
      disturbed, contended, all = disturbed + s.contended_ns, contended + s.contended_ns, all + s.wall_ns
    elseif s and s.disturbance and s.samples_ns then
      local marked = s.disturbance.disturbed_samples or 0
      disturbed, all = disturbed + marked, all + #s.samples_ns
      contended = contended + (s.disturbance.contended_samples or marked)   -- other builds may not tell them apart
    else return nil end
  end
  if all > 0 then return disturbed / all, contended / all end
end

-- For gates: whatever the numbers say, of a noisy case nothing is claimed. Sets result.noisy, reason and the verdict.
-- A clock that wanders is no reason, only a remark (result.wandered, a share of samples): the sides take turns, so it
-- meets both alike, and the interval over pairs has the scatter that it makes. Other work may come with one side.
function M.refuse_noisy(cases)
  for _, c in ipairs(cases) do
    local said = {}
    for _, side in ipairs { "a", "b" } do
      local disturbed, contended = nil, nil
      if c.result then disturbed, contended = M.disturbed_share(c, side) end
      if contended and contended > M.NOISY then
        said[#said + 1] = ("%.0f %% of %s's"):format(contended * 100, side:upper())
      end
      if disturbed and disturbed - contended > M.NOISY then
        c.result.wandered = math.max(c.result.wandered or 0, disturbed - contended)
      end
    end
    if #said > 0 then
      c.result.noisy, c.result.verdict = true, "inconclusive"
      c.result.reason = ("noisy: %s %s disturbed"):format(table.concat(said, " and "),
        c.details[1].a.contended_ns and "time was" or "samples were")
    end
  end
end

-- o = {
--   take       function(order, index) -> list of { key =, a = ns, b = ns, details =, about = } or { key =, skipped =
--              reason } for one pair; order = "ab" or "ba"; nil when interrupted; raises { message = } when a side
--              failed
--   least, most, max_time   10 pairs at least, 60 at most, no new pair after 60 s; least is 6 or more
--   epsilon    0.01;  precision   half-width of the log ratio's interval that is tight enough (half of epsilon)
--   seed       1;     on_pair     function(state) after each pair, state = { pairs, most, seconds, max_time, cases }
-- }
-- Returns { cases = { { key, a_ns, b_ns, orders, details, result = as verdict.lua, about, skipped } }, pairs, seconds,
-- stopped = "precision" | "pairs" | "time" | "interrupted" | "failed", failed = message }. Several cases: under Holm.
function M.run(o)
  local s = { take = o.take, least = o.least or M.LEAST, most = o.most or math.max(M.MOST, o.least or 0),
    max_time = o.max_time or M.MAX_TIME, epsilon = verdict.check_epsilon(o.epsilon, "pairs"), seed = o.seed or 1 }
  s.precision = o.precision or math.log(1 + s.epsilon) / 2
  if s.least < 6 then error(("pairs: at least 6 are needed for an interval, got %d"):format(s.least), 2) end
  if s.most < s.least then error(("pairs: at most %d, but at least %d"):format(s.most, s.least), 2) end
  local orders, cases, by_key = M.orders(s.most, s.seed), {}, {}
  local out = { cases = cases, pairs = 0, stopped = "pairs", seconds = 0 }
  local start = sys.now_s()
  for i = 1, s.most do
    if i > s.least and out.seconds >= s.max_time then
      out.stopped = "time"
      break
    end
    local ok, list = pcall(s.take, orders[i], i)
    if sys.interrupted() or ok and not list then
      out.stopped = "interrupted"
      break
    elseif not ok then
      out.stopped, out.failed = "failed", type(list) == "table" and list.message or sys.clean(list)
      break
    end
    for _, entry in ipairs(list) do add(cases, by_key, entry, orders[i], i) end
    out.pairs, out.seconds = i, sys.now_s() - start
    local done = all_precise(cases, s, i)
    if o.on_pair then
      o.on_pair { pairs = i, most = s.most, seconds = out.seconds, max_time = s.max_time, cases = cases }
    end
    if #measured(cases) == 0 then break end
    if i >= s.least and done then
      out.stopped = "precision"
      break
    end
  end
  local results = {}
  for _, c in ipairs(measured(cases)) do results[#results + 1] = judge(c, s, out.pairs) end
  if #results > 1 then verdict.holm(results) end
  return out
end

-- A side that fails is a failed case, not a wrong command line.
local function fail(...) error({ message = (...):format(select(2, ...)), status = 1 }, 0) end

-- ---- cases in workers of this program ----

local function ask(w, name, request, side)
  local reply = w.processes[name]:call(request, w.timeout)
  if reply.kind == "done" then return reply.value end
  if reply.kind == "interrupted" then return nil end
  local reason = reply.reason or reply.message or reply.kind
  if reply.kind == "error" and reason:find("^skipped: ") then return { skipped = reason:sub(10) } end
  fail("%s: %s", side.label or name:upper(), (reason:gsub("^failed: ", "")))
end

local function common(a, b)
  local x, y = a, b
  while y > 0 do x, y = y, x % y end
  return a / x * b
end

-- What both sides' runs are multiples of: always what makes extra work whole, and whole graphs (`quantum`) of both, of
-- one, or of none, as a sample does not become too long by them.
local function agreed(a, b, slowest)
  local share = common(a.share or 1, b.share or 1)          -- 1000 each at most
  local one, other = common(share, a.quantum), common(share, b.quantum)
  for _, quantum in ipairs { common(one, other), math.max(one, other), math.min(one, other) } do
    if quantum * slowest <= SAMPLE_MOST_NS and quantum <= QUANTUM_MOST then return quantum end
  end
  return share
end

-- iterations, quantum, turns, samples a turn: how many runs, multiples of what, how often; equal on both sides, each of
-- which said { iterations, quantum, share, run_ns } of its own. w.process_time: seconds that one side samples.
function M.plan_turns(w, a, b)
  local iterations, slowest = math.max(a.iterations, b.iterations), math.max(a.run_ns, b.run_ns, 1)
  iterations = math.min(iterations, math.max(1, math.floor(SAMPLE_MOST_NS / slowest)))
  local quantum = agreed(a, b, slowest)
  iterations = math.ceil(iterations / quantum) * quantum
  if iterations * slowest > SAMPLE_MOST_NS and iterations > quantum then iterations = iterations - quantum end
  local samples = math.floor(w.process_time * 1e9 / (slowest * iterations * 1.1))
  samples = math.min(SAMPLES_MOST, math.max(SAMPLES_LEAST, samples))
  local turns = math.min(TURNS, samples)
  turns = turns - turns % 2
  return iterations, quantum, turns, math.ceil(samples / turns)
end

local function open(w, case, order, seed)
  local opened = {}
  for name in order:gmatch "." do
    local side = case[name]
    opened[name] = ask(w, name, { cmd = "turn", step = "open", script = side.script, argv = json.array(side.argv or {}),
      axes = side.axes or {}, kernel = side.kernel, extra_work = side.extra_work, seed = seed,
      prepared = w.prepared }, side)
    if not opened[name] or opened[name].skipped then return opened[name] and opened or nil, true end
  end
  return opened
end

-- ABBA or BAAB over the turns: the order of the pair, then the other way round, and so on.
local function take_turns(w, case, order, opened)
  local iterations, quantum, turns, samples = M.plan_turns(w, opened.a, opened.b)
  local back = order:reverse()
  for t = 1, turns do
    for name in (t % 2 == 1 and order or back):gmatch "." do
      if not ask(w, name, { cmd = "turn", step = "take", samples = samples, iterations = iterations,
        quantum = quantum },
        case[name]) then return nil end
    end
  end
  return true
end

local function stop(w)
  for _, c in pairs(w.processes) do c:stop() end
end

local function pair_of_case(w, case, order, index)
  local opened, out = open(w, case, order, w.seed + index)
  if not opened then return nil end
  for name, o in pairs(opened) do
    if o.skipped then
      return { key = case.key, skipped = ("%s: %s"):format(case[name].label or name:upper(), o.skipped) }
    end
  end
  out = { key = case.key, about = opened, details = {} }
  if not take_turns(w, case, order, opened) then return nil end
  for name in order:gmatch "." do
    local closed = ask(w, name, { cmd = "turn", step = "close" }, case[name])
    if not closed then return nil end
    out[name], out.details[name] = closed.median_ns, closed
  end
  return out
end

-- Cases of scenarios in fresh workers of this program. w = {
--   cases         list of { key = text, a = side, b = side }; side = { script =, argv = {}, axes = {}, kernel = name
--                 that is taken wherever it fits, extra_work = 0.02: so much more work than is counted, label = for
--                 messages }
--   prepared      a directory where prepared weights are shared (it makes fresh processes cheap); nil: each makes its
--                 own
--   process_time  seconds of sampling in each process (0.15);  timeout   seconds for one answer (120)
--   seed;  on_tick = function() while a process works;  on_print = function(line) of a script
-- }
-- Returns the function that M.run takes. A pair's entry has details.a and .b = { median_ns, samples_ns, disturbance,
-- ... }.
function M.workers(w)
  w.process_time, w.timeout, w.seed = w.process_time or M.PROCESS_TIME, w.timeout or 120, w.seed or 1
  local opts = { isolation = true, on_tick = w.on_tick, on_print = w.on_print }
  w.processes = { a = coordinator.new(opts), b = coordinator.new(opts) }
  return function(order, index)
    local list = {}
    for _, case in ipairs(w.cases) do
      if not case.skipped then
        local ok, entry = pcall(pair_of_case, w, case, order, index)
        stop(w)
        if not ok then error(entry, 0) end
        if not entry then return nil end
        case.skipped = entry.skipped
        list[#list + 1] = entry
      end
    end
    return list
  end
end

-- ---- programs ----

local function say(argv)
  local words = {}
  for i, a in ipairs(argv) do words[i] = require("luabench.record").shell_quote(a) end
  return table.concat(words, " ")
end

-- Time in ns that some process waited for a CPU, and that all processes ran, since the machine started; nil = unknown.
local function load_now()
  local waited = (sys.read_file "/proc/pressure/cpu" or ""):match "some .-total=(%d+)"
  local user, nice, system = (sys.read_file "/proc/stat" or ""):match "^cpu +(%d+) (%d+) (%d+)"
  if not (waited and user) then return nil end
  return waited * 1e3, (user + nice + system) * 1e7
end

-- How long others took a CPU that somebody waited for: the lesser of the time waited and of what ran besides the
-- command. The load is counted in ticks, so that this says something of sums over many runs only.
local function contended(waited, ran, wall_ns, own_s)
  local waited_now, ran_now = load_now()
  if not waited or not waited_now then return nil end
  return math.max(0, math.min(wall_ns, waited_now - waited, ran_now - ran - own_s * 1e9))
end

-- Runs a program to its end: { wall_ns, user_s, system_s, max_rss_bytes, contended_ns }; nil when interrupted. A status
-- other than 0, a signal or a time-out is raised with the program's last words: it is no time.
function M.execute(argv, timeout, label, on_tick)
  local waited, ran = load_now()
  local start = sys.now_s()
  local spawned, p = pcall(sys.spawn_quiet, argv)
  if not spawned then fail("%s: %s", label, sys.clean(p)) end
  local last, state = {}, nil
  repeat
    local news = sys.poll(p, 0.1)
    for line in function() return sys.line(p, 2) end do
      last[#last + 1] = line
      if #last > 3 then table.remove(last, 1) end
    end
    state = sys.state(p)
    if news == "interrupted" or state.running and sys.now_s() - start > timeout then
      sys.kill(p)
      sys.free(p)
      if news == "interrupted" then return nil end
      fail("%s: no end within %g s; --timeout allows more", label, timeout)
    end
    if on_tick then on_tick() end
  until not state.running
  local wall = (sys.now_s() - start) * 1e9
  sys.free(p)
  if state.code ~= 0 then
    fail("%s ended with %s, so its time is none: %s%s", label,
      state.signal_name and state.signal_name or "status " .. tostring(state.code), say(argv),
      #last > 0 and "; its last words: " .. table.concat(last, " / ") or "")
  end
  return { wall_ns = wall, user_s = state.user_s, system_s = state.system_s, max_rss_bytes = state.max_rss_bytes,
    contended_ns = contended(waited, ran, wall, (state.user_s or 0) + (state.system_s or 0)) }
end

-- Command lines: wall time from start to end. w = { a = argv, b = argv, label_a, label_b, timeout = 120, on_tick }.
function M.commands(w)
  local timeout = w.timeout or 120
  return function(order)
    local out = { key = "", details = {} }
    for name in order:gmatch "." do
      local done = M.execute(w[name], timeout, w["label_" .. name] or name:upper(), w.on_tick)
      if not done then return nil end
      out[name], out.details[name] = done.wall_ns, done
    end
    return { out }
  end
end

local function read_cases(path, label)
  local text = sys.read_file(path)
  local ok, value = pcall(sys.json_decode, text or "")
  if not ok or type(value) ~= "table" or type(value.cases) ~= "table" then fail("%s wrote no result", label) end
  return value.cases
end

local function merge_builds(list, by_key, name, cases, label)
  for _, c in ipairs(cases) do
    local key = c.case or ""
    local e = by_key[key]
    if not e then
      e = { key = key, details = {}, about = {} }
      by_key[key] = e
      list[#list + 1] = e
    end
    if c.status == "skipped" then e.skipped = ("%s: %s"):format(label, c.reason or "skipped")
    elseif c.status ~= "ok" then fail("%s, case %s: %s: %s", label, key, c.status or "?", c.reason or "?")
    else
      e[name] = c.time.median
      e.details[name] = { median_ns = c.time.median, samples_ns = c.samples_ns, disturbance = c.disturbance }
      e.about[name] = { path = c.path, device = c.device, threads = c.threads, mode = c.mode, cache = c.cache }
    end
  end
end

-- A scenario run by two luabench programs; the time of a case is the median of its process. w = { a = path of a
-- luabench program, b = another, script =, argv = {}, directory = for result files, timeout = 600, label_a, label_b,
-- on_tick }.
function M.builds(w)
  return function(order, index)
    local list, by_key = {}, {}
    for name in order:gmatch "." do
      local label = w["label_" .. name] or name:upper()
      local path = ("%s/%s-%d.json"):format(w.directory, name, index)
      local argv = { w[name], w.script }
      for _, a in ipairs(w.argv or {}) do argv[#argv + 1] = a end
      for _, a in ipairs { "--quiet", "--output", path } do argv[#argv + 1] = a end
      local done = M.execute(argv, w.timeout or 600, label, w.on_tick)
      if not done then return nil end
      merge_builds(list, by_key, name, read_cases(path, label), label)
      os.remove(path)
    end
    for _, e in ipairs(list) do
      if not e.skipped and not (e.a and e.b) then
        e.skipped = ("only %s has it"):format(e.a and (w.label_a or "A") or (w.label_b or "B"))
      end
    end
    return list
  end
end

return M

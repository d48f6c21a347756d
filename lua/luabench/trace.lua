-- trace.lua: traced runs: lb.trace(plan), the table of time by operation, and Chrome/Perfetto trace files.
--
-- A traced run is never the timed one: it reads the clock twice a launch. The engine records the spans (core.trace);
-- here they become
--   rows     time by operation and kernel: launches, time, share, bytes, fraction of the limit
--   events   one JSON object a line, https://ui.perfetto.dev and chrome://tracing read them: a process is a case, a
--            thread is a thread of the device, a slice is a kernel's part of a step or a wait at a barrier
local json = require "luabench.json"
local judge = require "luabench.judge"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = {}
local Trace = {}
Trace.__index = Trace

-- ---- rows ----

-- Length of the union of spans { begin_ns, end_ns } of several threads.
local function union_ns(spans)
  table.sort(spans, function(a, b) return a.begin_ns < b.begin_ns end)
  local sum, reached = 0, -math.huge
  for _, s in ipairs(spans) do
    if s.end_ns > reached then
      sum = sum + s.end_ns - math.max(s.begin_ns, reached)
      reached = s.end_ns
    end
  end
  return sum
end

local function row_of(rows, by_name, op, kernel)
  local key = op .. "\0" .. kernel
  local r = by_name[key]
  if not r then
    r = { op = op, kernel = kernel, launches = 0, bytes = 0, weight_bytes = 0, flops = 0, thread_ns = 0,
      flops_by = {}, reads = {}, spans = {} }
    by_name[key] = r
    rows[#rows + 1] = r
  end
  return r
end

-- between: bytes that other sets of the rotation read between two runs on the same copy.
local function add_work(r, w, between)
  r.launches, r.bytes, r.flops = r.launches + 1, r.bytes + w.bytes, r.flops + w.flops
  r.weight_bytes = r.weight_bytes + w.weight_bytes
  if w.first_bytes > 0 then r.reads[#r.reads + 1] = { w.first_distance + between, w.first_bytes } end
  if w.again_bytes > 0 then r.reads[#r.reads + 1] = { w.again_distance, w.again_bytes } end
  for name, flops in pairs(w.flops_by) do r.flops_by[name] = (r.flops_by[name] or 0) + flops end
end

-- How an operation stands against what the machine can do: { bound, fraction, ceiling, ceiling_from }. Of its bytes
-- the weights count, at the rates of their reuse distances.
local function limit(r, time_ns, ceilings)
  if not ceilings or time_ns <= 0 then return {} end
  local work = { reads = r.reads, capacity_bytes = ceilings.capacity_bytes, flops_by = r.flops_by,
    launches = r.launches, launch_ns = ceilings.launch_ns }
  return judge.judge(work, time_ns, ceilings.near, ceilings.best)
end

-- trace = what core.trace gives, steps = plan:steps(); ceilings = { near =, best =, launch_ns =, capacity_bytes = } or
-- nil.
-- Returns rows by falling share, and the shares of all threads' time that were waits and neither.
-- time_ns of a row is how long at least one thread was at it; share is of the threads' time, so that shares add up.
function M.rows(trace, steps, ceilings)
  local rows, by_name, of_step, between = {}, {}, {}, 0
  for _, w in ipairs(trace.work) do between = between + (w.ran and w.first_bytes or 0) * (trace.sets - 1) end
  for i, w in ipairs(trace.work) do
    if w.ran then
      of_step[i] = row_of(rows, by_name, steps[i].op, w.kernel)
      add_work(of_step[i], w, between)
    end
  end
  local all, waits = trace.wall_ns * trace.threads, 0
  for _, s in ipairs(trace.spans) do
    local ns = s.end_ns - s.begin_ns
    if s.kind == "wait" then
      waits = waits + ns
    else
      local r = of_step[s.step]
      r.thread_ns = r.thread_ns + ns
      r.spans[#r.spans + 1] = s
    end
  end
  local launched = 0
  for i, r in ipairs(rows) do
    launched = launched + r.thread_ns
    local time_ns = union_ns(r.spans)
    local sol = limit(r, time_ns, ceilings)
    rows[i] = { op = r.op, kernel = r.kernel, launches = r.launches, time_ns = time_ns,
      share = all > 0 and r.thread_ns / all or nil, bytes = r.bytes, weight_bytes = r.weight_bytes, flops = r.flops,
      bound = sol.bound, fraction = sol.fraction, ceiling = sol.ceiling, compute_type = sol.compute_type,
      ceiling_from = sol.ceiling_from }
  end
  table.sort(rows, function(a, b)
    if a.share ~= b.share then return (a.share or 0) > (b.share or 0) end
    return a.op .. a.kernel < b.op .. b.kernel
  end)
  if all <= 0 then return rows end
  return rows, waits / all, math.max(0, 1 - (waits + launched) / all)
end

-- ---- text ----

local function pad(text, width, left)
  local fill = (" "):rep(width - #text)
  return left and text .. fill or fill .. text
end

local TITLES = { "operation", "kernel", "launches", "time", "share", "bytes", "of limit" }
local LEFT = { true, true }

local function limit_text(r)
  if not r.fraction then return "-" end
  local bound = r.bound == "compute" and r.compute_type or r.bound
  return ("%s %s"):format(units.percent(r.fraction), bound or "?")
end

-- The table of a record's `trace` field (or of an object of lb.trace) as lines.
function M.lines(t)
  local cells = { TITLES }
  for _, r in ipairs(t.operations) do
    cells[#cells + 1] = { r.op, r.kernel, units.count(r.launches), units.time(r.time_ns), units.percent(r.share),
      units.bytes(r.bytes), limit_text(r) }
  end
  cells[#cells + 1] = { "(waiting at barriers)", "", "", "", units.percent(t.wait_share), "", "" }
  cells[#cells + 1] = { "(between launches)", "", "", "", units.percent(t.rest_share), "", "" }
  local widths = {}
  for _, row in ipairs(cells) do
    for i, c in ipairs(row) do widths[i] = math.max(widths[i] or 0, #c) end
  end
  local lines = {}
  for i, row in ipairs(cells) do
    local parts = {}
    for k, c in ipairs(row) do parts[k] = pad(c, widths[k], LEFT[k]) end
    lines[i] = (table.concat(parts, "  "):gsub("%s+$", ""))
  end
  return lines
end

-- The title of a case's table: the traced run beside the timed ones.
function M.title(t, name, median_ns)
  local text = ("%s, one traced run: %s, %d thread%s"):format(name, units.time(t.wall_ns), t.threads,
    t.threads == 1 and "" or "s")
  if median_ns then text = text .. (" (timed runs: %s)"):format(units.time(median_ns)) end
  return text
end

-- Tables of all records that have one, as text; "" if there is none.
function M.report(records)
  local out = {}
  for _, rec in ipairs(records) do
    local t = rec.trace
    if t and t.operations then
      out[#out + 1] = ""
      out[#out + 1] = M.title(t, rec.scenario .. (rec.case ~= "" and "  " .. rec.case or ""),
        rec.time and rec.time.median)
      for _, line in ipairs(M.lines(t)) do out[#out + 1] = line end
    elseif t and t.reason then
      out[#out + 1] = ""
      out[#out + 1] = ("%s  %s: not traced: %s"):format(rec.scenario, rec.case, t.reason)
    end
  end
  return #out > 0 and table.concat(out, "\n") .. "\n" or ""
end

-- ---- events ----

local function metadata(pid, tid, name, value)
  return ('{"ph":"M","pid":%d,"tid":%d,"name":"%s","args":{"name":%s}}'):format(pid, tid, name, json.string(value))
end

-- Sorted "name": "text" pairs of a step's operands, made once a step.
local function step_args(step, work, index)
  local args = { op = step.op, kernel = work.kernel, step = index, label = step.label, operands = step.operands,
    bytes = work.bytes, weight_bytes = work.weight_bytes, flops = work.flops }
  if next(step.params or {}) then args.params = step.params end
  return json.encode(args):sub(2, -2)
end

-- Trace events as a list of JSON objects in text; times in us from the run's begin, with all digits of the ns.
-- Bytes and operations in a slice are of its whole step, all threads together.
function M.events(trace, steps, pid, name)
  local out = { metadata(pid, 0, "process_name", name) }
  for t = 1, trace.threads do out[#out + 1] = metadata(pid, t, "thread_name", "thread " .. t) end
  local args, names = {}, {}
  for _, s in ipairs(trace.spans) do
    local step = steps[s.step]
    local text, title
    if s.kind == "wait" then
      title = '"wait"'
      text = step and ('"before_step":%d,"before":%s'):format(s.step, json.string(step.label or step.op))
        or '"before":"end of the run"'
    else
      args[s.step] = args[s.step] or step_args(step, trace.work[s.step], s.step)
      names[s.step] = names[s.step] or json.string(step.label and step.label ~= "" and step.label or step.op)
      title = names[s.step]
      text = ('%s,"thread":%d,"phase":%d,"pick":%d'):format(args[s.step], s.thread, s.phase, s.pick)
    end
    out[#out + 1] = ('{"ph":"X","pid":%d,"tid":%d,"cat":"%s","name":%s,"ts":%.3f,"dur":%.3f,"args":{%s}}'):format(pid,
      s.thread, s.kind, title, s.begin_ns / 1000, (s.end_ns - s.begin_ns) / 1000, text)
  end
  return out
end

-- The file: fragments are texts of events, one a line.
local function file_text(fragments)
  local parts = {}
  for _, f in ipairs(fragments) do
    if f ~= "" then parts[#parts + 1] = (f:gsub("\n+$", ""):gsub("\n", ",\n")) end
  end
  return '{"displayTimeUnit":"ns","otherData":{"about":"luabench: a process is a case, a thread is one of the device; '
    .. 'bytes and flops of a slice are of its whole step"},"traceEvents":[\n' .. table.concat(parts, ",\n") .. "\n]}\n"
end

-- Is this a name for a trace? true, or false and why not.
function M.check(path)
  if not path:lower():find("%.json$") and not path:lower():find("%.json%.gz$") then
    return false, ("--trace %s: the name should end in .json or .json.gz"):format(path)
  end
  local fine, why = require("luabench.outputs").check(path, {})
  return fine, why and why:gsub("^%-%-output", "--trace")
end

-- Writes texts of events as one file, compressed if its name ends in .gz. Raises (level 0).
function M.write(path, fragments)
  local text = file_text(fragments)
  sys.replace_file(path, path:lower():find "%.gz$" and sys.gzip(text) or text)
end

-- ---- of a whole run ----

local Collector = {}
Collector.__index = Collector

-- Cases leave their events in the run's directory; write() makes one file of them.
function M.collector(path, directory)
  return setmetatable({ path = path, directory = directory, count = 0 }, Collector)
end

-- What the next case is told: where its events go, and its process number in the trace.
function Collector:case()
  self.count = self.count + 1
  return { path = ("%s/trace-%d.events"):format(self.directory, self.count), pid = self.count }
end

-- Writes the file; returns how many cases it has. Without any (all came from the journal) no file is written.
function Collector:write()
  local fragments = {}
  for i = 1, self.count do
    local text = sys.read_file(("%s/trace-%d.events"):format(self.directory, i))
    if text then fragments[#fragments + 1] = text end
  end
  if #fragments > 0 then M.write(self.path, fragments) end
  return #fragments
end

-- ---- taking one ----

-- What times are held against: `near` measured next to them.
function M.limits(device, near)
  local ceilings = require "luabench.ceilings"
  return { near = near, best = ceilings.best(device), launch_ns = ceilings.launch_ns(device),
    capacity_bytes = sys.cache_capacity(device) }
end

-- Of a plan, under a regime. Returns an object with the record's fields (operations, wait_share, ...), spans and steps.
function M.take(plan, opts, ceilings)
  local t = require("luabench.core").trace(plan, opts)
  local self = setmetatable({ wall_ns = t.wall_ns, threads = t.threads, runs = t.runs, spans = t.spans, work = t.work,
    steps = plan:steps(), sets = t.sets, capped = t.capped }, Trace)
  self.operations, self.wait_share, self.rest_share = M.rows(self, self.steps, ceilings)
  return self
end

-- What goes into a record; the spans are in the file.
function M.summary(t)
  return { wall_ns = t.wall_ns, threads = t.threads, runs = t.runs, spans = #t.spans, operations = t.operations,
    wait_share = t.wait_share, rest_share = t.rest_share }
end

function Trace:__tostring()
  return M.title(self, "plan") .. "\n" .. table.concat(M.lines(self), "\n")
end

--- trace:save(path): as a Chrome/Perfetto trace.
function Trace:save(path)
  if type(path) ~= "string" then error("trace:save: a file name expected, got " .. type(path), 2) end
  local fine, why = M.check(path)
  if not fine then error((why:gsub("^%-%-trace", "trace:save")), 2) end
  M.write(path, { table.concat(M.events(self, self.steps, 1, "plan"), "\n") })
end

-- Compute types that a plan's steps use, as a set.
local function types_of(account)
  local types = {}
  for name, flops in pairs(account.flops_by or {}) do
    if flops > 0 and name ~= "none" then types[name] = true end
  end
  return types
end

--- lb.trace(plan[, { cache =, mode =, runs =, max_time_s = }]): one run in detail, printable; :save(path) writes it.
function M.trace(plan, opts)
  if type(plan) == "table" and plan.plan then plan = plan.plan end -- what a case() returns
  if type(plan) ~= "userdata" or not sys.is_plan(plan) then
    error("trace: a plan expected, got " .. type(plan) .. ", as in lb.trace(lb.plan():gemm{ x = x, w = w })", 2)
  end
  local ceilings = require "luabench.ceilings"
  local device = sys.plan_device(plan)
  local ok, t = pcall(function()
    ceilings.prepare(device)
    local near = ceilings.near(device, true, types_of(sys.account(plan)), true)
    return M.take(plan, opts, M.limits(device, near))
  end)
  if not ok then error(t, 2) end
  return t
end

return M

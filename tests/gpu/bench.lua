-- bench.lua: make gpu-bench: what the kernels reach on the GPU at hand, against its measured ceilings, cuBLASLt called
-- bare, PyTorch and Triton; the last two by bench.sh, which leaves their figures, or why there are none, in
-- $REFERENCES. Prints a line for every goal and keeps bench-DATE-DEVICE.json, row by row: what ends it early leaves
-- what was measured. DEVICE is the model and the beginning of the uuid. A row that cannot be run says why.
--   luabench -e 'dofile "tests/gpu/bench.lua"'     LUABENCH_GPU=cuda:1, OUT=FOLDER
--   RESUME=FILE: rows that were measured in FILE are taken from it
--   ONLY=PATTERN: rows whose names match are measured anew, the others stay as they are in RESUME, or in the file to be
--   written
--   LATE=FILE: only what other programs found out since is added
--   END=SECONDS: no row is begun after this time
--   ROWS=FILE: the file to be written; LUABENCH_GPU_BENCH_FILE=1: prints its name, and no more
--   WATCH=FOLDER: where it says what it is at, so that who runs it can go on behind a row that faults or hangs:
--     FOLDER/begun has the name of the row that is being measured, FOLDER/done those that ended, FOLDER/lost, which
--     is read, "NAME<tab>why" of those that are not to be tried. After a fault nothing works in this process: it ends
--     with status 75, and RESUME=the file with the same WATCH goes on.
-- LUABENCH_GPU_BENCH_SCALE=64 divides sizes: tries the script, where nothing is measured (tests/gpu/test_bench.sh).
local lb = require "luabench"
local sys = require "luabench.sys"
local json = require "luabench.json"
local d = lb.device(os.getenv "LUABENCH_GPU" or "cuda:0")
local only = os.getenv "ONLY"
local scale = tonumber(os.getenv "LUABENCH_GPU_BENCH_SCALE") or 1
local references = os.getenv "REFERENCES"
local rows, earlier, before_them = {}, {}, {}
local late = os.getenv "LATE"
local stop = tonumber(os.getenv "END") or math.huge
local report = { when = sys.time_iso(), device = d.model, rows = rows }
local trial = scale > 1
local BIG, K, LONG = math.max(28672 / scale, 512), math.max(8192 / scale, 256), math.max(8192 / scale, 256)

local uuid = d.caps.uuid ~= "" and d.caps.uuid or nil
local file = os.getenv "ROWS" or ("%s/bench-%s%s-%s-%s.json"):format(os.getenv "OUT" or ".", trial and "trial-" or "",
  os.date "!%Y-%m-%d", (d.model:gsub("[^%w]+", "-")), uuid and uuid:gsub("^GPU%-", ""):match "^%w+" or "no-uuid")
if os.getenv "LUABENCH_GPU_BENCH_FILE" then
  io.write(file)
  return
end
local from = late or os.getenv "RESUME"
if from == "" then from = nil end
if not from and only and uuid and pcall(lb.load, file) then from = file end
if from then
  report = lb.load(from)
  local other = (report.caps or {}).uuid
  if report.device ~= d.model or other ~= d.caps.uuid or not (uuid or late) then
    error(("%s is of another device: %s, uuid %s; here is %s, uuid %s"):format(from, tostring(report.device),
      tostring(other), d.model, tostring(d.caps.uuid)), 0)
  end
  before_them = report.rows
  for _, r in ipairs(before_them) do earlier[r.what] = r end
  report.rows, report.resumed = rows, true
end

local function opts(more)
  local o = { precision = 0.01, max_time_s = 1.5, warmup_min_s = 0.2, warmup_max_s = 1, cache = "weights-cold" }
  if trial then o.samples, o.warmup = 3, 1 end
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

-- ---- other programs' figures ----

local loaded = {}
-- Microseconds of a row of NAME.json, or nil and why not.
local function reference(name, row)
  if loaded[name] == nil then
    local path = references and references .. "/" .. name
    local ok, content = pcall(lb.load, path and path .. ".json" or "")
    local why = path and io.open(path .. ".why")
    loaded[name] = ok and content or { why = why and why:read "*l" or "was not run: bench.sh runs it" }
    if why then why:close() end
  end
  local r = loaded[name].rows and loaded[name].rows[row]
  if r and r.us then return r.us end
  return nil, r and r.error or loaded[name].why or "has no such row"
end

-- ---- what faults or hangs ----

local watch = os.getenv "WATCH"
local done, lost = {}, {}
local function watched(name, how, text)
  local f = watch and assert(io.open(watch .. "/" .. name, how))
  if f then f:write(text) f:close() end
end
for name, into in pairs { done = done, lost = lost } do
  local f = watch and io.open(watch .. "/" .. name)
  for line in f and f:lines() or function() end do
    local what, why = line:match "^([^\t]*)\t?(.*)$"
    into[what] = why
  end
  if f then f:close() end
end
local resumed = next(done) ~= nil       -- by this command: what the file has was printed
-- pcall(f), and while it runs WATCH knows of it.
local function guarded(what, f)
  if lost[what] then return false, lost[what] end
  watched("begun", "w", what)
  local ok, got = pcall(f)
  watched("begun", "w", "")
  return ok, got
end
-- What was run is in the file. After a fault another process has to go on.
local function ended(what)
  watched("done", "a", what .. "\n")
  if not watch or not d.lost then return end
  io.stdout:flush()
  os.exit(75)
end

-- ---- rows ----

local function checked(plan)
  local c = sys.check(plan)
  if not c.passed then error("wrong result: " .. tostring(c.reason), 0) end
end

local function timed(plan, more)
  local m, names = lb.measure(plan, opts(more)), {}
  for _, e in ipairs(sys.account(plan).path or {}) do names[#names + 1] = e.kernel end
  return { us = m.median / 1000, ci95_ns = m.ci95, kernel = table.concat(names, ", "),
    ghz = m.disturbance and m.disturbance.frequency_ghz, noisy = m.disturbance and m.disturbance.noisy,
    sets = m.rotation and m.rotation.sets }
end

local columns = { { "work", 58 }, { "goal", 32 }, { "time", 12 }, { "reached", 34 }, { "met", 4 }, { "kernel", 0 } }
local function line(cells)
  local text = {}
  for i, c in ipairs(columns) do text[i] = ("%-" .. math.max(c[2], 1) .. "s"):format(cells[i]) end
  print((table.concat(text, " "):gsub("%s+$", "")))
end
local function met(r)
  if r.error or r.met == nil then return "" end
  return r.met and "yes" or "NO"
end
-- Until the end, rows of before that were not reached yet are in the file, too.
local placed = {}
local function save(all)
  report.rows = { unpack(rows) }
  for _, r in ipairs(all and {} or before_them) do
    if not placed[r.what] then table.insert(report.rows, r) end
  end
  sys.replace_file(file, json.encode(report, { pretty = true }) .. "\n")
end

local function us_text(us) return us < 10 and ("%.2f us"):format(us) or ("%.1f us"):format(us) end

-- f gives { us =, shows = TEXT, met = whether the goal is reached, kernel = }, or an error, which is the row's.
-- `found`: it runs nothing, only reads what other programs found out; where they found nothing now, what they did
-- before stays.
local function row(what, goal, f, found)
  local r, before, ran = { what = what, goal = goal }, earlier[what], false
  local wanted = not only or what:find(only) ~= nil
  if not before and (not wanted or late and not found) then return end
  if before and (done[what] or not wanted or late and not found or not late and not only and not before.error) then
    r = before
  else
    local ok, got = true, nil
    ran = not found and os.time() < stop
    if ran then ok, got = guarded(what, f)
    elseif found then ok, got = pcall(f)
    else ok, got = false, "TIME was over" end
    if ok then for k, v in pairs(got) do r[k] = v end
    elseif sys.interrupted() then error(got, 0)
    elseif found and before and not before.error then r = before
    else r.error = sys.clean(got):gsub("%s+", " ") end
    if trial then r.met = nil end
  end
  rows[#rows + 1], placed[what] = r, true
  local told = before and (late or resumed) and before.us == r.us and before.error == r.error
  if wanted and not done[what] and not told then
    if r.error then print(("%-58s %-32s not run: %s"):format(r.what, r.goal, r.error))
    else line { r.what, r.goal, us_text(r.us), r.shows or "", met(r), r.kernel or "" } end
    io.stdout:flush()
  end
  if not late then save() end
  if ran then ended(what) end
  return not r.error and r or nil
end

local function reference_row(what, name, key)
  return row(what, "reference", function()
    local us, why = reference(name, key or what)
    if not us then error(why, 0) end
    return { us = us, shows = "" }
  end, true)
end

-- The faster of two that are there.
local function faster(a, b) return a and (not b or a.us <= b.us) and a or b end
local function times(base, r, by)
  return base and r and ("%.2f x %s"):format(base.us / r.us, by) or "reference missing: " .. by
end

-- ---- ceilings ----

print(d.model .. (trial and (": a trial with sizes divided by %d; nothing here is a measurement"):format(scale) or ""))
report.trial, report.live = trial or nil, d.live
report.caps = { uuid = d.caps.uuid, driver = d.caps.driver_version, multiprocessors = d.caps.multiprocessors }
-- f measures unless that is over, is done, or nothing is to be measured; then it is what the file has.
local function ceiling(what, key, f)
  if late or os.time() >= stop or done[what] and not lost[what] then return report[key] end
  local ok, got = guarded(what, f)
  if not ok and sys.interrupted() then error(got, 0) end
  if not ok then print(("%s: not measured: %s"):format(what, sys.clean(got))) end
  report[key] = ok and got or nil
  save()
  ended(what)
  return report[key]
end
local ceilings = ceiling("the bandwidth", "ceilings", function()
  local c = sys.all_ceilings(d, trial and 0.2 or 3, { "read", "copy", "write" })
  print(("  read %.0f GB/s, copy %.0f GB/s, write %.0f GB/s"):format(c.read.best / 1e9,
    (c.copy and c.copy.best or 0) / 1e9, (c.write and c.write.best or 0) / 1e9))
  return c
end)
local peaks = ceiling("the peaks", "peaks", function()
  local all = {}
  for _, c in ipairs(sys.ceiling_classes(d, trial and 0.2 or 3)) do
    all[c.compute] = math.max(all[c.compute] or 0, c.best)
    print(("  %-6s %8.1f TOP/s  %s"):format(c.compute, c.best / 1e12, c.kernel))
  end
  return all
end) or {}
local function bandwidth()
  return ceilings and ceilings.read and ceilings.read.best or error("the bandwidth was not measured", 0)
end

if not late then
  print ""
  line { "work", "goal", "time", "reached", "met", "kernel" }
end

local function of_bandwidth(bytes, us) return bytes / (us * 1e-6) / bandwidth() end
local function percent(x, of) return ("%.1f %% of %s"):format(100 * x, of) end

-- ---- products ----

local function dense(recipe) return recipe == "bf16" or recipe == "f16" or recipe == "f32" end
-- Rows and columns of a product too large for f64: one in each 128, so that each tile of 128 x 128 has a sample. Tiles
-- that are smaller are met here and there.
local function spread(n)
  local at, seed, count = {}, 12345, math.max(16, math.ceil(n / 128))
  for i = 1, count do
    seed = (seed * 1103515245 + 12345) % 2147483648
    at[i] = math.floor((i - 1 + seed / 2147483648) * n / count) + 1
  end
  at[1], at[count] = 1, n
  return at
end
local function rows_of(t, at)
  local parts = {}
  t = t:to "cpu"
  if t.quantizer then t = t:dequantize() end
  for i, row in ipairs(at) do parts[i] = t:slice(1, row, row) end
  return lb.cat(parts)
end
-- What f64 makes of the sampled rows and columns; x that is quantized on the way is held to what that may cost: most is
-- of the NMSE, each of one sample's error in units of the samples' root mean square. fp8 has three bits behind the
-- first: 7e-4.
local function sample_of(x, w, recipe, stored)
  local fp8 = recipe:find "^float8" ~= nil
  local s = { rows = spread(x.shape[1]), columns = spread(w.shape[1]), most = stored and 1e-4 or fp8 and 2e-3 or 1e-3,
    each = fp8 and not stored and 0.25 or 0.1 }
  s.want = lb.oracle.matmul(rows_of(x, s.rows), rows_of(w, s.columns))
  return s
end
-- Checks the sample; its values, or an error. `before`: they must be those, bit for bit.
local function check_sample(s, out, before, when)
  local got, error2, sum2, worst = {}, 0, 0, { error = -1 }
  local all = out:to "cpu"
  for i, row in ipairs(s.rows) do
    for j, column in ipairs(s.columns) do
      local v, want = all:get(row, column), s.want:get(i, j)
      got[#got + 1] = v
      local off = math.abs(v - want)
      error2, sum2 = error2 + off ^ 2, sum2 + want ^ 2
      if not (off <= worst.error) then worst = { error = off, row = row, column = column, v = v, want = want } end
      if before and before[#got] ~= v then error(("[%d, %d] is another value after timing"):format(row, column), 0) end
    end
  end
  if not (error2 <= s.most * sum2) then
    error(("wrong result at the full size, %s: NMSE of a sample %g, at most %g"):format(when, error2 / sum2, s.most), 0)
  end
  if not (worst.error <= s.each * math.sqrt(sum2 / #got)) then
    error(("wrong result at the full size, %s: [%d, %d] is %g, expected %g"):format(when, worst.row, worst.column,
      worst.v, worst.want), 0)
  end
  return got
end

local function gemm(m, n, k, recipe, kernel, more)
  local x, w = lb.randn({ m, k }, { seed = 1, device = d }), lb.randn({ n, k }, { seed = 2 })
  w = (dense(recipe) and w:to(recipe) or w:quantize(recipe)):to(d)
  if more and more.stored then x = lb.randn({ m, k }, { seed = 1 }):quantize(recipe):to(d) end
  local function record(input, rows_of_x)
    local out = lb.zeros({ rows_of_x, n }, { device = d })
    local args, plan = { x = input, w = w, out = out }, lb.plan(d)
    if kernel then plan:call(kernel, args)
    elseif more and more.stored then plan:gemm_stored(args)
    else plan:gemm(args) end
    return plan, out
  end
  local plan, out = record(x, m)
  local some, sample, before = math.min(m, 256), nil, nil
  if some == m then checked(plan)
  else -- f64 takes minutes at the full size
    local few = lb.randn({ some, k }, { seed = 1 })
    checked((record((more and more.stored and few:quantize(recipe) or few):to(d), some)))
  end
  if m > 256 or trial and more then -- and of the full size, before and after it is timed, what a sample tells
    sample = sample_of(x, w, recipe, more and more.stored)
    plan:run()
    before = check_sample(sample, out, nil, "before timing")
    out:fill(0 / 0)
  end
  local r = timed(plan, { cache = more and more.cache })
  if sample then check_sample(sample, out, before, "after timing") end
  r.bytes = w:nbytes()
  return r
end
local function size(m, n, k) return ("M = %d, %d x %d"):format(m, n, k) end

for _, recipe in ipairs { "int4wo-128", "int8wo", "q4_0", "q8_0", "q4_k", "q6_k", "nf4", "mxfp4" } do
  row(("GEMV %s %d x %d"):format(recipe, BIG, K), ">= 85 % of bandwidth", function()
    local r = gemm(1, BIG, K, recipe)
    local reached = of_bandwidth(r.bytes, r.us)
    r.shows, r.met = percent(reached, "bandwidth"), reached >= 0.85
    return r
  end)
end
reference_row("PyTorch int4 " .. size(1, 28672, 8192), "torch", "int4 M = 1, 28672 x 8192")
reference_row("PyTorch bf16 " .. size(1, 28672, 8192), "torch", "linear bf16 M = 1, 28672 x 8192")
reference_row("torch.compile int8 weights " .. size(1, 28672, 8192), "torch", "compiled int8 M = 1, 28672 x 8192")

local function against_bf16(m, least)
  local base = reference_row("bare cuBLASLt bf16 " .. size(m, 8192, 8192), "bare",
    ("bf16 M = %d, 8192 x 8192"):format(m))
  local own = row("GEMM bf16 by cuBLASLt " .. size(m, K, K), "reference", function()
    local r = gemm(m, K, K, "bf16", "gemm.bf16.cublaslt")
    r.shows = times(base, r, "bare")
    return r
  end)
  for _, recipe in ipairs { "int4wo-128", "q4_k", "q4_0", "q8_0", "int8wo", "q6_k", "nf4", "mxfp4" } do
    row(("GEMM %s %s"):format(recipe, size(m, K, K)), (">= %.1f x cuBLASLt bf16"):format(least), function()
      local r, with = gemm(m, K, K, recipe), faster(own, base)   -- called bare it has x in bf16 already
      r.shows = times(with, r, "cuBLASLt bf16")
      if with then r.met = with.us / r.us >= least end
      return r
    end)
  end
  reference_row("PyTorch int4 " .. size(m, 8192, 8192), "torch", ("int4 M = %d, 8192 x 8192"):format(m))
end
against_bf16(16, 3.5)
against_bf16(256, 1)

local bare = reference_row("bare cuBLASLt fp8 8192^3", "bare", "fp8 M = 8192, 8192 x 8192")
reference_row("PyTorch fp8 8192^3", "torch", "fp8 8192^3")
row(("GEMM fp8 %d^3, x stored in fp8"):format(K), "within 2 % of bare cuBLASLt", function()
  local r = gemm(K, K, K, "float8dq-tensor", nil, { stored = true, cache = "hot" })
  r.shows = ("%.0f TFLOP/s, %s"):format(2 * K ^ 3 / r.us / 1e6, times(bare, r, "bare"))
  if bare then r.met = r.us <= 1.02 * bare.us end
  return r
end)
for _, recipe in ipairs { "float8dq-tensor", "float8dq-row", "float8dq-block", "int8dq" } do
  row(("GEMM %s %d^3, x from f32"):format(recipe, K), "no goal", function()
    local r = gemm(K, K, K, recipe, nil, { cache = "hot" })
    r.shows = ("%.0f TOP/s"):format(2 * K ^ 3 / r.us / 1e6)
    return r
  end)
end

-- ---- attention ----

local function attention_plan(t, s, heads, groups, dim, batch)
  local q = lb.randn({ t, heads, dim }, { seed = 1, device = d })
  local function cache(seed) return lb.randn({ batch, groups, s, dim }, { seed = seed, dtype = "bf16" }):to(d) end
  local lengths, k, v = {}, cache(2), cache(3)
  for i = 1, batch do lengths[i] = s end
  return lb.plan(d):attention { q = q, k = k, v = v, lengths = lb.tensor(lengths, { dtype = "i32", device = d }),
    causal = 1, out = lb.zeros({ t, heads, dim }, { device = d }) }, k:nbytes() + v:nbytes()
end
for _, dim in ipairs { 128, 64 } do
  row(("flash prefill bf16, head %d, causal, S = %d"):format(dim, LONG), ">= 60 % of the bf16 peak", function()
    checked((attention_plan(256, 256, 8, 8, dim, 1)))      -- f64 takes minutes at the full size
    local r = timed(attention_plan(LONG, LONG, 8, 8, dim, 1), { cache = "hot" })
    local rate = 2 * 2 * 8 * dim * LONG * LONG / 2 / (r.us * 1e-6)
    if peaks.bf16 then r.shows, r.met = percent(rate / peaks.bf16, "bf16 peak"), rate / peaks.bf16 >= 0.6
    else r.shows = ("%.0f TFLOP/s, no peak"):format(rate / 1e12) end
    return r
  end)
end
reference_row("PyTorch attention, head 128, causal, S = 8192", "torch", "attention causal S = 8192")
row(("split-KV decode, 8 x %d, 32 heads, 8 groups"):format(2 * LONG), ">= 85 % of bandwidth", function()
  local plan, bytes = attention_plan(8, 2 * LONG, 32, 8, 128, 8)
  checked(plan)
  local r = timed(plan, { cache = "all-cold" })
  local reached = of_bandwidth(bytes, r.us)
  r.shows, r.met = percent(reached, "bandwidth"), reached >= 0.85
  return r
end)
reference_row("PyTorch decode 8 x 16384", "torch", "attention decode 8 x 16384")

-- ---- launches ----

row("launch, graph replay of 100 empty steps", "<= 1.5 us a step", function()
  local plan = lb.plan(d)
  for _ = 1, 100 do plan:empty {} end
  local us = lb.measure(plan, opts { cache = "hot" }).median / 1e5
  return { us = us, kernel = "empty", shows = "a step", met = us <= 1.5 }
end)
row("launch, eager from Lua", "<= 3 us a step", function()
  local x, y = lb.zeros({ 32 }, { device = d }), lb.zeros({ 32 }, { device = d })
  for _ = 1, trial and 1 or 1000 do lb.add { a = x, b = x, out = y } end
  y:get(1)
  local from = sys.now_s()
  local n = trial and 10 or 10000
  for _ = 1, n do lb.add { a = x, b = x, out = y } end
  y:get(1)
  local us = (sys.now_s() - from) / n * 1e6
  return { us = us, kernel = "add", shows = "a step", met = us <= 3 }
end)
local function empties(n)
  local plan = lb.plan(d)
  for _ = 1, n do plan:empty {} end
  return plan
end
-- Plans of few steps are replayed several to a graph, those of more than half as many as fit one by one: the difference
-- between two of those is the steps', what is left is the graph's.
local graph = row("one graph launch among others", "what a plan's replay costs", function()
  local some = lb.measure(empties(150), opts { cache = "hot" }).median
  local twice = lb.measure(empties(300), opts { cache = "hot" }).median
  return { us = math.max(0, 2 * some - twice) / 1000, kernel = "empty",
    shows = ("and %.2f us a step"):format((twice - some) / 150e3) }
end)
row("empty launch, several runs in a graph", "the floor of this mode", function()
  return { us = lb.measure(empties(1), opts { cache = "hot" }).median / 1000, kernel = "empty", shows = "" }
end)
row("empty launch, eager from C", "the floor of this mode", function()
  local us = lb.measure(empties(1), opts { cache = "hot", mode = "eager" }).median / 1000
  return { us = us, kernel = "empty", shows = "" }
end)
row("empty launch, isolated", "the floor of this mode", function()
  local us = lb.measure(lb.plan(d):empty {}, opts { cache = "hot", isolated = true }).median / 1000
  return { us = us, kernel = "empty", shows = "" }
end)

-- ---- the MoE layer: moe_mixed.lua's records ----

local function moe_case(tokens)
  local ok, result = pcall(lb.load, (references or "") .. "/moe.json")
  local why = io.open((references or "") .. "/moe.why")
  local reason = why and why:read "*l"
  if why then why:close() end
  if not ok then error(reason or "moe_mixed.lua left no result: bench.sh runs it", 0) end
  for _, c in ipairs(result.cases or {}) do
    if c.axes.tokens == tokens and c.axes.strategy == "fast_mixed" then
      if c.status ~= "ok" then error(("%s: %s"):format(c.status, c.reason or "no reason"), 0) end
      return c
    end
  end
  error(reason or "moe_mixed.lua has no such case", 0)
end
for _, tokens in ipairs { 1, 16, 64, 256 } do
  local what = ("MoE layer GLM-4.7-Flash fast_mixed, %d token%s"):format(tokens, tokens > 1 and "s" or "")
  local triton = reference_row(("Triton fused MoE int4, %d tokens"):format(tokens), "triton")
  local function measured()
    local c, names = moe_case(tokens), {}
    for _, p in ipairs(c.path or {}) do if p.op == "moe_ffn" then names[#names + 1] = p.kernel end end
    local bytes = c.memory and c.memory.weights_touched_bytes or 0
    return { us = c.time.median / 1000, kernel = table.concat(names, ", "), bytes = bytes }, c
  end
  if tokens == 1 then
    row(what, "<= 1.5 x (bytes + graph launch)", function()
      local r = measured()
      local floor = r.bytes / bandwidth() * 1e6 + (graph and graph.us or 0 / 0)
      r.shows, r.met = ("%.2f x"):format(r.us / floor), r.us <= 1.5 * floor
      return r
    end, true)
  else
    row(what, ">= 85 % of bandwidth", function()
      local r, c = measured()
      local reached = of_bandwidth(r.bytes, r.us)
      r.shows = percent(reached, "bandwidth")
      if c.sol and c.sol.bound == "memory" then r.met = reached >= 0.85
      else r.shows = r.shows .. ", not memory-bound" end
      return r
    end, true)
  end
  row(what .. ", beside Triton", "ahead of Triton", function()
    local r = measured()
    r.shows = times(triton, r, "Triton")
    if triton then r.met = r.us < triton.us end
    return r
  end, true)
end

-- ---- the end ----

local counts = { met = 0, missed = 0, missing = 0 }
for _, r in ipairs(rows) do
  local kind = r.error and "missing" or r.met == true and "met" or r.met == false and "missed"
  if kind then counts[kind] = counts[kind] + 1 end
end
report.references = loaded
save(true)
print(("%d goals met, %d missed, %d rows not run"):format(counts.met, counts.missed, counts.missing))
print("written: " .. file)

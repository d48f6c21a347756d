-- device_cases.lua: what the engine does with a GPU: both sides of tensors, plans as graphs, conditions, rotation,
-- timing, errors. Run by check.sh on a GPU, and by test_device.sh on a device played on the CPU (tests/gpu/fake/).
local lb = require "luabench"
local sys = require "luabench.sys"
local name = os.getenv "LUABENCH_GPU" or "cuda:0"
local fake = (os.getenv "LUABENCH_CUDA" or ""):find "fake" ~= nil
local d = lb.device(name)
local function zeros(...) return lb.zeros({ ... }, { device = d }) end
-- check.sh goes on behind a case that ends all of this: LOST cases were, and those up to AFTER are over. BEGUN is a
-- file that says which one runs, "NUMBER FAILED NAME", FAILED of those before it.
local passed, failed = 0, tonumber(os.getenv "LOST") or 0
local number, after, begun = 0, tonumber(os.getenv "AFTER") or 0, os.getenv "BEGUN"
io.stdout:setvbuf "line"                -- what is known stays where this is ended from outside

local only = os.getenv "CASES"        -- a Lua pattern of what they say
local function case(what, f)
  number = number + 1
  if number <= after or only and not what:find(only) then return end
  local file = begun and assert(io.open(begun, "w"))
  if file then
    file:write(("%d %d %s\n"):format(number, failed, what))
    file:close()
  end
  local ok, why = pcall(f)
  if ok then passed = passed + 1 else failed = failed + 1 end
  print(("%-64s %s"):format(what, ok and "ok" or "FAILED: " .. tostring(why)))
  if not ok and begun and d.lost then os.exit(75) end     -- nothing works in this process any more
end
local function same(a, b, within)
  for i = 1, a.shape[1] do
    for j = 1, a.shape[2] do
      local x, y = a:get(i, j), b:get(i, j)
      if math.abs(x - y) > (within or 0) then error(("[%d, %d]: %g and %g"):format(i, j, x, y), 2) end
    end
  end
end
local function expect_error(pattern, f)
  local ok, why = pcall(f)
  if ok then error("no error", 2) end
  if not tostring(why):find(pattern) then error("another error: " .. tostring(why), 2) end
end

case("the device says what it is", function()
  local c = d.caps
  assert(c.compute_capability and c.multiprocessors > 0 and c.memory_bytes > 0 and c.l2_bytes > 0, "caps")
  assert(type(c.peers) == "table" and c.driver_version and c.runtime_version, "versions")
  assert(not d.lost, "lost")
end)
case("tensors go there and back unchanged", function()
  local t = lb.randn({ 37, 53 }, { seed = 3 })
  same(t, t:to(d):to "cpu")
  same(t:t(), t:to(d):t())
  same(lb.randn({ 37, 53 }, { seed = 3, device = d }), t)
end)
case("views and writes of the host are seen by the device", function()
  local x, y = zeros(4, 8), zeros(4, 8)
  local p = lb.plan(d):add { a = x, b = x, out = y }
  p:run()
  x:set(2, 3, 5)
  p:run()
  assert(y:get(2, 3) == 10 and y:get(1, 1) == 0, "stale")
end)
case("a plan gives what the CPU gives, replayed and eager", function()
  local x, w = lb.randn({ 5, 256 }, { seed = 1, device = d }), lb.randn({ 96, 256 }, { seed = 2, device = d })
  local q, y, z = w:quantize "q4_0", zeros(5, 96), zeros(5, 96)
  local p = lb.plan(d):gemm { x = x, w = q, out = y }:add { a = y, b = y, out = z }
  p:run()
  local once = z:clone()
  p:submit(50)
  same(z, once)
  p:submit_eager(50)
  same(z, once)
  local c = sys.check(p)
  assert(c.passed, c.reason)
end)
case("conditions: read where steps are reached", function()
  local flags = lb.tensor({ 0, 1 }, { dtype = "i32", device = d })
  local a, out = lb.full({ 2, 8 }, 3, { device = d }), zeros(2, 8)
  local p = lb.plan(d)
  p:fill { out = out, value = 1 }
  p:add { a = a, b = a, out = out, when = { flags, 1 } }
  p:run()
  assert(out:get(1, 1) == 1, "a step ran whose condition is 0")
  flags:set(1, 1)
  p:run()
  assert(out:get(1, 1) == 6, "a step did not run whose condition is 1")
end)
-- Who reads the values of conditions in graphs: the device, unless the played one was told to refuse.
local refuses = fake and (os.getenv "LUABENCH_FAKE" or ""):find "bodies=1" ~= nil
local function decides(p) return p:account().conditions end
case("conditions: parts of the graph, which the device decides", function()
  local flags = lb.tensor({ 0, 1, 1 }, { dtype = "i32", device = d })
  local function rows() return zeros(2, 8) end
  local a, x, y, out, twice = lb.full({ 2, 8 }, 3, { device = d }), rows(), rows(), rows(), rows()
  local p = lb.plan(d)
  p:fill { out = x, value = 1 }
  p:add { a = a, b = a, out = x, when = { flags, 1 } }
  p:add { a = x, b = x, out = y, when = { flags, 1 } }              -- of the same condition: one part with two steps
  p:add { a = x, b = a, out = out, when = { flags, 3 } }
  p:add { a = out, b = out, out = twice }
  assert(refuses or decides(p) == "device", tostring(decides(p)))
  for _, n in ipairs { 1, 70 } do                                    -- as a graph, and in graphs of several runs
    flags:set(1, 0)
    p:submit(n)
    assert(out:get(1, 1) == 4 and twice:get(2, 8) == 8, ("0: %g %g"):format(out:get(1, 1), twice:get(2, 8)))
    flags:set(1, 5)
    p:submit(n)
    assert(out:get(1, 1) == 9 and twice:get(2, 8) == 18 and y:get(1, 1) == 12,
      ("5: %g %g"):format(out:get(1, 1), y:get(1, 1)))
  end
  local m = lb.measure(p, { cache = "hot", samples = 5, warmup = 1 })
  assert(m.launches > 0 and m.launches % 5 == 0, m.launches .. " launches in runs of 5")
  flags:set(1, 0)
  m = lb.measure(p, { cache = "hot", samples = 5, warmup = 1 })
  assert(m.launches > 0 and m.launches % 3 == 0, m.launches .. " launches in runs of 3")
  for _, o in ipairs { { isolated = true }, { mode = "eager" } } do
    o.cache, o.samples, o.warmup = "hot", 4, 1
    m = lb.measure(p, o)
    assert(m.launches > 0, "nothing ran")
    assert(m.conditions == (o.mode and "host: mode eager" or decides(p)), tostring(m.conditions))
    assert(out:get(1, 1) == 4, "another result")
  end
end)
case("conditions: one that a step of the plan changes is read after it", function()
  local flags = lb.tensor({ 0 }, { dtype = "i32", device = d })
  local positions, before, after = lb.zeros({ 1 }, { dtype = "i32", device = d }), zeros(4), zeros(4)
  local p = lb.plan(d)
  p:fill { out = before, value = 7, when = { flags, 1 } }
  p:advance { lengths = flags, positions = positions, step = 1 }     -- one more each time
  p:fill { out = after, value = 9, when = { flags, 1 } }
  p:run()
  assert(before:get(1) == 0 and after:get(1) == 9, ("0, then 1: %g %g"):format(before:get(1), after:get(1)))
  p:run()
  assert(before:get(1) == 7, "1 from the run before")
end)
case("conditions: what is picked runs, nothing where out of range", function()
  local ids = lb.tensor({ 2, 0 }, { dtype = "i32", device = d })
  local x, y = lb.randn({ 3, 64 }, { seed = 1, device = d }), zeros(3, 32)
  local w = {}
  for i = 1, 3 do w[i] = lb.randn({ 32, 64 }, { seed = 10 + i, device = d }) end
  w[2] = w[2]:quantize "q8_0"
  local p = lb.plan(d):gemm { x = x, w = w, pick = { ids, 1 }, out = y }:add { a = y, b = y, out = zeros(3, 32) }
  assert(refuses or decides(p) == "device", tostring(decides(p)))
  for i = 1, 3 do
    ids:set(1, i - 1)
    p:run()
    local got = y:clone()
    lb.plan(d):gemm { x = x, w = w[i], out = y }:run()
    same(got, y, 1e-4)
  end
  ids:set(1, 3)
  expect_error("picked item 3, but there are 3", function() p:run() end)
  expect_error("picked item 3, but there are 3", function() p:submit(1) end)
  ids:set(1, -1)
  expect_error("picked item %-1, but there are 3", function() p:run() end)
  ids:set(1, 0)
  p:run()
end)
case("conditions: more than are read at once, rotating weights", function()
  local n = 40
  local ids, x = {}, lb.randn({ 1, 32 }, { seed = 1, device = d })
  for i = 1, n do ids[i] = i % 2 end
  ids = lb.tensor(ids, { dtype = "i32", device = d })
  local w = {}
  for i = 1, 2 do w[i] = lb.randn({ 8, 32 }, { seed = 1 + i, device = d }):quantize "q8_0" end
  local p, outs = lb.plan(d), {}
  for i = 1, n do
    outs[i] = zeros(1, 8)
    p:gemm { x = x, w = w, pick = { ids, i }, out = outs[i] }
  end
  local m = lb.measure(p, { cache = "weights-cold", samples = 3, warmup = 1 })
  assert(m.launches > 0 and m.launches % n == 0, ("%g launches in runs of %g"):format(m.launches, n))
  p:run()
  same(outs[1], outs[3])
  same(outs[2], outs[40])
  assert(outs[1]:get(1, 1) ~= outs[2]:get(1, 1), "picks do not matter")
end)
case("conditions: values on another device are refused", function()
  local flags, ids = lb.tensor({ 1 }, { dtype = "i32" }), lb.tensor({ 0 }, { dtype = "i32" })
  local x, out = zeros(1, 8), zeros(1, 8)
  local w = { zeros(8, 8), zeros(8, 8) }
  local p, one = lb.plan(d), lb.plan(d):fill { out = out, value = 1 }
  local said = " is on cpu, but the plan is for " .. name
  expect_error("when" .. said, function() p:fill { out = out, value = 1, when = { flags, 1 } } end)
  expect_error("pick" .. said, function() p:gemm { x = x, w = w, pick = { ids, 1 }, out = out } end)
  expect_error("when" .. said, function() p:append(one, { when = { flags, 1 } }) end)
end)
if fake then
  case("conditions: where the host reads them, it is said", function()
    local flags, out = lb.tensor({ 1 }, { dtype = "i32", device = d }), zeros(2, 8)
    local ids, x = lb.tensor({ 1 }, { dtype = "i32", device = d }), lb.randn({ 1, 32 }, { seed = 1, device = d })
    local y, many, w = zeros(1, 8), lb.plan(d), {}
    for i = 1, 2 do w[i] = lb.randn({ 8, 32 }, { seed = 1 + i, device = d }) end
    local p = lb.plan(d):fill { out = out, value = 3, when = { flags, 1 } }:fill { out = zeros(4), value = 1 }
    p:gemm { x = x, w = w, pick = { ids, 1 }, out = zeros(1, 8) }
    local each = lb.zeros({ 2100 }, { dtype = "i32", device = d })
    for i = 1, 2100 do
      many:fill { out = out, value = 5, when = { each, i } }:gemm { x = x, w = w, pick = { each, i }, out = y }
    end
    assert(decides(many):find "^host: 6300 bodies", tostring(decides(many)))
    many:run()
    local why = "host: cuda:0: making a conditional node: invalid argument (cudaErrorInvalidValue)"
    assert(decides(p) == (refuses and why or "device"), tostring(decides(p)))
    p:submit(3)
    assert(out:get(1, 1) == 3, "it did not run")
    -- few enough bodies as it is, too many when its weights rotate: what is said is of the plan that was timed
    local some = lb.plan(d)
    for i = 1, 1100 do some:gemm { x = x, w = w, pick = { each, i }, out = y } end
    assert(refuses or decides(some) == "device", tostring(decides(some)))
    local m = lb.measure(some, { cache = "weights-cold", samples = 6, warmup = 1 })
    assert(m.rotation.sets > 1 and m.conditions:find "^host: ", m.rotation.sets .. " sets: " .. tostring(m.conditions))
    assert(require "luabench.explain".text(p):find(refuses and "read by the host: cuda" or "read by the device"))
  end)
end
-- Branches. steps: { a, b, out } of adds over tensors 1 .. n. The edges of the graph that it was captured into, by the
-- played device's report: before[j][i] = there is a path from step i to step j.
local function paths(n)
  local f, last, graph = assert(io.open(os.getenv "LUABENCH_FAKE_GRAPHS")), nil, nil
  for line in f:lines() do
    local count, node = line:match "^graph (%d+)", line:match "^(%d+):"
    if count then
      graph = { count = tonumber(count) }
      if graph.count == n then last = graph end
    elseif node then
      local seen = {}
      for i in line:match ":(.*)":gmatch "%d+" do
        seen[i + 1] = true
        for k in pairs(graph[i + 1]) do seen[k] = true end
      end
      graph[node + 1] = seen
    end
  end
  f:close()
  return assert(last, "no graph of so many steps")
end
local function needs(x, y)                 -- y after x, which was recorded before it
  return x[3] == y[1] or x[3] == y[2] or x[3] == y[3] or y[3] == x[1] or y[3] == x[2]
end
local function try_branches(steps, n, alone)
  local plans, tensors = {}, {}
  for side, where in ipairs { d, lb.device "cpu" } do
    local t, p = {}, lb.plan(where)
    for i = 1, n do t[i] = lb.randn({ 3, 8 }, { seed = i, device = where }) end
    for _, s in ipairs(steps) do p:add { a = t[s[1]], b = t[s[2]], out = t[s[3]] } end
    for _ = 1, 4 do                                  -- the played device takes another order each time
      for i = 1, n do t[i]:copy(lb.randn({ 3, 8 }, { seed = i })) end
      p:submit(1)
      if side == 2 then break end
    end
    plans[side], tensors[side] = p, t
  end
  for i = 1, n do same(tensors[1][i], tensors[2][i]) end
  if not fake then return end
  local before, direct, free = paths(#steps), {}, 0
  for j = 1, #steps do
    direct[j] = {}
    for i = 1, j - 1 do
      if needs(steps[i], steps[j]) then
        direct[j][i] = true
        for k in pairs(direct[i]) do direct[j][k] = true end
        if not before[j][i] then error(("step %d does not come after step %d, which it needs"):format(j, i)) end
      end
    end
    for i = 1, j - 1 do
      if not before[j][i] then free = free + 1 end
      assert(not alone or not before[j][i] or direct[j][i],
        ("step %d waits for step %d, and needs nothing of it"):format(j, i))
    end
  end
  return free
end
case("branches: steps that need nothing of one another run side by side", function()
  assert(not fake or os.getenv "LUABENCH_FAKE_GRAPHS", "LUABENCH_FAKE_GRAPHS, a file for the graphs, is not set")
  -- three chains of two from tensor 1, joined two by two
  try_branches({ { 1, 1, 2 }, { 1, 1, 3 }, { 1, 1, 4 }, { 2, 2, 5 }, { 3, 3, 6 }, { 4, 4, 7 }, { 5, 6, 8 },
    { 8, 7, 9 } }, 9, true)
  -- one after the other; and reused results: written again only when all who read them are done
  try_branches({ { 1, 1, 2 }, { 2, 2, 3 }, { 3, 3, 4 } }, 4, true)
  try_branches({ { 1, 1, 2 }, { 2, 2, 3 }, { 1, 1, 2 }, { 2, 3, 4 } }, 4, true)
  local empties = lb.plan(d)                           -- which say nothing of what they need: in order
  for _ = 1, 6 do empties:empty {} end
  empties:submit(1)
  local before = fake and paths(6)
  for j = 2, fake and 6 or 0 do assert(before[j][j - 1], "empty steps side by side") end
  local random, free = 7, 0
  local function any(n)
    random = (random * 1103515245 + 12345) % 2147483648
    return math.floor(random / 65536) % n + 1
  end
  for _ = 1, 12 do
    local steps = {}
    for i = 1, 40 do
      local a, b, out = any(14), any(14), any(14)
      while out == a or out == b do out = any(14) end
      steps[i] = { a, b, out }
    end
    free = free + (try_branches(steps, 14) or 0)
  end
  assert(not fake or free > 500, free .. " pairs of steps are free")
end)
case("branches: each has a workspace and tickets of its own", function()
  if not fake then return end           -- where two steps meet is chance there; the next case has GPU kernels
  local p, outs = lb.plan(d), {}
  for i = 1, 9 do
    outs[i] = zeros(2, 4)
    p:call("fill.f32.fake_two_nodes", { out = outs[i], value = i })
  end
  for _ = 1, 12 do                       -- the played device takes another order each time
    p:submit(1)
    for i, out in ipairs(outs) do
      if out:get(1, 1) ~= i then error(("step %d met another's workspace or tickets"):format(i)) end
      out:fill(0)
    end
  end
end)
case("branches: several runs in a graph, conditions between them, x of their own", function()
  local flags = lb.tensor({ 1 }, { dtype = "i32", device = d })
  local function rows() return zeros(12, 32) end
  local a, b, c, both, sum = rows(), rows(), rows(), rows(), rows()
  local w, x = {}, {}                    -- 12 rows, and K long enough to be split: x and shares lie in workspaces
  for i = 1, 3 do
    w[i] = lb.randn({ 32, 2048 }, { seed = 1 + i, device = d }):quantize "q8_0"
    x[i] = lb.randn({ 12, 2048 }, { seed = 10 + i, device = d })
  end
  local p = lb.plan(d)
  p:gemm { x = x[1], w = w[1], out = a }:gemm { x = x[2], w = w[2], out = b }:gemm { x = x[3], w = w[3], out = c }
  p:add { a = a, b = b, out = both }
  p:add { a = both, b = both, out = rows(), when = { flags, 1 } }
  p:add { a = both, b = c, out = sum }:gemm { x = x[2], w = w[1], out = c }
  p:run()
  local once, last = sum:clone(), c:clone()
  for i, out in ipairs { a, b } do
    local alone = rows()
    lb.plan(d):gemm { x = x[i], w = w[i], out = alone }:run()
    same(out, alone)
  end
  for _, n in ipairs { 1, 2, 70 } do
    p:submit(n)
    same(sum, once)
    same(c, last)
  end
  assert(sys.check(p).passed, "check")
end)
case("measured, rotating, isolated", function()
  local x, w = lb.randn({ 4, 256 }, { seed = 1, device = d }), lb.randn({ 64, 256 }, { seed = 2, device = d })
  local p = lb.plan(d):gemm { x = x, w = w:quantize "q8_0", out = zeros(4, 64) }
  for _, o in ipairs { { cache = "weights-cold" }, { cache = "hot" }, { cache = "hot", mode = "eager" },
      { cache = "hot", isolated = true } } do
    o.samples, o.warmup = 6, 2
    local m = lb.measure(p, o)
    assert(m.median > 0 and m.launches > 0, "no time")
  end
end)
case("samples are whole graphs of several runs", function()
  local x, many = zeros(32), lb.plan(d)
  local function quantum(plan, o)
    o.warmup, o.cache = 2, o.cache or "hot"
    return sys.sampler(plan, o).quantum
  end
  local function add() return lb.plan(d):add { a = x, b = x, out = zeros(32) } end
  assert(quantum(add(), {}) == 8, "of one step: graphs of 256, 32 and 8 runs")
  assert(quantum(add(), { eager = true }) == 1, "eager")
  -- 12 runs for 8 are no whole graphs: 24 for 16 are
  assert(quantum(add(), { extra_work = 0.5 }) == 16, "with half as much work again")
  local odd = sys.sampler(add(), { cache = "hot", warmup = 1 })
  odd:take(1, 9)
  assert(odd.iterations == 16, odd.iterations .. " runs, 9 asked for, in multiples of 8")
  for _ = 1, 10 do many:add { a = x, b = x, out = zeros(32) } end
  assert(quantum(many, {}) == 3, "of ten steps: graphs of 25 and 3 runs")
  local w = lb.randn({ 64, 1024 }, { seed = 2, device = d }):quantize "q8_0"
  local cold = lb.plan(d):gemm { x = lb.randn({ 1, 1024 }, { device = d }), w = w, out = zeros(1, 64) }
  local s = sys.sampler(cold, { cache = "weights-cold", warmup = 2 })
  local q = s.quantum
  s:take(3)
  local m = s:finish()
  assert(q == 1 or q % m.rotation.sets == 0, q .. " of " .. m.rotation.sets)
end)
case("a model of quantized weights runs in every mode", function()
  if fake and not os.getenv "LUABENCH_FAKE_KERNELS" then return end      -- the played device's own have no attention
  local m = lb.model.load({ architectures = { "LlamaForCausalLM" }, model_type = "llama", hidden_size = 256,
    intermediate_size = 512, num_hidden_layers = 1, num_attention_heads = 4, num_key_value_heads = 2, head_dim = 64,
    vocab_size = 512, max_position_embeddings = 64, rms_norm_eps = 1e-5, rope_theta = 10000,
    tie_word_embeddings = false, eos_token_id = 2 },
    { random_weights = true, dtype = "f32", quantize = "q8_0", device = name })
  local first
  for _, mode in ipairs { "eager", "plan", "fused" } do
    local logits = m:logits({ 5, 6, 7 }, { mode = mode }):to "cpu"
    first = first or logits
    same(logits, first, 0.05 * first:abs():max())
  end
  for _, fused in ipairs { true, false } do
    local plan, linear = lb.plan(d), 0
    m:forward(plan, { tokens = 3, fused = fused })
    for _, e in ipairs(sys.account(plan).path) do linear = linear + (e.op == "linear" and e.launches or 0) end
    assert(linear == (fused and 2 or 0), linear .. " launches of linear")      -- Q, K and V; the output
  end
end)
case("a model's experts: two moe_ffn side by side, each with tickets of its own", function()
  if fake and not os.getenv "LUABENCH_FAKE_KERNELS" then return end
  local function i32(...) return lb.tensor({ ... }, { dtype = "i32", device = d }) end
  local w = {}
  for i = 1, 4 do w[i] = lb.randn({ 256, 256 }, { seed = i, device = d }):quantize(i % 2 == 0 and "q4_0" or "q8_0") end
  local function experts(plan, seed)
    local y = zeros(6, 256)
    plan:moe_ffn { x = lb.randn({ 3, 256 }, { seed = seed, device = d }), gate = { w[1], w[2] }, up = { w[2], w[3] },
      down = { w[3], w[4] }, offsets = i32(0, 4, 6), rows = i32(0, 1, 2, 4, 3, 5), class = i32(0, 0),
      h = zeros(6, 256), y = y }
    return y
  end
  local both, alone, ys = lb.plan(d), {}, {}
  for i = 1, 3 do
    ys[i] = experts(both, 10 + i)
    local one = lb.plan(d)
    alone[i] = experts(one, 10 + i)
    one:run()
  end
  for _ = 1, fake and 3 or 40 do        -- on a GPU side by side or not, as it comes
    for i = 1, 3 do ys[i]:fill(0 / 0) end
    both:submit(1)
    for i = 1, 3 do same(ys[i], alone[i]) end
    if fake then both:submit(2) end
  end
end)
case("a model's experts: those of all classes in one launch have the bits of a launch each", function()
  if fake and not os.getenv "LUABENCH_FAKE_KERNELS" then return end
  local job_of, reference = require "luabench.moe.job", require "luabench.moe.reference"
  local layer = require("luabench.moe.layer").new({
    name = "small", hidden = 256, intermediate = 256, experts = 8, shared = 1, top_k = 2, formats = "k",
    router = { score = "sigmoid", bias = true, renormalize = true, scale = 1.8 }, shared_bits = { 6, 2, 3 },
    bits = { { count = 5, 6, 2, 3 }, { count = 2, 6, 3, 3 }, { count = 1, 4, 2, 4 } },
  }, { seed = 3, device = d })
  for _, tokens in ipairs { 1, 9 } do
    local function out(strategy)                     -- threshold 1: no class is rare
      local job = job_of.new { layer = layer, tokens = tokens, routing = "router", threshold = 1, device = d }
      local plan, launches = job_of.plan(job, lb.strategy(strategy)), 0
      for _, e in ipairs(sys.account(plan).path) do launches = launches + (e.op == "moe_ffn" and e.launches or 0) end
      job.out:fill(0 / 0)
      plan:submit(2)
      return job.out, launches, plan:account().conditions
    end
    local all, one, conditions = out "fast_mixed"
    assert(one == 1 and (conditions or "") == "", ("%d launches, conditions: %s"):format(one, tostring(conditions)))
    local each, several = out "hybrid"
    assert(several >= (tokens > 1 and 2 or 1), several .. " launches")
    same(all, each)
    local nmse = reference.nmse(all, reference.output(layer, "mixed", tokens, 9, "router", d))
    assert(nmse and nmse <= reference.LAYER_TOLERANCE, ("NMSE %s"):format(tostring(nmse)))
  end
end)
case("cold weights are slower than hot ones, or a sample is a copy", function()
  if fake then return end                -- a matter of caches
  -- Each half of an L2 keeps what its own multiprocessors read, so that less than its size is hot; a small read is
  -- mostly its launch. The best of a few sizes counts.
  local most = 0
  for _, share in ipairs { 2, 4, 6, 8 } do
    local n = math.floor(d.caps.l2_bytes / share / 4)
    local p = lb.plan(d):call("peak_read.f32.grid", { x = lb.randn({ n }, { device = d }) })
    local o = { max_time_s = 0.5, warmup_min_s = 0.1, warmup_max_s = 0.3 }
    o.cache = "hot"
    local hot = lb.measure(p, o)
    o.cache = "weights-cold"
    local cold = lb.measure(p, o)
    o.isolated = true
    local flushed = lb.measure(p, o)
    print(("  %d bytes: hot %.0f ns, cold %.0f ns by %d sets, %.0f ns alone after a flush"):format(4 * n, hot.median,
      cold.median, cold.rotation and cold.rotation.sets or 0, flushed.median))
    most = math.max(most, cold.median / hot.median)
  end
  assert(most > 1.15, ("cold is not cold: %.2f times hot"):format(most))
end)
case("what was flushed is slower than what was just read", function()
  if fake then return end                -- a matter of caches
  -- Alone, each run begins with a flush: the second of two reads finds what the first brought, or nothing.
  local most, sink = 0, zeros(64)       -- of both: one after the other
  for _, share in ipairs { 3, 4, 6 } do
    local n, ns = math.floor(d.caps.l2_bytes / share / 4), {}
    local a, b = lb.randn({ n }, { seed = 1, device = d }), lb.randn({ n }, { seed = 2, device = d })
    for i, second in ipairs { a, b } do
      local p = lb.plan(d)
      for _, x in ipairs { a, second } do p:call("peak_read.f32.grid", { x = x, sink = sink }) end
      ns[i] = lb.measure(p, { cache = "hot", isolated = true, max_time_s = 0.5, warmup_min_s = 0.1,
        warmup_max_s = 0.3 }).median
    end
    print(("  %d bytes twice: the same %.0f ns, others %.0f ns"):format(4 * n, ns[1], ns[2]))
    most = math.max(most, ns[2] / ns[1])
  end
  assert(most > 1.05, ("the flush leaves what was read before: %.2f times"):format(most))
end)
case("too much memory is an error that says how much there is", function()
  expect_error("MiB", function() return zeros(1048576, 1048576) end)
end)
case("a device number that does not exist", function()
  expect_error("there is no device 63", function() return lb.device "cuda:63" end)
end)
-- ---- kernels of a script's own ----
local SOURCE = [[
__global__ void kernel(const float *x, const float *w, float *out, int M, int N, int K) {
    int n = blockIdx.x * blockDim.x + threadIdx.x, m = blockIdx.y;
    if (n >= N) return;
    float sum = 0;
    for (int k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
    out[m * N + n] = sum;
}
]]
local function own(name, changes)
  local spec = { op = "gemm", name = name, device = name and d, source = SOURCE,
    grid = { "(N + 31) / 32", "M" }, block = 32 }
  for k, v in pairs(changes or {}) do spec[k] = v end
  return lb.kernel.compile(spec)
end
local nvrtc, missing = pcall(own, "probe")
if not nvrtc and tostring(missing):find "NVRTC was not found" then
  print("kernels of a script's own: skipped: " .. tostring(missing))
else
  local x, w = lb.randn({ 3, 64 }, { seed = 1, device = d }), lb.randn({ 70, 64 }, { seed = 2, device = d })
  case("a kernel of CUDA source is checked, timed, and stands beside the others", function()
    local k = own "mine"
    assert(k.name == "gemm.f32.mine" and k.device == "cuda" and k.about:find "registers", tostring(k))
    local p = lb.plan(d):call(k, { x = x, w = w })
    local c = p:check()
    assert(c.passed and c.kernel == "gemm.f32.mine", c.reason)
    local m = lb.measure(p, { samples = 6, warmup = 2 })
    assert(m.median > 0 and m.launches > 0, "no time")
    assert(sys.account(p).path[1].kernel == "gemm.f32.mine", "another ran")
    assert(own "mine" == k, "the same source is the same kernel")
    local other = lb.plan(d):gemm { x = x, w = w }
    lb.compare { a = p, b = other, rounds = 6, max_time = 0.1 }
  end)
  case("parameters, scalars, workspace and needs", function()
    local k = lb.kernel.compile { op = "fill", name = "own_fill", device = d, grid = "max(1, out_numel / 4)",
      block = { 2, 2 }, workspace = 256, needs = "out_numel % 4 == 0", source = [[
        extern "C" __global__ void set(float *out, float value, void *workspace, int64_t out_numel, double out_cols) {
            long long i = blockIdx.x * 4 + threadIdx.y * 2 + threadIdx.x;
            if (i < out_numel && out_cols == 6.0 && workspace) out[i] = value;
        }]] }
    local c = lb.plan(d):call(k, { out = zeros(2, 6), value = 2.5 }):check()
    assert(c.passed, c.reason)
    expect_error("needs", function() lb.plan(d):call(k, { out = zeros(1, 6), value = 2.5 }) end)
  end)
  case("a wrong kernel of one's own is found, a changed one takes its place", function()
    local k = own("mine2", { source = (SOURCE:gsub("= sum;", "= n == 7 ? sum + 0.1f : sum;")) })
    local c = lb.plan(d):call(k, { x = x, w = w }):check()
    assert(not c.passed and c.kernel == "gemm.f32.mine2", "it passed")
    k = own "mine2"
    assert(lb.plan(d):call(k, { x = x, w = w }):check().passed, "the new one is wrong")
  end)
  case("what does not compile is said with its line", function()
    expect_error("source[:(]6.*error", function() own("broken", { source = (SOURCE:gsub("sum;", "nothing;")) }) end)
    expect_error("no function 'other'", function() own("broken", { entry = "other" }) end)
    expect_error("there is no size \"Q\"", function() own("broken", { grid = "Q" }) end)
    expect_error("block is missing", function()
      lb.kernel.compile { op = "gemm", name = "broken", device = d, source = SOURCE, grid = 1 }
    end)
  end)
  case("a launch of one's own that is refused names its step", function()
    local p = lb.plan(d):call(own("wide", { block = 4096 }), { x = x, w = w })
    expect_error("step 1, gemm by gemm.f32.wide: launching.*4096 x 1 x 1 threads.*invalid argument",
      function() p:run() end)
  end)
  case("operands that a pointer cannot take are refused", function()
    expect_error("w is quantized", function()
      lb.plan(d):call(own("any", { format = "any" }), { x = x, w = w:quantize "q4_0" })
    end)
    expect_error("is for device cuda", function()
      lb.plan "cpu":call("gemm.f32.mine", { x = lb.zeros { 1, 4 }, w = lb.zeros { 1, 4 } })
    end)
  end)
end
if not fake and not nvrtc then
  print("a fault names its kernel, and the context is lost: not run: no kernel that faults: " .. tostring(missing))
elseif not fake then                     -- the last one: nothing works after it
  case("a fault names its kernel, and the context is lost", function()
    local wild = lb.kernel.compile { op = "fill", name = "wild", device = d, grid = 1, block = 1, source = [[
      extern "C" __global__ void wild(float *out, float value, double out_numel) {
          out[(long long)out_numel * (1ll << 40)] = value;
      }]] }
    local p = lb.plan(d):call(wild, { out = zeros(2, 2), value = 1 })
    expect_error("fill.f32.wild.*context is lost", function() return sys.check(p) end)
    assert(d.lost, "the device does not know")
    expect_error("context was lost", function() return lb.plan(d):fill { out = zeros(2, 2) }:run() end)
  end)
end
if fake then
  case("a launch that is refused names its step", function()
    local p = lb.plan(d):call("fill.f32.fake_refused", { out = zeros(2, 2) })
    expect_error("step 1, fill by fill.f32.fake_refused.*invalid argument", function() p:run() end)
  end)
  case("tickets that are left behind are found", function()
    local p = lb.plan(d):call("fill.f32.fake_ticket", { out = zeros(2, 2) })
    expect_error("left ticket 7 at 3", function() return sys.check(p) end)
  end)
  case("a fault names its kernel, and the context is lost", function()
    local p = lb.plan(d):call("fill.f32.fake_fault", { out = zeros(2, 2) })
    expect_error("fill.f32.fake_fault.*illegal memory access.*context is lost", function() return sys.check(p) end)
    assert(d.lost, "the device does not know")
    expect_error("context was lost", function() return lb.plan(d):fill { out = zeros(2, 2) }:run() end)
  end)
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)

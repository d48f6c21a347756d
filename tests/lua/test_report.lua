-- test_report.lua: `luabench report`: the page is complete, self-contained and well-formed, whatever the records hold.
local lu = require "luaunit"
local axes_of = require "luabench.report.axes"
local page = require "luabench.report.page"
local svg = require "luabench.report.svg"

local T = {}

local function case(m, quant, t, edit)
  local c = { scenario = "s", case = ("m=%s quant=%s"):format(m, quant), axes = { m = m, quant = quant }, status = "ok",
    device = "cpu", threads = 2, mode = "plan", cache = "hot", reproduce = "luabench s.lua --only m=" .. m,
    path = { { op = "gemm", kernel = "gemm.x", launches = 2 } },
    time = { unit = "ns", median = t, ci95 = { t * 0.99, t * 1.01 }, min = t * 0.9, max = t * 1.3, mean = t, std = 1,
      samples = 4,
      iterations = 3 }, samples_ns = { t * 0.9, t, t, t * 1.3 }, marks = { 0, 1, 0, 64 },
    work = { flops = 1e6 * m, bytes = 1e6, items = m, item = "token" },
      rate = { flops_per_s = 1e15 * m / t, items_per_s = m / t * 1e9 },
    sol = { bound = "memory", fraction = 0.5, ceiling = 5e10, compute_type = "int8" }, disturbance = { noisy = m == 8 },
    check = { nmse = 1e-14, tolerance = 1e-10, passed = true },
      quantization_error = { bits_per_weight = 4.5, rel_rmse = 0.01 * #quant },
    ceilings = { read_bytes_per_s = 4e10, ops_per_s = { int8 = 1e12 } } }
  if edit then edit(c) end
  return c
end

local function result(cases)
  return { run = { id = "r", version = "1", started = "2026-01-01T10:00:00.000Z",
    argv = { "luabench", "s.lua", "<x>" } },
    machine = { cpu = "A & B", cores = { physical = 2 }, caches = { l1d_bytes = 32768 }, warnings = { "busy <now>" },
      ceilings = { ["A & B | cpu | 2 threads | method 4"] = { read_bytes_per_s = 5e10,
        ops_per_s = { int8 = 2e12, f32 = 5e11 } },
        ["A & B | cpu | 1 threads | method 4"] = { read_bytes_per_s = 3e10, ops_per_s = {} } } },
    cases = cases or { case(1, "a", 1e4), case(8, "a", 5e4), case(1, "bb", 2e4), case(8, "bb", 4e4) } }
end

local VOID = { meta = true, ["!DOCTYPE"] = true }

-- Every tag that opens closes, in order; attributes are quoted; text has no bare & or <.
local function well_formed(html)
  html = html:gsub("<style>.-</style>", "")
  local stack = {}
  for close, name, rest in html:gmatch "<(/?)([%a!][%w]*)([^>]*)>" do
    if close == "/" then
      lu.assertEquals(table.remove(stack), name, "closed out of order")
    elseif not VOID[name] and rest:sub(-1) ~= "/" then
      stack[#stack + 1] = name
    end
    local bare = rest:gsub('[%w-]+="[^"<]*"', ""):gsub("html", "")
    lu.assertNotNil(bare:find "^[%s/]*$", name .. rest)
  end
  lu.assertEquals(#stack, 0)
  for entity in html:gmatch "&([^;%s]*;?)" do
    lu.assertTrue(({ ["amp;"] = true, ["lt;"] = true, ["gt;"] = true, ["quot;"] = true })[entity] or false, entity)
  end
  return html
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

function T.test_a_page()
  local html = page.html(result())
  well_formed(html)
  for _, part in ipairs { "<title>luabench: s</title>", "A &amp; B", "busy &lt;now&gt;", "50.0 GB/s", "2.00 TFLOP/s",
    "Time by m",
    "Time of each case", "Time against error", "prefers-color-scheme: dark", "luabench s.lua --only m=8", "4 ok",
      "2 noisy",
    "gemm by gemm.x × 2", "passed", "switched", "s.lua &lt;x&gt;", "L1d 32 KiB" } do
    lu.assertStrContains(html, part)
  end
  lu.assertNotStrContains(html, "30.0 GB/s")               -- ceilings of one thread: no case ran so
  lu.assertNotStrContains(html, "<script")
  lu.assertNotStrContains(html, "http")                     -- nothing is loaded, nothing linked
  lu.assertEquals(count(html, "<details><summary>"), 4)
  lu.assertEquals(count(html, "nan"), 0)
  lu.assertEquals(count(html, "[^%a]inf[^%a]"), 0)
  lu.assertEquals(html, page.html(result()))               -- the same result, the same page
end

function T.test_the_title_is_escaped()
  lu.assertStrContains(page.html(result(), "a <b> & c"), "<h1>a &lt;b&gt; &amp; c</h1>")
end

function T.test_cases_that_went_wrong_are_shown_with_their_reason()
  local cases = result().cases
  for _, status in ipairs { "failed", "invalid", "crashed", "timeout", "skipped" } do
    cases[#cases + 1] = { scenario = "s", case = "m=1 quant=" .. status, axes = { m = 1, quant = status },
      status = status,
      reason = "because <" .. status .. ">" }
  end
  local html = well_formed(page.html(result(cases)))
  for _, status in ipairs { "failed", "invalid", "crashed", "timeout", "skipped" } do
    lu.assertStrContains(html, "because &lt;" .. status .. "&gt;")
    lu.assertStrContains(html, "1 " .. status)
  end
end

-- Records of any age and kind: whatever is missing is not drawn, and nothing raises.
function T.test_missing_fields()
  for _, field in ipairs { "time", "samples_ns", "marks", "work", "rate", "sol", "check", "quantization_error",
    "ceilings", "path",
      "disturbance", "reproduce", "device", "threads" } do
    well_formed(page.html(result { case(1, "a", 1e4, function(c) c[field] = nil end),
      case(8, "a", 5e4, function(c) c[field] = nil end) }))
  end
  for _, field in ipairs { "ci95", "min", "max", "mean", "std", "samples", "iterations" } do
    well_formed(page.html(result { case(1, "a", 1e4, function(c) c.time[field] = nil end), case(8, "a", 2e4) }))
  end
  well_formed(page.html { run = {}, machine = {}, cases = {} })
  well_formed(page.html { run = {}, machine = {}, cases = { { scenario = "x", case = "", axes = {}, status = "ok",
    time = { median = 5 } } } })
  well_formed(page.html { run = {}, machine = {}, cases = { { scenario = "x", case = "", axes = {},
    status = "skipped" } } })
end

function T.test_extreme_numbers()
  well_formed(page.html(result { case(1, "a", 1e-3), case(8, "a", 1e15), case(64, "a", 5e14) }))
  well_formed(page.html(result { case(1, "a", 100), case(2, "a", 100) }))
  local html = page.html(result { case(1, "a", 100, function(c) c.samples_ns = { 100, 100, 100, 100 } end) })
  lu.assertEquals(count(well_formed(html), "nan"), 0)
  local many = {}
  for i = 1, 5000 do many[i] = 100 + i % 17 end
  many[777] = 5000                                          -- an extreme is drawn, however many there are
  html = page.html(result { case(1, "a", 100, function(c) c.samples_ns = many c.marks = nil end) })
  lu.assertTrue(#html < 150000, "of many samples the page keeps " .. #html .. " bytes")
  lu.assertEquals(count(html, 'class="dot k1"') > 500, true)
end

function T.test_many_axes_and_odd_values()
  local cases = {}
  for a = 1, 3 do for b = 1, 5 do for _, q in ipairs { "x y", 'say "hi"', "<&>" } do
    cases[#cases + 1] = case(a, q, 1000 * a * b, function(c)
      c.axes = { m = a, b = b, quant = q, flag = b > 2 }
      c.case = ("m=%d b=%d quant=%s flag=%s"):format(a, b, q, tostring(b > 2))
    end)
  end end end
  local html = well_formed(page.html(result(cases)))
  lu.assertStrContains(html, "Time by b")
  lu.assertStrContains(html, "say &quot;hi&quot;")
end

function T.test_processes_are_drawn_apart()
  local html = page.html(result { case(1, "a", 100, function(c)
    c.processes = { { median_ns = 99, samples_ns = { 98, 100 } }, { median_ns = 101, samples_ns = { 100, 130 } } }
  end) })
  lu.assertEquals(count(html, "step thin"), 2)
  lu.assertStrContains(html, "in 2 processes")
end

function T.test_a_traced_run_has_its_table()
  local html = well_formed(page.html(result { case(1, "a", 100, function(c)
    c.trace = { operations = { { op = "gemm", kernel = "gemm.y", launches = 3, time_ns = 5000, share = 0.75,
      bytes = 1e6, bound = "memory",
      fraction = 0.4 } } }
  end) }))
  for _, part in ipairs { "gemm.y", "75.0 %", "40.0 % memory" } do lu.assertStrContains(html, part) end
end

function T.test_scales()
  local s = svg.log(1, 1000, 0, 300)
  lu.assertAlmostEquals(s.at(10), 100, 1e-9)
  lu.assertEquals(s.ticks[1], 1)
  lu.assertEquals(s.ticks[#s.ticks], 1000)
  s = svg.linear(0, 1, 100, 0, 4)
  lu.assertAlmostEquals(s.at(0.25), 75, 1e-9)
  for _, v in ipairs(svg.log(100, 150, 0, 1).ticks) do lu.assertTrue(v >= 100 and v <= 150) end
  lu.assertTrue(#svg.log(1e-9, 1e9, 0, 1, 6).ticks <= 8)
  lu.assertTrue(#svg.log(5, 5, 0, 1).ticks >= 1)
  lu.assertEquals(svg.escape '<a href="x">&', "&lt;a href=&quot;x&quot;&gt;&amp;")
end

function T.test_axes_keep_the_order_of_the_name()
  local c = case(1, "a", 1)
  c.case = "quant=a m=1"
  lu.assertEquals(axes_of.names { c }, { "quant", "m" })
  local varying = axes_of.varying(result().cases, { "m", "quant" })
  lu.assertEquals(varying[1].values, { 1, 8 })
  lu.assertTrue(varying[1].numeric and not varying[2].numeric)
  lu.assertEquals(axes_of.colour_axis(varying).name, "quant")
  lu.assertEquals(axes_of.colour_axis(varying, "quant").name, "m")
end

return T

-- test_outputs.lua: the result file in every format: fields, order, quoting, units, null for the unknown.
local lu = require "luaunit"
local columns = require "luabench.columns"
local json = require "luabench.json"
local loader = require "luabench.loader"
local outputs = require "luabench.outputs"
local sys = require "luabench.sys"
local units = require "luabench.units"

local T = {}

local function result()
  return {
    run = { id = "r1", started = "2026-01-01T00:00:00.000Z", argv = json.array { "luabench", "s.lua" }, seed = 1 },
    machine = { cpu = "a \"CPU\"", cores = { usable = 2 }, warnings = json.array {} },
    layout = { s = { about = "a test", names = { "m", "quant" }, group = "m", sort = "time" } },
    cases = {
      { scenario = "s", case = "m=1 quant=b", axes = { m = 1, quant = "b" }, status = "ok", device = "cpu",
        path = { { op = "gemm", kernel = "gemm.b.x", launches = 2 } },
        time = { unit = "ns", median = 2000, ci95 = { 1990, 2010 }, samples = 20 }, samples_ns = { 2000, 1999.5 },
        marks = json.array {}, metrics = { speedup = { unit = "x", median = 2 } },
        work = { flops = 4e6, items = 1, item = "token" }, rate = { items_per_s = 5e5 },
        sol = { bound = "memory", fraction = 0.5 }, check = { nmse = 1e-14, passed = true } },
      { scenario = "s", case = "m=1 quant=a", axes = { m = 1, quant = "a" }, status = "ok", device = "cpu",
        time = { unit = "ns", median = 1000, ci95 = { 990, 1010 }, samples = 20 } },
      { scenario = "s", case = "m=8 quant=a", axes = { m = 8, quant = "a" }, status = "failed",
        reason = "wrong, \"very\" wrong |\nindeed" },
    },
    notes = { "a note" },
  }
end

local function write(name, r, opts) return loader.load("outputs", name).write(r or result(), opts or {}) end

function T.test_json_reads_back_and_has_every_field_of_the_fixed_point()
  local text = write "json"
  local back = sys.json_decode(text)
  lu.assertEquals(back.schema, "luabench/1")
  lu.assertEquals(#back.cases, 3)
  lu.assertEquals(back.cases[1].samples_ns, { 2000, 1999.5 })
  lu.assertEquals(back.cases[1].path[1].launches, 2)
  local at = 0
  for name in ([[scenario case axes status reason device threads mode cache path time samples_ns marks metrics processes
    work rate sol check quantization_error memory energy disturbance reproduce]]):gmatch "%S+" do
    local found = text:find('"' .. name .. '":', at + 1, true)
    lu.assertNotNil(found, name .. " is missing or out of order")
    at = found
  end
  lu.assertStrContains(text, '"p99": null')
  lu.assertStrContains(text, '"marks": []')
  lu.assertEquals(text, write "json")
end

function T.test_numbers_keep_full_precision()
  for _, x in ipairs { 0.1, 1 / 3, 1e300, 5e-324, 123456789012345, 2 ^ 53 - 1, -0.1, 1e15 + 0.3 } do
    lu.assertEquals(tonumber(json.number(x)), x)
  end
  lu.assertEquals(json.number(0 / 0), "null")
  lu.assertEquals(json.number(math.huge), "null")
  lu.assertEquals(json.number(4096), "4096")
end

function T.test_json_strings()
  lu.assertEquals(json.string "a\"\\\n\1", '"a\\"\\\\\\n\\u0001"')
  lu.assertEquals(sys.json_decode(json.encode { x = "\127\t/ü" }).x, "\127\t/ü")
  lu.assertEquals(json.encode(json.array {}), "[]")
  lu.assertEquals(json.encode {}, "{}")
  lu.assertEquals(json.encode(sys.json_decode "[[],{}]"), "[[],{}]")
  lu.assertError(sys.json_decode, "{")
end

function T.test_jsonl_is_run_machine_then_cases()
  local lines = {}
  for line in write("jsonl"):gmatch "[^\n]+" do lines[#lines + 1] = sys.json_decode(line) end
  lu.assertEquals(#lines, 5)
  lu.assertEquals(lines[1].schema, "luabench/1")
  lu.assertEquals(lines[1].run.id, "r1")
  lu.assertEquals(lines[2].machine.cpu, 'a "CPU"')
  lu.assertEquals(lines[3].case, "m=1 quant=b")
end

-- A strict reader of RFC 4180: rows of fields.
local function read_csv(text)
  local rows, row, at = {}, {}, 1
  while at <= #text do
    local field
    if text:sub(at, at) == '"' then
      field, at = "", at + 1
      while true do
        local quote = text:find('"', at, true)
        field = field .. text:sub(at, quote - 1)
        at = quote + 1
        if text:sub(at, at) ~= '"' then break end
        field, at = field .. '"', at + 1
      end
    else
      local stop = text:find("[,\r]", at)
      field, at = text:sub(at, stop - 1), stop
    end
    row[#row + 1] = field
    if text:sub(at, at) == "," then at = at + 1
    else
      lu.assertEquals(text:sub(at, at + 1), "\r\n")
      rows[#rows + 1], row, at = row, {}, at + 2
    end
  end
  return rows
end

function T.test_csv()
  local rows = read_csv(write "csv")
  lu.assertEquals(#rows, 4)
  local column = {}
  for i, name in ipairs(rows[1]) do column[name] = i end
  for i = 2, 4 do lu.assertEquals(#rows[i], #rows[1]) end
  lu.assertEquals(rows[2][column["time.median"]], "2000")
  lu.assertEquals(rows[2][column["time.ci95.hi"]], "2010")
  lu.assertEquals(rows[2][column["axes.quant"]], "b")
  lu.assertEquals(rows[2][column["path"]], "gemm:gemm.b.x:2")
  lu.assertEquals(rows[2][column["metrics.speedup.median"]], "2")
  lu.assertEquals(rows[4][column["reason"]], "wrong, \"very\" wrong |\nindeed")
  lu.assertEquals(rows[4][column["time.median"]], "")
end

function T.test_yaml_reads_back_as_the_json_does()
  local yaml = require("luabench.core").yaml_decode(write "yaml")
  lu.assertEquals(yaml.schema, "luabench/1")
  lu.assertEquals(yaml.cases[1].time.ci95, { 1990, 2010 })
  lu.assertEquals(yaml.cases[3].reason, "wrong, \"very\" wrong |\nindeed")
  lu.assertEquals(yaml.machine.cpu, 'a "CPU"')
  lu.assertEquals(yaml.cases[1].path[1].kernel, "gemm.b.x")
  lu.assertEquals(#yaml.cases, 3)
end

function T.test_table_groups_sorts_and_shows_reasons()
  local text = write "table"
  local a, b = text:find("\na ", 1, true), text:find("\nb ", 1, true)
  lu.assertTrue(a and b and a < b, "sorted by time")
  for _, part in ipairs { "m = 1", "m = 8", "1.000 us", "tokens/s", "2.00x", "50.0 % memory", "failed: wrong", "a note",
    "2 ok, 1 failed" } do
    lu.assertStrContains(text, part)
  end
  lu.assertNotStrContains(text, "\27")
  lu.assertStrContains(write("table", nil, { colour = true }), "\27[")
end

function T.test_table_fits_the_terminal()
  for line in write("table", nil, { width = 44 }):gmatch "[^\n]+" do
    local _, n = line:gsub("[^\128-\191]", "")
    lu.assertTrue(n <= 44 or line:find("hidden", 1, true) ~= nil or line:find("failed", 1, true) ~= nil, line)
  end
end

function T.test_markdown()
  local text = write "md"
  lu.assertStrContains(text, "| quant |")
  lu.assertStrContains(text, "very\" wrong \\| indeed")
  lu.assertStrContains(text, "### m = 8")
end

function T.test_markdown_says_which_rows_are_noisy()
  local r = result()
  r.cases[3] = nil
  lu.assertNil(write("md", r):find("status", 1, true))
  r.cases[1].disturbance = { noisy = true }
  local text = write("md", r)
  lu.assertStrContains(text, "status |\n")
  lu.assertStrContains(text, "| ok, noisy |\n")
  lu.assertStrContains(text, "| ok |\n")
end

function T.test_columns_are_validated_and_chosen()
  lu.assertErrorMsgContains('did you mean "time"', columns.validate, { "tiem" }, {})
  lu.assertErrorMsgContains("columns[1]", columns.validate, { { title = "x" } }, {})
  columns.validate({ "time", "m", { title = "x", field = "metrics.x" }, { axis = "perhaps" } }, { "m" })
  local r = result()
  r.layout.s.columns = { "quant", "time", { title = "gain", field = "metrics.speedup.median", unit = "x" } }
  local text = write("table", r)
  lu.assertStrContains(text, "gain")
  lu.assertNotStrContains(text, "NMSE")
  r.layout.s.columns = { { axis = "quant" }, { axis = "perhaps" }, "time" }     -- axes that a grid may have
  text = write("table", r)
  lu.assertStrContains(text, "quant")
  lu.assertNotStrContains(text, "perhaps")
end

function T.test_formats_follow_endings()
  local opt = { output = {} }
  for target, want in pairs { ["a.json"] = "json", ["b/a.csv.gz"] = "csv", ["a.yml"] = "yaml", ["a.md"] = "md",
    ["a.jsonl"] = "jsonl", ["-"] = "json", ["a.txt"] = "table" } do
    lu.assertEquals((outputs.format_of(target, opt)), want)
  end
  lu.assertEquals(select(2, outputs.format_of("a.json.gz", opt)), true)
  local none, why = outputs.format_of("a.jsn", opt)
  lu.assertNil(none)
  lu.assertStrContains(why, 'did you mean "json"')
  lu.assertEquals((outputs.format_of("noending", { output = {}, format = "csv" })), "csv")
  lu.assertFalse((outputs.check("/no/such/folder/a.json", opt)))
end

function T.test_units()
  lu.assertEquals(units.time(12.34), "12.34 ns")
  lu.assertEquals(units.time(999.96), "1000 ns")
  lu.assertEquals(units.time(1234567), "1.235 ms")
  lu.assertEquals(units.time(0 / 0), "-")
  lu.assertEquals(units.si(1.5e10, "B/s"), "15.0 GB/s")
  lu.assertEquals(units.bytes(0), "0 B")
  lu.assertEquals(units.percent(0.123), "12.3 %")
  lu.assertEquals(units.duration(125), "2 min 05 s")
  lu.assertEquals(units.significant(9.999, 3), "10.0")
end

return T

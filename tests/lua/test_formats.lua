-- test_formats.lua: results in other tools' formats, from a result made here: fields, units, what is left out,
-- refusals. The tools themselves read them in tests/cli/test_formats.sh.
local lu = require "luaunit"
local json = require "luabench.json"
local loader = require "luabench.loader"
local outputs = require "luabench.outputs"
local result_of = require "luabench.result"
local sys = require "luabench.sys"

local T = {}

local function result()
  return {
    run = { id = "r1", started = "2026-01-01T00:00:00.250Z", argv = json.array { "luabench", "s.lua" }, seed = 1,
      version = "0.1.0", commit = "abc" },
    machine = { cpu = "C", hostname = "h", cores = { usable = 2 }, caches = { l1d_bytes = 32768 }, load1 = 0.5 },
    cases = {
      { scenario = "s", case = "m=1 quant=b", axes = { m = 1, quant = "b" }, status = "ok", device = "cpu", threads = 2,
        path = { { op = "gemm", kernel = "gemm.b.x", launches = 1 } }, reproduce = "luabench s.lua --only m=1,quant=b",
        time = { unit = "ns", median = 2000, ci95 = { 1900, 2200 }, mean = 2100, std = 100, samples = 4,
          iterations = 8 },
        samples_ns = { 2000, 2000, 2200, 2200 }, work = { items = 2, item = "token" },
        rate = { items_per_s = 1e6, bytes_per_s = 3e9 }, sol = { fraction = 0.5, bound = "memory" },
        quantization_error = { bits_per_weight = 4.5, rel_rmse = 0.07 }, check = { nmse = 1e-14 },
        metrics = { regret = { median = 0.1, unit = "%" }, name = { median = 7 }, chosen = { name = "x" } } },
      { scenario = "s", case = "m=8 quant=b", axes = { m = 8, quant = "b" }, status = "ok", threads = 2,
        time = { unit = "ns", median = 20, samples = 6, iterations = 3 }, samples_ns = { 1, 2, 3, 4, 5, 6 },
        processes = { { median_ns = 10, samples_ns = { 9, 11 } }, { median_ns = 30, samples_ns = { 29, 31 } } } },
      { scenario = "s", case = "m=9 quant=b", axes = { m = 9, quant = "b" }, status = "failed",
        reason = "wrong \"x\"" },
      { scenario = "t", case = "", axes = {}, status = "skipped", reason = "no sense" },
    },
  }
end

local function written(name, r, ending)
  return loader.load("outputs", name).write(r or result(), { ending = ending })
end
local function decoded(...) return sys.json_decode(written(...)) end

function T.test_google_benchmark()
  local g = decoded "gbench"
  for name, want in pairs { host_name = "h", num_cpus = 2, json_schema_version = 1, library_build_type = "release",
      date = "2026-01-01T00:00:00.250Z" } do
    lu.assertEquals(g.context[name], want)
  end
  local b = g.benchmarks
  lu.assertEquals(#b, 1 + 2 + 4 + 1 + 1)       -- a case; two processes and their aggregates; failed; skipped
  lu.assertEquals(b[1].name, "s/m=1/quant=b")
  lu.assertEquals(b[1].run_type, "iteration")
  lu.assertEquals({ b[1].real_time, b[1].cpu_time, b[1].time_unit, b[1].iterations, b[1].repetitions, b[1].threads },
    { 2000, 2000, "ns", 32, 1, 2 })
  lu.assertEquals({ b[1].items_per_second, b[1].bytes_per_second, b[1].regret, b[1].label },
    { 1e6, 3e9, 0.1, "gemm.b.x" })
  lu.assertEquals(b[1].chosen, nil)            -- counters are numbers
  lu.assertEquals({ b[2].real_time, b[3].real_time, b[3].repetition_index, b[3].repetitions }, { 10, 30, 1, 2 })
  lu.assertEquals({ b[4].name, b[4].aggregate_name, b[4].run_type, b[4].iterations, b[4].real_time },
    { "s/m=8/quant=b_mean", "mean", "aggregate", 2, 20 })
  lu.assertEquals({ b[7].aggregate_name, b[7].aggregate_unit }, { "cv", "percentage" })
  lu.assertTrue(b[8].error_occurred)
  lu.assertEquals(b[8].error_message, "failed: wrong \"x\"")
  lu.assertTrue(b[9].skipped)
  lu.assertEquals({ b[9].name, b[9].family_index, b[9].per_family_instance_index }, { "t", 1, 0 })
  lu.assertNotStrContains(written "gbench", "null")
end

function T.test_github_action()
  local list = decoded "gha"
  lu.assertEquals(#list, 3)
  lu.assertEquals({ list[1].name, list[1].value, list[1].unit, list[1].range },
    { "s/m=1/quant=b", 2000, "ns", "± 150.0" })
  lu.assertEquals({ list[2].name, list[2].value }, { "s/m=1/quant=b quantization error", 0.07 })
  lu.assertStrContains(list[1].extra, "gemm by gemm.b.x")
  lu.assertNil(list[3].range)
end

function T.test_bencher()
  local m = decoded("bmf")["s/m=1/quant=b"]
  lu.assertEquals(m.latency, { value = 2000, lower_value = 1900, upper_value = 2200 })
  lu.assertEquals(m.throughput.value, 1e6)
  lu.assertAlmostEquals(m.throughput.lower_value, 1e6 * 2000 / 2200, 1e-6)
  lu.assertEquals(m["quantization-error"], { value = 0.07 })
  lu.assertNil(decoded("bmf")["s/m=9/quant=b"])
end

function T.test_hyperfine_counts_in_seconds()
  local r = decoded("hyperfine").results
  lu.assertEquals(#r, 2)
  lu.assertEquals(r[1].command, "luabench s.lua --only m=1,quant=b")
  lu.assertAlmostEquals(r[1].mean, 2.1e-6, 1e-18)
  lu.assertEquals(r[1].parameters, { m = "1", quant = "b" })
  lu.assertEquals(#r[1].times, 4)
  lu.assertAlmostEquals(r[2].times[2], 30e-9, 1e-18)     -- processes, not samples
  lu.assertEquals(r[2].command, "s/m=8/quant=b")
  lu.assertStrContains(written "hyperfine", '"user": null')
end

local function model_run()
  local r = result()
  r.cases = { r.cases[1] }
  r.cases[1].work = { items = 512, item = "token" }
  r.cases[1].metrics = { llama_bench = { model_filename = "a'b.gguf", model_type = "q 1B", model_size = 2 ^ 30,
    model_n_params = 1.5e9, n_prompt = 512, n_gen = 0, type_k = "f16" } }
  return r
end

function T.test_llama_bench()
  local row = decoded("llama", model_run(), "llama.json")[1]
  lu.assertEquals({ row.build_commit, row.cpu_info, row.backends, row.n_threads, row.test_time, row.avg_ns,
    row.type_k },
    { "abc", "C", "CPU", 2, "2026-01-01T00:00:00Z", 2100, "f16" })
  lu.assertAlmostEquals(row.avg_ts, 512e9 * (2 / 2000 + 2 / 2200) / 4, 1e-3)
  lu.assertEquals(row.samples_ns, { 2000, 2000, 2200, 2200 })
  lu.assertEquals(sys.json_decode((written("llama", model_run(), "llama.jsonl"):gsub("\n$", ""))), row)
  local header, line = written("llama", model_run(), "llama.csv"):match "^([^\n]+)\n([^\n]+)\n$"
  lu.assertEquals(header:match "^[^,]*,[^,]*,[^,]*", "build_commit,build_number,cpu_info")
  lu.assertEquals(line:match "^[^,]*,[^,]*,[^,]*", '"abc","","C"')
  local sql = written("llama", model_run(), "llama.sql")
  lu.assertStrContains(sql, "CREATE TABLE IF NOT EXISTS test (\n  build_commit TEXT,\n  build_number INTEGER,")
  lu.assertStrContains(sql, "'a''b.gguf'")
  local md = written("llama", model_run(), "llama.md")
  lu.assertStrContains(md,
    "| q 1B                           |   1.00 GiB |     1.50 B | CPU        |       2 |           pp512 | ")
  lu.assertNotNil(md:find("| %d+%.%d%d ± %d+%.%d%d |\n"))
end

function T.test_llama_bench_refuses_what_is_no_model_run()
  lu.assertErrorMsgContains("s/m=1/quant=b has no model run to write: its record has no metrics.llama_bench", written,
    "llama",
    result(), "llama.csv")
  for field, message in pairs { model_size = "model_size should be a number",
    n_prompt = "n_prompt should be a number" } do
    local r = model_run()
    r.cases[1].metrics.llama_bench[field] = nil
    lu.assertErrorMsgContains(message, written, "llama", r, "llama.md")
  end
  local r = model_run()
  r.cases[1].metrics.llama_bench.n_bach = 1
  lu.assertErrorMsgContains('did you mean "n_batch"', written, "llama", r, "llama.md")
  r = model_run()
  r.cases[1].work.items = 511
  lu.assertErrorMsgContains("work.items", written, "llama", r, "llama.md")
  r.cases = {}
  lu.assertErrorMsgContains("no case", written, "llama", r, "llama.md")
end

function T.test_endings_and_formats()
  for target, want in pairs { ["a.gbench.json"] = "gbench", ["a.b.json"] = "json", ["x/gbench.json"] = "json",
      ["r.llama.sql"] = "llama", ["r.bmf.json.gz"] = "bmf", ["r.GHA.JSON"] = "gha" } do
    lu.assertEquals((outputs.format_of(target, {})), want, target)
  end
  lu.assertEquals({ outputs.format_of("-", { format = "llama.sql" }) }, { "llama", false, "llama.sql" })
  lu.assertEquals({ outputs.format_of("-", { format = "gbench" }) }, { "gbench", false, "gbench.json" })
  local formats = table.concat(outputs.formats(), " ")
  for _, name in ipairs { "table", "json", "gbench", "llama.md" } do lu.assertStrContains(formats, name) end
  lu.assertEquals(outputs.ending_of "gbench", "gbench.json")
end

function T.test_results_are_read_back_from_every_format_that_holds_all()
  local folder = sys.tempdir()
  local ok, e = pcall(function()
    for _, ending in ipairs { "json", "jsonl", "yaml", "json.gz", "jsonl.gz" } do
      local path = folder .. "/r." .. ending
      outputs.write_file(path, result(), {})
      local back = result_of.load(path)
      lu.assertEquals(#back.cases, 4)
      lu.assertEquals(back.cases[1].samples_ns, { 2000, 2000, 2200, 2200 })
      lu.assertEquals({ back.run.commit, back.machine.cpu, back.cases[4].status }, { "abc", "C", "skipped" })
    end
    sys.replace_file(folder .. "/x.json", '{"a": 1}')
    lu.assertErrorMsgContains("x.json: no result of luabench", result_of.load, folder .. "/x.json")
    sys.replace_file(folder .. "/x.json", '{"schema": "luabench/9", "cases": []}')
    lu.assertErrorMsgContains("luabench/9", result_of.load, folder .. "/x.json")
    sys.replace_file(folder .. "/x.json", '{"schema": ')
    lu.assertErrorMsgContains("x.json: ", result_of.load, folder .. "/x.json")
    for message, edit in pairs {
      ["case 2.time.median should be a number, got a string"] = function(r) r.cases[2].time.median = "5" end,
      ["case 1.time should be an object or a list, got a number"] = function(r) r.cases[1].time = 5 end,
      ["case 1.samples_ns.2 should be a number, got a table"] = function(r) r.cases[1].samples_ns[2] = {} end,
      ["case 2.processes.1.median_ns should be a number"] = function(r) r.cases[2].processes[1].median_ns = true end,
      ["case 1.axes.m should be a number, a text"] = function(r) r.cases[1].axes.m = { 1 } end,
      ["case 3 has no scenario, or no status"] = function(r) r.cases[3].status = "great" end,
      ["machine should be an object"] = function(r) r.machine = 5 end,
    } do
      local r = result()
      edit(r)
      outputs.write_file(folder .. "/x.json", r, {})
      lu.assertErrorMsgContains("x.json: " .. message, result_of.load, folder .. "/x.json")
    end
    lu.assertErrorMsgContains("no such file", result_of.load, folder .. "/none.json")
    lu.assertErrorMsgContains("directory", result_of.load, folder)
    lu.assertErrorMsgContains("expected .json", result_of.load, folder .. "/../../../dev/null")
  end)
  sys.tempdir_remove(folder)
  if not ok then error(e, 0) end
end

function T.test_keys_do_not_depend_on_the_order_of_axes()
  lu.assertEquals(result_of.key { scenario = "s", axes = { a = 1, b = "x" } },
    result_of.key { scenario = "s", axes = { b = "x", a = 1 } })
  lu.assertNotEquals(result_of.key { scenario = "s", axes = { a = 1 } },
    result_of.key { scenario = "s", axes = { a = 2 } })
end

return T

-- test_options.lua: declared options and the command line.
local lu = require "luaunit"
local core = require "luabench.core"
local options = require "luabench.options"

local T = {}

local function declared()
  return options.declare {
    tokens = { "batch sizes", { 1, 4, 16 } },
    model = { help = "which", choices = { "glm4", "synthetic" }, default = "glm4" },
    hidden_dim = { "size", 2048 },
    scale = { "a factor", 0.5 },
    shared = { "with the shared expert", true },
    names = { "names", { "a", "b" } },
    threshold = { help = "rows, or auto", default = "auto", check = function(v)
      return v == "auto" or tonumber(v) ~= nil, "auto or a number"
    end },
  }
end

local function parse(...)
  return options.parse({ ... }, { name = "luabench s.lua", about = "a test", options = declared(),
    axes = { { name = "quant", values = { "q4_k", "q8_0" } }, { name = "threads", values = { 1, 2 } } } })
end

local function fails(text, ...)
  local value, message = parse(...)
  lu.assertNil(value)
  lu.assertStrContains(message, text)
end

function T.test_defaults()
  local v, given = parse()
  lu.assertEquals(v.tokens, { 1, 4, 16 })
  lu.assertEquals(v.hidden_dim, 2048)
  lu.assertEquals(v.shared, true)
  lu.assertEquals(v.output, {})
  lu.assertEquals(v.precision, 0.01)
  lu.assertEquals(v.cache, "weights-cold")
  lu.assertNil(v.processes)
  lu.assertEquals(given, {})
end

function T.test_values()
  local v, given = parse("--tokens", "2,8", "--hidden-dim=64", "--no-shared", "--names", "x,y", "-o", "a.json",
    "--output",
    "b.csv", "--model", "synthetic", "--scale", "1e-3", "--quant", "q6_k,5", "--threads", "1,4")
  lu.assertEquals(v.tokens, { 2, 8 })
  lu.assertEquals(v.hidden_dim, 64)
  lu.assertEquals(v.shared, false)
  lu.assertEquals(v.names, { "x", "y" })
  lu.assertEquals(v.output, { "a.json", "b.csv" })
  lu.assertEquals(v.scale, 1e-3)
  lu.assertEquals(v.quant, { "q6_k", 5 })
  lu.assertEquals(v.threads, { 1, 4 })
  lu.assertTrue(given.tokens and given.quant and given.output and not given.names == false)
end

function T.test_lists_that_join_and_lists_of_paths()
  local folder = core.tempdir "luabench-test-"
  local path = folder .. "/a,b"
  core.write_file(path, "")
  local function joined(...)
    return options.parse({ ... }, { name = "luabench s.lua", about = "a test", options = options.declare {
      files = { help = "files", type = "list", joins = true, paths = true, short = "f" },
      counts = { help = "counts", default = { 9 }, joins = true }, others = { "others", { 1 } },
      pairs = { help = "pairs", default = "", joins = ";" } } })
  end
  lu.assertEquals(joined("-f", "x", "-f", path, "--files", "y,z").files, { "x", path, "y", "z" })
  lu.assertEquals(joined("-f", path .. "c").files, { folder .. "/a", "bc" })
  lu.assertEquals(joined("--counts", "1", "--counts=2,3", "--others", "4", "--others", "5").counts, { 1, 2, 3 })
  lu.assertEquals(joined("--others", "4", "--others", "5").others, { 5 })
  lu.assertEquals(joined().counts, { 9 })
  lu.assertEquals(joined("-pairs", "1,2", "-pairs", "3,4;5,6").pairs, "1,2;3,4;5,6")
  lu.assertErrorMsgContains("joins should be true", options.declare, { x = { help = "x", default = 1, joins = true } })
  core.tempdir_remove(folder)
end

-- "-scale" is --scale, but not behind "--".
function T.test_long_options_with_one_dash()
  lu.assertEquals(parse("-scale", "2").scale, 2)
  local function behind(...)
    local v, message = options.parse_command({ "--", ... }, { name = "luabench x", about = "a test",
      options = declared(), arguments = { { "a", "one" }, { "b", "two" } } })
    lu.assertNotNil(v, message)
    return { v.a, v.b, v.scale }
  end
  lu.assertEquals(behind("-scale", "2"), { "-scale", "2", 0.5 })
  lu.assertEquals(behind("--hidden-dim", "-2"), { "--hidden-dim", "-2", 0.5 })
end

function T.test_presets_give_way_to_what_is_given()
  lu.assertEquals(parse("--quick").precision, 0.05)
  lu.assertEquals(parse("--quick").max_time, 0.5)
  lu.assertEquals(parse("--full").precision, 0.005)
  lu.assertEquals(parse("--quick", "--precision", "0.2").precision, 0.2)
  lu.assertAlmostEquals(parse("--precision", "0.5%").precision, 0.005, 1e-15)
  fails("exclude one another", "--quick", "--full")
end

function T.test_wrong_values_say_what_was_expected()
  fails("expected a number from 0.0001 to 0.5", "--precision", "7")
  fails("expected a number from 0.0001 to 0.5", "--precision", "80%")
  fails("expected a whole number", "--seed", "5%")
  fails("expected a whole number", "--seed", "-5")
  fails("expected a whole number", "--hidden-dim", "1.5")
  fails("expected a whole number", "--hidden-dim", "99999999999999999999")
  fails("expected a whole number", "--hidden-dim", "nan")
  fails("expected a whole number", "--hidden-dim", "0x10z")
  fails("list of numbers", "--tokens", "1,x")
  fails("separated by commas", "--tokens", "1,,2")
  fails('did you mean "glm4"', "--model", "glm")
  fails("auto or a number", "--threshold", "soon")
  fails("from 1 to 1024", "--threads", "0")
  fails("--mode: expected one of", "--mode", "fast")
  fails("--timeout", "--timeout", "0")
  fails("--processes", "--processes", "0")
end

function T.test_options_that_must_be_given()
  local what = { name = "luabench s.lua", about = "a test", options = options.declare {
    file = { help = "what to read", type = "string", required = true } } }
  local v, message = options.parse({}, what)
  lu.assertNil(v)
  lu.assertEquals(message, "--file is missing: what to read")
  lu.assertEquals(options.parse({ "--file", "x" }, what).file, "x")
  lu.assertEquals((options.parse({ "--help" }, what)), "help")
end

function T.test_wrong_options()
  fails("did you mean", "--tokns", "1")
  fails("unknown option", "--bogus")
  fails("requires an argument", "--seed")
  fails("neither an option", "stray")
end

function T.test_help()
  local kind, text = parse("--help")
  lu.assertEquals(kind, "help")
  for _, part in ipairs { "a test", "--tokens", "default 1,4,16", "--hidden-dim", "--quant", "--measurement-iterations",
    "--no-shared", "glm4, synthetic" } do
    lu.assertStrContains(text, part)
  end
end

function T.test_every_common_option_of_the_design_exists()
  for name in ([[device threads dtype mode cache quick full only seed warmup_iterations measurement_iterations precision
    max_time timeout output format output_dir resume processes log_level no_isolation quiet]]):gmatch "%S+" do
    lu.assertNotNil(options.common_by_name[name], name)
  end
  lu.assertEquals(options.common_by_name.output.short, "o")
end

function T.test_declarations_are_validated()
  lu.assertErrorMsgContains("every run takes", options.declare, { seed = { "x", 1 } })
  lu.assertErrorMsgContains("every run takes", options.declare, { help = { "x", 1 } })
  lu.assertErrorMsgContains('did you mean "choices"', options.declare, { a = { help = "x", choicse = {} } })
  lu.assertErrorMsgContains("needs a help text", options.declare, { a = {} })
  lu.assertErrorMsgContains("unknown type", options.declare, { a = { help = "x", type = "int" } })
  lu.assertErrorMsgContains("{help, default}", options.declare, { a = 5 })
  lu.assertErrorMsgContains("Lua identifier", options.declare, { ["a-b"] = { "x", 1 } })
  lu.assertErrorMsgContains("should be a table", options.declare, 5)
end

function T.test_configuration_files_become_command_lines()
  lu.assertEquals(options.to_argv { tokens = { 1, 4 }, quick = true, shared = false, hidden_dim = 64, model = "glm4" },
    { "--hidden-dim=64", "--model=glm4", "--quick", "--tokens=1,4" })
end

return T

-- quantize.lua: `luabench quantize IN OUT --type RECIPE`: a model file in other formats, as GGUF or safetensors.
--
-- The summary (-o X.json, "luabench-quantize/1") is { schema, run, machine, input, output = { path, format, bytes,
-- parts }, model_type, recipe, rule, overrides, tensors = { { name, role, type, asked, bits, weights, bytes, rel_rmse,
-- requantized } }, types = { { type, tensors, weights, bytes, bits_per_weight, rel_rmse } }, skipped = { { name,
-- reason } }, notes = { texts } }.
local aligned = require "luabench.aligned"
local cli = require "luabench.cli"
local json = require "luabench.json"
local options = require "luabench.options"
local progress = require "luabench.progress"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { usage = "quantize IN OUT", about = "a model file in another weight format (--type): GGUF or safetensors" }

local ABOUT = [[Writes the model in IN (a GGUF file, a safetensors file or the index of its parts, a Hugging Face
folder) to OUT: .gguf, .safetensors, or a folder. Matrices take the format of --type; vectors and
routers stay (f32 in GGUF). Tokenizer and metadata come along; a Hugging Face model becomes GGUF
with llama.cpp's names and keys. OUT has its name only when it is whole.

Where K is no multiple of a format's block, a neighbour stands in, and is reported: q2_k, q3_k and
iq4_xs become iq4_nl; q4_k q5_0; q5_k q5_1; q6_k q8_0; groups the next smaller group; at last f16.

--bits-rule outliers gives each matrix 2 to 8 bits by how far its outliers reach: routers,
embeddings, heads 8; gates 6; others by 3 min(p99/mean, 100)/100 + 2 min(max/mean, 30)/30 over |W|:
above 3.5: 8, 2.8: 6, 2: 5, 1.2: 4, 0.6: 3, else 2; attention at least 4.]]

local OPTIONS = {
  { name = "type", type = "string", metavar = "RECIPE",
    help = "a weight format (luabench list quantizers), or f32, f16, bf16; not needed with --bits-rule" },
  { name = "tensor", type = "string", repeatable = true, metavar = "PATTERN=TYPE",
    help = "another type for tensors whose name, in IN or in OUT, has PATTERN in it; * and ? match the whole name; "
      .. "repeatable, the first that fits counts" },
  { name = "bits_rule", type = "string", choices = { "outliers" }, metavar = "RULE",
    help = "bits for each matrix by its values: outliers" },
  { name = "bits_formats", type = "string", choices = { "k", "uniform" }, metavar = "MAP",
    help = "formats that the rule's bits become (default: k in GGUF, uniform in safetensors)" },
  { name = "min_bits", type = "integer", min = 2, max = 8, default = 2, metavar = "N", help = "the rule's least" },
  { name = "max_bits", type = "integer", min = 2, max = 8, default = 8, metavar = "N", help = "the rule's most" },
  { name = "model_type", type = "string", metavar = "NAME", help = "an error unless IN holds a model of this type" },
  { name = "random_weights", type = "boolean",
    help = "IN is a config.json, or a folder with one: the model that it describes, of seeded random weights" },
  { name = "seed", type = "integer", min = 0, max = 2 ^ 31 - 1, default = 1, metavar = "N",
    help = "of random weights" },
  { name = "no_tokenizer", type = "boolean", help = "GGUF without a tokenizer" },
  { name = "split", type = "string", metavar = "SIZE",
    help = "parts of at most so many bytes: 500M, 4G; never over parts that are there" },
  { name = "threads", type = "integer", min = 1, max = 1024, metavar = "N",
    help = "threads (default: one per physical core)" },
  { name = "output", short = "o", type = "string", metavar = "FILE.json",
    help = "what was done, tensor by tensor; - is the standard output" },
  { name = "tensors", type = "boolean", help = "show every tensor" },
  { name = "quiet", type = "boolean", help = "no table, no progress" },
}

local function bytes_of(text)
  if not text then return nil end
  local n, unit = text:match "^(%d+)([kKMG]?)B?$"
  local scale = ({ [""] = 1, k = 1e3, K = 1e3, M = 1e6, G = 1e9 })[unit or ""]
  if not n or tonumber(n) * scale < 1 then error(("--split %s: expected a size such as 500M or 4G"):format(text), 0) end
  return tonumber(n) * scale
end

local function check(opt)
  if not opt.type and not opt.bits_rule then
    error("--type RECIPE is missing: the weight format, as in --type q4_k", 0)
  end
  if opt.type and opt.bits_rule then
    error("--type and --bits-rule both choose the formats; for single tensors there is --tensor PATTERN=TYPE", 0)
  end
  if (opt.bits_formats or opt.min_bits ~= 2 or opt.max_bits ~= 8) and not opt.bits_rule then
    error("--min-bits, --max-bits and --bits-formats belong to --bits-rule", 0)
  end
  if opt.min_bits > opt.max_bits then error("--min-bits is above --max-bits", 0) end
  if opt.output and opt.output ~= "-" and not opt.output:find "%.json$" then
    error(("--output %s: the summary is JSON; the name should end in .json"):format(opt.output), 0)
  end
end

-- ---- progress: a bar on a terminal; elsewhere, after two seconds, a line every ten ----

local function reporter(quiet)
  local bar = progress.new { total = 1, quiet = quiet }
  local said = sys.now_s() - 8
  local r = {}
  function r.item(i, n, name)
    bar.total, bar.done, bar.finished = n, i - 1, i - 1
    bar:start(name)
    if not bar.terminal and not quiet and sys.now_s() - said > 10 then
      said = sys.now_s()
      bar:log("info", ("[%d/%d] %s"):format(i, n, name))
    end
  end
  function r.rows(done, total)
    if bar.terminal then bar:set_phase("rows", total > 0 and done / total or 1) end
  end
  function r.close() bar:close() end
  return r
end

-- ---- what is shown ----

local function percent(x) return x and units.percent(x) or "-" end
local function sqnr(x) return x and x > 0 and ("%.1f dB"):format(-20 * math.log10(x)) or "-" end

local TYPES = { { title = "type", left = true }, { title = "tensors" }, { title = "weights" }, 
  { title = "bits/weight" }, { title = "bytes" }, { title = "rel. error" }, { title = "SQNR" } }

local function types_rows(done)
  local rows = {}
  for i, t in ipairs(done.types) do
    rows[i] = { t.type:lower(), units.count(t.tensors), units.count(t.weights),
      t.bits_per_weight and ("%.3f"):format(t.bits_per_weight) or "-", units.bytes(t.bytes), percent(t.rel_rmse),
      sqnr(t.rel_rmse) }
  end
  return rows
end

local TENSORS = { { title = "tensor", left = true }, { title = "role", left = true }, { title = "type", left = true },
  { title = "weights" }, { title = "bytes" }, { title = "rel. error" } }

local function tensors_rows(done)
  local rows = {}
  for i, t in ipairs(done.tensors) do
    rows[i] = { t.name, t.role, t.type:lower(), units.count(t.weights), units.bytes(t.bytes), percent(t.rel_rmse) }
  end
  return rows
end

local function notes(done)
  local list, neighbours, requantized = {}, {}, {}
  for _, t in ipairs(done.tensors) do
    if t.asked and t.asked:lower() ~= t.type:lower() and not (t.asked:find "^mxfp4" and t.type == "MXFP4") then
      local key = ("%s in the place of %s"):format(t.type:lower(), t.asked)
      neighbours[key] = (neighbours[key] or 0) + 1
    end
    if t.requantized then requantized[t.requantized] = (requantized[t.requantized] or 0) + 1 end
  end
  local suggest = require "luabench.suggest"
  for _, key in ipairs(suggest.keys(neighbours)) do
    list[#list + 1] = ("%s for %d tensors: the block does not divide K"):format(key, neighbours[key])
  end
  for _, recipe in ipairs(suggest.keys(requantized)) do
    list[#list + 1] = ("%d tensors were %s before: errors are against what that had left"):format(requantized[recipe],
      recipe)
  end
  local why = {}
  for _, s in ipairs(done.skipped) do why[s.reason] = (why[s.reason] or 0) + 1 end
  for _, reason in ipairs(suggest.keys(why)) do
    list[#list + 1] = ("left out: %d tensors, %s"):format(why[reason], reason)
  end
  for _, note in ipairs(done.notes) do list[#list + 1] = note end
  if done.format == "safetensors" and not done.copied then
    list[#list + 1] = "tensors only; a folder as OUT gets config.json and the tokenizer too"
  end
  return list
end

local function show(done, opt, out)
  if opt.tensors then out:write(table.concat(aligned.lines(TENSORS, tensors_rows(done)), "\n"), "\n\n") end
  out:write(table.concat(aligned.lines(TYPES, types_rows(done)), "\n"), "\n")
  for _, line in ipairs(notes(done)) do out:write(line, "\n") end
  out:write(("%s: %s%s%s\n"):format(done.path, done.random and "RANDOM WEIGHTS, " or "", units.bytes(done.bytes),
    #done.paths > 1 and (" in %d parts"):format(#done.paths) or ""))
end

local ORDER = { "schema", { "run", { "started", "argv", "version", "commit", "dirty", "flags" } }, "machine", "input",
  { "output", { "path", "format", "bytes", "parts" } }, "model_type", "random_weights", "recipe", "rule", "overrides",
  { "tensors", { "name", "role", "type", "asked", "bits", "weights", "bytes", "rel_rmse", "requantized" } },
  { "types", { "type", "tensors", "weights", "bytes", "bits_per_weight", "rel_rmse" } }, "skipped" }

local function file_text(done, opt, started)
  local v, rows = sys.version(), {}
  for i, t in ipairs(done.tensors) do
    rows[i] = { name = t.name, role = t.role, type = t.type, asked = t.asked, bits = t.bits, weights = t.weights,
      bytes = t.bytes, rel_rmse = t.rel_rmse, requantized = t.requantized }
  end
  local value = { schema = "luabench-quantize/1", machine = require("luabench.machine").block(), input = opt.input,
    run = { started = started, argv = json.array(sys.argv()), version = v.version, commit = v.commit, dirty = v.dirty,
      flags = v.flags },
    output = { path = done.path, format = done.format, bytes = done.bytes, parts = json.array(done.paths) },
    model_type = done.type, random_weights = done.random or nil, recipe = opt.type,
    overrides = json.array(opt.tensor or {}),
    rule = opt.bits_rule and { name = opt.bits_rule, min_bits = opt.min_bits, max_bits = opt.max_bits,
      formats = opt.bits_formats } or nil,
    tensors = json.array(rows), types = json.array(done.types), skipped = json.array(done.skipped),
    notes = json.array(done.notes) }
  return json.encode(value, { pretty = true, order = ORDER }) .. "\n"
end

-- ---- the command ----

local function run(opt)
  check(opt)
  local started = sys.time_iso()
  sys.device("cpu", opt.threads)
  local report = reporter(opt.quiet)
  opt.bits_formats = opt.bits_formats or (opt.output_file:lower():find "%.gguf$" and "k" or "uniform")
  local ok, done = pcall(require("luabench.convert.run").run, { input = opt.input, output = opt.output_file,
    recipe = opt.type, overrides = opt.tensor, rule = opt.bits_rule ~= nil, map = opt.bits_formats,
    min_bits = opt.min_bits, max_bits = opt.max_bits, no_tokenizer = opt.no_tokenizer,
    split_bytes = bytes_of(opt.split),
    model_type = opt.model_type, random = opt.random_weights, seed = opt.seed, report = report })
  report.close()
  if not ok then error(done, 0) end
  local shown = opt.output == "-" and io.stderr or io.stdout
  if not opt.quiet then show(done, opt, shown) end
  if opt.output == "-" then io.stdout:write(file_text(done, opt, started))
  elseif opt.output then sys.replace_file(opt.output, file_text(done, opt, started)) end
end

function M.run(argv)
  local opt, message = options.parse_command(argv, { name = "luabench quantize", about = ABOUT, options = OPTIONS,
    arguments = { { "in", "the model to read" }, { "out", "the model to write" } } })
  if not opt then return cli.complain("quantize: " .. message) end
  if opt == "help" then
    io.stdout:write(message, "\n")
    return 0
  end
  opt.input, opt.output_file = opt["in"], opt.out
  sys.flag_interrupts()
  local ok, why = pcall(run, opt)
  if ok then return 0 end
  if sys.interrupted() then
    io.stderr:write(("luabench: quantize: interrupted; %s is what it was before\n"):format(opt.output_file))
    return 130
  end
  return cli.complain("quantize: " .. sys.clean(why))
end

return M

-- model.lua: `luabench model --original X [--quantized Y | --quantize RECIPE]`: a model file, or two side by side:
-- load, prompt, generation, memory, quality. Each model runs in a process of its own.
--
-- The result (-o X.json) is a luabench/1 file: a case for each model and prompt (scenario "model"), and beside "cases"
--   "models": { "original", "quantized" }  luabench/model_bench/summary.lua: load, cold start, performance, categories,
--                                          memory, quality
--   "comparison": [ { metric, field, unit, original, quantized, difference, ratio, note } ]
--   "quantization": what --quantize did (as luabench quantize reports it), "settings": the options that count.
local cli = require "luabench.cli"
local json = require "luabench.json"
local options = require "luabench.options"
local progress = require "luabench.progress"
local record = require "luabench.record"
local sys = require "luabench.sys"

local function files_of(path) return require("luabench.model_bench.resume").files_of(path) end

local M = { usage = "model --original X ...",
  about = "a model file: load, prompt, generate, memory, quality; original against quantized" }

local ABOUT = [[Measures a model file: load time, cold start, time to first token, prompt and generation rates,
latency between tokens, memory, perplexity. With --quantized or --quantize a second model runs on
the same prompts, each in its own process, and both are shown side by side with differences and
ratios, KL divergence and how often the likeliest token is the same.

A model is a GGUF or safetensors file, the index of its parts, a Hugging Face folder, or a folder
with one GGUF model. With --random-weights a config.json or a folder with one is enough.]]

local DTYPES = { "float32", "float16", "bfloat16" }

local OPTIONS = {
  { name = "original", type = "string", metavar = "MODEL", help = "the model" },
  { name = "quantized", type = "string", metavar = "MODEL", help = "its quantized form; may be the original itself" },
  { name = "quantize", type = "string", metavar = "RECIPE",
    help = "make the quantized form, as luabench quantize --type does; for this run, or see --keep" },
  { name = "tensor", type = "string", repeatable = true, metavar = "PATTERN=TYPE",
    help = "with --quantize: another type for some tensors, as luabench quantize takes it" },
  { name = "keep", type = "string", metavar = "FILE", help = "with --quantize: keep the quantized model there" },
  { name = "model_type", type = "string", metavar = "NAME",
    help = "an error unless the files hold models of this type" },
  { name = "random_weights", type = "boolean", help = "seeded random weights from a config.json; the result says so" },
  { name = "device", type = "string", default = "cpu", metavar = "NAME", help = "where to run: cpu, cuda:0, ..." },
  { name = "threads", type = "integer", min = 1, max = 1024, metavar = "N",
    help = "threads (default: one per physical core)" },
  { name = "dtype", type = "string", choices = DTYPES, metavar = "TYPE",
    help = "type of unquantized weights (default: as stored)" },
  { name = "mode", type = "string", default = "fused", metavar = "MODE", choices = { "eager", "plan", "fused" },
    help = "how operations are launched" },
  { name = "no_repack", type = "boolean",
    help = "kernels read the file's own layout, mapped; no copies are made (formats: lua/README.md)" },
  { name = "prompts_file", type = "string", metavar = "FILE.json",
    help = "prompts: a list of { name?, category, text } (default: eleven, by length and kind)" },
  { name = "iterations", type = "integer", default = 3, min = 1, max = 10000, metavar = "N",
    help = "runs of each prompt" },
  { name = "max_new_tokens", type = "integer", default = 100, min = 1, max = 1e6, metavar = "N",
    help = "tokens to generate" },
  { name = "batch_size", type = "integer", default = 1, min = 1, max = 4096, metavar = "N",
    help = "sequences at once, all with the same prompt" },
  { name = "temperature", type = "number", default = 0, min = 0, max = 1000, metavar = "T",
    help = "0: the likeliest token" },
  { name = "top_k", type = "integer", default = 0, min = 0, max = 1e6, metavar = "K", help = "0: all" },
  { name = "top_p", type = "number", default = 1, min = 0, max = 1, metavar = "P", help = "1: all" },
  { name = "min_p", type = "number", default = 0, min = 0, max = 1, metavar = "P", help = "0: all" },
  { name = "seed", type = "integer", default = 1, min = 0, max = 2 ^ 31 - 1, metavar = "N",
    help = "of sampling and of random weights" },
  { name = "ignore_stop", type = "boolean", help = "generate all tokens, also after one that ends a text" },
  { name = "context", type = "integer", min = 2, max = 2 ^ 24, metavar = "N",
    help = "positions that the caches hold (default: what each prompt needs)" },
  { name = "kv_type", type = "string", default = "f16", metavar = "TYPE",
    choices = { "f32", "f16", "bf16", "f8e4m3", "q8_0", "q4_0" },
    help = "type of the caches" },
  { name = "text", type = "string", metavar = "FILE",
    help = "text for perplexity and KL divergence (default: the prompts)" },
  { name = "quality_context", type = "integer", default = 512, min = 2, max = 2 ^ 20, metavar = "N",
    help = "tokens of a window of that text" },
  { name = "quality_tokens", type = "integer", default = 4096, min = 2, max = 1e9, metavar = "N",
    help = "most tokens of it that are used" },
  { name = "questions", type = "string", metavar = "FILE.json",
    help = "questions with choices, scored by likelihood as lm-eval does: a list, or .jsonl lines, of { name?, "
      .. "context, choices, answer (from 0) }" },
  { name = "no_quality", type = "boolean", help = "no perplexity, no KL divergence, no questions" },
  { name = "timing", type = "boolean", help = "show each token as it comes, with its time" },
  { name = "timeout", type = "number", default = 3600, min = 1, max = 864000, metavar = "SECONDS",
    help = "loading, and each prompt, may take this long" },
  { name = "output", short = "o", type = "string", repeatable = true, metavar = "FILE",
    help = "write the result: .json, or another format by its ending; - is the standard output; repeatable" },
  { name = "resume", type = "boolean",
    help = "go on with a run that was interrupted: only what its journal lacks is measured" },
  { name = "report", type = "string", metavar = "FILE.html", help = "a page with tables and plots" },
  { name = "output_dir", type = "string", metavar = "DIR",
    help = "write the result and the page there, under names with the time" },
  { name = "no_isolation", type = "boolean", help = "run in this process: for debugging, memory means little then" },
  { name = "quiet", type = "boolean", help = "no tables, no progress" },
}

local function fail(...) error((...):format(select(2, ...)), 0) end

-- ---- checks before anything runs ----

local function check_outputs(opt)
  local outputs = require "luabench.outputs"
  for _, target in ipairs(opt.output or {}) do
    local ok, why = outputs.check(target, {})
    if not ok then error(why, 0) end
  end
  if opt.report and not opt.report:lower():find "%.html?$" then
    fail("--report %s: expected a name that ends in .html", opt.report)
  end
  if opt.report then
    local ok, why = outputs.check_place(opt.report, "report")
    if not ok then error(why, 0) end
  end
  if opt.output_dir then
    sys.mkdir_p(opt.output_dir)
    local ok, why = outputs.check(opt.output_dir .. "/model.json", {})
    if not ok then error((why:gsub("^%-%-output", "--output-dir")), 0) end
  end
end

-- The files that --output-dir asks for, beside those that were named.
local function name_outputs(opt, id)
  if not opt.output_dir then return end
  local stem = ("%s/model-%s"):format((opt.output_dir:gsub("(.)/+$", "%1")), id)
  table.insert(opt.output, 1, stem .. ".json")
  opt.report = opt.report or stem .. ".html"
  opt.told = ("results: %s.json, report: %s\n"):format(stem, opt.report)
end

local function check(opt)
  if not opt.original then error("--original MODEL is missing: the model to measure", 0) end
  if opt.quantized and opt.quantize then
    error("--quantized and --quantize: one of them; the one names a model, the other makes it", 0)
  end
  if (opt.keep or #(opt.tensor or {}) > 0) and not opt.quantize then
    fail("--%s belongs to --quantize RECIPE", opt.keep and "keep" or "tensor")
  end
  if opt.random_weights and opt.quantize then
    error("--random-weights has no file to --quantize; the first is for speed, the second for files", 0)
  end
  for _, path in ipairs { opt.original, opt.quantized } do
    if not sys.exists(path) and not sys.is_directory(path) then fail("%s: no such file or folder", path) end
  end
  if opt.text then
    if not sys.exists(opt.text) then fail("--text %s: no such file", opt.text) end
    local wrong = sys.not_utf8(sys.file_read(opt.text))
    if wrong then fail("--text %s: byte %d is no UTF-8", opt.text, wrong) end
  end
  if opt.questions and opt.no_quality then error("--questions is of the quality that --no-quality leaves out", 0) end
  check_outputs(opt)
end

-- Two types that GGUF has one architecture for are one where one of the files is GGUF.
local function same_type(a, b)
  if a.type == b.type then return true end
  local known = require("luabench.convert.gguf_keys").ARCHITECTURE
  return a.format ~= b.format and known[a.type] ~= nil and known[a.type] == known[b.type]
end

-- Both models must be of one type; a file that is none is an error of the command line, before any process.
local function check_types(opt)
  local kinds = {}
  for i, path in ipairs { opt.original, opt.quantized } do
    kinds[i] = require("luabench.model_file").kind_at(path, opt.random_weights, opt.model_type)
  end
  if kinds[2] and not same_type(kinds[1], kinds[2]) then
    fail("%s holds a model of type %s (%s), %s one of type %s (%s): they are no two forms of one model", opt.original,
      kinds[1].type, kinds[1].from, opt.quantized, kinds[2].type, kinds[2].from)
  end
end

-- ---- the quantized form ----

local function quantized_path(opt, folder)
  if opt.keep then return opt.keep end
  local recipes = require "luabench.convert.recipes"
  local ok = pcall(recipes.check, opt.quantize, "gguf")
  return ok and folder .. "/quantized.gguf" or folder .. "/quantized/"
end

local function quantize(opt, folder, bar)
  local path = quantized_path(opt, folder)
  sys.device("cpu", opt.threads)
  local done = require("luabench.convert.run").run { input = opt.original, output = path, recipe = opt.quantize,
    overrides = opt.tensor, model_type = opt.model_type,
    report = { item = function(i, n, name) bar:start(("quantizing %d/%d %s"):format(i, n, name)) end,
      rows = function() bar:draw() end } }
  return path, { path = opt.keep and path or nil, format = done.format, recipe = opt.quantize,
    types = json.array(done.types), bytes = done.bytes }
end

-- ---- the result ----

local SETTINGS = { "original", "quantized", "quantize", "device", "threads", "dtype", "mode", "prompts_file",
  "iterations", "max_new_tokens", "batch_size", "temperature", "top_k", "top_p", "min_p", "seed", "ignore_stop",
  "context", "kv_type", "text", "quality_context",
  "quality_tokens", "no_quality", "random_weights", "no_repack", "model_type", "keep", "timeout" }

local function new_result(opt)
  local settings = {}
  for _, name in ipairs(SETTINGS) do settings[name] = opt[name] end
  settings.tensor = #opt.tensor > 0 and json.array(opt.tensor) or nil
  return { schema = record.SCHEMA, settings = settings, cases = {}, run = record.head(opt.seed) }
end

local MODEL_ORDER = { "name", "path", "type", "format", "parameters", "bits_per_weight", "weight_types",
  "random_weights", "note", "device", "threads", "load", "cold_start_ns", "performance", "memory", "quality",
  "categories" }
local ORDER = { "schema", { "run", record.run_order }, { "machine", record.machine_order }, "settings",
  { "models", { { "original", MODEL_ORDER }, { "quantized", MODEL_ORDER } } }, "comparison", "quantization",
  { "cases", record.case_order } }

local function result_text(result) return json.encode(result, { pretty = true, order = ORDER }) .. "\n" end

local function write_result(result, target, outputs)
  local format, gz = outputs.format_of(target, {})
  if format ~= "json" then return outputs.write_file(target, result, {}) end
  local text = result_text(result)
  if target == "-" then io.stdout:write(text) else sys.replace_file(target, gz and sys.gzip(text) or text) end
end

-- whole: false for what did not end, which takes no file's name; the standard output has what there is.
local function write_results(result, opt, whole)
  local outputs = require "luabench.outputs"
  for _, target in ipairs(opt.output or {}) do
    if whole or target == "-" then write_result(result, target, outputs) end
  end
  if whole and opt.report then
    sys.replace_file(opt.report, require("luabench.report.page").html(result, "models: " .. opt.original))
  end
end

local function set_models(result, original, quantized, batch)
  local summary = require "luabench.model_bench.summary"
  result.models = { original = summary.of_side(original, batch) }
  if quantized then result.models.quantized = summary.of_side(quantized, batch) end
  local a, b = (original.quality or {}).questions, ((quantized or {}).quality or {}).questions
  if a and b and a.picks and b.picks then b.against = require("luabench.model_bench.questions").compare(a, b) end
  result.comparison = json.array()
  for _, row in ipairs(summary.compare(result.models.original, result.models.quantized)) do
    if not row.heading then table.insert(result.comparison, row) end
  end
end

-- ---- the run ----

local function text_of(opt, prompts)
  if opt.text then return sys.file_read(opt.text) end
  local parts = {}
  for i, p in ipairs(prompts) do parts[i] = p.text end
  return table.concat(parts, "\n\n")
end

local function words_of(argv, prompt)
  return record.command({ "luabench", "model" }, argv) .. "  # prompt " .. prompt.name
end

local function new_run(opt, argv, asked, memo, folder, bar)
  local both = opt.quantized ~= nil
  local o = {}
  for k, v in pairs(opt) do o[k] = v end
  o.batch, o.cache, o.repack = opt.batch_size, opt.kv_type, not opt.no_repack
  o.dtype = opt.dtype
  return { opt = o, bar = bar, timeout = opt.timeout, folder = folder, quality = not opt.no_quality,
    text = asked.text, questions = asked.questions, memo = memo,
    roles = { original = both and "reference" or nil, quantized = "compared" },
    shown = { quantized = opt.quantize and not opt.keep and ("%s as %s (not kept)"):format(opt.original, opt.quantize)
      or nil },
    reproduce = function(prompt) return words_of(argv, prompt) end }
end

local function show(result, sides, out)
  local view = require "luabench.model_bench.show"
  local a, b = result.models.original, result.models.quantized
  local function lines(list)
    if #list > 0 then out:write(table.concat(list, "\n"), "\n\n") end
  end
  lines(view.heads(a, b))
  local ran = a.performance.prompts.ok + (b and b.performance.prompts.ok or 0) > 0
  if ran or a.load or b and b.load then lines(view.side_by_side(a, b)) end
  if ran and #a.categories > 1 then lines(view.categories(a, b)) end
  local width = sys.terminal_width(1)
  lines(view.texts(sides[1], sides[2], width and width > 60 and width or 120))
  lines(view.problems(sides[1], sides[2]))
end

local function count_of(records, status)
  local n = 0
  for _, r in ipairs(records) do n = n + (r.status == status and 1 or 0) end
  return n
end

-- A run that measured nothing is not good, though nothing failed.
local function tell_unmeasured(sides)
  for _, s in ipairs(sides) do
    if #s.records > 0 and count_of(s.records, "skipped") == #s.records then
      io.stderr:write(("luabench: model: %s: no prompt was measured: all %d were skipped, the first since %s\n"):format(
        s.name, #s.records, s.records[1].reason))
    end
  end
end

local function status_of(sides)
  for _, s in ipairs(sides) do
    if s.interrupted then return 130 end
  end
  for _, s in ipairs(sides) do
    local q = s.quality or {}
    if not s.loaded or q.reason or (q.questions or {}).reason or count_of(s.records, "ok") == 0 then return 1 end
    for _, r in ipairs(s.records) do
      if record.bad[r.status] then return 1 end
    end
  end
  return 0
end

-- Is the model that --keep asks for the one that was made then, untouched?
local function is_kept(opt, made)
  if made.done.path ~= opt.keep then return false end
  return not opt.keep or json.encode(files_of(opt.keep)) == json.encode(made.files)
end

-- The quantized form is made, unless nothing is to be asked of it any more.
local function make_quantized(opt, folder, bar, memo)
  local made = memo:get("quantized", "quantization")
  if made and made.done and memo:whole("quantized", not opt.no_quality) and is_kept(opt, made) then
    opt.quantized = quantized_path(opt, folder)
    return made.done
  end
  local done
  opt.quantized, done = quantize(opt, folder, bar)
  check_types(opt)
  memo:put("quantized", "quantization", { done = done, files = opt.keep and files_of(opt.keep) },
    function(text) bar:log("error", text) end)
  return done
end

local function measure_all(opt, run, prompts, result)
  local sides = {}
  for i, path in ipairs { opt.original, opt.quantized } do
    sides[i] = require("luabench.model_bench.sides").run(run, i == 1 and "original" or "quantized", path, prompts,
      function(rec) result.cases[#result.cases + 1] = rec end)
    if sides[i].interrupted then break end
  end
  set_models(result, sides[1], sides[2], opt.batch_size)
  return sides
end

local function tell_interrupted(done, total, journal)
  local where = journal.beside and " in " .. journal.path or ""
  io.stderr:write(("luabench: model: interrupted; %d of %d prompts are done%s, --resume goes on from there; earlier "
    .. "results are untouched\n"):format(done, total, where))
end

local function done_of(opt, memo)
  return memo:done "original" + ((opt.quantized or opt.quantize) and memo:done "quantized" or 0)
end

local function finish(opt, result, sides, memo, total)
  local status, journal = status_of(sides), memo.journal
  local to_stdout = false
  -- only now: it opens every device, and what this process holds of a GPU would count as the models'
  result.machine = require("luabench.machine").block()
  for _, target in ipairs(opt.output or {}) do to_stdout = to_stdout or target == "-" end
  write_results(result, opt, status ~= 130)
  local kept = status ~= 130 and journal:remove() or {}
  if not opt.quiet then
    local out = to_stdout and io.stderr or io.stdout
    show(result, sides, out)
    if opt.told and status ~= 130 then out:write(opt.told) end
    for _, path in ipairs(kept) do
      io.stderr:write(("%s is kept: it holds what is not in this result\n"):format(path))
    end
  end
  if status == 130 then tell_interrupted(done_of(opt, memo), total, journal)
  else tell_unmeasured(sides) end
  return status
end

-- What is to be asked, and what of it an earlier run has done (--resume).
local function begin(opt, asked, total, result)
  local memo = require("luabench.model_bench.resume").open(opt, asked, result.run)
  local done = done_of(opt, memo)
  if opt.resume and not memo:found() then memo.journal:put_aside() end
  if opt.resume and not opt.quiet then
    io.stderr:write(done > 0 and ("%d of %d prompts are done already\n"):format(done, total)
      or ("no prompt of a run with these options is in %s: all is measured\n"):format(memo.journal.path or "a journal"))
  end
  local old = memo.journal.aside
  if old and not opt.quiet then
    io.stderr:write(("%s, of a run that did not end, is kept as %s; --resume with its options goes on with it\n")
      :format(memo.journal.path, old))
  end
  return memo
end

local function measure(opt, argv, folder)
  local prompts, result = require("luabench.model_bench.prompts").load(opt.prompts_file), new_result(opt)
  local asked = { prompts = prompts, text = text_of(opt, prompts),
    questions = opt.questions and require("luabench.model_bench.questions").load(opt.questions) }
  local total = #prompts * ((opt.quantized or opt.quantize) and 2 or 1)
  local memo = begin(opt, asked, total, result)
  local bar = progress.new { total = total, quiet = opt.quiet }
  local ok, status = pcall(function()
    name_outputs(opt, result.run.id)
    if opt.quantize then result.quantization = make_quantized(opt, folder, bar, memo) end
    local sides = measure_all(opt, new_run(opt, argv, asked, memo, folder, bar), prompts, result)
    bar:close()
    return finish(opt, result, sides, memo, total)
  end)
  bar:close()
  memo.journal:close()
  if not ok then error(status, 0) end
  return status
end

local function main(argv)
  local opt, message = options.parse_command(argv, { name = "luabench model", about = ABOUT, options = OPTIONS,
    arguments = {} })
  if not opt then error(message, 0) end
  if opt == "help" then
    io.stdout:write(message, "\n")
    return 0
  end
  check(opt)
  check_types(opt)
  sys.flag_interrupts()
  local folder = sys.tempdir()
  local ok, status = pcall(measure, opt, argv, folder)
  sys.tempdir_remove(folder)
  if not ok then error(status, 0) end
  return status
end

function M.run(argv)
  local ok, status = pcall(main, argv)
  if ok then return status end
  if sys.interrupted() then
    io.stderr:write "luabench: model: interrupted\n"
    return 130
  end
  return cli.complain("model: " .. sys.clean(status))
end

return M

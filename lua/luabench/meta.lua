-- meta.lua: the one description of the public API: what help() shows, what completion offers. A test compares it with
-- the real module and the real metatables, so that it cannot drift.
--
-- M.functions[name] = { signature, about }; M.classes[class] = { about, methods = { name = { signature, about } },
-- fields = { name = about } }. Operations (lb.gemm, plan:gemm, ...) are described by the engine: M.operation(name).
local M = {}

M.functions = {
  device = { "lb.device([name[, { threads = }]])", "a device: \"cpu\", \"cuda:0\"; the run's default without a name" },
  devices = { "lb.devices()", "names of the devices that can be opened here" },
  quantizer = { "lb.quantizer(recipe)", "a weight format: \"q4_k\", \"int4wo-128\", \"uniform-3\"" },
  quantizers = { "lb.quantizers()", "names of the registered formats" },
  kernels = { "lb.kernels([op])", "names of the registered kernels, of one operation if it is given" },
  kernel_load = { "lb.kernel_load(path)", "adds the kernels of a shared object; how many" },
  plan = { "lb.plan([device])", "a new, empty plan; record with a method per operation" },
  timer = { "lb.timer([device])", "a clock: now, resolution, cost; start and stop; measure" },
  measure = { "lb.measure(plan[, { precision =, max_time_s =, samples =, warmup =, cache =, mode =, seed =, "
    .. "isolated =, unchecked = }])",
    "samples of a plan's time, taken in C, with their statistics; unchecked: copies that make weights cold are not "
    .. "held against the originals" },
  tensor = { "lb.tensor({ { 1, 2 }, { 3, 4 } }[, { dtype =, device = }]) or lb.tensor(2, 3)",
    "a tensor from nested tables of values, or zeros of the given dims" },
  zeros = { "lb.zeros(dims[, { dtype =, device = }])", "zeros" },
  full = { "lb.full(dims, value[, { dtype =, device = }])", "one value everywhere" },
  randn = { "lb.randn(dims[, { seed =, dtype =, device =, mean = 0, std = 1 }])",
    "normal random numbers: element i depends on the seed and i alone (Philox), on every machine" },
  uniform = { "lb.uniform(dims[, { seed =, dtype =, device =, lo = 0, hi = 1 }])",
    "uniform random numbers in [lo, hi)" },
  arange = { "lb.arange(dims[, { start = 0, step = 1, dtype =, device = }])",
    "start, start + step, ... in row-major order" },
  cat = { "lb.cat({ tensors }[, dim])", "joins along a dimension that they have; dims count from 1" },
  stack = { "lb.stack({ tensors }[, dim])", "joins along a new dimension" },
  load = { "lb.load(path[, { device = }])",
    "what a file holds, by its ending: .npy .npz .json .json.gz .yaml; .gguf and .safetensors: a model_file" },
  save = { "lb.save(path, value[, { compress = true }])", "writes a file by its ending; complete or not at all" },
  model_file = { "lb.model_file(path[, { device = }])",
    "a GGUF or safetensors file, the index.json of a sharded model, or a folder with one: tensors and metadata" },
  model_type = { "lb.model_type(file[, expected])",
    "{ type =, from = }: the model in a file and what tells it; an error if another was expected" },
  tokenizer = { "lb.tokenizer(where)",
    "text to token numbers and back: a tokenizer.json, a folder with one, a GGUF file or its path" },
  model_config = { "lb.model_config(file[, \"config\" or \"generation_config\"])",
    "config.json beside a model's tensors, as a table; nil where there is none" },
  model_writer = { "lb.model_writer(path, { tensors = { { name =, shape =, type = } }, metadata =, types =, from = })",
    "writes a model file tensor by tensor: w:add(i, tensor) in any order, then w:finish()" },
  scenario = { "lb.scenario{ about =, options =, grid =, case = }", "what a scenario script returns" },
  skip = { "lb.skip(reason)", "what case() returns where a combination makes no sense or is not supported" },
  grid = { "lb.grid{ axis = { values } }", "the cases of a scenario; :where(f), :zip{}, :order{}" },
  range = { "lb.range(first, last[, step])", "a list of numbers, both ends included" },
  pow2 = { "lb.pow2(first, last)", "first, 2 first, 4 first, ... up to last" },
  compare = { "lb.compare{ a = plan, b = plan[, epsilon = 0.01, rounds =, precision =, max_time =, cache =, "
      .. "seed = ...] }",
    "plans against the first of them, interleaved in C with equal runs: faster, slower, same or inconclusive" },
  tune = { "lb.tune(plan[, { keep = true, again = false, max_time = 0.3, cache =, progress = }])",
    "the kernels that could do each step against one another; the fastest is kept as the choice for such operands;"
      .. " regret: what the choice in force costs over the best" },
  trace = { "lb.trace(plan[, { cache =, mode =, runs =, max_time_s = }])",
    "one run in detail: time by operation, waits; :save(\"x.json\") for Perfetto" },
  kv_cache = { "lb.kv_cache{ batch =, heads =, capacity =, dim =, [value_dim =, layers =, type =, layout =, page =, "
      .. "device =] }",
    "zeroed caches for kv_write and attention: { k, v, packed, lengths, pages, nbytes }; types f32 f16 bf16 f8e4m3 "
      .. "q8_0 q4_0, layouts bhsd bshd hbsd lbhsd paged" },
  rope_frequencies = { "lb.rope_frequencies{ dim =, [base = 10000, scaling = \"none\", factor =, original_context =, "
      .. "...] }",
    "f32[dim / 2] and the factor on cos and sin, for rope; scaling none, linear, llama3, yarn" },
  prepared = { "lb.prepared(key, build[, label])",
    "tensors that are dear to make, made once a run and shared by its workers" },
  awq = { "lb.awq(w, x[, recipe = \"awq-4-128\"])",
    "AWQ's search over sample activations x [M, K]: { weights = w * scales, quantized, scales = f32[K], by which x is"
    .. " divided, ratio, error, plain_error } (relative RMSE of the output)" },
  strategies = { "lb.strategies()", "names of the MoE strategies" },
  strategy = { "lb.strategy(name)", "a MoE strategy" },
  models = { "lb.models()", "names of the models" },
  model_table = { "lb.model_table(name)", "a copy of a model's table" },
  lazy_names = { "lb.lazy_names()", "names of this module that are loaded when first used" },
  help = { "help([x])", "this text; help(x) for a function, an object, a name" },
  explain = { "lb.explain(plan)", "what a plan does: steps, kernels, bytes, checks" },
}

M.tables = {
  kernel = "lb.kernel(name): a kernel's descriptor: operation, formats, tolerance, source. kernel.compile{ op =,"
    .. " source = or file =, name =, split =, device =, grid =, block =, ... } or kernel.compile(\"file.c\"): one of"
    .. " your own, from C or CUDA C++: checked, timed and compared as the built-in ones (scenarios/own_kernel.lua)",
  core = "the engine's own functions, for the machinery around scenarios",
  oracle = "f64 references: oracle.matmul(x, w), oracle.forget()",
  json = "json.encode(value[, { indent = true, order = {} }]), json.decode(text), json.array(t), json.null",
  yaml = "yaml.encode(value), yaml.decode(text)",
  model = "whole models: model.load(path[, { repack =, dtype =, quantize =, random_weights =, seed = }]), then"
    .. " m:generate(text), m:logits(text), m:perplexity(text), m:forward(plan), m.layers[1].q; model.architectures()",
  null = "JSON's null where a value must say so",
  units = "numbers as people read them",
}

M.classes = {
  device = {
    about = "a backend instance: its buffers, threads, abilities",
    methods = { close = { "d:close()", "drops this reference" } },
    fields = { name = "\"cpu\", \"cuda:0\"", model = "the processor's name", threads = "threads of its pool",
      isa = "instruction sets in use", caps = "a table of all that is known: caches, memory, threads_max",
      pinning = "{ pinned, cpus }: the CPU of each thread; nil where it has none",
      live = "what a GPU does now, by its driver: utilization, memory_used_bytes, sm_ghz, watts, joules, throttled, "
        .. "...; what is unknown is absent",
      lost = "true once a fault has made a GPU unusable for this process" },
  },
  tensor = {
    about = "dtype + shape + strides over a buffer; indexes and dims count from 1, negative from the end; arithmetic"
      .. " with + - * / and unary -",
    methods = {
      numel = { "t:numel()", "number of elements" }, nbytes = { "t:nbytes()", "bytes as stored" },
      reshape = { "t:reshape{ dims }", "a view; one dim may be -1" },
      slice = { "t:slice(dim[, first[, last]])", "a view of elements first to last, both included" },
      transpose = { "t:transpose([a, b])", "a view with two dims swapped, the last two by default" },
      t = { "t:t()", "a matrix transposed, a view" }, clone = { "t:clone()", "a dense copy" },
      to = { "t:to(dtype or device)", "converted; rounds to nearest even, saturates integers" },
      quantize = { "t:quantize(recipe[, { progress = function(done, total), calibration = x, out = q }])",
        "weights [.., N, K] in a quantizer's format; x: sample activations [M, K], from which gptq learns; out: into "
          .. "q, which has that format and shape and no part of which was repacked, in the place of a new tensor" },
      dequantize = { "q:dequantize()", "as f32" },
      pack = { "q:pack()",
        "a quantized matrix in the layout that kernels here read, made once and kept beside it; ns, bytes" },
      forget = { "t:forget()", "gives back what was read of a mapped file for it, till it is next wanted; bytes" },
      widen = { "q:widen(recipe)",
        "the same values in a wider format of the family; nil where the formats do not nest" },
      bits_per_weight = { "q:bits_per_weight()", "stored bits an element, metadata included" },
      spread = { "t:spread([share = 0.99])", "{ mean_abs, max_abs, quantile } of the magnitudes" },
      bytes = { "t:bytes()", "what is stored, as u8: a view, also of quantized tensors" },
      error = { "t:error(original[, x])",
        "{ rel_rmse, sqnr_db, max_abs, cosine, nmse } against the original; with activations x [M, K] also "
          .. "output_rel_rmse, of the products" },
      get = { "t:get(i, j, ...)", "one element as a number" }, set = { "t:set(i, j, ..., value)", "sets one element" },
      totable = { "t:totable()", "nested tables of numbers" },
      add = { "a:add(b)", "a + b, broadcast" }, sub = { "a:sub(b)", "a - b" },
        mul = { "a:mul(b)", "a * b, by element" },
      div = { "a:div(b)", "a / b" }, minimum = { "a:minimum(b)", "the lesser of each pair" },
      maximum = { "a:maximum(b)", "the greater of each pair" }, neg = { "t:neg()", "-t" }, abs = { "t:abs()", "|t|" },
      sqrt = { "t:sqrt()", "square root" }, exp = { "t:exp()", "e^t" }, log = { "t:log()", "natural logarithm" },
      sum = { "t:sum([dim])", "a number; with dim a tensor" }, mean = { "t:mean([dim])", "the same, mean" },
      min = { "t:min([dim])", "the same, least" }, max = { "t:max([dim])", "the same, greatest" },
      argmax = { "t:argmax([dim])", "where the greatest is, from 1" }, norm = { "t:norm([dim])", "Euclidean norm" },
      matmul = { "a:matmul(b[, { transposed = }])", "[.., K] x [K, N]; transposed: b is [N, K]" },
      equal = { "a:equal(b)", "same shape and values" },
      allclose = { "a:allclose(b[, { rtol = 1e-5, atol = 1e-8 }])", "|a - b| <= atol + rtol |b| everywhere" },
      fill = { "t:fill(v)", "sets every element" }, copy = { "t:copy(source)", "copies values in, broadcast" },
      close = { "t:close()", "drops this reference; memory goes when plans and views let go too" },
    },
    fields = { shape = "list of dims", rank = "number of dims", dtype = "\"f32\", ..., \"quantized\"",
      device = "where it is",
      quantizer = "its format, if quantized", layout = "\"native\" or a kernel's", dense = "no gaps between elements" },
  },
  quantizer = {
    about = "a weight format with its parameters",
    methods = { bits_per_weight = { "q:bits_per_weight([n, k])", "stored bits a weight, metadata included" },
      size_bytes = { "q:size_bytes(n, k)", "bytes of an [n, k] matrix" },
        close = { "q:close()", "drops this reference" } },
    fields = { name = "the full recipe", family = "its family", bits = "bits of a code", group = "elements a scale",
      k_multiple = "K must be a multiple of this", about = "formula and byte layout", source = "who defined it" },
  },
  kernel = {
    about = "one way to do an operation on a device",
    methods = { close = { "k:close()", "drops this reference" } },
    fields = { name = "op.format.variant", op = "the operation", device = "\"cpu\", \"cuda\"", about = "how it works",
      source = "where the idea comes from", format = "weights that it takes", isa = "instruction sets that it needs",
      layout = "memory layout of its weights", activation = "what it turns activations into",
        accumulator = "what it adds in",
      compute = "the type whose peak rate bounds it", tolerance = "NMSE allowed against the oracle",
      tolerance_why = "the reason for it", priority = "the highest that fits is chosen", serial = "too small to split",
      panel_rows = "panel height, if fused kernels can use it", usable = "can this machine run it",
      builtin = "comes with this program, not from a script or a plug-in" },
  },
  timer = {
    about = "a clock; times in ns",
    methods = { now_ns = { "t:now_ns()", "now" }, resolution_ns = { "t:resolution_ns()", "least step" },
      cost_ns = { "t:cost_ns()", "of one call" }, start = { "t:start()", "starts; returns the timer" },
      stop = { "t:stop()", "ns since start" }, total_ns = { "t:total_ns()", "of all start-stop pairs" },
      measure = { "t:measure(plan[, opts])", "as lb.measure" }, close = { "t:close()", "drops this reference" } },
    fields = { device = "whose clock it is" },
  },
  plan = {
    about = "recorded launches, their operands retained; all checks happen when recording; C replays and samples. One"
      .. " method per operation takes a table of operands and parameters, and kernel=, label=, native=, when={ i32"
      .. " tensor, index }, pick={ i32 tensor, index }; indexes from 1. Recording methods return the plan",
    methods = {
      call = { "p:call(kernel, { operands })", "records the kernel's operation with that kernel" },
      append = { "p:append(other[, { when = { tensor, index } }])", "records the other plan's steps here" },
      run = { "p:run()", "every step once; returns the plan" },
      submit = { "p:submit([n])", "n runs in C; returns ns of the whole loop and the launches" },
      submit_eager = { "p:submit_eager([n])", "the same, every step handed over on its own" },
      out = { "p:out([step[, name]])", "a tensor that a step writes; the last step's by default" },
      last = { "p:last([name])", "a tensor that the last step writes" },
      operands = { "p:operands([step])", "tensors of a step by name, the last step's by default" },
      steps = { "p:steps()", "a list of { op, kernel, label, operands, params }" },
      candidates = { "p:candidates(step[, item])",
        "kernels of a step's operation, for an item that it picks: { kernel, priority, fits, why, loaded }; the "
        .. "operands' form" },
      account = { "p:account()", "runs once and counts launches by kernel, flops, bytes" },
      check = { "p:check()",
        "every step against f64 on the operands that it saw: { passed, nmse, tolerance, reason }" },
      snapshot = { "p:snapshot([\"updates\" or \"outputs\"])",
        "keeps in-place operands constant; copies outputs for verify" },
      verify = { "p:verify()", "are the outputs those of the snapshot, bit for bit" },
      rotate = { "p:rotate([cache])", "\"weights-cold\", \"all-cold\"; \"hot\" undoes it" },
      close = { "p:close()", "drops this reference" },
    },
    fields = { outputs = "what the last step writes, by name", device = "where it runs" },
  },
  sampler = {
    about = "a measurement in pieces, sized and warmed up: what two processes that take turns hold",
    methods = { take = { "s:take(samples[, iterations[, quantum]])", "takes so many more; returns the sampler" },
      finish = { "s:finish()", "all samples with their statistics, as lb.measure" },
      close = { "s:close()", "drops it" } },
    fields = { iterations = "runs a sample", quantum = "what that is a multiple of",
      share = "what it must be a multiple of, so that extra work is whole runs",
      run_ns = "of a run, at the end of the warm-up" },
  },
  model_file = {
    about = "a model file, mapped: tensors by name, views of the file made when asked for, and metadata",
    methods = { tensor = { "f:tensor(name)", "a tensor: a view of the file" },
      bytes = { "f:bytes(name)", "its stored bytes, u8, whatever its type" },
      info = { "f:info(name)",
        "{ name, type, shape, bytes, offset, part, dtype, recipe }; without dtype, bytes() only" },
      names = { "f:names()", "of the tensors, in file order" },
      metadata = { "f:metadata([key])", "a value, or all by key; whole numbers beyond 2^53 are text" },
      metadata_types = { "f:metadata_types()", "types by key: \"u32\", \"array:string\"" },
      close = { "f:close()", "drops this reference; the file stays mapped while tensors view it" } },
    fields = { format = "\"gguf\" or \"safetensors\"", path = "what was opened", version = "of GGUF",
      alignment = "of GGUF's data",
      count = "number of tensors", nbytes = "stored bytes of all tensors", parts = "the files" },
  },
  model_writer = {
    about = "a model file that is being written; nothing stands under its name before finish",
    methods = { add = { "w:add(i, tensor)", "stores tensor i of those announced" },
      add_bytes = { "w:add_bytes(i, tensor)", "the same from stored bytes, u8" },
      finish = { "w:finish()", "puts the files in place; their names" },
      close = { "w:close()", "gives up: leaves nothing behind" } },
    fields = {},
  },
  tokenizer = {
    about = "text to token numbers (from 0, as models count them) and back",
    methods = { encode = { "t:encode(text[, { special = true }])", "numbers; special: with the tokens around a text" },
      decode = { "t:decode(numbers[, { skip_special = true }])", "text; numbers of no token give nothing" },
      stream = { "t:stream([{ skip_special = true }])", "text as it grows: s:add(number), s:finish()" },
      token = { "t:token(number)", "a token as the file writes it" }, id = { "t:id(text)", "the number of a token" },
      is_special = { "t:is_special(number)", "is it one that decoding can leave out" },
      kind = { "t:kind(number)",
        "\"normal\", \"special\", \"added\", \"byte\" or \"unknown\"; nil if there is no such token" },
      score = { "t:score(number)", "the score that a unigram model gives it" },
      merges = { "t:merges()", "BPE's merges, { { left, right }, ... } of token numbers, by rank" },
      close = { "t:close()", "drops this reference" } },
    fields = { size = "least number above all tokens",
      model = "\"bpe\", \"byte-level bpe\", \"sentencepiece bpe\", \"unigram\"",
      bos = "from GGUF metadata", eos = "from GGUF metadata", unk = "from GGUF metadata", pad = "from GGUF metadata",
      eot = "from GGUF metadata" },
  },
  text_stream = {
    about = "text that grows token by token: characters are given when all their bytes are there",
    methods = { add = { "s:add(number)", "the text that this token completes, \"\" if none" },
      finish = { "s:finish()", "what is left; unfinished characters as U+FFFD" }, close = { "s:close()", "drops it" } },
    fields = {},
  },
  process = {
    about = "a child process of the runner",
    methods = { write = { "p:write(text[, timeout_s])", "to its stdin" },
      close_stdin = { "p:close_stdin()", "ends its input" },
      line = { "p:line([stream])", "the next line read, or nil" }, eof = { "p:eof([stream])", "all was read" },
      kill = { "p:kill([signal])", "signals its group" }, state = { "p:state()", "how it is, without waiting" },
      wait = { "p:wait([timeout_s])", "the same after its end" }, close = { "p:close()", "kills and reaps it" } },
    fields = { pid = "its process id" },
  },
}

-- Functions in the tables above that help knows by themselves.
M.table_functions = {
  ["model.load"] = { "lb.model.load(path[, { repack = true, dtype =, quantize =, random_weights =, seed = 1, type =,"
    .. " device =, progress = }])", "a model from GGUF, safetensors, a Hugging Face folder, or a config.json with"
    .. " random_weights = true; dtype: f32, f16, bf16; quantize: a recipe, or function(role, shape); repack = false:"
    .. " kernels read the file's own layout; type: an error for another" },
  ["model.architectures"] = { "lb.model.architectures()", "names of the architectures that can be run" },
}

-- Objects that are made in Lua, as `classes` has those of the engine: a metatable's __name is the name here.
M.lua_classes = {
  model = {
    about = "a whole model (lb.model.load); layers[i] has its tensors by role, weights those beside the layers",
    methods = {
      generate = { "m:generate(prompt[, { max_new_tokens = 128, temperature = 0, top_k = 0, top_p = 1, min_p = 0,"
        .. " seed = 1, stop =, mode = \"fused\", cache = \"f16\", layout =, context =, prompt_rows = 512, session =,"
        .. " on_token = }])",
        "text that goes on, and times: { text, tokens, finish, prompt_ns, step_ns, sequences, ... }; prompt: a text,"
        .. " token numbers, or a list of either" },
      logits = { "m:logits(text or numbers[, { mode =, cache = \"f32\", prompt_rows =, each = }])",
        "f32 [T, vocab], row t after token t" },
      perplexity = { "m:perplexity(text or numbers[, { context = 512, chunks =, mode =, cache =, progress = }])",
        "{ perplexity, standard_error, nll, tokens, chunks, context, seconds }" },
      forward = { "m:forward(plan[, { tokens = 1, batch = 1, past = 0, layer =, fused = true, logits = true, cache =,"
        .. " ... }])",
        "records a whole pass, or one block, to be timed: { ids, positions, lengths, cache, h, logits }" },
      session = { "m:session([{ batch = 1, capacity =, cache =, layout =, mode =, prompt_rows = 512 }])",
        "sequences under way, to be fed and drawn from step by step" },
      tokenizer = { "m:tokenizer()", "that of its file" }, has_tokenizer = { "m:has_tokenizer()", "has it one" },
      begin_token = { "m:begin_token()", "the token that texts begin with, or nil" },
      tensor = { "m:tensor(name)", "a tensor, by the file's name or as layers.1.q, embedding, norm, head" },
      names = { "m:names()", "the file's names of all tensors" },
      close = { "m:close()", "lets go of weights and file; memory goes where nothing else holds them" },
    },
    fields = { type = "the architecture", spec = "sizes: hidden, layers, heads, vocab, ...", path = "what was loaded",
      random = "are the weights random numbers", parameters = "how many weights", nbytes = "their bytes",
      layers = "layers[i].q, .k, .gate, ...: tensors by role; lists for experts",
      weights = "embedding, norm, head", load_ns = "of loading", repack_ns = "of repacking",
      repack_bytes = "bytes that repacked weights take", layer_load_ns = "by layer", layer_repack_ns = "by layer" },
  },
  session = {
    about = "sequences of a model under way (m:session): caches, and plans that are recorded once",
    methods = {
      prompt = { "s:prompt{ { numbers }, ... }", "takes token numbers in, a list a sequence" },
      first = { "s:first([{ temperature = 0, top_k = 0, top_p = 1, min_p = 0, seed = 1 }])",
        "draws each sequence's first token after a prompt: i32 [batch]" },
      next = { "s:next([{ as first }])", "takes what was drawn in, and draws the next: i32 [batch]" },
      logits = { "s:logits()", "[batch, vocab] after what prompt took in last" },
      all_logits = { "s:all_logits(numbers, function(first row, logits))", "of every row of one sequence's tokens" },
      prepare = { "s:prepare({ prompt lengths }[, { as first }])", "records what these need, before a clock starts" },
      reset = { "s:reset()", "forgets the sequences; plans and caches stay" },
      plan_of = { "s:plan_of(\"token\", \"first\" or \"prompt\"[, rows])", "a plan that was recorded, or nil" },
      give_back = { "s:give_back()", "lets go of what was read of a mapped embedding that is repacked, too" },
      kv_bytes = { "s:kv_bytes()", "bytes of the caches" },
    },
    fields = { batch = "sequences", capacity = "positions each can hold", cache = "as lb.kv_cache gives it",
      mode = "eager, plan or fused", record_ns = "time that recording plans took", model = "whose it is" },
  },
}

-- { name, about, operands, params } of an operation, or nil; from the engine.
function M.operation(name)
  for _, op in ipairs(require("luabench.core").ops()) do
    if op.name == name then return op end
  end
end

function M.operations()
  local names = {}
  for i, op in ipairs(require("luabench.core").ops()) do names[i] = op.name end
  return names
end

-- "0.5"; of a parameter with names "\"none\""
function M.parameter_default(p)
  return p.choices and ("%q"):format(p.choices[p.default + 1]) or ("%g"):format(p.default)
end

-- "gemm{ x =, w =, [out =] }"
function M.operation_signature(op)
  local parts = {}
  for _, o in ipairs(op.operands) do
    local optional = o.optional or o.role == "write"
    parts[#parts + 1] = optional and ("[%s =]"):format(o.name) or o.name .. " ="
  end
  for _, p in ipairs(op.params) do
    parts[#parts + 1] = p.required and p.name .. " =" or ("[%s = %s]"):format(p.name, M.parameter_default(p))
  end
  return ("%s{ %s }"):format(op.name, table.concat(parts, ", "))
end

return M

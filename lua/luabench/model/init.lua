-- init.lua: lb.model: whole models. Loading, generating, logits, and plans of their parts.
--
-- lua/README.md has the contract; session.lua what runs, builder.lua the steps, lua/models/ the architectures.
local arguments = require "luabench.model.arguments"
local builder = require "luabench.model.builder"
local config_of = require "luabench.model.config"
local core = require "luabench.core"
local feed_forward = require "luabench.model.feed_forward"
local generate = require "luabench.model.generate"
local kv = require "luabench.kv"
local loader = require "luabench.loader"
local model_file = require "luabench.model_file"
local places = require "luabench.places"
local score = require "luabench.model.score"
local session = require "luabench.model.session"
local suggest = require "luabench.suggest"
local weights_of = require "luabench.model.weights"

local M = {}
local Model = { __name = "model", __tostring = function(m)
  if m.closed then return "model (closed)" end
  return ("model %s: %d layers, %.3g M weights, %s"):format(m.type, m.spec.layers, m.parameters / 1e6,
    m.random and "random weights" or m.path)
end }
Model.__index = Model
M.class = Model

local LOAD = { device = true, dtype = true, quantize = true, repack = true, random_weights = true, seed = true,
  type = true,
  progress = true }

-- ---- architectures ----

-- Names of the architectures: the models with a `attention`.
function M.architectures()
  local names = {}
  for _, name in ipairs(loader.names "models") do
    if loader.load("models", name).attention then names[#names + 1] = name end
  end
  return names
end

local function architecture(kind, path)
  for _, name in ipairs(M.architectures()) do
    if name == kind then return loader.load("models", name) end
  end
  error(("%s: a model of type %s; there are: %s"):format(path, tostring(kind), table.concat(M.architectures(), ", ")),
    0)
end

-- ---- loading ----

local function is_config(path)
  return type(path) == "table" or path:lower():find "%.json$" ~= nil and not path:lower():find "%.index%.json$"
end

-- What to do to matrices: opts.quantize is a recipe for all but embedding and head, or f(role, shape) -> recipe or nil.
local function recipe_of(quantize)
  if quantize == nil then return function() end end
  if type(quantize) == "function" then return quantize end
  if type(quantize) ~= "string" then error("quantize: a recipe or a function expected, got " .. type(quantize), 0) end
  local multiple = core.quantizer(quantize).k_multiple
  return function(role, shape)
    if role == "embedding" or role == "head" or role == "router" then return nil end
    if shape[#shape] % multiple ~= 0 then
      error(("%s takes K in multiples of %d, and that of %s is %d; hint: quantize = function(role, shape) ... end")
        :format(quantize, multiple, role, shape[#shape]), 0)
    end
    return quantize
  end
end

local function options_of(opts)
  if opts ~= nil and type(opts) ~= "table" then
    error("lb.model.load: a table of options expected, got " .. type(opts), 0)
  end
  opts = opts or {}
  suggest.check_keys(opts, LOAD, "lb.model.load", 0)
  local dtypes = { float32 = "f32", float16 = "f16", bfloat16 = "bf16", f32 = "f32", f16 = "f16", bf16 = "bf16" }
  if opts.dtype ~= nil and not dtypes[opts.dtype] then
    error(("dtype %s is not known; there are f32, f16, bf16"):format(tostring(opts.dtype)), 0)
  end
  arguments.of_type(opts, "progress", "function")
  arguments.number(opts, "seed", 1, 0, 2 ^ 32, true)
  arguments.of_type(opts, "type", "string")
  if opts.repack ~= nil and type(opts.repack) ~= "boolean" then error("repack: true or false expected", 0) end
  return { dtype = dtypes[opts.dtype], recipe = recipe_of(opts.quantize), progress = opts.progress,
    device = opts.device, made = setmetatable({}, { __mode = "k" }),
    repack = opts.repack ~= false, random = opts.random_weights or false, seed = opts.seed or 1, type = opts.type }
end

-- The configuration of a model without weights: a table, or a config.json.
local function configuration(path, o)
  local config, where = path, "the configuration"
  if type(path) == "string" then
    where = path
    config = model_file.read_json(path)
    if not config then error(path .. ": no such file", 0) end
  end
  local kind, from = model_file.type_of_config(config, o.type, where)
  if not kind then
    error(("%s: a model of unknown type (%s)"):format(where, from or "neither architectures nor model_type"), 0)
  end
  local arch = architecture(kind, where)
  local spec = config_of.from_hf(config, arch)
  spec.stop = config_of.stop_hf(config)
  return spec, arch, config
end

local function type_of_file(file, path, wanted)
  local kind = model_file.model_type(file, wanted)
  if not kind.type then error(("%s: a model of unknown type (%s)"):format(path, kind.from), 0) end
  return architecture(kind.type, path)
end

local function of_file(path, o)
  local file = model_file.open(path, { device = o.device })
  local arch = type_of_file(file, path, o.type)
  if file.format == "gguf" then return config_of.from_gguf(file, arch), arch, nil, file end
  local config = model_file.config(file)
  if not config then error(path .. ": there is no config.json beside it", 0) end
  local spec = config_of.from_hf(config, arch)
  spec.stop = config_of.stop_hf(config, model_file.config(file, "generation_config"))
  return spec, arch, config, file
end

-- Rope's frequencies; GGUF stores Llama 3's scaling as factors that divide them.
local function frequencies(spec, reader, device)
  local r = { device = device }
  for _, name in ipairs { "dim", "base", "scaling", "factor", "low_freq_factor", "high_freq_factor", "original_context",
    "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate" } do
    r[name] = spec.rope[name]
  end
  local f, scale = kv.rope_frequencies(r)
  if spec.rope.factors then
    local by = reader:tensor(spec.rope.factors)
    if by:numel() ~= f:numel() then
      error(("tensor %s has %d elements, %d expected"):format(spec.rope.factors, by:numel(), f:numel()), 0)
    end
    f = f / by
  end
  return f, scale
end

local function count_weights(m)
  local seen, bytes, parameters = {}, 0, 0
  local function add(t)
    if type(t) == "table" then
      for _, one in ipairs(t) do add(one) end
    elseif type(t) == "userdata" and not seen[t] then
      seen[t] = true
      bytes, parameters = bytes + t:nbytes(), parameters + t:numel()
    end
  end
  for _, t in pairs(m.weights) do add(t) end
  for _, l in ipairs(m.layers) do
    for role, t in pairs(l) do
      if role ~= "classes" and not (l.kv_b and (role == "k_b" or role == "v_b")) then add(t) end
    end
  end
  return bytes, parameters
end

-- Quantized tensors that were made here go into a file without a name, and are mapped from there: what they take can
-- then be given back once it is repacked, as that of a model's file. Replaced in `owner`, a layer or the weights.
local function into_file(owner, made, device)
  local list, places = {}, {}
  local function visit(holder)
    for key, t in pairs(holder) do
      if type(t) == "table" then visit(t)
      elseif made[t] then
        local name = "t" .. #places + 1
        list[name], places[#places + 1] = t, { holder, key, name }
      end
    end
  end
  visit(owner)
  if #places == 0 then return end
  local folder = core.tempdir "luabench-weights-"
  local ok, mapped = pcall(function()
    core.blob_save(folder .. "/weights", list)
    return core.blob_load(folder .. "/weights", device)
  end)
  core.tempdir_remove(folder)
  if not ok then return tostring(mapped) end
  for _, p in ipairs(places) do
    p[1][p[2]]:close()
    p[1][p[2]] = mapped[p[3]]
  end
end

-- Quantized matrices in the kernels' own layouts, each once, the file's pages given back: ns and bytes. A head that is
-- the embedding too stays as the file has it where a kernel reads that (m.native_head): rows are looked up in it
-- anyway, and it would be in memory twice.
local function repack(m, o)
  local ns, bytes, seen = 0, 0, {}
  local function add(t)
    if type(t) == "table" then
      for _, one in ipairs(t) do add(one) end
    elseif type(t) == "userdata" and t.quantizer and not seen[t] then
      seen[t] = true
      local n, b = t:pack()
      ns, bytes = ns + n, bytes + b
    end
  end
  -- what is small (norms, biases, routers) would keep up to 2 MiB of its file in memory, each
  local function own(holder)
    for role, t in pairs(holder) do
      if type(t) == "userdata" and not t.quantizer and t:nbytes() < 2 ^ 20 and role ~= "kv_b" then
        holder[role] = t:clone()
        t:forget()
      end
    end
  end
  if m.file then own(m.weights) end
  for i, l in ipairs(m.layers) do
    if m.file then own(l) end
    m.second_copy = m.second_copy or into_file(l, o.made, o.device)
    for role, t in pairs(l) do
      if role ~= "kv_b" then add(t) end
    end
    if o.progress then o.progress(i, #m.layers) end
  end
  if m.native_head then return ns, bytes end
  m.second_copy = m.second_copy or into_file(m.weights, o.made, o.device)
  add(m.weights.head or m.weights.embedding)
  return ns, bytes
end

-- What is packed also where kernels read the file's own layout: MLA's k_b, of which none reads that (K of 128 or 192).
-- Expanded row by row it took 4 to 9 % of a token's time, at 1 % of the weights' bytes. ns and bytes.
local function pack_latents(m, o)
  local ns, bytes = 0, 0
  for i, l in ipairs(m.layers) do
    if l.k_b and l.k_b.quantizer and builder.reads_native_heads(l.v_b) and not builder.reads_native_heads(l.k_b) then
      m.second_copy = m.second_copy or into_file(l, o.made, o.device)
      local n, b = l.k_b:pack()
      ns, bytes, m.packed_latents = ns + n, bytes + b, true
    end
    if o.progress then o.progress(i, #m.layers) end
  end
  return ns, bytes
end

-- What reports that one of the layers is done also notes in `list` how long it took.
local function marking(clock, list, progress)
  local before = clock:now_ns()
  return function(done, total)
    local now = clock:now_ns()
    list[done], before = now - before, now
    if progress then progress(done, total) end
  end
end

local function load(path, opts)
  local o = options_of(opts)
  if type(path) ~= "string" and type(path) ~= "table" then
    error("lb.model.load: a path or a configuration expected, got " .. type(path), 0)
  end
  local clock = core.timer(o.device)
  local t0 = clock:now_ns()
  local spec, arch, config, file
  if is_config(path) or o.random and core.stat(path .. "/config.json") then
    local from = path
    if type(path) == "string" and not is_config(path) then from = path .. "/config.json" end
    if not o.random then error("a configuration has no weights; random_weights = true makes some", 0) end
    spec, arch, config = configuration(from, o)
  else
    if o.random then error("random_weights takes a config.json, a folder with one, or a table", 0) end
    spec, arch, config, file = of_file(path, o)
  end
  local m = setmetatable({ spec = spec, architecture = arch, type = arch.name, config = config, file = file,
    path = type(path) == "string" and path or nil, native = not o.repack,
    random = o.random or file ~= nil and model_file.is_random(file), device = core.device(o.device),
    joined = setmetatable({}, { __mode = "k" }), sessions = {},
    ffn_kernels = {}, planes = {} }, Model)
  m.feed_forward = feed_forward.parts(spec, arch)
  m.layer_load_ns, m.layer_repack_ns = {}, {}
  local progress, reader = o.progress, nil
  o.progress = marking(clock, m.layer_load_ns, progress)
  if file then
    reader = weights_of.reader(file)
    m.weights, m.layers = weights_of.read(reader, spec, arch, m.feed_forward, o)
  else
    m.weights, m.layers = weights_of.random(spec, arch, m.feed_forward, o)
  end
  for i, l in ipairs(m.layers) do
    for _, part in ipairs { arch.attention, m.feed_forward(i) } do
      if part.prepare then part.prepare(l, spec, o.device, o.made) end
    end
  end
  m.frequencies, m.rope_scale = frequencies(spec, reader, o.device)
  if reader then weights_of.check_all_used(reader, spec) end
  m.nbytes, m.parameters = count_weights(m)
  m.load_ns = clock:now_ns() - t0
  o.progress = marking(clock, m.layer_repack_ns, progress)
  if o.repack then
    m.native_head = not m.weights.head and builder.reads_native(m.weights.embedding)
    m.repack_ns, m.repack_bytes = repack(m, o)
  else
    m.repack_ns, m.repack_bytes = pack_latents(m, o)
  end
  core.memory_trim()
  return m
end

-- lb.model.load(path[, opts])
function M.load(path, opts)
  local ok, m = pcall(load, path, opts)
  if not ok then error(m, 2) end
  return m
end

-- ---- the model ----

local function method(f)
  return places.guard(function(self, ...)
    if getmetatable(self) ~= Model then error("a model expected, got " .. type(self), 0) end
    if self.closed then error("this model is closed", 0) end
    return f(self, ...)
  end)
end

-- Does its file say that it has none, as those of random weights do?
local function without_tokenizer(m)
  if not m.file then return true end
  local kind = m.file.format == "gguf" and m.file:metadata "tokenizer.ggml.model"
  return kind == "none" or kind == "no_vocab"
end

-- model:tokenizer(): that of its file; an error where there is none.
Model.tokenizer = method(function(self)
  if not self.tokens then
    if without_tokenizer(self) then
      error(self.file and self.file.path .. ": the file has no tokenizer"
        or "a model of random weights has no tokenizer", 0)
    end
    self.tokens = model_file.tokenizer(self.file)
  end
  return self.tokens
end)

-- The token that texts begin with; nil where they begin with none.
Model.begin_token = method(function(self)
  if without_tokenizer(self) then return nil end
  return score.begin_of(self:tokenizer())
end)

-- model:tensor(name): a tensor of its file, by the file's name for it; or by "layers.3.q", "embedding", "head", "norm",
-- the names that layers[3].q has (layers from 1).
Model.tensor = method(function(self, name)
  if type(name) ~= "string" then error("a name expected, got " .. type(name), 0) end
  local layer, role = name:match "^layers%.(%d+)%.([%w_]+)$"
  local l = layer and self.layers[tonumber(layer)]
  if l and l[role] then return l[role] end
  if self.weights[name] then return self.weights[name] end
  if self.file then return self.file:tensor(name) end
  error(("there is no tensor %s; names are like layers.1.q, embedding, head"):format(name), 0)
end)

-- model:session(opts): sequences under way: :prompt, :first, :next, :logits, :reset; see session.lua.
local SESSION = { batch = true, capacity = true, cache = true, layout = true, mode = true, prompt_rows = true }
Model.session = method(function(self, o)
  o = arguments.table(o, SESSION, "model:session")
  local capacity = o.capacity or math.min(self.spec.context, 4096)
  return session.new(self, { batch = o.batch, capacity = capacity, cache = o.cache, layout = o.layout, mode = o.mode,
    prompt_rows = o.prompt_rows })
end)

-- model:close(): lets go of weights, file and tokenizer; memory goes where no session, plan or tensor holds it.
function Model:close()
  if getmetatable(self) ~= Model then error("a model expected, got " .. type(self), 2) end
  for key in pairs(self) do self[key] = nil end
  self.closed = true
  collectgarbage()
  collectgarbage()
  core.memory_trim()
end

Model.has_tokenizer = method(function(self) return not without_tokenizer(self) end)
Model.logits = method(generate.logits)
Model.generate = method(generate.generate)
Model.perplexity = method(generate.perplexity)
Model.forward = method(generate.forward)
Model.names = method(function(self)
  if self.file then return self.file:names() end
  local names = suggest.keys(self.weights)
  for i, l in ipairs(self.layers) do
    for _, role in ipairs(suggest.keys(l)) do names[#names + 1] = ("layers.%d.%s"):format(i, role) end
  end
  return names
end)

return M

-- model_file.lua: model files: opening (GGUF, safetensors, Hugging Face folders), what model is in them, and writing.
local core = require "luabench.core"
local json = require "luabench.json"
local suggest = require "luabench.suggest"

local M = {}

-- lb.model_file(path[, { device = }]): a file, the index of a sharded model, or a folder.
function M.open(path, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error("lb.model_file: a table of options expected, got " .. type(opts), 2)
  end
  return core.model_file(path, opts and opts.device)
end

local function opened(who, file)
  if type(file) == "string" then return M.open(file) end
  if type(file) == "userdata" and tostring(file):find "^model_file" then return file end
  error(("%s: a path or a model file expected, got %s"):format(who, type(file)), 3)
end

-- ---- what stands beside the tensors ----

local TEXT_MAX = 16 * 2 ^ 20
local BESIDE = { config = "config.json", generation_config = "generation_config.json" }

-- The folder that a file's companions are in.
local function folder_of(file)
  local at = core.stat(file.path)
  if at and at.kind == "directory" then return file.path end
  return file.path:match "^(.*)/[^/]*$" or "."
end

-- A JSON file, decoded; nil where there is none. Checked strictly first: grammar, UTF-8, depth, double keys.
function M.read_json(path)
  if not core.stat(path) then return nil end
  local text = core.file_read(path)
  if #text > TEXT_MAX then error(("%s has %d bytes; at most %d are read"):format(path, #text, TEXT_MAX), 0) end
  core.json_check(path, text)
  local value, why = core.json_decode(text, nil, getmetatable(json.array {}))
  if type(value) ~= "table" then error(path .. ": " .. (why or "a JSON object was expected"), 0) end
  return value
end

-- lb.model_config(file[, which]): "config" or "generation_config", the .json file beside the tensors, as a table; nil
-- if there is none. Nulls are absent.
function M.config(file, which)
  file = opened("lb.model_config", file)
  local name = BESIDE[which or "config"]
  if not name then
    local hint = suggest.hint(tostring(which), suggest.keys(BESIDE))
    error(('lb.model_config: unknown "%s"%s'):format(tostring(which), hint), 2)
  end
  local ok, value = pcall(M.read_json, folder_of(file) .. "/" .. name)
  if not ok then error(value, 2) end
  return value
end

-- That in a folder of Hugging Face's.
local function tokenizer_in(folder)
  local path = folder .. "/tokenizer.json"
  if core.stat(path) then return core.tokenizer(path) end
  local other = core.stat(folder .. "/tokenizer.model") and "; its tokenizer.model is not read: save the tokenizer "
    .. "with transformers, which writes tokenizer.json" or ""
  error(("%s has no tokenizer.json%s"):format(folder, other), 0)
end

-- lb.tokenizer(where): from a GGUF file's metadata, or from tokenizer.json: the file, or that beside a model's tensors.
function M.tokenizer(where)
  if type(where) == "userdata" and tostring(where):find "^model_file" then
    if where.format == "gguf" then return core.tokenizer(where) end
    local ok, t = pcall(tokenizer_in, folder_of(where))
    if not ok then error(t, 2) end
    return t
  end
  if type(where) ~= "string" then error("lb.tokenizer: a path or a model file expected, got " .. type(where), 2) end
  local at = core.stat(where)
  if at and at.kind == "directory" and core.stat(where .. "/tokenizer.json") then
    return core.tokenizer(where .. "/tokenizer.json")
  end
  if where:lower():find "%.json$" then return core.tokenizer(where) end
  local file = M.open(where)
  local ok, t = pcall(M.tokenizer, file)
  file:close()
  if not ok then error(t, 2) end
  return t
end

-- ---- what model it is ----

-- Names by GGUF's general.architecture and by Hugging Face's model_type and architectures.
local BY_ARCHITECTURE = {
  llama = "llama", mistral = "mistral", mistral3 = "mistral", qwen2 = "qwen2", qwen3 = "qwen3", qwen3moe = "qwen3_moe",
  glm4 = "glm4", chatglm = "glm4", deepseek2 = "deepseek_v2", ["gpt-oss"] = "gpt_oss", gpt_oss = "gpt_oss",
  mixtral = "mixtral", glm = "glm4", qwen3_moe = "qwen3_moe", deepseek_v2 = "deepseek_v2", deepseek_v3 = "deepseek_v3",
  glm4_moe = "glm4_moe", glm4moe = "glm4_moe", glm4_moe_lite = "glm4_moe_lite",
  LlamaForCausalLM = "llama", MistralForCausalLM = "mistral", Qwen2ForCausalLM = "qwen2", Qwen3ForCausalLM = "qwen3",
  Qwen3MoeForCausalLM = "qwen3_moe", MixtralForCausalLM = "mixtral", Glm4ForCausalLM = "glm4", GlmForCausalLM = "glm4",
  Glm4MoeForCausalLM = "glm4_moe", Glm4MoeLiteForCausalLM = "glm4_moe_lite", DeepseekV2ForCausalLM = "deepseek_v2",
  DeepseekV3ForCausalLM = "deepseek_v3", GptOssForCausalLM = "gpt_oss",
}

local function types()
  local seen, list = {}, {}
  for _, t in pairs(BY_ARCHITECTURE) do
    if not seen[t] then seen[t], list[#list + 1] = true, t end
  end
  table.sort(list)
  return list
end
M.types = types

-- Names of tensors that tell models apart where nothing else says it: the first rule whose tensors are all there.
local BY_TENSORS = {
  { "gpt_oss", "model.layers.0.self_attn.sinks" }, { "gpt_oss", "blk.0.attn_sinks.weight" },
  { "deepseek_v2", "model.layers.0.self_attn.kv_a_proj_with_mqa.weight" },
  { "deepseek_v2", "blk.0.attn_kv_a_mqa.weight" },
  { "mixtral", "model.layers.0.block_sparse_moe.gate.weight" },
  { "qwen3_moe", "model.layers.0.mlp.gate.weight", "model.layers.0.self_attn.q_norm.weight" },
  { "qwen3_moe", "blk.0.ffn_gate_inp.weight", "blk.0.attn_q_norm.weight" },
  { "qwen3", "model.layers.0.self_attn.q_norm.weight" }, { "qwen3", "blk.0.attn_q_norm.weight" },
  { "glm4", "model.layers.0.post_self_attn_layernorm.weight" }, { "glm4", "blk.0.post_attention_norm.weight" },
  { "qwen2", "model.layers.0.self_attn.q_proj.bias" }, { "qwen2", "blk.0.attn_q.bias" },
  { "mixtral", "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_exps.weight" },
  { "llama", "model.layers.0.self_attn.q_proj.weight" }, { "llama", "blk.0.attn_q.weight" },
}

local function by_tensors(file)
  local there = {}
  for _, name in ipairs(file:names()) do there[name] = true end
  for _, rule in ipairs(BY_TENSORS) do
    local all = true
    for i = 2, #rule do all = all and there[rule[i]] end
    if all then return rule[1], "tensor " .. table.concat(rule, " and ", 2) end
  end
end

-- GGUF has one architecture for models that differ in no tensor: such a file may be asked for by any of these names.
local ALIKE = { llama = { mistral = true }, deepseek_v2 = { deepseek_v3 = true, glm4_moe_lite = true },
  glm4_moe_lite = { deepseek_v2 = true, deepseek_v3 = true } }

local function by_gguf(file)
  local architecture = file:metadata "general.architecture"
  if type(architecture) ~= "string" then return nil end
  local found, from = BY_ARCHITECTURE[architecture], ('general.architecture "%s"'):format(architecture)
  -- GGUF has no name of its own for these.
  local experts = file:metadata(architecture .. ".expert_count")
  if found == "llama" and type(experts) == "number" and experts > 0 then
    return "mixtral", ("%s with %g experts"):format(from, experts)
  end
  local words = file:metadata "tokenizer.ggml.pre"
  if found == "deepseek_v2" and words == "glm4" then
    return "glm4_moe_lite", from .. ' with tokenizer.ggml.pre "glm4"'
  end
  return found, from
end

-- The type that a name of a user's means: also by GGUF's names and those of classes. Raises in the caller's caller.
function M.known_type(name)
  if type(name) ~= "string" then error("lb.model_type: a name expected, got " .. type(name), 3) end
  local wanted = BY_ARCHITECTURE[name] or name
  for _, known in ipairs(types()) do
    if known == wanted then return wanted end
  end
  error(('there is no model type "%s"; there are %s%s'):format(name, table.concat(types(), ", "),
    suggest.hint(name, types())), 3)
end

local function said_by_config(config)
  local list = type(config.architectures) == "table" and config.architectures or {}
  for _, name in ipairs(list) do
    if type(name) == "string" then return BY_ARCHITECTURE[name], ('config.json: architectures "%s"'):format(name) end
  end
  if type(config.model_type) == "string" then
    return BY_ARCHITECTURE[config.model_type], ('config.json: model_type "%s"'):format(config.model_type)
  end
end

-- The model that a config.json, as a table, is of, and what says so; nil where nothing does. With `expected`: an error
-- (level 0) that names `where` if it is another.
function M.type_of_config(config, expected, where)
  local kind, from = said_by_config(config)
  if expected and kind and M.known_type(expected) ~= kind then
    error(("%s is of a model of type %s (%s), not %s as was asked for"):format(where, kind, from, expected), 0)
  end
  return kind, from
end

local function by_config(file)
  local config = M.config(file)
  if not config then return nil end
  return M.type_of_config(config)
end

-- lb.model_type(file[, expected]): { type =, from = }: the model and what told it; type is nil for one that is not
-- known, from says what stands there. With `expected`: an error if the file holds another; where GGUF has one name for
-- several (llama: mistral; deepseek2: deepseek_v2, deepseek_v3, glm4_moe_lite), any of them, which then is the type.
function M.model_type(file, expected)
  file = opened("lb.model_type", file)
  local kind, from
  local ok, why = pcall(function()
    if file.format == "gguf" then kind, from = by_gguf(file) else kind, from = by_config(file) end
    if not from then kind, from = by_tensors(file) end
  end)
  if not ok then error(why, 2) end
  from = from or "neither architecture nor known tensor names"
  if expected ~= nil then
    local wanted = M.known_type(expected)
    if file.format == "gguf" and (ALIKE[kind] or {})[wanted] then kind = wanted end
    if wanted ~= kind then
      error(("%s holds %s (%s), not %s as was asked for"):format(file.path, kind and "a model of type " .. kind
        or "a model of unknown type", from, expected), 2)
    end
  end
  return { type = kind, from = from }
end

local function random_kind(path, expected)
  local where = core.stat(path).kind == "directory" and path .. "/config.json" or path
  if not where:lower():find "%.json$" then
    error(path .. ": random weights are made from a config.json, or a folder with one", 0)
  end
  if not core.stat(where) then error(where .. ": no such file", 0) end
  local kind, from = M.type_of_config(M.read_json(where), expected, where)
  return { type = kind, from = from or "neither architectures nor model_type" }
end

-- What a path holds, without loading it: { type =, from =, format = (nil with random weights) }; with `random` the path
-- is a config.json or a folder with one. Raises (level 0) where there is no model, one of unknown type, or another than
-- `expected`.
function M.kind_at(path, random, expected)
  if not core.stat(path) then error(path .. ": no such file or folder", 0) end
  local kind
  if random then
    kind = random_kind(path, expected)
  else
    local file = M.open(path)
    local ok, found = pcall(M.model_type, file, expected)
    local format = file.format
    file:close()
    if not ok then error(found, 0) end
    kind, found.format = found, format
  end
  if not kind.type then error(("%s: a model of unknown type (%s)"):format(path, kind.from), 0) end
  return kind
end

-- Did luabench make the file's weights, of seeded random numbers? Files that came from it say so too.
function M.is_random(file)
  local said = file:metadata "luabench.random_weights"
  return said == true or said == "true"
end

-- ---- writing ----

-- Keys of GGUF whose values are f32 even when they are whole numbers.
local FLOATS = { "freq_base$", "freq_base_swa$", "epsilon$", "%.scale$", "_scale$", "scale_linear$", "factor$",
  "softcapping$",
  "%.yarn_[%w_]+$", "multiplier$", "max_alibi_bias$", "clamp_kqv$", "scores$" }

local function is_float(key)
  for _, pattern in ipairs(FLOATS) do if key:find(pattern) then return true end end
  return false
end

local function number_type(key, v)
  if v ~= math.floor(v) or v ~= v or math.abs(v) == math.huge or is_float(key) then return "f32" end
  if v >= 0 then return v < 2 ^ 32 and "u32" or "u64" end
  return v >= -2 ^ 31 and "i32" or "i64"
end

local function array_type(key, list)
  local lo, hi, fraction = 0, 0, is_float(key)
  local first = type(list[1])
  for i = 1, #list do
    local v = list[i]
    if type(v) ~= first then
      error(("metadata %s: element %d is a %s, those before are %ss"):format(key, i, type(v), first), 0)
    end
    if first == "number" then lo, hi, fraction = math.min(lo, v), math.max(hi, v), fraction or v ~= math.floor(v) end
  end
  if first == "string" then return "array:string" end
  if first == "boolean" then return "array:bool" end
  if first ~= "number" then error(("metadata %s: its type must be given in types: the list has no elements, or %ss")
    :format(key, first), 0) end
  if fraction then return "array:f32" end
  return lo >= -2 ^ 31 and hi < 2 ^ 31 and "array:i32" or "array:i64"
end

local function type_of(key, v)
  if type(v) == "string" then return "string" end
  if type(v) == "boolean" then return "bool" end
  if type(v) == "number" then return number_type(key, v) end
  if type(v) == "table" then return array_type(key, v) end
  error(("metadata %s: a %s cannot be stored"):format(key, type(v)), 0)
end

-- { key = value } as the engine's list of { key, type, value }, and the keys that it has or removes (lb.null).
local function metadata_list(metadata, given, format)
  local keys, list, replaced = {}, {}, {}
  for key in pairs(metadata or {}) do
    if type(key) ~= "string" then error("metadata: keys are strings, got a " .. type(key), 0) end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local v = metadata[key]
    replaced[key] = true
    if v ~= json.null then
      local t = given and given[key] or format == "safetensors" and "string" or type_of(key, v)
      list[#list + 1] = { key, t, v }
    end
  end
  return list, replaced
end

local function set(list)
  local s = {}
  for _, k in ipairs(list) do s[k] = true end
  return s
end
local WRITER_KEYS = set { "tensors", "metadata", "types", "from", "format", "version", "split_bytes" }

local function format_of(path, opts)
  local ending = type(path) == "string" and path:lower():match "%.([^./]+)$"
  local format = opts.format or ending
  if format ~= "gguf" and format ~= "safetensors" then
    error(("%s: a name that ends in .gguf or .safetensors expected"):format(tostring(path)), 0)
  end
  return format
end

local function create(path, opts)
  if type(opts) ~= "table" then error("lb.model_writer: a table expected, got " .. type(opts), 0) end
  suggest.check_keys(opts, WRITER_KEYS, "lb.model_writer")
  local format = format_of(path, opts)
  local from = opts.from
  if from and from.format ~= format then
    error(("%s: metadata of a %s file cannot be copied into %s"):format(path, from.format, format), 0)
  end
  for _, key in ipairs { "metadata", "types" } do
    if opts[key] ~= nil and type(opts[key]) ~= "table" then
      error(key .. ": a table expected, got " .. type(opts[key]), 0)
    end
  end
  local list, replaced = metadata_list(opts.metadata, opts.types, format)
  local how = { version = opts.version, split_bytes = opts.split_bytes }
  return core.model_writer(path, format, opts.tensors, list, how, from, replaced)
end

-- lb.model_writer(path, { tensors = { { name =, shape =, type = }, ... }, metadata = { key = value },
--                         types = { key = "f32" }, from = file, version =, split_bytes = })
-- A writer: w:add(i, tensor) in any order, then w:finish(). metadata goes over that of `from`; lb.null removes a key.
function M.writer(path, opts)
  local ok, w = pcall(create, path, opts)
  if not ok then error(w, 2) end
  return w
end

-- Members of a family that GGUF knows differ in how they quantize, not in what they store.
local function stored_type(t)
  if not t.quantizer then return t.dtype end
  return t.quantizer.family == "mxfp4" and "mxfp4" or t.quantizer.name
end

local SAVE_KEYS = set { "tensors", "metadata", "types", "from", "order", "version", "split_bytes" }

-- Announces and stores: get(i) gives tensor i, or its stored bytes and true.
local function write(path, opts, list, get)
  local w = create(path, { tensors = list, metadata = opts.metadata, types = opts.types, from = opts.from,
    version = opts.version, split_bytes = opts.split_bytes })
  local ok, why = pcall(function()
    for i = 1, #list do
      local t, bytes = get(i)
      if bytes then w:add_bytes(i, t) else w:add(i, t) end
    end
  end)
  if not ok then
    w:close()
    error(why, 0)
  end
  return w:finish()
end

local function copy_file(path, file, opts)
  local list, names = {}, file:names()
  local same = file.format == format_of(path, {})
  for i, name in ipairs(names) do
    local info = file:info(name)
    list[i] = { name = name, shape = info.shape, type = same and info.type or info.recipe or info.dtype or info.type }
    if same and info.recipe and file.format == "safetensors" then        -- bytes, of which metadata say what they are
      list[i].shape, list[i].type = { info.bytes }, "U8"
    end
  end
  return write(path, { from = same and file or nil, version = opts.version, split_bytes = opts.split_bytes }, list,
    function(i)
      if same then return file:bytes(names[i]), true end
      return file:tensor(names[i])
    end)
end

-- lb.save for .gguf and .safetensors: a model file, { name = tensor }, or
-- { tensors = { name = tensor }, metadata =, types =, from =, order = { names }, version =, split_bytes = }.
function M.save(path, value, opts)
  if type(value) == "userdata" then
    if tostring(value):find "^model_file" then return copy_file(path, value, opts or {}) end
    error("a model file or a table of tensors expected, got " .. tostring(value), 0)
  end
  if type(value) ~= "table" then error("a model file or a table of tensors expected, got a " .. type(value), 0) end
  local given = type(value.tensors) == "table" and value or { tensors = value }
  if given == value then suggest.check_keys(value, SAVE_KEYS, "lb.save") end
  local names = given.order
  if not names then
    names = {}
    for name in pairs(given.tensors) do names[#names + 1] = name end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  end
  local list = {}
  for i, name in ipairs(names) do
    local t = given.tensors[name]
    if type(name) ~= "string" or type(t) ~= "userdata" then
      error(("tensors stand under names; under %s is a %s"):format(tostring(name), type(t)), 0)
    end
    list[i] = { name = name, shape = t.shape, type = stored_type(t) }
  end
  return write(path, { metadata = given.metadata, types = given.types, from = given.from,
    version = given.version or opts and opts.version,
    split_bytes = given.split_bytes or opts and opts.split_bytes }, list,
    function(i) return given.tensors[names[i]] end)
end

return M

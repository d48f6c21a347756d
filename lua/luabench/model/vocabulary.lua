-- vocabulary.lua: tokenizer.json as the metadata of a GGUF file.
--
-- GGUF has a name where tokenizer.json has steps (tokenizer.ggml.pre). The name is found by trying: the one with which
-- texts of all kinds become the same tokens as tokenizer.json makes of them.
local core = require "luabench.core"
local model_file = require "luabench.model_file"

local M = {}

local NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

-- The names that the engine's reader knows, the likely one of each family first.
local LIKELY = { llama = "llama-bpe", qwen2 = "qwen2", qwen3 = "qwen2", qwen3_moe = "qwen2", glm4 = "glm4",
  glm4_moe_lite = "glm4", deepseek_v2 = "deepseek-llm", gpt_oss = "gpt-4o", mistral = "tekken" }
local NAMES = { "llama-bpe", "qwen2", "glm4", "gpt-4o", "tekken", "deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-2" }

local PROBES = { "Hello world, it's 12345 tokens; don't you'll THEY'RE", "  two  spaces\n\n\tand a tab \r\n x", "a_b-c.d(e[f]{g})!=h",
  "1 22 333 4444 55555 3.14159", "Größe naïve Привет мир שלום", "你好，世界。テスト 안녕하세요", "CamelCaseWord HTTPServer iPhone",
  "😀👍🏽 ½ Ⅷ ٣٤", " lead", "trail  ", "//path/to/file.txt ?x=1&y=2", "\n\n\n", "x = {'a': [1, 2]}  # comment\n    return" }

local function tokens_and_types(config)
  local tokens, types, last = {}, {}, -1
  local function put(text, id, kind)
    tokens[id + 1], types[id + 1] = text, kind
    last = math.max(last, id)
  end
  return put, function(size)
    for i = last + 2, size do tokens[i], types[i] = ("[PAD%d]"):format(i - 1), UNUSED end
    for i = 1, math.max(last + 1, size) do
      if not tokens[i] then tokens[i], types[i] = ("[PAD%d]"):format(i - 1), UNUSED end
    end
    return tokens, types
  end
end

local function added_tokens(config, put)
  for _, t in ipairs(type(config.added_tokens) == "table" and config.added_tokens or {}) do
    put(t.content, t.id, t.special and CONTROL or USER_DEFINED)
  end
end

-- ids of the texts that the post-processor puts first.
local function begins_with(tokenizer)
  local ids = tokenizer:encode("", { special = true })
  return ids[1]
end

local function byte_level(config, spec, meta, types)
  local put, finish = tokens_and_types()
  for text, id in pairs(config.model.vocab) do put(text, id, NORMAL) end
  added_tokens(config, put)
  local merges = {}
  for i, m in ipairs(config.model.merges) do merges[i] = type(m) == "table" and m[1] .. " " .. m[2] or m end
  meta["tokenizer.ggml.model"] = "gpt2"
  meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"] = finish(spec.vocab)
  meta["tokenizer.ggml.merges"] = merges
  types["tokenizer.ggml.merges"] = "array:string"
end

local function sentencepiece(config, spec, meta, types)
  local put, finish = tokens_and_types()
  for text, id in pairs(config.model.vocab) do
    put(text, id, text:find "^<0x%x%x>$" and BYTE or text == config.model.unk_token and UNKNOWN or NORMAL)
  end
  added_tokens(config, function(text, id, kind)
    put(text, id, text == config.model.unk_token and UNKNOWN or kind)
  end)
  local rank = {}
  for i, m in ipairs(config.model.merges) do
    local text = type(m) == "table" and m[1] .. m[2] or m:gsub(" ", "", 1)
    rank[text] = rank[text] or i
  end
  local tokens, kinds = finish(spec.vocab)
  local scores = {}
  for i, text in ipairs(tokens) do scores[i] = rank[text] and -rank[text] or kinds[i] == NORMAL and -1e6 or 0 end
  meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"] = "llama", "default"
  meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"], meta["tokenizer.ggml.scores"] = tokens, kinds, scores
  types["tokenizer.ggml.scores"] = "array:f32"
end

local function agrees(meta, types, reference)
  local folder = core.tempdir "luabench-vocabulary-"
  local ok, t = pcall(function()
    model_file.save(folder .. "/v.gguf", { tensors = {}, metadata = meta, types = types })
    return model_file.tokenizer(folder .. "/v.gguf")
  end)
  core.tempdir_remove(folder)
  if not ok then return false, t end
  for _, text in ipairs(PROBES) do
    local a, b = reference:encode(text), t:encode(text)
    if #a ~= #b then return false end
    for i = 1, #a do
      if a[i] ~= b[i] then return false end
    end
  end
  return true
end

-- Adds tokenizer.ggml.* to a file's metadata, from tokenizer.json beside the model; nothing where there is none.
function M.add(meta, types, folder, spec)
  local config = model_file.read_json(folder .. "/tokenizer.json")
  if not config then return end
  local reference = model_file.tokenizer(folder)
  if type(config.model) ~= "table" or config.model.type ~= "BPE" and config.model.merges == nil then
    error(("%s/tokenizer.json: a tokenizer of type %s has no form in GGUF here; BPE has"):format(folder,
      tostring(type(config.model) == "table" and config.model.type)), 0)
  end
  local by_bytes = reference.model == "byte-level bpe"
  local make = by_bytes and byte_level or sentencepiece
  make(config, spec, meta, types)
  types["tokenizer.ggml.token_type"] = "array:i32"
  local bos = begins_with(reference)
  meta["tokenizer.ggml.add_bos_token"] = bos ~= nil
  meta["tokenizer.ggml.bos_token_id"] = bos
  meta["tokenizer.ggml.eos_token_id"] = spec.stop and spec.stop[1]
  if not by_bytes then
    local ok, why = agrees(meta, types, reference)
    if not ok then
      meta["tokenizer.ggml.add_space_prefix"] = false
      ok, why = agrees(meta, types, reference)
    end
    if not ok then error(("%s/tokenizer.json: GGUF cannot say what it does%s"):format(folder, why and ": " .. why or ""), 0) end
    return
  end
  local order = { LIKELY[spec.type] or NAMES[1] }
  for _, n in ipairs(NAMES) do order[#order + 1] = n ~= order[1] and n or nil end
  for _, name in ipairs(order) do
    meta["tokenizer.ggml.pre"] = name
    if agrees(meta, types, reference) then return end
  end
  error(("%s/tokenizer.json divides words in a way that none of %s does"):format(folder, table.concat(NAMES, ", ")), 0)
end

return M

-- gguf_tokenizer.lua: a tokenizer.json as GGUF's tokenizer.ggml.* keys. What GGUF cannot say in full (how words are
-- divided) it says by a name; the name is found by trying: that under which the keys, read back, encode as the
-- tokenizer.json does.
local config_of = require "luabench.model.config"
local core = require "luabench.core"
local models = require "luabench.model_file"
local sys = require "luabench.sys"

local M = {}

local TYPES = { normal = 1, unknown = 2, special = 3, added = 4, byte = 6 }
local UNUSED = 5
-- Names for the division of words, by which models have them, else all.
local LIKELY = {
  llama = { "llama-bpe" }, mistral = { "tekken", "llama-bpe" }, qwen2 = { "qwen2" }, qwen3 = { "qwen2" },
  qwen3_moe = { "qwen2" }, glm4 = { "glm4", "chatglm-bpe" }, glm4_moe = { "glm4" }, glm4_moe_lite = { "glm4" },
  deepseek_v2 = { "deepseek-llm" }, deepseek_v3 = { "deepseek-v3" }, gpt_oss = { "gpt-4o" },
}
local ALL = { "llama-bpe", "qwen2", "gpt-4o", "tekken", "glm4", "deepseek-llm", "deepseek-coder", "deepseek-v3",
  "gpt-2" }

-- What tells divisions of words apart: cases, contractions, digits, signs, line ends, scripts.
local TRIALS = { "Hello, world! It's what we've SEEN: they'LL say I'm done.", "1 12 123 1234567 3.14159 x1y22z333",
  "  a  b   \n\n  c\t\td \r\n e\n\n\n", "fooBar FooBAR foo_bar HTTPServer /usr//bin/ a->b::c //x", "...!!!??? --- (((",
  "Größe naïve Ærøskøbing İstanbul", "Привет, мир! Δοκιμή שלום مرحبا", "你好，世界。テスト 안녕하세요 สวัสดี नमस्ते",
  "😀👍🏽 ①②③ Ⅷ ½ ² ٣٤٥", "if (a<=b) {\n\treturn a != 0 && !b;\n}\n", 
  "e\204\129 \195\169 \194\160x\227\128\128y", "'s 'S '", "" }

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end

-- ---- the vocabulary ----

-- Scores of SentencePiece's BPE, which joins the pair whose piece has the highest: the rank of the first merge to it.
local function scores_of(t, merges, count)
  local scores, index = {}, {}
  for rank, pair in ipairs(merges) do
    local id = t:id(t:token(pair[1]) .. t:token(pair[2]))
    if id and not index[id] then index[id] = -(rank - 1) end
  end
  for id = 0, count - 1 do scores[id + 1] = index[id] or (t:kind(id) == "normal" and -#merges or 0) end
  return scores
end

local function vocabulary(t, size, model)
  local tokens, types = {}, {}
  for id = 0, size - 1 do
    local text = t:token(id)
    tokens[id + 1] = text or ("[PAD%d]"):format(id)
    local kind = t:kind(id)
    if kind == "unknown" and model == "gpt2" then kind = t:is_special(id) and "special" or "normal" end
    types[id + 1] = text and TYPES[kind] or UNUSED
  end
  return tokens, types
end

-- Metadata without the name of the division of words.
local function base_keys(t, size)
  local kind = t.model
  local model = kind == "byte-level bpe" and "gpt2" or kind == "bpe" and "llama" or kind == "unigram" and "t5"
  if not model then error(("GGUF has no tokenizer of this kind: %s"):format(kind), 0) end
  local tokens, types = vocabulary(t, math.max(size, t.size), model)
  local m = { ["tokenizer.ggml.model"] = model, ["tokenizer.ggml.tokens"] = tokens,
    ["tokenizer.ggml.token_type"] = types }
  local merges = t:merges()
  if model == "gpt2" then
    local list = {}
    for i, pair in ipairs(merges) do list[i] = t:token(pair[1]) .. " " .. t:token(pair[2]) end
    m["tokenizer.ggml.merges"] = list
  elseif model == "llama" then
    m["tokenizer.ggml.scores"] = scores_of(t, merges, #tokens)
  else
    m["tokenizer.ggml.scores"] = {}
    for i = 1, #tokens do m["tokenizer.ggml.scores"][i] = t:score(i - 1) end
  end
  return m, model
end

M.types = { ["tokenizer.ggml.merges"] = "array:string", ["tokenizer.ggml.scores"] = "array:f32",
  ["tokenizer.ggml.token_type"] = "array:i32", ["tokenizer.ggml.tokens"] = "array:string" }
for _, which in ipairs { "bos", "eos", "unknown", "padding", "eot", "eom" } do
  M.types[("tokenizer.ggml.%s_token_id"):format(which)] = "u32"
end

-- ---- special tokens ----

-- tokenizer_config.json gives texts, as they are or as { content = }; config.json numbers, one or a list.
local function id_of(t, texts, config, generation, which)
  local text = texts[which .. "_token"]
  text = type(text) == "table" and text.content or text
  local id = type(text) == "string" and t:id(text)
  if id then return id end
  for _, c in ipairs { config, generation } do
    local n = c[which .. "_token_id"]
    n = type(n) == "table" and n[1] or n
    if type(n) == "number" and n >= 0 and n < t.size then return n end
  end
end

local ENDS_OF_TURN = { "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|user|>" }

local MORE = "<|eom_id|>"

-- A model whose files name no token that ends a text gets the end of turn that its vocabulary has.
local function likely_stop(m, t, eos)
  for _, text in ipairs(ENDS_OF_TURN) do
    local id = t:id(text)
    if id and id ~= eos and t:is_special(id) then
      m["tokenizer.ggml.eot_token_id"] = id
      return
    end
  end
end

-- The tokens that end a text beside eos: GGUF has room for two, end of turn and end of message. Returns the numbers
-- that have no place, or nil.
local function stop_keys(m, t, eos, stops)
  local left = {}
  for _, id in ipairs(stops) do
    if id ~= eos then left[#left + 1] = id end
  end
  local function take(key, wanted)
    for i, id in ipairs(left) do
      if not m[key] and (wanted == nil or t:token(id) == wanted) then
        m[key] = table.remove(left, i)
        return
      end
    end
  end
  take("tokenizer.ggml.eom_token_id", MORE)
  for _, text in ipairs(ENDS_OF_TURN) do take("tokenizer.ggml.eot_token_id", text) end
  take "tokenizer.ggml.eot_token_id"
  take "tokenizer.ggml.eom_token_id"
  if #stops == 0 then likely_stop(m, t, eos) end
  return #left > 0 and left or nil
end

-- What tokenizer.json puts before and behind a text, nil where it puts nothing there.
local function around_texts(t)
  local plain, around = t:encode "a", t:encode("a", { special = true })
  local before, behind = around[1], around[#around]
  return before ~= plain[1] and before or nil, behind ~= plain[#plain] and behind or nil
end

local function special_keys(m, t, texts, config, generation)
  local ids = {}
  for which, key in pairs { bos = "bos", eos = "eos", unk = "unknown", pad = "padding" } do
    ids[which] = id_of(t, texts, config, generation, which)
    m[("tokenizer.ggml.%s_token_id"):format(key)] = ids[which]
  end
  -- what it puts there counts more than what other files call so
  local before, behind = around_texts(t)
  ids.bos, ids.eos = before or ids.bos, behind or ids.eos
  m["tokenizer.ggml.bos_token_id"], m["tokenizer.ggml.eos_token_id"] = ids.bos, ids.eos
  m["tokenizer.ggml.add_bos_token"], m["tokenizer.ggml.add_eos_token"] = before ~= nil, behind ~= nil
  local lost = stop_keys(m, t, ids.eos, config_of.stop_hf(config, generation))
  return lost and ("GGUF has no key for more tokens that end a text: %s do not there"):format(table.concat(lost, ", "))
end

-- ---- trying ----

-- The first text that the keys encode otherwise (nil: none) of those that `counts`; and why they cannot be read.
local function difference(t, metadata, path, counts)
  local w = models.writer(path, { tensors = {}, metadata = metadata, types = M.types })
  w:finish()
  local file = models.open(path)
  local ok, other = pcall(core.tokenizer, file)
  file:close()
  if not ok then return nil, other end
  local wrong
  for _, text in ipairs(TRIALS) do
    for _, special in ipairs { false, true } do
      local how = { special = special }
      if not wrong and counts(text) and not same(t:encode(text, how), other:encode(text, how)) then wrong = text end
    end
  end
  other:close()
  return wrong
end

local function all() return true end
-- SentencePiece's models in GGUF put a space before every text; some of Hugging Face's only where none is.
local function without_space(text) return text ~= "" and not text:find "^%s" end

local function tried_spm(t, m, path)
  local wrong, why
  for _, counts in ipairs { all, without_space } do
    for _, prefix in ipairs { true, false } do
      m["tokenizer.ggml.add_space_prefix"] = prefix
      wrong, why = difference(t, m, path, counts)
      if not wrong and not why then
        return m, counts ~= all
          and "texts that begin with a space are encoded as llama.cpp does it, not as tokenizer.json"
      end
    end
  end
  return nil, wrong, why
end

local function tried_bpe(t, m, path, kind)
  local seen, wrong, why = {}, nil, nil
  for _, list in ipairs { LIKELY[kind] or {}, ALL } do
    for _, name in ipairs(list) do
      if not seen[name] then
        seen[name], m["tokenizer.ggml.pre"] = true, name
        local other
        other, why = difference(t, m, path, all)
        if not other and not why then return m end
        wrong = wrong or other
      end
    end
  end
  return nil, wrong, why
end

local function tried(t, m, kind, folder)
  local path = folder .. "/tokenizer.gguf"
  local gpt2 = m["tokenizer.ggml.model"] == "gpt2"
  if m["tokenizer.ggml.model"] == "llama" then m["tokenizer.ggml.pre"] = "default" end
  local found, wrong, why = (gpt2 and tried_bpe or tried_spm)(t, m, path, kind)
  if found then return { keys = found, note = wrong } end
  error(("tokenizer.json divides text as no tokenizer that GGUF has a name for%s; --no-tokenizer leaves it out"):format(
    why and ": " .. tostring(why) or (", for example %q"):format(wrong)), 0)
end

-- The keys for tokenizer.json in `folder`; size: of the vocabulary in config.json. nil where there is none.
-- beside(name) gives a JSON file of the folder, {} where there is none. Also a list of notes for people.
function M.of(folder, kind, config, beside)
  local path = folder .. "/tokenizer.json"
  if not core.stat(path) then return nil end
  local t = core.tokenizer(path)
  local m = base_keys(t, config.vocab_size or 0)
  local texts = beside "tokenizer_config.json"
  local notes = { special_keys(m, t, texts, config, beside "generation_config.json") }
  local jinja = sys.read_file(folder .. "/chat_template.jinja")
  local template = type(texts.chat_template) == "string" and texts.chat_template or jinja
  if template then m["tokenizer.chat_template"] = template end
  local temporary = sys.tempdir()
  local ok, found = pcall(tried, t, m, kind, temporary)
  sys.tempdir_remove(temporary)
  t:close()
  if not ok then error(found, 0) end
  notes[#notes + 1] = found.note or nil
  return found.keys, notes
end

return M

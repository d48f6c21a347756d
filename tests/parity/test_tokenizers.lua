-- test_tokenizers.lua: small tokenizers of each family against Hugging Face `tokenizers`: the same numbers for every
-- text, the same text for every list of numbers, from tokenizer.json, and from the same model as metadata of GGUF.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core

local T = {}
local here = "tests/parity/tokenizers/"              -- tests run in the root of the tree

local function read(name) return lb.json.decode(core.file_read(here .. name)) end
local texts = nil
-- Zero bytes cannot pass through our JSON reader: a character that no text has stands for them.
local NUL = "\239\163\191"
local function all_texts()
  if not texts then
    local raw = core.file_read(here .. "texts.json"):gsub("\\u0000", "\\uf8ff")
    texts = lb.json.decode(raw)
    for i, t in ipairs(texts) do texts[i] = t:gsub(NUL, "\0") end
  end
  return texts
end
local function expected(name)
  return lb.json.decode((core.file_read(here .. "expected/" .. name .. ".json"):gsub("\\u0000", "\\uf8ff")))
end

local NAMES = { "gpt2", "llama2", "mistral", "llama3", "qwen2", "glm4", "deepseek_v2", "gpt_oss", "unigram",
  "sentencepiece_unigram" }

local function list(ids) return table.concat(ids, " ") end

local function compare_encodings(what, t, want, skip)
  local bad, n = {}, 0
  for i, text in ipairs(all_texts()) do
    if not (skip and skip(text)) then
      n = n + 1
      local got = list(t:encode(text))
      if got ~= list(want.plain[i]) then
        bad[#bad + 1] = ("%s: text %d %q:\n  got      %s\n  expected %s"):format(what, i, text:sub(1, 80), got,
          list(want.plain[i]))
      end
    end
  end
  if #bad > 0 then
    local first = table.concat(bad, "\n", 1, math.min(5, #bad))
    lu.fail(("%d of %d texts differ; the first:\n%s"):format(#bad, n, first))
  end
  return n
end

local function compare_decodings(what, t, want)
  for i, text in ipairs(all_texts()) do
    local should = want.decoded[i]
    if should == lb.null then should = text else should = should:gsub(NUL, "\0") end
    local ids = setmetatable(want.plain[i], nil)
    local got = t:decode(ids)
    if got ~= should then lu.fail(("%s: text %d is decoded as %q, not %q"):format(what, i, got, should)) end
    local s, pieces = t:stream(), {}
    for _, id in ipairs(ids) do pieces[#pieces + 1] = s:add(id) end
    pieces[#pieces + 1] = s:finish()
    lu.assertEquals(table.concat(pieces), should, what .. ": streamed")
  end
  for _, r in ipairs(want.random) do
    lu.assertEquals(t:decode(setmetatable(r.ids, nil)), (r.text:gsub(NUL, "\0")), what .. ": " .. list(r.ids))
  end
end

for _, name in ipairs(NAMES) do
  T["test_" .. name] = function()
    local t, want = lb.tokenizer(here .. name .. ".json"), expected(name)
    lu.assertTrue(compare_encodings(name, t, want) > 200)
    compare_decodings(name, t, want)
    lu.assertEquals(list(t:encode(all_texts()[19], { special = true })), list(want.special))
    lu.assertEquals(t:decode(t:encode "<s>a<|end|>b", { skip_special = true }), want.skipped)
  end
end

-- ---- the same from GGUF ----

-- The metadata that converters write for this tokenizer.
local function gguf_of(name, model, pre, opts)
  local j = read(name .. ".json")
  local tokens, types, scores, merges, top = {}, {}, {}, {}, -1
  local function put(text, id, kind, score)
    tokens[id + 1], types[id + 1], scores[id + 1] = text, kind, score or 0
    top = math.max(top, id)
  end
  if model == "t5" then
    for i, p in ipairs(j.model.vocab) do put(p[1], i - 1, 1, p[2]) end
  else
    for text, id in pairs(j.model.vocab) do put(text, id, text:match "^<0x%x%x>$" and 6 or 1, -id) end
  end
  for i, m in ipairs(j.model.merges or {}) do merges[i] = type(m) == "table" and m[1] .. " " .. m[2] or m end
  for _, a in ipairs(j.added_tokens) do put(a.content, a.id, a.special and 3 or 4, 0) end
  if model == "llama" then
    types[1] = 2
    -- SentencePiece's scores say in which order its pieces were joined.
    local rank = {}
    for i, m in ipairs(j.model.merges) do
      local joint = (type(m) == "table" and m[1] .. m[2] or m:gsub(" ", ""))
      rank[joint] = rank[joint] or i
    end
    for i, text in ipairs(tokens) do scores[i] = rank[text] and -rank[text] or -1e6 end
  end
  local metadata = { ["general.architecture"] = "test", ["tokenizer.ggml.model"] = model,
    ["tokenizer.ggml.tokens"] = tokens, ["tokenizer.ggml.token_type"] = types, ["tokenizer.ggml.scores"] = scores,
    ["tokenizer.ggml.add_bos_token"] = false }
  if pre then metadata["tokenizer.ggml.pre"] = pre end
  if model == "gpt2" then metadata["tokenizer.ggml.merges"] = merges end
  for k, v in pairs(opts or {}) do metadata["tokenizer.ggml." .. k] = v end
  local folder = core.tempdir "luabench-test-"
  local ok, t = pcall(function()
    lb.save(folder .. "/t.gguf", { tensors = {}, metadata = metadata })
    return lb.tokenizer(folder .. "/t.gguf")
  end)
  core.tempdir_remove(folder)
  if not ok then error(t, 0) end
  return t
end

local GGUF = { llama3 = "llama-bpe", glm4 = "glm4", deepseek_v2 = "deepseek-llm", gpt_oss = "gpt-4o", qwen2 = "qwen2" }
for name, pre in pairs(GGUF) do
  T["test_gguf_" .. name] = function()
    local t, want = gguf_of(name, "gpt2", pre), expected(name)
    -- GGUF does not say that a token is normalized or stands alone.
    local function skip(text) return text:find("[X]", 1, true) or text:find("[W]", 1, true) end
    lu.assertTrue(compare_encodings(name .. " from GGUF", t, want, skip) > 150)
    for _, r in ipairs(want.random) do lu.assertEquals(t:decode(setmetatable(r.ids, nil)), (r.text:gsub(NUL, "\0"))) end
  end
end

function T.test_gguf_llama2()
  local t, want = gguf_of("llama2", "llama", nil, { bos_token_id = 1, eos_token_id = 2 }), expected "llama2"
  lu.assertEquals({ t.model, t.bos, t.eos, t.unk }, { "sentencepiece bpe", 1, 2, nil })
  compare_encodings("llama2 from GGUF", t, want)
  compare_decodings("llama2 from GGUF", t, want)
end

function T.test_gguf_without_what_it_needs()
  local function fails(pattern, ...)
    local ok, why = pcall(gguf_of, ...)
    lu.assertFalse(ok)
    lu.assertStrContains(tostring(why), pattern)
  end
  fails("tokenizer.ggml.pre", "llama3", "gpt2", nil)
  fails('"nobody" says', "llama3", "gpt2", "nobody")
  fails('the tokenizer "rwkv"', "llama3", "rwkv", "llama-bpe")
end

-- What counts as a word's character: marks and connectors do, which PCRE2's \w lacks. The numbers are those of
-- tokenizers 0.23.3.
function T.test_word_characters()
  local function of(first)
    local j = read "llama3.json"
    table.insert(j.pre_tokenizer.pretokenizers, 1, first)
    local folder = core.tempdir "luabench-test-"
    lb.save(folder .. "/t.json", j)
    local ok, t = pcall(lb.tokenizer, folder .. "/t.json")
    core.tempdir_remove(folder)
    if not ok then error(t, 0) end
    return t
  end
  local t = of { type = "Whitespace" }
  for text, want in pairs { ["ab cd"] = "328 66 67", ["a, b!"] = "64 11 65 0", ["e\204\129x"] = "68 136 223 87",
    ["h\195\169llo w\195\182rld"] = "71 127 102 75 359 86 127 114 81 75 67", ["12 34"] = "16 17 18 19",
    ["a_b-c"] = "64 427 12 66" } do
    lu.assertEquals(list(t:encode(text)), want, text)
  end
  local function split(pattern)
    return of { type = "Split", pattern = { Regex = pattern }, behavior = "Removed", invert = false }
  end
  local letters = "e\204\129_9\226\128\191\194\178\194\189\226\133\171"       -- e + accent, _, 9, undertie, ², ½, Ⅻ
  lu.assertEquals(list(split "\\w":encode(letters)), "")
  lu.assertEquals(list(split "[^\\w]":encode "-\226\128\141a \226\130\172"), list(split "\\W":encode "a"))
  local ok, why = pcall(split, "[\\W_]")
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(why), "\\W inside [...]")
end

function T.test_encode_and_decode_refuse()
  local t = lb.tokenizer(here .. "llama3.json")
  local ok, why = pcall(t.encode, t, "ab\255")
  lu.assertFalse(ok)
  lu.assertStrContains(why, "byte 2 (ff) is no UTF-8")
  lu.assertFalse((pcall(t.decode, t, { -1 })))
  lu.assertEquals(t:decode { 1000000 }, "")
  lu.assertEquals(t:token(1000000), nil)
  lu.assertEquals(t:id(t:token(300)), 300)
end

-- Streams give characters, not parts of them, and outlive their tokenizer.
function T.test_streams()
  local t = lb.tokenizer(here .. "llama3.json")
  local ids = t:encode "a\240\159\152\128b"
  local s, pieces = t:stream(), {}
  t:close()
  for _, id in ipairs(ids) do pieces[#pieces + 1] = s:add(id) end
  for _, p in ipairs(pieces) do lu.assertTrue(p == "" or p:find "^[ab]$" ~= nil or p == "\240\159\152\128", p) end
  lu.assertEquals(table.concat(pieces) .. s:finish(), "a\240\159\152\128b")
  local u = lb.tokenizer(here .. "llama3.json")
  local half, v = u:encode "\240\159\152\128", u:stream()
  for i = 1, #half - 1 do lu.assertEquals(v:add(half[i]), "") end
  lu.assertEquals(v:finish(), "\239\191\189")
end

return T

-- test_models.lua: whole models against what transformers computed (tests/fixtures/models/), as Hugging Face folders and as
-- GGUF files that luabench wrote of them; generation, modes, batches, caches, refusals.
local lu = require "luaunit"
local lb = require "luabench"
local convert = require "luabench.convert.run"
local core = lb.core

local T = {}
local FIXTURES = "tests/fixtures/models"
local ALL = { "deepseek_v2", "glm4", "glm4_moe_lite", "gpt_oss", "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe" }
local top
local SILENT = { item = function() end, rows = function() end }

function T.setUp() top = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(top) end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function folder(name) return FIXTURES .. "/" .. name end
local function expected(name) return lb.load(folder(name) .. "/expected.json"), lb.load(folder(name) .. "/logits.npy") end

-- The greatest difference of a row, of the greatest logit of that row.
local function distance(got, want)
  lu.assertEquals(got.shape, want.shape)
  local worst = 0
  for t = 1, want.shape[1] do
    local g, w = got:slice(1, t, t), want:slice(1, t, t)
    local d = (g - w):abs():max() / w:abs():max()
    lu.assertTrue(d == d, "NaN in row " .. t)
    worst = math.max(worst, d)
  end
  return worst
end

local function assert_logits(m, name, opts, limit)
  local e, want = expected(name)
  local d = distance(m:logits(e.prompt, opts), want)
  lu.assertTrue(d <= (limit or 1e-4), ("%s: logits differ by %.3g of the greatest"):format(name, d))
end

local function write_gguf(name, path)
  convert.run { input = folder(name), output = path, recipe = "f32", no_tokenizer = true, report = SILENT }
end

function T.test_every_architecture_has_a_fixture()
  lu.assertEquals(lb.model.architectures(), ALL)
  for _, name in ipairs(ALL) do lu.assertEquals(lb.model_type(folder(name)).type, name) end
end

for _, name in ipairs(ALL) do
  T["test_logits_of_" .. name] = function()
    local m = lb.model.load(folder(name), { dtype = "f32" })
    assert_logits(m, name)
    assert_logits(m, name, { mode = "plan" })
    assert_logits(m, name, { mode = "eager", prompt_rows = 7 })
    assert_logits(m, name, { prompt_rows = 1 })
  end

  T["test_gguf_of_" .. name] = function()
    local path = top .. "/m.gguf"
    write_gguf(name, path)
    assert_logits(lb.model.load(path, { dtype = "f32", type = name }), name)
    -- nearer to each other than either need be to the reference: what rope pairs differs, and so the order of sums
    local e = expected(name)
    local a, b = lb.model.load(folder(name), { dtype = "f32" }), lb.model.load(path, { dtype = "f32", type = name })
    lu.assertTrue(distance(a:logits(e.prompt), b:logits(e.prompt)) <= 1e-5)
  end

  T["test_greedy_of_" .. name] = function()
    local m, e = lb.model.load(folder(name), { dtype = "f32" }), expected(name)
    for _, mode in ipairs { "eager", "plan", "fused" } do
      local r = m:generate(e.prompt, { mode = mode, max_new_tokens = #e.greedy, stop = false, cache = "f32" })
      lu.assertEquals(r.tokens, e.greedy, mode)
      lu.assertEquals(r.finish, "length")
      lu.assertEquals(#r.step_ns, #e.greedy - 1)
    end
  end
end

return T

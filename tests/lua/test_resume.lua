-- test_resume.lua: what `luabench model --resume` takes for done, and which journals a finished run takes away.
local lu = require "luaunit"
local core = require "luabench.core"
local journal = require "luabench.journal"
local resume = require "luabench.model_bench.resume"
local sys = require "luabench.sys"

local T = {}
local top

function T.setUp() top = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(top) end

local A = { name = "a", category = "x", text = "one" }
local B = { name = "b", category = "x", text = "two" }

local function open(prompts, more)
  local opt = { original = "tests/fixtures/models/tiny-llama", device = "cpu", quality_context = 16,
    quality_tokens = 64, output = { top .. "/r.json" }, resume = true }
  for k, v in pairs(more or {}) do opt[k] = v end
  return resume.open(opt, "text", prompts, { id = "r" })
end

local function with(prompts, more, f)
  local memo = open(prompts, more)
  local ok, why = pcall(f, memo)
  memo.journal:close()
  if not ok then error(why, 0) end
end

function T.test_what_is_the_same_and_what_is_not()
  with({ A, B }, nil, function(memo)
    memo:put("original", "prompt", { status = "ok" }, print, A)
    memo:put("original", "side", { memory = {} }, print)
    lu.assertEquals(memo:done "original", 1)
  end)
  with({ A, B }, nil, function(memo)
    lu.assertEquals(memo:done "original", 1)
    lu.assertNotNil(memo:get("original", "side"))
  end)
  for _, prompts in ipairs { { B, A }, { A } } do     -- memory and cold start are of these prompts in this order
    with(prompts, nil, function(memo)
      lu.assertEquals(memo:done "original", 1)
      lu.assertNil(memo:get("original", "side"))
    end)
  end
  local threads = core.device("cpu").threads
  with({ A, B }, { threads = threads + 1 }, function(memo) lu.assertFalse(memo:found()) end)
  with({ A, B }, { timing = true }, function(memo) lu.assertFalse(memo:found()) end)
  with({ A, B }, { no_isolation = true }, function(memo) lu.assertFalse(memo:found()) end)
  with({ A, B }, { device = "cuda:0" }, function(memo) lu.assertFalse(memo:found()) end)
end

local function write(path, keys)
  local j = journal.open(path, false, { id = "r" })
  for _, key in ipairs(keys) do j:add(key, { key = key }) end
  j:close()
end

function T.test_only_what_is_in_the_result_is_taken_away()
  local path = top .. "/j"
  write(path, { "k1" })
  write(path .. ".old", { "k2" })
  write(path .. ".old2", { "k2", "foreign" })
  sys.replace_file(path .. ".old3", "no journal\n")
  local j = journal.open(path, true, { id = "r" }, true)
  lu.assertEquals(j:take "k1", { key = "k1" })
  lu.assertEquals(j:take "k2", { key = "k2" })
  lu.assertNil(j:take "k3")
  j:add("k3", { key = "k3" })
  lu.assertEquals(j:remove(), { path .. ".old3", path .. ".old2" })
  j:close()
  lu.assertFalse(sys.exists(path))
  lu.assertFalse(sys.exists(path .. ".old"))
end

function T.test_a_journal_with_nothing_for_this_run_is_put_aside()
  local path = top .. "/j"
  write(path, { "foreign" })
  local text = sys.file_read(path)
  local j = journal.open(path, true, { id = "r" }, true)
  j:put_aside()
  j:add("k", { key = "k" })
  lu.assertEquals(j:remove(), { path .. ".old" })
  j:close()
  lu.assertEquals(sys.file_read(path .. ".old"), text)
end

-- The cache folder's, too.
function T.test_a_cached_journal_is_kept_beside_the_next()
  local path = top .. "/m-1.jsonl"
  write(path, { "k1" })
  local j = journal.open_cached(path, false, { id = "r" }, true)
  lu.assertEquals(j.aside, path .. ".old")
  j:close()
  j = journal.open_cached(path, true, { id = "r" }, true)
  lu.assertNotNil(j:take "k1")
  lu.assertEquals(j:remove(), {})
  j:close()
  lu.assertFalse(sys.exists(path) or sys.exists(path .. ".old"))
end

-- A full disk takes half a line: what is written when there is room again is not glued to it.
function T.test_after_a_record_that_was_torn()
  local path, append, said = top .. "/j", sys.append_file, 0
  local function say() said = said + 1 end
  local j = journal.open(path, false, { id = "r" })
  j:add("k1", { key = "k1" }, say)
  sys.append_file = function(to, text)
    append(to, text:sub(1, math.floor(#text / 2)))
    error("no space left", 0)
  end
  local ok, why = pcall(function()
    j:add("k2", { key = "k2" }, say)
    j:add("k3", { key = "k3" }, say)
  end)
  sys.append_file = append
  lu.assertTrue(ok, why)
  j:add("k4", { key = "k4" }, say)
  j:add("k5", { key = "k5" }, say)
  j:close()
  lu.assertEquals({ journal.read(path) }, { { k1 = { key = "k1" }, k4 = { key = "k4" }, k5 = { key = "k5" } }, 3 })
  lu.assertEquals(said, 1)
end

-- A folder's own time changes with a result that is written into it.
function T.test_files_of_a_folder_of_random_weights()
  sys.replace_file(top .. "/config.json", "{}")
  local before = resume.files_of(top, true)
  sys.replace_file(top .. "/r.json", "{}")
  lu.assertEquals(resume.files_of(top, true), before)
  lu.assertEquals(#before, 1)
  sys.replace_file(top .. "/config.json", "{ }")
  lu.assertNotEquals(resume.files_of(top, true), before)
  for i, name in ipairs { "tokenizer_config.json", "merges.txt", "model.safetensors.index.json" } do
    sys.replace_file(top .. "/" .. name, "{}")
    lu.assertEquals(#resume.files_of(top, true), 1 + i)
  end
end

return T

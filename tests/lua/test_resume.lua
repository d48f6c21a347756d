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
  return resume.open(opt, { prompts = prompts, text = "text" }, { id = "r" })
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

-- Questions are a step of their own: others, or ones that failed, leave the perplexity done.
function T.test_questions_are_done_apart()
  local function begin(list, f)
    local memo = resume.open({ original = "tests/fixtures/models/tiny-llama", device = "cpu", quality_context = 16,
      quality_tokens = 64, output = { top .. "/r.json" }, resume = true },
      { prompts = { A }, text = "text", questions = list }, { id = "r" })
    local ok, why = pcall(f, memo)
    memo.journal:close()
    if not ok then error(why, 0) end
  end
  begin({ { context = "a" } }, function(memo)
    memo:put("original", "prompt", { status = "ok" }, print, A)
    memo:put("original", "side", { memory = {} }, print)
    memo:put("original", "quality", { perplexity = 2 }, print)
  end)
  begin({ { context = "a" } }, function(memo)
    lu.assertFalse(memo:whole("original", true))
    memo:put("original", "questions", { count = 1 }, print)
  end)
  begin({ { context = "a" } }, function(memo)
    lu.assertTrue(memo:whole("original", true))
    lu.assertEquals(memo:get("original", "questions"), { count = 1 })
  end)
  begin({ { context = "b" } }, function(memo)
    lu.assertFalse(memo:whole("original", true))
    lu.assertEquals(memo:get("original", "quality"), { perplexity = 2 })
  end)
  begin(nil, function(memo) lu.assertTrue(memo:whole("original", true)) end)
end

-- cuda:0 of another machine, or another card in its place, is another device: nvidia-smi tells.
function T.test_another_gpu_is_another_device()
  local before, folder = os.getenv "PATH", top .. "/bin"
  sys.mkdir_p(folder)
  local function smi(uuid)
    local file = assert(io.open(folder .. "/nvidia-smi", "w"))
    file:write(("#!/bin/sh\necho 'GPU 0: NVIDIA Some (UUID: %s)'\n"):format(uuid))
    file:close()
    os.execute(("chmod +x '%s/nvidia-smi'"):format(folder))
  end
  core.setenv("PATH", folder .. ":" .. before)
  local ok, why = pcall(function()
    smi "GPU-1"
    with({ A }, { device = "cuda:0" }, function(memo) memo:put("original", "prompt", { status = "ok" }, print, A) end)
    with({ A }, { device = "cuda:0" }, function(memo) lu.assertEquals(memo:done "original", 1) end)
    smi "GPU-2"
    with({ A }, { device = "cuda:0" }, function(memo) lu.assertEquals(memo:done "original", 0) end)
  end)
  core.setenv("PATH", before)
  if not ok then error(why, 0) end
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
  local function keys_of(file)
    local keys = {}
    for key in pairs((journal.read(file))) do keys[#keys + 1] = key end
    return keys
  end
  lu.assertEquals(keys_of(path .. ".old2"), { "foreign" })
  lu.assertEquals(sys.file_read(path .. ".old3"), "no journal\n")
end

-- A run that goes on with a journal which holds another run's records, too: these stay, its own go.
function T.test_a_mixed_journal_is_split()
  local path = top .. "/j"
  write(path, { "foreign", "k1" })
  sys.append_file(path, '{"key": "torn')
  local j = journal.open(path, true, { id = "r2" }, true)
  lu.assertNotNil(j:take "k1")
  j:add("k2", { key = "k2" })
  lu.assertEquals(j:remove(), { path })
  j:close()
  local records, count = journal.read(path)
  lu.assertEquals({ count, records.foreign }, { 1, { key = "foreign" } })
  j = journal.open(path, true, { id = "r3" }, true)       -- and the other run can still go on, and clear it away
  lu.assertNotNil(j:take "foreign")
  lu.assertEquals(j:remove(), {})
  j:close()
  lu.assertFalse(sys.exists(path))
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

function T.test_a_journal_without_records_goes()
  local path = top .. "/j"
  journal.open(path, false, { id = "r" }, true):close()
  lu.assertFalse(sys.exists(path))
  local j = journal.open(path, false, { id = "r" }, true)
  j:add("k", { key = "k" })
  j:close()
  lu.assertTrue(sys.exists(path))
end

-- What stands under the name after remove(), or when somebody took the file away, is another run's.
function T.test_the_next_run_keeps_its_journal()
  local path = top .. "/j"
  local function next_run(first, leave)
    leave()
    local second = journal.open(path, false, { id = "r2" }, true)
    first:close()
    lu.assertFalse(pcall(journal.open, path, true, { id = "r3" }, true))      -- still locked by the second
    second:add("k", { key = "k" })
    lu.assertEquals(journal.read(path), { k = { key = "k" } })
    lu.assertEquals(second:remove(), {})
    second:close()
    lu.assertFalse(sys.exists(path))
  end
  local j = journal.open(path, false, { id = "r" }, true)
  next_run(j, function() lu.assertEquals(j:remove(), {}) end)
  j = journal.open(path, false, { id = "r" }, true)
  next_run(j, function() os.remove(path) end)
  -- a file that remove() has left for its foreign records is the next run's, too
  write(path, { "foreign" })
  j = journal.open(path, true, { id = "r" }, true)
  j:add("k1", { key = "k1" })
  lu.assertEquals(j:remove(), { path })
  local second = journal.open(path, true, { id = "r2" }, true)
  lu.assertNotNil(second:take "foreign")
  lu.assertEquals(second:remove(), {})
  local third = journal.open(path, false, { id = "r3" }, true)
  second:close()
  j:close()
  lu.assertTrue(sys.exists(path))
  third:close()
  lu.assertFalse(sys.exists(path))
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

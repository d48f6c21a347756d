-- test_model_files.lua: model files from Lua: opening by content, names, metadata, what model it is, writing, refusals.
-- tests/parity/test_files.lua compares them with other programs, tests/c/test_model_files.c has the hostile ones.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core

local T = {}
local top, folder

function T.setUp()
  top = core.tempdir "luabench-test-"
  folder = top .. "/files"                              -- with nothing else in it
  core.mkdir_p(folder)
end
function T.tearDown() core.tempdir_remove(top) end

local function path(name) return folder .. "/" .. name end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function write(name, text) core.write_file(path(name), text) end

function T.test_round_trips()
  local w = lb.randn({ 4, 256 }, { seed = 1 })
  for _, recipe in ipairs { "q4_0", "q8_0", "q4_k", "q6_k", "iq4_nl", "mxfp4", "mxfp4-even" } do
    local q = w:quantize(recipe)
    lb.save(path "q.gguf", { w = q, plain = w })
    local f = lb.load(path "q.gguf")
    lu.assertEquals(f:info("w").recipe, (recipe:gsub("%-even", "")))
    lu.assertEquals(core.checksum(f:tensor "w"), core.checksum(q))
    lu.assertTrue(f:tensor("plain"):equal(w))
    f:close()
    lu.assertTrue(lb.load(path "q.gguf"):tensor("plain"):t():equal(w:t()))
  end
end

function T.test_views_outlive_the_file()
  lb.save(path "a.safetensors", { w = lb.arange { 2, 3 } })
  local f = lb.load(path "a.safetensors")
  local t = f:tensor "w"
  f:close()
  raises("closed", f.tensor, f, "w")
  collectgarbage()
  t:set(1, 1, 7)                                        -- copy on write: the file stays as it is
  lu.assertEquals(t:totable(), { { 7, 1, 2 }, { 3, 4, 5 } })
  lu.assertEquals(lb.load(path "a.safetensors"):tensor("w"):totable(), { { 0, 1, 2 }, { 3, 4, 5 } })
end

function T.test_strided_tensors_are_stored_dense()
  lb.save(path "a.gguf", { w = lb.arange({ 2, 3 }):t() })
  lu.assertEquals(lb.load(path "a.gguf"):tensor("w"):totable(), { { 0, 3 }, { 1, 4 }, { 2, 5 } })
end

function T.test_metadata()
  local given = { ["general.architecture"] = "llama", n = 3, neg = -3, big = 2 ^ 40, f = 0.5,
    ["a.rope.freq_base"] = 500000,
    yes = true, list = { 1, -1 }, words = { "a", "" } }
  lb.save(path "m.gguf", { tensors = {}, metadata = given })
  local f = lb.load(path "m.gguf")
  local types = f:metadata_types()
  for key, t in pairs { n = "u32", neg = "i32", big = "u64", f = "f32", ["a.rope.freq_base"] = "f32", yes = "bool",
    list = "array:i32", words = "array:string" } do lu.assertEquals(types[key], t, key) end
  for key, v in pairs(given) do lu.assertEquals(f:metadata(key), v, key) end
  lu.assertNil(f:metadata "nothing")
  lb.save(path "n.gguf", { tensors = {}, from = f, metadata = { n = lb.null, f = 2 }, types = { f = "f64" } })
  local g = lb.load(path "n.gguf")
  lu.assertNil(g:metadata "n")
  lu.assertEquals(g:metadata_types().f, "f64")
  lu.assertEquals(g:metadata "big", 2 ^ 40)
  raises("expected", lb.save, path "x.gguf", { tensors = {}, metadata = { a = 300 }, types = { a = "u8" } })
  raises("unknown type", lb.save, path "x.gguf", { tensors = {}, metadata = { a = 3 }, types = { a = "u7" } })
  raises("element 2", lb.save, path "x.gguf", { tensors = {}, metadata = { a = { 1, "b" } } })
  raises("must be given in types", lb.save, path "x.gguf", { tensors = {}, metadata = { a = {} } })
  raises("type string expected", lb.save, path "x.safetensors", { tensors = {}, metadata = { a = 1 } })
  lu.assertNil(core.stat(path "x.gguf"))
  lu.assertEquals(#core.list_dir(folder), 2)
end

function T.test_what_cannot_be_stored()
  local w = lb.randn({ 2, 256 }, { seed = 1 })
  raises("GGUF cannot store", lb.save, path "x.gguf", { w = w:quantize "int4wo-128" })
  raises("safetensors cannot store", lb.save, path "x.safetensors", { w = w:quantize "q4_k" })
  raises("63 bytes", lb.save, path "x.gguf", { [("n"):rep(64)] = w })
  raises("GGUF allows 4", lb.save, path "x.gguf", { w = lb.zeros { 1, 1, 1, 1, 1 } })
  raises("under w is a number", lb.save, path "x.gguf", { w = 1 })
  raises("did you mean", lb.save, path "x.gguf", { tensors = {}, metadat = {} })
  lu.assertEquals(#core.list_dir(folder), 0)
end

function T.test_writer()
  local a, b = lb.arange { 2, 3 }, lb.arange({ 4 }, { dtype = "f16" })
  local w = lb.model_writer(path "w.gguf", { tensors = { { name = "a", shape = { 2, 3 }, type = "F32" },
    { name = "b", shape = { 4 }, type = "f16" } } })
  w:add(2, b)
  raises("was announced", w.add, w, 1, b)
  raises("2 were announced", w.add, w, 3, b)
  w:add(1, a)
  lu.assertEquals(w:finish(), { path "w.gguf" })
  raises("closed", w.add, w, 1, a)
  lu.assertEquals(lb.load(path "w.gguf"):tensor("b"):totable(), { 0, 1, 2, 3 })
  local v = lb.model_writer(path "v.gguf", { tensors = { { name = "a", shape = { 2, 3 }, type = "F32" } } })
  raises("not added", v.finish, v)
  local u = lb.model_writer(path "v.gguf", { tensors = { { name = "a", shape = { 2, 3 }, type = "F32" } } })
  u:close()
  lu.assertEquals(#core.list_dir(folder), 1)
end

function T.test_split_files()
  local t = {}
  for i = 1, 5 do t["t" .. i] = lb.arange({ 8 }, { start = i }) end
  for _, ending in ipairs { "gguf", "safetensors" } do
    lb.save(path("s." .. ending), t, { split_bytes = 64 })
    local first = ending == "gguf" and "s-00001-of-00003.gguf" or "s.safetensors.index.json"
    local f = lb.model_file(path(first))
    lu.assertEquals(#f.parts, 3)
    for i = 1, 5 do lu.assertEquals(f:tensor("t" .. i):get(1), i) end
    f:close()
    os.remove(path("s-00002-of-00003." .. ending))
    raises("s-00002-of-00003." .. ending, lb.model_file, path(first))
  end
  os.rename(path "s-00003-of-00003.gguf", path "s-00002-of-00003.gguf")
  raises("do the parts belong together", lb.model_file, path "s-00001-of-00003.gguf")
  os.rename(path "s-00001-of-00003.gguf", path "other.gguf")
  raises("original names", lb.model_file, path "other.gguf")
end

-- Killed on the way, a writer would leave parts of the one and of the other model.
function T.test_parts_are_not_written_over()
  for _, ending in ipairs { "gguf", "safetensors" } do
    local all = { tensors = { a = lb.full({ 64 }, 1), b = lb.full({ 64 }, 2) }, split_bytes = 300 }
    lb.save(path("p." .. ending), all)
    all.tensors = { a = lb.full({ 64 }, 3), b = lb.full({ 64 }, 4) }
    raises("is there already", lb.save, path("p." .. ending), all)
    local first = path("p-00001-of-00002." .. ending)
    lu.assertEquals(lb.model_file(ending == "gguf" and first or path "p.safetensors.index.json"):tensor "b":get(1), 2)
    os.remove(first)
    raises("is there already", lb.save, path("p." .. ending), all)
  end
end

function T.test_index_of_shards()
  lb.save(path "m1.safetensors", { a = lb.zeros { 2 }, b = lb.zeros { 2 } })
  lb.save(path "m2.safetensors", { a = lb.zeros { 2 } })
  write("x.index.json", '{"weight_map":{"a":"m1.safetensors","c":"m1.safetensors"}}')
  raises("says that tensor c is in m1.safetensors; it is not", lb.model_file, path "x.index.json")
  write("x.index.json", '{"weight_map":{"a":"m1.safetensors","b":"m2.safetensors"}}')
  raises("have the name a", lb.model_file, path "x.index.json")
  write("x.index.json", '{"weight_map":{"a":"m1.safetensors","a":"m1.safetensors"}}')
  raises("tensor a twice", lb.model_file, path "x.index.json")
  write("x.index.json", '{"weight_map":{"a":"../m1.safetensors"}}')
  raises("in the same folder", lb.model_file, path "x.index.json")
  write("x.index.json", '{"weight_map":{"a":"no.safetensors"}}')
  raises("no.safetensors", lb.model_file, path "x.index.json")
end

function T.test_folders()
  raises("without model.safetensors", lb.model_file, folder)
  lb.save(path "model.safetensors", { ["model.layers.0.self_attn.q_proj.weight"] = lb.zeros { 2, 2 } })
  lu.assertEquals(lb.model_type(folder).type, "llama")
  write("config.json", '{"architectures":["Qwen3MoeForCausalLM"],"model_type":"qwen3_moe","eos_token_id":[1,2]}')
  local f = lb.model_file(folder)
  lu.assertEquals(lb.model_type(f).type, "qwen3_moe")
  lu.assertStrContains(lb.model_type(f).from, "Qwen3MoeForCausalLM")
  lu.assertEquals(lb.model_type(f, "qwen3_moe").type, "qwen3_moe")
  raises("holds a model of type qwen3_moe (config.json", lb.model_type, f, "llama")
  raises('did you mean "llama"', lb.model_type, f, "lama")
  lu.assertEquals(lb.model_config(f).eos_token_id[2], 2)
  write("generation_config.json", '{"eos_token_id":3}')
  lu.assertEquals(lb.model_config(f, "generation_config").eos_token_id, 3)
  write("config.json", '{"a":1,"a":2}')
  raises('key "a" twice', lb.model_type, f)
  write("config.json", '{"architectures":["NobodyForCausalLM"]}')
  lu.assertNil(lb.model_type(f).type)
  raises("unknown type (config.json: architectures \"NobodyForCausalLM\")", lb.model_type, f, "llama")
end

function T.test_folders_with_gguf()
  lb.save(path "notes.txt.gguf.json", { a = 1 })
  write(".hidden.gguf", "no model")
  lb.save(path "m-q8.gguf", { tensors = {}, metadata = { ["general.architecture"] = "qwen3" } })
  lu.assertEquals(lb.model_type(folder).type, "qwen3")
  lb.save(path "other.gguf", { tensors = {}, metadata = { ["general.architecture"] = "llama" } })
  raises("has 2 GGUF models, m-q8.gguf and other.gguf", lb.model_file, folder)
  os.remove(path "m-q8.gguf")
  os.remove(path "other.gguf")
  lb.save(path "s.gguf", { tensors = { a = lb.zeros { 64 }, b = lb.zeros { 64 } }, split_bytes = 300,
    metadata = { ["general.architecture"] = "llama" } })
  lu.assertEquals(lb.model_file(folder).count, 2)                    -- parts are one model
end

function T.test_names_that_gguf_shares()
  local function of(metadata, expected)
    lb.save(path "t.gguf", { tensors = {}, metadata = metadata })
    return lb.model_type(lb.model_file(path "t.gguf"), expected).type
  end
  local dense, experts = { ["general.architecture"] = "llama" },
    { ["general.architecture"] = "llama", ["llama.expert_count"] = 8 }
  lu.assertEquals(of(dense, "mistral"), "mistral")
  raises("holds a model of type llama (general.architecture", of, dense, "mixtral")
  raises("holds a model of type mixtral (general.architecture \"llama\" with 8 experts)", of, experts, "mistral")
  local latents = { ["general.architecture"] = "deepseek2" }
  lu.assertEquals(of(latents, "glm4_moe_lite"), "glm4_moe_lite")
  latents["tokenizer.ggml.pre"] = "glm4"
  lu.assertEquals(of(latents), "glm4_moe_lite")
  lu.assertEquals(of(latents, "deepseek_v3"), "deepseek_v3")
  raises("not qwen2 as was asked for", of, latents, "qwen2")
end

function T.test_model_type_of_gguf()
  local function of(metadata, tensors)
    lb.save(path "t.gguf", { tensors = tensors or {}, metadata = metadata })
    return lb.model_type(path "t.gguf").type
  end
  lu.assertEquals(of { ["general.architecture"] = "llama" }, "llama")
  lu.assertEquals(of { ["general.architecture"] = "llama", ["llama.expert_count"] = 8 }, "mixtral")
  lu.assertEquals(of { ["general.architecture"] = "deepseek2" }, "deepseek_v2")
  lu.assertEquals(of { ["general.architecture"] = "gpt-oss" }, "gpt_oss")
  lu.assertNil(of { ["general.architecture"] = "clip" })
  lu.assertEquals(of({}, { ["blk.0.attn_q.weight"] = lb.zeros { 2, 2 }, ["blk.0.attn_q.bias"] = lb.zeros { 2 } }),
    "qwen2")
  lu.assertNil(of({}, { x = lb.zeros { 2 } }))
end

function T.test_other_files()
  raises("No such file", lb.model_file, path "none.gguf")
  write("z.gguf", "PK\3\4zip")
  raises("zip archive", lb.model_file, path "z.gguf")
  write("z.gguf", "")
  raises("too short for a GGUF file", lb.model_file, path "z.gguf")
  write("z.bin", "hello, this is text")
  raises("no safetensors file", lb.model_file, path "z.bin")
  write("g.gguf", "tjgg0123456789012345678901234567")
  raises("before GGUF", lb.model_file, path "g.gguf")
end

return T

-- write.lua: writes, into the folder in $OURS, the files that ours.json says how other programs read:
--   OURS=tests/parity/files/ours build/luabench -e 'dofile "tests/parity/files/write.lua"' && make.py --ours
local lb = require "luabench"
local ours = assert(os.getenv "OURS", "OURS names no folder")

local function path(name) return ours .. "/" .. name end

local x = lb.randn({ 2, 256 }, { seed = 6 })
local tensors = { f32 = x, f16 = x:to "f16", bf16 = x:to "bf16",
  f64 = lb.arange({ 1, 3 }, { dtype = "f64", start = -1 }),
  i8 = lb.arange({ 7 }, { dtype = "i8", start = -3 }), i32 = lb.arange({ 7 }, { dtype = "i32", start = -3 }),
  i64 = lb.arange({ 7 }, { dtype = "i64", start = -3 }), rank4 = lb.arange { 1, 2, 3, 4 } }
local plain = {}
for name, t in pairs(tensors) do plain[name] = t end
for _, recipe in ipairs { "q4_0", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k" } do
  tensors[recipe] = x:quantize(recipe)
end
tensors.experts = lb.randn({ 3, 2, 32 }, { seed = 7 }):quantize "q8_0"

local metadata = { ["general.architecture"] = "llama", ["llama.block_count"] = 1, ["llama.rope.freq_base"] = 10000,
  ["t.u8"] = 200, ["t.i16"] = -30000, ["t.u64"] = "18446744073709551615", ["t.i64"] = -2 ^ 40, ["t.f64"] = 0.1,
  ["t.bool"] = true, ["t.string"] = "na\195\175ve", ["t.strings"] = { "", "a", "\195\169" }, ["t.ints"] = { 1, -2, 3 },
  ["t.floats"] = { 0.5, -1.25 },
  ["t.bools"] = { true, false }, ["tokenizer.ggml.scores"] = { 0, -1, -2 } }
local types = { ["t.u8"] = "u8", ["t.i16"] = "i16", ["t.u64"] = "u64", ["t.f64"] = "f64" }

for i = 1, 9 do                                        -- parts are not written over others
  for j = i, 9 do
    os.remove(path(("split-%05d-of-%05d.gguf"):format(i, j)))
    os.remove(path(("shards-%05d-of-%05d.safetensors"):format(i, j)))
  end
end
lb.save(path "all.gguf", { tensors = tensors, metadata = metadata, types = types })
lb.save(path "v2.gguf", { tensors = { w = plain.rank4 }, metadata = metadata, types = types, version = 2 })
lb.save(path "split.gguf", { tensors = plain, metadata = metadata, types = types, split_bytes = 2000 })
plain.u8 = lb.arange({ 5 }, { dtype = "u8" })
lb.save(path "all.safetensors", { tensors = plain, metadata = { format = "pt", note = "na\195\175ve \"\\\n" } })
lb.save(path "shards.safetensors", { tensors = plain, split_bytes = 2000 })

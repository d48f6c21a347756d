-- test_files.lua: .npy, .npz, JSON, YAML, gzip, blobs: what is written reads back, and damaged files are only errors.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core

local T = {}
local folder

function T.setUp() folder = core.tempdir "luabench-test-" end
function T.tearDown() core.tempdir_remove(folder) end

local function path(name) return folder .. "/" .. name end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local DTYPES = { "f32", "f16", "f64", "i8", "u8", "i32", "i64" }

function T.test_npy_round_trips()
  for _, dtype in ipairs(DTYPES) do
    local t = lb.arange({ 2, 3, 4 }, { dtype = dtype })
    lb.save(path "a.npy", t)
    local back = lb.load(path "a.npy")
    lu.assertEquals(back.dtype, dtype)
    lu.assertEquals(back.shape, { 2, 3, 4 })
    lu.assertTrue(back:equal(t))
  end
  lb.save(path "v.npy", lb.arange({ 3, 2 }):t())
  lu.assertEquals(lb.load(path "v.npy"):totable(), { { 0, 2, 4 }, { 1, 3, 5 } })
  raises('to "f32"', lb.save, path "b.npy", lb.zeros({ 2 }, { dtype = "bf16" }))
  raises("dequantize", lb.save, path "q.npy", lb.randn({ 2, 256 }):quantize "q8_0")
end

-- A .npy file by hand: header text and data.
local function npy(header, data, version)
  header = header .. (" "):rep((64 - (#header + 11) % 64) % 64) .. "\n"
  return "\147NUMPY" .. (version or "\1\0") .. string.char(#header % 256, math.floor(#header / 256)) .. header .. data
end

function T.test_npy_orders()
  core.write_file(path "f.npy", npy("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }",
    "\0\0\0\0\3\0\0\0\1\0\0\0\4\0\0\0\2\0\0\0\5\0\0\0"))
  lu.assertEquals(lb.load(path "f.npy"):totable(), { { 0, 1, 2 }, { 3, 4, 5 } })
  core.write_file(path "b.npy", npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
    "\63\128\0\0\64\0\0\0"))
  lu.assertEquals(lb.load(path "b.npy"):totable(), { 1, 2 })
  core.write_file(path "t.npy", npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\0\1\7"))
  lu.assertEquals(lb.load(path "t.npy"):totable(), { 0, 1, 1 })
  core.write_file(path "s.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", ("\0"):rep(8)))
  lu.assertEquals(lb.load(path "s.npy"):totable(), { 0 })
end

function T.test_hostile_npy()
  local good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", ("\0"):rep(8))
  for cut = 0, #good - 1, 3 do
    core.write_file(path "x.npy", good:sub(1, cut))
    lu.assertFalse((pcall(lb.load, path "x.npy")), "cut at " .. cut)
  end
  for _, h in ipairs { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "{'descr': '<f4', 'shape': (2,), }", "{}", "",
    "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "{'descr': [('a','<f4')], 'shape': (1,) }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", "{'descr': '<f4', 'shape': (2", } do
    core.write_file(path "x.npy", npy(h, ("\0"):rep(64)))
    lu.assertFalse((pcall(lb.load, path "x.npy")), h)
  end
  core.write_file(path "x.npy", npy("{'descr': '<V2', 'fortran_order': False, 'shape': (1,), }", "\0\0"))
  raises("bf16", lb.load, path "x.npy")
  raises("cannot read", lb.load, path "none.npy")
  core.mkdir_p(path "d.npy")
  raises("directory", lb.load, path "d.npy")
end

function T.test_npz_round_trips()
  for _, compress in ipairs { false, true } do
    local a, b = lb.randn({ 100, 7 }, { seed = 1 }), lb.zeros({ 5000 }, { dtype = "i64" })
    lb.save(path "x.npz", { a = a, ["with space"] = b }, { compress = compress })
    local back = lb.load(path "x.npz")
    lu.assertTrue(back.a:equal(a))
    lu.assertTrue(back["with space"]:equal(b))
    local bytes = core.stat(path "x.npz").bytes
    if compress then lu.assertTrue(bytes < 10000) else lu.assertTrue(bytes > 40000) end
  end
end

function T.test_hostile_npz()
  lb.save(path "g.npz", { a = lb.randn { 40 }, b = lb.zeros { 300 } }, { compress = true })
  local good = core.file_read(path "g.npz")
  for cut = 0, #good - 1, 7 do
    core.write_file(path "x.npz", good:sub(1, cut))
    lu.assertFalse((pcall(lb.load, path "x.npz")), "cut at " .. cut)
  end
  local damaged = 0
  for at = 1, #good, 5 do                               -- one byte changed: an error, or the same values
    core.write_file(path "x.npz", good:sub(1, at - 1) .. string.char((good:byte(at) + 128) % 256) .. good:sub(at + 1))
    local ok, v = pcall(lb.load, path "x.npz")
    if not ok then damaged = damaged + 1 else
      for _, t in pairs(v) do lu.assertEquals(tostring(getmetatable(t).__name), "tensor") end
    end
  end
  lu.assertTrue(damaged > 20)
end

function T.test_json()
  local v = { a = { 1, 2.5, "x" }, b = true, c = lb.json.null, empty = {}, list = lb.json.array {}, s = "\1\"\\é\n" }
  local text = lb.json.encode(v, { indent = true, order = { "s" } })
  lu.assertStrContains(text, '{\n  "s":')
  local back = lb.json.decode(text)
  lu.assertEquals(back.a, { 1, 2.5, "x" })
  lu.assertIs(back.c, lb.json.null)
  lu.assertEquals(back.s, v.s)
  lu.assertEquals(lb.json.encode(back), lb.json.encode(v))
  lu.assertEquals(lb.json.encode { x = 0 / 0 }, '{"x":null}')
  lu.assertEquals(lb.json.decode "0.1", 0.1)
  raises("line 2, column", lb.json.decode, "{\n  \"a\": tru }")
  raises("after the value", lb.json.decode, "1 2")
  raises("", lb.json.decode, ("["):rep(100000))
  raises("empty", lb.json.decode, "")
  local loop = {}
  loop.loop = loop
  raises("json.encode", lb.json.encode, loop)
  lb.save(path "x.json", { b = 1, a = { 1, 2 } })
  lu.assertEquals(lb.load(path "x.json"), { b = 1, a = { 1, 2 } })
  lb.save(path "x.json.gz", { b = 1 })
  lu.assertEquals(lb.load(path "x.json.gz"), { b = 1 })
  core.write_file(path "n.json", '{"a":null,"b":[1,2]}')
  lu.assertNil(lb.load(path "n.json").a)
end

function T.test_yaml()
  local v = { name = "x", list = { 1, 2, 3 }, nested = { { a = 1 }, { b = "yes: no" } }, quoted = "123", yes = true,
    number = 0.1, text = "two\nlines" }
  local back = lb.yaml.decode(lb.yaml.encode(v))
  lu.assertEquals(lb.yaml.encode(back), lb.yaml.encode(v))
  lu.assertEquals(back.quoted, "123")
  lu.assertEquals(back.text, "two\nlines")
  lu.assertEquals(back.number, 0.1)
  local d = lb.yaml.decode "a: &x [1, 0x10, .inf, ~]\nb: *x\nc: 'no'\nd: 1e3\n"
  lu.assertIs(d.a, d.b)
  lu.assertEquals(d.a[2], 16)
  lu.assertEquals(d.a[3], math.huge)
  lu.assertEquals(d.c, "no")
  lu.assertEquals(d.d, 1000)
  raises("YAML, line 3", lb.yaml.decode, "a: 1\nb: [1, 2\n")
  raises("twice", lb.yaml.decode, "a: 1\na: 2\n")
  raises("anchor", lb.yaml.decode, "a: *nobody\n")
  raises("own anchor", lb.yaml.decode, "a: &x [*x]\n")
  raises("nested too deeply", lb.yaml.decode, ("["):rep(5000))
  raises("second document", lb.yaml.decode, "--- 1\n--- 2\n")
  local loop = {}
  loop.loop = loop
  raises("nested too deeply", lb.yaml.encode, loop)
  lb.save(path "x.yaml", v)
  lu.assertEquals(lb.load(path "x.yaml").nested[2].b, "yes: no")
end

function T.test_gzip()
  local text = ("some text "):rep(1000)
  lu.assertEquals(core.gunzip(core.gzip(text)), text)
  lu.assertEquals(core.gunzip(core.gzip ""), "")
  raises("damaged", core.gunzip, core.gzip(text):sub(1, 30))
  raises("damaged", core.gunzip, "not gzip at all")
  raises("more than 100 bytes", core.gunzip, core.gzip(text), 100)
end

function T.test_blobs_are_shared_and_checked()
  local w = lb.randn({ 16, 256 }, { seed = 1 })
  local q = w:quantize "q4_k"
  core.blob_save(path "w.blob", { plain = w, packed = q, view = w:t() })
  local b = core.blob_load(path "w.blob")
  lu.assertTrue(b.plain:equal(w))
  lu.assertTrue(b.view:equal(w:t()))
  lu.assertEquals(b.packed.quantizer.name, "q4_k")
  lu.assertEquals(core.checksum(b.packed), core.checksum(q))
  lu.assertTrue(lb.gemm({ x = lb.randn({ 1, 256 }, { seed = 2 }), w = b.packed }):norm() > 0)
  b.plain:set(1, 1, 42)                                 -- changes this process's copy, never the file
  lu.assertTrue(core.blob_load(path "w.blob").plain:equal(w))
  local text = core.file_read(path "w.blob")
  for _, at in ipairs { 1, 9, 20, 30, 45, 60, #text - 5 } do
    core.write_file(path "x.blob", text:sub(1, at - 1) .. string.char((text:byte(at) + 1) % 256) .. text:sub(at + 1))
    lu.assertFalse((pcall(core.blob_load, path "x.blob")), "byte " .. at)
  end
  core.write_file(path "x.blob", text:sub(1, 5000))
  raises("damaged", core.blob_load, path "x.blob")
end

function T.test_endings()
  raises('did you mean ".npy"', lb.load, "x.npi")
  raises("there are", lb.save, "x.weird", 1)
  raises("nil", lb.save, path "x.json", nil)
end

function T.test_a_failed_save_leaves_the_old_file()
  lb.save(path "a.npz", { a = lb.zeros { 2 } })
  raises("tensor expected", lb.save, path "a.npz", { a = lb.zeros { 2 }, b = 1 })
  raises("NumPy has no type", lb.save, path "a.npz", { a = lb.zeros { 2 }, b = lb.zeros({ 2 }, { dtype = "bf16" }) })
  lu.assertEquals(lb.load(path "a.npz").a:totable(), { 0, 0 })
  lu.assertEquals(#core.list_dir(folder), 2)            -- the file and the folder's owner.lock, nothing left aside
end

return T

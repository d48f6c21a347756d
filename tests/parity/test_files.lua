-- test_files.lua: model files against other programs. What gguf and safetensors (PyPI) wrote is read as they read it
-- (theirs.json); what luabench writes is, byte for byte, what they were seen to read right (ours/, ours.json).
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core

local T = {}
local here = "tests/parity/files/"                -- tests run in the root of the tree

local function numbers(t)
  local list = {}
  local function walk(v)
    if type(v) ~= "table" then list[#list + 1] = v return end
    for _, x in ipairs(v) do walk(x) end
  end
  walk(t:totable())
  return list
end

local function bytes_of(t)
  local list = numbers(t)
  for i, v in ipairs(list) do list[i] = ("%02x"):format(v) end
  return table.concat(list)
end

local function same_number(a, b) return a == b or (a ~= a and b ~= b) end

local function compare_tensor(what, f, want)
  local info = f:info(want.name)
  what = what .. ": " .. want.name
  lu.assertEquals(info.type, want.type, what)
  lu.assertEquals(info.shape, setmetatable(want.shape, nil), what)
  if info.bytes > 0 then
    lu.assertTrue(bytes_of(f:bytes(want.name)) == want.bytes, what .. ": its stored bytes differ")
  end
  if not info.dtype then
    lu.assertFalse((pcall(f.tensor, f, want.name)), what .. ": a type without a dtype must be refused")
    return 0
  end
  if not want.values then return 0 end
  local t = f:tensor(want.name)
  local got = numbers(info.recipe and t:dequantize() or t)
  lu.assertEquals(#got, #want.values, what)
  for i, v in ipairs(got) do
    if not same_number(v, want.values[i]) then
      lu.fail(("%s: element %d is %.17g, not %.17g"):format(what, i, v, want.values[i]))
    end
  end
  return 1
end

local function compare_meta(what, f, want)
  local types, n = f:metadata_types(), 0
  for key, m in pairs(want) do
    n = n + 1
    lu.assertEquals(types[key], m.type, what .. ": type of " .. key)
    local got, value = f:metadata(key), m.value
    if m.type == "f32" then
      lu.assertTrue(math.abs(got - value) <= 1e-7 * math.abs(value), what .. ": " .. key)
    else
      if type(value) == "table" then setmetatable(value, nil) end
      lu.assertEquals(got, value, what .. ": " .. key)
    end
  end
  for key in pairs(types) do lu.assertNotNil(want[key], what .. ": metadata that was not expected: " .. key) end
  return n
end

local function compare(folder, expected)
  local all = lb.json.decode(core.file_read(here .. expected))
  local files, tensors = 0, 0
  for name, want in pairs(all) do
    files = files + 1
    local f = lb.model_file(here .. folder .. "/" .. name)
    lu.assertEquals(f.count, #want.tensors, name)
    for _, t in ipairs(want.tensors) do
      if t.values == lb.null then t.values = nil end
      tensors = tensors + compare_tensor(name, f, t)
    end
    compare_meta(name, f, want.metadata)
    f:close()
  end
  return files, tensors
end

function T.test_what_they_wrote()
  local files, tensors = compare("theirs", "theirs.json")
  lu.assertEquals(files, 9)
  lu.assertTrue(tensors > 60, "only " .. tensors .. " tensors had values to compare")
end

function T.test_what_we_wrote_as_they_read_it()
  local files, tensors = compare("ours", "ours.json")
  lu.assertEquals(files, 5)
  lu.assertTrue(tensors > 30, "only " .. tensors .. " tensors had values to compare")
end

function T.test_we_still_write_the_same()
  local top = core.tempdir "luabench-test-"
  local folder = top .. "/ours"
  core.mkdir_p(folder)
  local ok, why = pcall(function()
    core.setenv("OURS", folder)
    dofile(here .. "write.lua")
    local list = core.list_dir(here .. "ours")
    lu.assertTrue(#list >= 6)
    for _, e in ipairs(list) do
      local name = type(e) == "table" and e.name or e
      local before, now = core.file_read(here .. "ours/" .. name), core.file_read(folder .. "/" .. name)
      lu.assertTrue(before == now, name .. " differs")
    end
    lu.assertEquals(#core.list_dir(folder), #list)
  end)
  core.tempdir_remove(top)
  if not ok then error(why, 0) end
end

return T

-- test_meta.lua: meta.lua describes exactly what there is: every function of lb, every method and field of the classes.
local lu = require "luaunit"
local lb = require "luabench"
local meta = require "luabench.meta"

local function set(list)
  local s = {}
  for _, v in ipairs(list) do s[v] = true end
  return s
end

local function same_keys(what, described, real)
  for name in pairs(described) do
    lu.assertTrue(real[name] ~= nil, ("%s: %s is described, but is not there"):format(what, name))
  end
  for name in pairs(real) do
    lu.assertTrue(described[name] ~= nil, ("%s: %s is there, but is not described"):format(what, name))
  end
end

local T = {}

function T.test_functions_of_lb()
  local real, described = {}, {}
  local ops = set(meta.operations())
  for name in pairs(lb) do if not ops[name] then real[name] = true end end
  for _, name in ipairs(lb.lazy_names()) do real[name] = true end
  for name in pairs(meta.functions) do described[name] = true end
  for name in pairs(meta.tables) do described[name] = true end
  same_keys("lb", described, real)
end

-- What is wrong is said with the script's place, not with one of ours.
function T.test_errors_name_the_scripts_place()
  local lb = require "luabench"
  local wrong = {
    function() lb.compare { a = 1, b = 2 } end, function() lb.compare { a = lb.plan() } end,
    function() lb.save("x.npy", { 1 }) end, function() lb.load "no such.npz" end, function() lb.model_config() end,
    function() lb.model_type(5) end, function() lb.trace(lb.plan()) end, function() lb.units.si(5) end,
    function() lb.units.significant "x" end, function() lb.model.load "no such" end, function() lb.strategy "fast" end,
    function() lb.scenario {} end, function() lb.grid { a = {} } end, function() lb.json.decode "{" end,
    function() lb.tokenizer "no such" end, function() lb.model_writer("x", { 1 }) end, function() lb.zeros { -1 } end,
  }
  for i, f in ipairs(wrong) do
    local ok, message = pcall(f)
    lu.assertFalse(ok, i)
    lu.assertStrMatches(message, "[^:]*test_meta%.lua:%d+: .+")
    lu.assertNotStrContains(message, "/luabench/")
    lu.assertNotStrContains(message, "attempt to ")
  end
  local ok, message = pcall(lb.prepared, "a key", function() error "of the script" end)
  lu.assertFalse(ok)
  lu.assertStrMatches(message, "[^:]*test_meta%.lua:%d+: of the script")
end

-- A script's place stays, in a folder of any name; ours go, however long the way to them is.
function T.test_places_of_scripts_stay()
  local places = require "luabench.places"
  local root = lb.core.lua_root()
  local long = ("%s/luabench/%s.lua"):format(root, ("x"):rep(math.max(1, 60 - #root - #"/luabench/.lua")))
  local _, shortened = pcall(loadstring("error 'boom'", "@" .. long))
  lu.assertStrMatches(shortened, "%.%.%..+: boom")
  for given, left in pairs { [root .. "/luabench/own/x.lua:12: boom"] = "boom",
    [root .. "/commands/x.lua:1: a.lua:2: boom"] = "a.lua:2: boom", [shortened] = "boom",
    ["at " .. root .. "/luabench/x.lua:12: boom"] = "at boom" } do lu.assertEquals(places.strip(given), left) end
  for _, given in ipairs { "/home/u/luabench/x.lua:3: boom", "/home/u/commands/x.lua:3: boom",
    "..." .. shortened:sub(5), "/other" .. root .. "/luabench/x.lua:3: boom", root .. "/models/x.lua:3: boom",
    "/home/jo/my luabench/luabench/x.lua:3: boom" } do lu.assertEquals(places.strip(given), given) end
  lu.assertTrue(places.begins "a b/x.lua:3: boom" and places.begins "(command line):1: boom")
  lu.assertFalse(places.begins "cuda:0: cannot allocate" or places.begins "boom")
end

-- The same from scripts in such folders. A call in place of a return leaves no trace of its line.
function T.test_errors_of_scripts_in_folders_of_any_name()
  local folder = lb.core.tempdir "luabench-"
  for _, name in ipairs { "luabench", "commands", "my luabench" } do
    lb.core.mkdir_p(folder .. "/" .. name)
    local path = ("%s/%s/s.lua"):format(folder, name)
    local function says(body, line, text)
      lb.core.write_file(path, body)
      local ok, message = pcall(assert(loadfile(path)))
      lu.assertFalse(ok)
      local _, shown = pcall(loadstring("\n\n\nerror ''", "@" .. path))
      lu.assertStrContains(message, shown:gsub("4: $", line .. ": ") .. text)
      lu.assertEquals(require("luabench.sys").clean(message), message)
    end
    local begin = "local lb = require 'luabench'\n"
    says(begin .. "lb.prepared('a key of a script', function()\n  error 'boom' end)", 3, "boom")
    says(begin .. "\nlb.json.decode '{'", 3, "")
    says(begin .. "lb.core.eager.cuda_fails()", 2, "attempt to call")
    says(begin .. "local function f() return lb.strategy 'fast' end\nlocal r = f()\nreturn r", 3, "")
  end
  lb.core.tempdir_remove(folder)
end

function T.test_every_operation_is_there()
  for _, name in ipairs(meta.operations()) do lu.assertEquals(type(lb[name]), "function", name) end
end

function T.test_methods_and_fields()
  local ops = set(meta.operations())
  local classes = lb.core.classes()
  same_keys("classes", meta.classes, classes)
  for class, real in pairs(classes) do
    local methods = {}
    for _, name in ipairs(real.methods) do if class ~= "plan" or not ops[name] then methods[name] = true end end
    same_keys(class .. " methods", meta.classes[class].methods, methods)
    same_keys(class .. " fields", meta.classes[class].fields, set(real.fields))
    for name in pairs(meta.classes[class].methods) do
      lu.assertEquals(type(real.metatable.methods[name]), "function", class .. ":" .. name)
    end
  end
end

-- The same of objects that are made in Lua, and of functions in tables of lb.
function T.test_classes_made_in_lua()
  local help = require "luabench.help"
  local classes = help.lua_classes()
  same_keys("classes made in Lua", meta.lua_classes, classes)
  for name, class in pairs(classes) do
    local methods = {}
    for method, f in pairs(class) do
      if type(f) == "function" and not method:find "^__" then methods[method] = true end
    end
    lu.assertEquals(class.__name, name)
    same_keys(name .. " methods", meta.lua_classes[name].methods, methods)
    for method, described in pairs(meta.lua_classes[name].methods) do
      lu.assertStrContains(help.text(class[method]), described[1])
      lu.assertStrContains(help.text(name .. ":" .. method), described[2])
    end
  end
  for name, described in pairs(meta.table_functions) do
    local owner, field = name:match "^(%w+)%.(%w+)$"
    lu.assertStrContains(help.text(lb[owner][field]), described[1])
    lu.assertStrContains(help.text(name), described[1])
  end
  lu.assertStrContains(help.text(lb.units.si), "lb.units.si: a function of lb.units")
end

function T.test_plan_has_a_method_per_operation()
  local methods = lb.core.classes().plan.metatable.methods
  for _, name in ipairs(meta.operations()) do lu.assertEquals(type(methods[name]), "function", name) end
end

function T.test_descriptions_say_something()
  for name, d in pairs(meta.functions) do
    lu.assertEquals(#d, 2, name)
    lu.assertTrue(#d[1] > 3 and #d[2] > 3, name)
  end
  for _, op in ipairs(lb.core.ops()) do lu.assertStrContains(meta.operation_signature(op), op.name) end
end

return T

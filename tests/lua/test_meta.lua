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

-- test_help.lua: help, completion, explain and the display of values: every public name has its text.
local lu = require "luaunit"
local help, show, complete = require "luabench.help", require "luabench.show", require "luabench.complete"
local explain = require "luabench.explain"

local function offered(env, line)
  local list, word = complete.completer(env)(line, #line)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set, word, list
end

return {
  test_every_name_has_help = function()
    local names = help.names()
    lu.assertTrue(#names > 80)
    for _, name in ipairs(names) do
      local text = help.text(name)
      lu.assertTrue(type(text) == "string" and #text > #name, name)
    end
  end,

  test_objects_have_help = function()
    local t = lb.zeros { 2, 64 }
    local objects = { tensor = t, quantizer = lb.quantizer "q8_0", kernel = lb.kernel "gemm.any.portable",
                      device = lb.device "cpu", timer = lb.timer(), plan = lb.plan() }
    for class, x in pairs(objects) do
      lu.assertEquals(help.class_of(x), class)
      lu.assertStrContains(help.text(x), "methods")
    end
    lu.assertStrContains(help.text(lb.randn), "lb.randn(dims")
    lu.assertStrContains(help.text(lb), "lb.quantizers()")
  end,

  test_unknown_names_have_a_hint = function()
    lu.assertErrorMsgContains('did you mean "randn"', help.text, "randm")
    lu.assertErrorMsgContains("no help on", help.text, "zzzzzzzzzz")
  end,

  test_completion = function()
    local env = { lb = lb, t = lb.zeros { 2 }, name = "x" }
    lu.assertTrue(offered(env, "lb.ze").zeros)
    lu.assertTrue(offered(env, "x = lb.ra").randn)
    lu.assertTrue(offered(env, "t:re").reshape)
    lu.assertNil(offered(env, "t:sh").shape)
    lu.assertTrue(offered(env, "t.sh").shape)
    lu.assertTrue(offered(env, "na").name)
    lu.assertTrue(offered(env, "wh")["while"])
    lu.assertTrue(offered(env, 'lb.quantizer "q4')["q4_k"])
    lu.assertTrue(offered(env, 'lb.zeros({2}, { dtype = "bf')['bf16"'])
    local _, word, list = offered(env, "nosuch.x")
    lu.assertEquals(#list, 0)
    lu.assertEquals(word, 0)
  end,

  test_show = function()
    lu.assertEquals(show.value { 1, 2, b = true }, "{ 1, 2, b = true }")
    lu.assertEquals(show.value "text", "text")
    lu.assertEquals(show.value { "text" }, '{ "text" }')
    lu.assertEquals(show.value(0.1), "0.1")
    lu.assertEquals(show.value(1 / 0), "inf")
    local loop = {}
    loop.loop = loop
    lu.assertStrContains(show.value(loop), "the same table again")
    for line in show.wrap(("word "):rep(60), 4):gmatch "[^\n]+" do lu.assertTrue(#line <= 98) end
  end,

  test_explain = function()
    local p = lb.plan():gemm { x = lb.zeros { 1, 256 }, w = lb.zeros({ 32, 256 }):quantize "q4_k" }
    local text = explain.text(p)
    lu.assertStrContains(text, "w = q4_k[32, 256]")
    lu.assertStrContains(text, p:steps()[1].kernel)
    lu.assertStrContains(text, "1 launch,")
    for _, c in ipairs(p:candidates(1)) do
      if c.kernel == p:steps()[1].kernel then lu.assertTrue(c.fits) end
      if not c.fits then lu.assertTrue(#c.why > 0) end
    end
    lu.assertErrorMsgContains("a plan expected, got nil", explain.text)
  end,
}

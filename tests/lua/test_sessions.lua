-- test_sessions.lua: sessions of a model by hand: what they are handed, drawing, stops, plans that are replayed.
local lu = require "luaunit"
local lb = require "luabench"
local core = lb.core

local T = {}

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
end

local function folder(name) return "tests/fixtures/models/" .. name end
local function expected(name) return lb.load(folder(name) .. "/expected.json") end

local function lists(list) return table.concat(list, " ") end

-- What a session is handed is checked, with the script's place; without a way of drawing it is greedy.
function T.test_sessions_by_hand()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local s = m:session { capacity = 64 }
  s:prompt { e.prompt }
  local got = { s:first():get(1) }
  for i = 2, 6 do got[i] = s:next({ temperature = 0 }):get(1) end
  for i = 1, 6 do lu.assertEquals(got[i], e.greedy[i]) end
  lu.assertEquals(tostring(s), "session of " .. tostring(m)
    .. ": 1 sequence of up to 64 positions, caches of f16, mode fused")
  for text, f in pairs { ["a list with the token numbers"] = function() s:prompt { { 1 }, { 2 } } end,
    ["sequence 1: a list of token numbers expected, got number"] = function() s:prompt { 1 } end,
    ["session:first has no field"] = function() s:first { top = 1 } end,
    ["temperature: a number from 0"] = function() s:next { temperature = -1 } end } do
    local ok, message = pcall(f)
    lu.assertFalse(ok)
    lu.assertStrMatches(message, "[^:]*test_sessions%.lua:%d+: .+")
    lu.assertStrContains(message, text)
  end
  m:close()
  lu.assertEquals(tostring(m), "model (closed)")
  for _, f in ipairs { m.generate, m.tensor, m.session, m.names } do raises("this model is closed", f, m, "x") end
  m:close()
  for _, f in ipairs { s.prompt, s.next } do raises("the session's model is closed", f, s, { { 1, 2 } }) end
end

function T.test_sampling_is_seeded()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local function draw(o)
    o.max_new_tokens, o.stop, o.temperature = 20, false, o.temperature or 1.5
    return lists(m:generate(e.prompt, o).tokens)
  end
  lu.assertEquals(draw { seed = 7 }, draw { seed = 7 })
  lu.assertEquals(draw { seed = 7, mode = "plan" }, draw { seed = 7 })
  lu.assertNotEquals(draw { seed = 7 }, draw { seed = 8 })
  lu.assertEquals(draw { seed = 7, top_k = 1 }, draw { temperature = 0 })
  lu.assertEquals(draw { seed = 7, min_p = 1 }, draw { temperature = 0 })
  lu.assertEquals(draw { seed = 7, top_p = 1e-6 }, draw { temperature = 0 })
  local two = m:generate({ e.prompt, e.prompt }, { max_new_tokens = 20, stop = false, temperature = 1.5 })
  lu.assertNotEquals(lists(two.sequences[1].tokens), lists(two.sequences[2].tokens))
  raises("temperature", m.generate, m, e.prompt, { temperature = -1 })
  raises("top_k", m.generate, m, e.prompt, { top_k = 0.5 })
end

function T.test_stops()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local seen = {}
  local r = m:generate(e.prompt, { stop = { e.greedy[4] }, cache = "f32", on_token = function(b, id, ns)
    lu.assertTrue(b == 1 and ns > 0)
    seen[#seen + 1] = id
  end })
  lu.assertEquals(r.finish, "stop")
  lu.assertEquals(r.tokens, { unpack(e.greedy, 1, 4) })
  lu.assertEquals(seen, r.tokens)
  -- one of two goes on
  local two = m:generate({ e.prompt, { 5, 9 } }, { stop = { e.greedy[2] }, max_new_tokens = 5, cache = "f32" })
  lu.assertEquals(#two.sequences[1].tokens, 2)
  lu.assertEquals(two.sequences[1].finish, "stop")
  lu.assertEquals(#two.sequences[2].tokens, 5)
  lu.assertEquals(two.sequences[2].finish, "length")
  lu.assertEquals(m.spec.stop, { 2 })                                -- eos_token_id
end

-- Plans are recorded before the first token and replayed after: none is made on the way.
function T.test_tokens_are_replays()
  local m, e = lb.model.load(folder "llama", { dtype = "f32" }), expected "llama"
  local s = m:session { capacity = 200 }
  local made, plan = 0, core.plan
  core.plan = function(...)
    made = made + 1
    return plan(...)
  end
  local ok, why = pcall(function()
    m:generate(e.prompt, { session = s, max_new_tokens = 3, stop = false })
    lu.assertEquals(made, 3)                                         -- prompt, first token, each further one
    m:generate(e.prompt, { session = s, max_new_tokens = 100, stop = false })
    lu.assertEquals(made, 3)
  end)
  core.plan = plan
  lu.assertTrue(ok, tostring(why))
end

return T

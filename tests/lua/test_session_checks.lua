-- test_session_checks.lua: sessions by hand: what they refuse, and that a call which fails leaves the session as it
-- was.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}
local model

function T.setUp() model = model or lb.model.load("tests/fixtures/models/llama", { dtype = "f32" }) end

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok, "no error; expected one like: " .. pattern)
  lu.assertStrContains(tostring(message), pattern)
  lu.assertNotStrContains(tostring(message), "attempt to")
end

local function greedy(s, n)
  local list = { s:first():get(1) }
  for i = 2, n do list[i] = s:next():get(1) end
  return list
end

function T.test_what_is_wrong_is_refused()
  local s = model:session { capacity = 8 }
  raises("a list with the token numbers of each of the 1 sequences", s.prompt, s, { prompt = { 1, 2 } })
  raises("sequence 1: a list of token numbers expected, got boolean", s.prompt, s, { false })
  raises("sequence 1: a list of token numbers expected, got a table with [a]", s.prompt, s, { { a = 1 } })
  raises("sequence 1: a list of token numbers expected, got a table with [1.5]", s.prompt, s, { { 1, [1.5] = 2 } })
  raises("no tokens to take in", s.prompt, s, {})
  raises("no tokens to take in", s.prompt, s, { {} })
  raises("a function of (row, logits) expected, got nil", s.all_logits, s)
  raises("a list of token numbers expected, got nil", s.all_logits, s, nil, print)
  for _, lengths in ipairs { "x", { -1 }, { 1.5 }, { 0 / 0 }, { "1" }, { 1, 2 }, { a = 1 } } do
    raises("expected, got", s.prepare, s, lengths)
  end
  raises("expected, got nil", s.prepare, s)
  raises("100 positions wanted; the caches hold 8", s.prepare, s, { 100 })
  raises('did you mean "token"?', s.plan_of, s, "toekn")
  raises("token, first or prompt expected, got nil", s.plan_of, s)
  raises("of how many rows?", s.plan_of, s, "prompt")
  raises("rows: a whole number", s.plan_of, s, "prompt", "x")
  for _, name in ipairs { "first", "next", "logits", "prompt", "prepare", "reset", "kv_bytes", "give_back" } do
    raises("a session expected, got number", s[name], 5)
  end
end

function T.test_nothing_comes_of_nothing()
  local s = model:session { capacity = 8 }
  for _, again in ipairs { false, true } do
    for _, name in ipairs { "first", "next", "logits" } do raises("nothing was taken in yet", s[name], s) end
    if not again then
      s:prompt { { 1, 2 } }
      s:first()
      s:reset()
    end
  end
end

-- Fields of a hand-made way of drawing are checked, whatever it calls itself.
function T.test_a_key_does_not_pass_for_a_check()
  local s = model:session { capacity = 8 }
  s:prompt { { 1, 2 } }
  raises('has no field "key"', s.next, s, { key = "x", temperature = -1 })
end

function T.test_a_refused_token_takes_no_position()
  local s, other = model:session { capacity = 6 }, model:session { capacity = 6 }
  for _, one in ipairs { s, other } do one:prompt { { 1, 2, 3 } } end
  for _ = 1, 5 do raises("temperature", s.next, s, { temperature = -1 }) end
  lu.assertEquals(greedy(s, 4), greedy(other, 4))
  raises("the caches hold 6 positions, and all are taken", s.next, s)
end

-- An error in `each` leaves what was launched taken in, by the session's count as by the caches'.
function T.test_an_error_in_each()
  local s = model:session { capacity = 8, prompt_rows = 2 }
  local calls = 0
  raises("enough", s.all_logits, s, { 1, 2, 3, 4 }, function()
    calls = calls + 1
    error "enough"
  end)
  lu.assertEquals(calls, 1)
  lu.assertEquals(s.used, s.cache.lengths:totable())
  lu.assertEquals(s.used, { 2 })
  local other = model:session { capacity = 8, prompt_rows = 2 }
  s:prompt { { 3, 4, 5 } }
  other:prompt { { 1, 2, 3, 4, 5 } }
  lu.assertEquals(greedy(s, 4), greedy(other, 4))
end

-- Where a plan fails on the way, the lengths that it moved on are what they were.
function T.test_a_plan_that_fails()
  local s, other = model:session { capacity = 8 }, model:session { capacity = 8 }
  for _, one in ipairs { s, other } do
    one:prompt { { 1, 2, 3 } }
    one:first()
    one:next()
  end
  local key
  for k in pairs(s.plans) do key = k:find "^token" and k or key end
  local whole = s.plans[key].plan
  s.plans[key].plan = { run = function()
    s.cache.lengths:fill(7)
    error("broken off", 0)
  end }
  raises("broken off", s.next, s)
  s.plans[key].plan = whole
  lu.assertEquals(s.cache.lengths:totable(), { 4 })
  lu.assertEquals(s:next():get(1), other:next():get(1))
end

function T.test_of_a_closed_model()
  local m = lb.model.load("tests/fixtures/models/llama", { dtype = "f32" })
  local s = m:session { capacity = 8 }
  s:prompt { { 1, 2 } }
  m:close()
  for name, arguments in pairs { prompt = { { { 1 } } }, first = {}, next = {}, logits = {}, prepare = { { 1 } },
    all_logits = { { 1 }, print }, plan_of = { "token" }, reset = {} } do
    raises("the session's model is closed", s[name], s, unpack(arguments))
  end
end

return T

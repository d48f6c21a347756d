-- test_roofline.lua: the roofline drawn with characters.
local lu = require "luaunit"
local roofline = require "luabench.roofline"

local T = {}

local MEMORIES = { { name = "memory", rate = 50e9 }, { name = "L1", rate = 800e9 } }
local PEAKS = { { name = "f32", rate = 250e9 }, { name = "int8", rate = 2e12 }, { name = "f64", rate = 245e9 } }

local function plain(lines)
  local out = {}
  for i, l in ipairs(lines) do out[i] = l:gsub("\27%[%d*m", "") end
  return out
end

local function characters(s) return select(2, s:gsub("[^\128-\191]", "")) end

function T.test_plain_ascii()
  local lines = roofline.draw(MEMORIES, PEAKS, { width = 80, height = 12 })
  lu.assertEquals(#lines, 14)
  local text = table.concat(lines, "\n")
  lu.assertNil(text:find "[\128-\255\27]")
  for _, l in ipairs(lines) do lu.assertTrue(#l <= 80 + 20, l) end
  lu.assertStrContains(text, "memory 50.0 GB/s |")
  lu.assertStrContains(text, "L1 800 GB/s |")
  lu.assertStrContains(text, "int8 2.00 TOP/s")
  lu.assertStrContains(text, "f32, f64 250 GOP/s")     -- 2 % apart: one line
  lu.assertStrContains(text, "operations/byte")
  lu.assertStrContains(text, "/")
  lu.assertStrContains(text, "---")
end

function T.test_the_slowest_memory_meets_the_highest_peak_inside()
  -- int8 over memory: 40 operations a byte; the top line is there, and its slope ends on it
  local lines = roofline.draw({ MEMORIES[1] }, { PEAKS[2] }, { width = 100, height = 20 })
  local top
  for _, l in ipairs(lines) do
    if l:find "int8" then top = l:gsub("%s+int8.*", "") end
  end
  lu.assertNotNil(top)
  lu.assertNotNil(top:find "%-%-%-")
end

function T.test_braille()
  local lines = roofline.draw(MEMORIES, PEAKS, { width = 80, unicode = true })
  local text = table.concat(lines, "\n")
  local marks = 0
  for _ in text:gmatch "\226[\160-\163][\128-\191]" do marks = marks + 1 end
  lu.assertTrue(marks > 40, marks .. " marks")
  lu.assertNil(text:find "\27")
  for i, l in ipairs(lines) do lu.assertTrue(characters(l) <= 80 + 20, i .. ": " .. l) end
  -- nothing but ASCII, Braille (U+2800 on) and the axes
  local rest = text:gsub("\226[\160-\163][\128-\191]", ""):gsub("\226\148[\128-\191]", "")
  lu.assertNil(rest:find "[\128-\255]")
end

function T.test_colours_change_nothing_else()
  local with = roofline.draw(MEMORIES, PEAKS, { width = 80, colour = true })
  lu.assertStrContains(table.concat(with), "\27[36m")
  lu.assertEquals(plain(with), plain(roofline.draw(MEMORIES, PEAKS, { width = 80 })))
end

function T.test_nothing_known_draws_nothing()
  lu.assertNil(roofline.draw({}, PEAKS, {}))
  lu.assertNil(roofline.draw(MEMORIES, {}, {}))
end

function T.test_narrow()
  local lines = roofline.draw(MEMORIES, PEAKS, { width = 10, height = 3 })
  lu.assertEquals(#lines, 5)
end

return T

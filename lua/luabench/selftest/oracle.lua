-- selftest/oracle.lua: whole lives of cases, each with a fault of its own: none may end with a time.
local M = { name = "oracle", about = "wrong results are caught, before and after timing" }

local N, K = 256, 512

-- A case in this process, through all that a worker does with it. `tamper` is called when its phase begins.
local function life(t, make, phase, tamper)
  local opt = { device = t.device.name, threads = t.device.threads, mode = "plan", cache = "hot", quick = true,
    precision = 0.5, max_time = 0.02, seed = 1 }
  local kept
  return t.tools.life({ scenario = { case = function()
    kept = make()
    return kept.plan
  end }, phase = function(name) if name == phase then tamper(kept) end end,
    job = { name = "selftest", script = "selftest", argv = {}, names = {}, opt = opt } }, {})
end

local function product(recipe)
  return function()
    local lb = require "luabench"
    local x, w = lb.randn({ 2, K }, { seed = 1 }), lb.randn({ N, K }, { seed = 2 })
    if recipe ~= "f32" then w = w:quantize(recipe) end
    local out = lb.zeros { 2, N }
    return { plan = lb.plan():gemm { x = x, w = w, out = out }, x = x, w = w, out = out }
  end
end

local function nothing() end

local function right(t, recipe)
  local r = life(t, product(recipe), nil, nothing)
  t:check { name = "a right result of " .. recipe .. " is timed", passed = r.status == "ok" and r.time ~= nil,
    text = r.status == "ok" and ("NMSE %.1e, at most %.1e"):format(r.check.nmse, r.check.tolerance) or r.reason,
    figures = { nmse = r.check and r.check.nmse } }
end

local function caught(t, name, r)
  t:check { name = name, passed = r.status == "failed" and r.time == nil, text = ("%s%s"):format(r.status,
    r.reason and ": " .. r.reason or ", with a time: it was not seen") }
end

-- A kernel with a layout of its own has its weights already, the oracle reads the native ones: it sees the block go
-- wrong before timing. One that reads native weights agrees with them, and is caught by the bits of its outputs, when
-- the weights change after the check.
local function broken_block(t, recipe)
  local layout = require("luabench").kernel(product(recipe)().plan:steps()[1].kernel).layout
  local function flip(kept)
    t.tools.selftest.flip(kept.w, math.floor(kept.w:nbytes() / 2))
    if not layout then kept.plan:run() end
  end
  caught(t, "a corrupted block of " .. recipe,
    life(t, product(recipe), layout and "check before" or "check after", flip))
end

function M.run(t)
  local lb = require "luabench"
  local recipes = { "f32", "q8_0", "q4_k" }
  for _, recipe in ipairs(recipes) do right(t, recipe) end
  for i = 2, #recipes do broken_block(t, recipes[i]) end
  caught(t, "NaN in the activations", life(t, product "f32", "check before", function(kept)
    kept.x:set(2, 7, 0 / 0)
  end))
  caught(t, "one wrong value in the weights", life(t, product "f32", "check after", function(kept)
    kept.w:set(3, 3, kept.w:get(3, 3) + 1)
    kept.plan:run()
  end))
  caught(t, "stale outputs after timing", life(t, product "q8_0", "check after", function(kept)
    kept.out:copy(lb.zeros { 2, N })
  end))
end

return M

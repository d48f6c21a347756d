-- test_nonfinite.lua: NaN and Inf among the activations never pass the check, whatever format a kernel makes of them.
-- Integer and f8 codes have none for NaN, so that the results of such a product look like any other's.
local lu = require "luaunit"
local lb = require "luabench"

local N, K = 32, 512
local ROWS = { 1, 9, 17, 49, 96 } -- some kernels take few rows, some many, some 16, 49 or 96 and more
local BAD = { ["NaN"] = 0 / 0, ["Inf"] = 1 / 0, ["-Inf"] = -1 / 0 }
local PLACES = { { 0, 1 }, { 0.5, 300 }, { 1, K } }          -- share of the rows, column

local T = {}

local function bad_x(value, place, rows)
  local x = lb.randn({ rows, K }, { seed = 1 })
  x:set(1 + math.floor(place[1] * (rows - 1)), place[2], value)
  return x
end

local function refused(plan, what)
  local c = plan:check()
  lu.assertFalse(c.passed, what .. " passed the check")
  lu.assertStrContains(c.reason, "holds NaN or Inf", false, what)
end

-- Weights of every registered format that K allows, and of floats.
local function each_weight(f)
  local w, formats = lb.randn({ N, K }, { seed = 2 }), 0
  for _, dtype in ipairs { "f32", "f16", "bf16" } do f(dtype, w:to(dtype)) end
  for _, name in ipairs(lb.quantizers()) do
    local ok, q = pcall(w.quantize, w, name)
    if ok then
      formats = formats + 1
      f(name, q)
    else
      lu.assertTrue(tostring(q):find "multiple" ~= nil or tostring(q):find "divide" ~= nil, name .. ": " .. tostring(q))
    end
  end
  lu.assertTrue(formats >= 20)
end

-- Every kernel that takes this product. Returns how many were tried. Weights of f64 meet x of f64 alone.
local function each_kernel(rows, name, w, kernels)
  local dtype = name == "f64" and "f64" or "f32"
  local good, tried = lb.randn({ rows, K }, { seed = 1 }):to(dtype), 0
  for _, c in ipairs(lb.plan():gemm { x = good, w = w }:candidates(1)) do
    if c.fits then
      kernels[c.kernel] = true
      lu.assertTrue(lb.plan():call(c.kernel, { x = good, w = w }):check().passed, c.kernel .. " with " .. name)
      for text, value in pairs(BAD) do
        for _, place in ipairs(PLACES) do
          refused(lb.plan():call(c.kernel, { x = bad_x(value, place, rows):to(dtype), w = w }),
            ("%s in x of %d rows, column %d, of %s with %s"):format(text, rows, place[2], c.kernel, name))
          tried = tried + 1
        end
      end
    end
  end
  return tried
end

function T.test_every_gemm_kernel_and_format()
  local tried, kernels = 0, {}
  each_weight(function(name, w)
    for _, rows in ipairs(ROWS) do tried = tried + each_kernel(rows, name, w, kernels) end
  end)
  for _, rows in ipairs(ROWS) do
    tried = tried + each_kernel(rows, "f64", lb.randn({ N, K }, { seed = 2 }):to "f64", kernels)
  end
  lu.assertTrue(tried >= 400, "only " .. tried)
  -- a kernel that no format led to would have gone untested
  for _, name in ipairs(lb.core.kernels()) do
    if name:find "^gemm%." and lb.kernel(name).usable then lu.assertTrue(kernels[name], name .. " was never tried") end
  end
end

function T.test_linear()
  each_weight(function(name, w)
    refused(lb.plan():linear { x = bad_x(0 / 0, PLACES[2], 4), w = { w, w } }, "NaN in x of linear with " .. name)
  end)
end

function T.test_head_gemm()
  local w = lb.randn({ 1, N, K }, { seed = 2 })
  for _, format in ipairs { "f32", "q8_0", "q4_0" } do
    local q = format == "f32" and w or w:quantize(format)
    local x = bad_x(0 / 0, PLACES[2], 4):reshape { 4, 1, K }
    refused(lb.plan():head_gemm { x = x, w = q }, "NaN in x of head_gemm with " .. format)
  end
end

-- Through a whole case: a row that failed, and no time.
function T.test_a_case_with_nan_has_no_time()
  local life = require "luabench.life"
  local w = lb.randn({ N, K }, { seed = 2 }):quantize "q8_0"
  local rec = life.run({ phase = function() end, scenario = { case = function()
    return lb.plan():gemm { x = bad_x(0 / 0, PLACES[2], 4), w = w }
  end }, job = { name = "nan", script = "nan", argv = {}, names = {},
    opt = { device = "cpu", threads = 1, mode = "plan",
    cache = "hot", quick = true, precision = 0.5, max_time = 0.02, seed = 1 } } }, {})
  lu.assertEquals(rec.status, "failed")
  lu.assertNil(rec.time)
  lu.assertStrContains(rec.reason, "NaN or Inf")
end

return T

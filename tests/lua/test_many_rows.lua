-- test_many_rows.lua: linear and head_gemm of many rows of activations, where panels go together and activations may
-- stand in blocks, have the bits of gemm's products by the same panels, matrix by matrix and head by head.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}
-- 520: two blocks of columns; 5 and 17: the fewest of rows and of blocks
local ROWS, K = { 5, 17, 70, 520 }, 768
-- q8_0 and uniform-8 read the same form of x, which is in blocks only where all that read it take them.
local MIXES = {
  { "q4_k", "q6_k", "q2_k" }, { "q4_0", "q8_0", "q4_1" }, { "q8_0", "uniform-8", "q4_k" },
  { "int4wo-32", "int8wo", "nf4" }, { "int8dq", "int8adq-int4w-symm", "q4_k" },
  { "int8dq", "sparse24-int8dq", "block-sparse-int8dq" },
}

local function same(got, want, ...)
  local d = (got - want):abs():max()
  lu.assertTrue(d == 0, ("differs by %g: " .. (select(1, ...))):format(d, select(2, ...)))
end

-- gemm's product by the panels that linear and head_gemm are built from: with AMX's tiles of bf16 it has other bits,
-- and by planes, which linear takes, too.
local function product(x, w, planes)
  local plan = lb.plan():gemm { x = x, w = w }
  lu.assertTrue(plan:check().passed)
  local name = plan:steps()[1].kernel
  if not planes then name = name:gsub("%.planes_amx$", ".amx") end
  if not name:find "%.amx$" then return plan:run():last() end
  local panels, other = name:gsub("%.amx$", ".panel_amx"), name:gsub("%.amx$", ".avx512")
  for _, c in ipairs(plan:candidates(1)) do
    if c.kernel == panels and c.fits then other = panels end
  end
  return lb.plan():call(other, { x = x, w = w }):run():last()
end

for _, mix in ipairs(MIXES) do
  T["test_linear_" .. table.concat(mix, "_"):gsub("%-", "_")] = function()
    local w = {}
    for i, format in ipairs(mix) do -- of 32 rows: ten panels and a part of one; three; twelve
      w[i] = lb.randn({ ({ 330, 96, 384 })[i], K }, { seed = i }):quantize(format)
    end
    for _, rows in ipairs(ROWS) do
      local x = lb.randn({ rows, K }, { seed = 9 })
      local plan, at = lb.plan():linear { x = x, w = w }, 0
      lu.assertTrue(plan:check().passed)
      local out = plan:run():last()
      for i, format in ipairs(mix) do
        local n = w[i].shape[1]
        same(out:slice(2, at + 1, at + n):clone(), product(x, w[i], true), "%s of %d rows", format, rows)
        at = at + n
      end
    end
  end
end

function T.test_bias_and_function()
  local x, w = lb.randn({ 70, K }, { seed = 1 }), lb.randn({ 330, K }, { seed = 2 }):quantize "q4_k"
  local plan = lb.plan():linear { x = x, w = w, bias = lb.randn({ 330 }, { seed = 3 }), activation = "relu" }
  lu.assertTrue(plan:check().passed)
end

for _, format in ipairs { "q4_k", "q8_0", "int4wo-32", "nf4" } do
  T["test_heads_" .. format:gsub("%-", "_")] = function()
    local heads, n, k = 3, 330, 512
    local w = lb.randn({ heads, n, k }, { seed = 4 })
    local whole = w:quantize(format)
    for _, rows in ipairs(ROWS) do
      local x = lb.randn({ rows, heads, k }, { seed = 5 })
      local plan = lb.plan():head_gemm { x = x, w = whole }
      lu.assertTrue(plan:check().passed)
      local out = plan:run():last()
      for h = 1, heads do
        local one = w:slice(1, h, h):clone():reshape({ n, k }):quantize(format)
        local want = product(x:slice(2, h, h):clone():reshape { rows, k }, one)
        same(out:slice(2, h, h):clone():reshape { rows, n }, want, "%s, head %d of %d rows", format, h, rows)
      end
    end
  end
end

return T

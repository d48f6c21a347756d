-- test_native.lua: products of quantized weights in their files' own layout are the bits of repacked ones, however many
-- rows of activations there are: few of them and many take different ways there.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}
local ISA = lb.core.machine().isa
local KERNELS = { "linear.native.avx512", ISA:find "amx_int8" and "linear.native.amx" or nil }
local FORMATS = { "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "iq4_xs" }

local function product(kernel, x, w)
  local out = lb.zeros { x.shape[1], w.shape[1] }
  lb.plan():call(kernel, { x = x, w = w, out = out }):run()
  return out
end

-- 71 rows: two panels, and one that begins before the last rows. 9, 37 and 70 blocks of 256 a row.
for _, format in ipairs(FORMATS) do
  T["test_" .. format] = function()
    if not ISA:find "avx512_vnni" then lu.skip "no AVX-512 with VNNI" end
    for _, k in ipairs { 2304, 9472, 17920 } do
      local w = lb.randn({ 71, k }, { seed = 3 }):quantize(format)
      local x = lb.randn({ 13, k }, { seed = 4 })
      local all = product("linear.panels.avx512", x, w)
      lu.assertTrue(all:abs():max() > 1)
      for _, rows in ipairs { 1, 2, 3, 4, 5, 13 } do
        for _, kernel in ipairs(KERNELS) do
          local some = product(kernel, x:slice(1, 1, rows), w)
          local d = (some - all:slice(1, 1, rows)):abs():max()
          lu.assertTrue(d == 0, ("%s of %s, K %d, %d rows: differs by %g"):format(kernel, format, k, rows, d))
        end
      end
    end
  end
end

-- Of weights without columns nothing may be read; sums of nothing are 0.
function T.test_no_columns()
  if not ISA:find "avx512_vnni" then lu.skip "no AVX-512 with VNNI" end
  for _, format in ipairs(FORMATS) do
    local w = lb.zeros({ 32, 0 }):quantize(format)
    for _, rows in ipairs { 1, 5 } do
      for _, kernel in ipairs(KERNELS) do
        local out = lb.full({ rows, 32 }, 0 / 0)
        lb.plan():call(kernel, { x = lb.zeros { rows, 0 }, w = w, out = out }):run()
        lu.assertTrue(out:abs():max() == 0, ("%s of %s, %d rows"):format(kernel, format, rows))
      end
    end
  end
end

return T

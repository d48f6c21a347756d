-- test_dense.lua: dense products whose many rows of x are cut across, with few panels of weights for the parts and with
-- many:
-- every kernel that takes them, against f64, with one thread and with two.
local lu = require "luaunit"
local lb = require "luabench"

local T = {}

-- { rows of x, N, K }: panels of weights fewer than parts, about as many, many of them; x in one block, in three, in
-- sixteen; few rows in one pass, and in two over several chunks of K, the most of them, and one more
local SHAPES = { { 7741, 64, 17 }, { 1100, 130, 67 }, { 600, 2100, 40 }, { 6, 67, 300 }, { 7, 67, 2070 },
  { 12, 70, 4133 }, { 13, 70, 1100 } }

local function tried(op, dtype, shape, threads)
  local dev = lb.device("cpu", { threads = threads })
  local m, n, k = shape[1], shape[2], shape[3]
  local x = lb.randn({ m, k }, { seed = 1, device = dev })
  local w = lb.randn({ n, k }, { seed = 2, device = dev }):to(dtype)
  -- the result lies between two rows that nobody may write
  local around = lb.full({ m + 2, n }, 7, { device = dev })
  local args = { x = x, w = op == "gemm" and w or { w }, out = around:slice(1, 2, m + 1) }
  local count = 0
  for _, c in ipairs(lb.plan(dev)[op](lb.plan(dev), args):candidates(1)) do
    if c.fits and not c.kernel:find "any%.portable" then        -- the reference takes its time, and has no blocks
      local check = lb.plan(dev):call(c.kernel, args):check()
      lu.assertTrue(check.passed, ("%s, %d rows, N %d, K %d, %d threads: %s"):format(c.kernel, m, n, k, threads,
        tostring(check.reason or check.nmse)))
      for row = 1, m + 2, m + 1 do
        local untouched = (around:slice(1, row, row) - 7):abs():max() == 0
        lu.assertTrue(untouched, ("%s writes beside its result, %d rows, N %d, K %d"):format(c.kernel, m, n, k))
      end
      count = count + 1
    end
  end
  return count
end

function T.test_many_rows_and_few_panels()
  local count = 0
  for _, shape in ipairs(SHAPES) do
    for _, dtype in ipairs { "f32", "f16", "bf16" } do
      for threads = 1, 2 do
        count = count + tried("gemm", dtype, shape, threads) + tried("linear", dtype, shape, threads)
      end
    end
  end
  local dense = 0
  for _, name in ipairs(lb.core.kernels()) do
    if name:find "^gemm%.[b]?f%d+%." and lb.kernel(name).usable then dense = dense + 1 end
  end
  lu.assertTrue(count >= 2 * #SHAPES * dense, ("%d products of %d kernels"):format(count, dense))
end

return T

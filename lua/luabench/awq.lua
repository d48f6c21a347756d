-- awq.lua: lb.awq: AWQ's search for scales of the input columns that spare what large activations meet (Lin et al.,
-- 2023).
local core = require "luabench.core"

local M = {}

local GRID = 20
local LEAST = 1e-4

local function is_tensor(t) return type(t) == "userdata" and pcall(function() return t.quantizer, t.shape end) end

local function check(w, x, recipe)
  if not is_tensor(w) or w.rank ~= 2 or w.dtype == "quantized" then
    error("awq: expected weights [N, K] of a float type, then sample activations [M, K]", 3)
  end
  local n, k = w.shape[1], w.shape[2]
  if not is_tensor(x) or x.rank ~= 2 or x.dtype == "quantized" or x.shape[2] ~= k then
    error(("awq: expected sample activations [M, %d] of a float type for weights [%d, %d]"):format(k, n, k), 3)
  end
  if x.shape[1] == 0 or n == 0 or k == 0 then error("awq: expected at least one sample, one row and one column", 3) end
  local ok, q = pcall(core.quantizer, recipe)
  if not ok then error("awq: " .. tostring(q), 3) end
  if k % q.k_multiple ~= 0 then
    error(("awq: %s needs K to be a multiple of %d, got %d"):format(recipe, q.k_multiple, k), 3)
  end
end

-- mean|x_k|^ratio, so that the greatest and the least are each other's inverse.
local function scales_of(mean, ratio)
  local s = (mean:maximum(1e-30):log() * ratio):exp():maximum(LEAST)
  return s / math.sqrt(s:max() * s:min())
end

-- Searches s [K] such that the weights w * s, quantized, with activations x / s err least in their output (mean
-- square): s = mean|x_k|^(i / 20), i = 0 .. 19, of which the first is plain rounding. w [N, K] and x [M, K] of float
-- types; recipe: any weight format, "awq-4-128" if left out. The packing has no place for s: whoever uses the weights
-- divides x by it, or the weight of the norm before. Returns { weights = w * s quantized, scales = s (f32[K]), ratio =
-- i / 20, error = of the output, plain_error = the same without scales }, errors as relative RMSE.
function M.search(w, x, recipe)
  recipe = recipe or "awq-4-128"
  check(w, x, recipe)
  w, x = w:to "f32", x:to "f32"
  local wanted = x:matmul(w, { transposed = true })
  local mean = x:abs():mean(1)
  if not (mean:max() < math.huge) or not (wanted:abs():max() < math.huge) then
    error("awq: weights and samples must be finite", 2)
  end
  local best, plain
  for i = 0, GRID - 1 do
    local s = scales_of(mean, i / GRID)
    local q = (w * s):quantize(recipe)
    local err = (x / s):matmul(q:dequantize(), { transposed = true }):error(wanted).rel_rmse
    plain = plain or err
    if not best or err < best.error then best = { weights = q, scales = s, ratio = i / GRID, error = err } end
  end
  best.plain_error = plain
  return best
end

return M

-- formats.lua: which weight format stands for a number of bits.
local M = {}

-- k: what mixed-precision GGUF models use.  uniform: groups of 32 on a uniform grid, what metal-marlin uses.
M.maps = {
  k = { [2] = "q2_k", [3] = "q3_k", [4] = "q4_k", [5] = "q5_k", [6] = "q6_k", [8] = "q8_0" },
  uniform = {
    [2] = "uniform-2", [3] = "uniform-3", [4] = "uniform-4", [5] = "uniform-5", [6] = "uniform-6", [8] = "uniform-8",
  },
}
M.names = { "k", "uniform" }

--- The recipe for `bits` in map `map` ("k" or "uniform"). Raises for bits that the map does not hold. A text is a
-- recipe already: that of a file's tensor.
function M.recipe(map, bits)
  if type(bits) == "string" then return bits end
  local formats = M.maps[map]
  if not formats then error(("unknown format map '%s'; there are: %s"):format(map, table.concat(M.names, ", ")), 0) end
  local recipe = formats[bits]
  if not recipe then
    error(("format map '%s' has no %s-bit format; it has 2, 3, 4, 5, 6 and 8 bits"):format(map, bits), 0)
  end
  return recipe
end

--- Nominal bits of a number of bits, or of a recipe.
function M.bits(bits) return type(bits) == "string" and require("luabench").quantizer(bits).bits or bits end

--- Stored bits a weight of a [n, k] matrix.
function M.stored_bits(map, bits, n, k)
  return require("luabench").quantizer(M.recipe(map, bits)):bits_per_weight(n, k)
end

return M

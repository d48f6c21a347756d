-- recipes.lua: which format each tensor of a model takes: the one asked for, overrides by name, the mixed-bits rule,
-- and neighbours where a block does not divide K.
local core = require "luabench.core"
local formats = require "luabench.moe.formats"
local names = require "luabench.convert.names"
local suggest = require "luabench.suggest"

local M = {}

M.PLAIN = { f32 = true, f16 = true, bf16 = true }

-- Where a recipe's block does not divide K: what stands in, as llama.cpp has it for GGUF's; in turn.
M.NEIGHBOURS = { q2_k = "iq4_nl", q3_k = "iq4_nl", iq4_xs = "iq4_nl", q4_k = "q5_0", q5_k = "q5_1", q6_k = "q8_0" }

-- Which formats GGUF can hold: recipe -> its name there, by what the engine says of its types.
function M.gguf_type(recipe)
  if M.PLAIN[recipe] then return recipe:upper() end
  local family = recipe:find "^mxfp4" and "mxfp4" or recipe
  for _, name in ipairs(core.model_types "gguf") do
    if name:lower() == family then return name end
  end
end

local function gguf_recipes()
  local list = { "f32", "f16", "bf16" }
  for _, recipe in ipairs(core.quantizers()) do
    if M.gguf_type(recipe) then list[#list + 1] = recipe end
  end
  return list
end

-- Raises (level 0) unless the recipe exists and the format of the file can hold it.
function M.check(recipe, format)
  if M.PLAIN[recipe] then return recipe end
  local ok, q = pcall(core.quantizer, recipe)
  if not ok then
    local near = suggest.nearest(recipe, suggest.keys(M.PLAIN))[1]
    local hint = M.PLAIN[near] and "; there are f32, f16 and bf16 too" or ""
    error(tostring(q) .. hint, 0)
  end
  if format == "gguf" and not M.gguf_type(q.name) then
    error(("GGUF has no type for %s; it has %s. An OUT that ends in .safetensors, or a folder, holds any recipe")
      :format(recipe, table.concat(gguf_recipes(), ", ")), 0)
  end
  return q.name
end

-- Raises (level 0) unless a file of this format can hold all that the rule's bits become.
function M.check_map(map, format)
  if format == "gguf" and not M.gguf_type(formats.recipe(map, 8)) then
    error(("--bits-formats %s: GGUF has no types for these; OUT can be a .safetensors file or a folder; "
      .. "--bits-formats k fits both"):format(map), 0)
  end
end

-- The same family with a smaller group that divides k: "int4wo-128" -> "int4wo-64"; nil = there is none.
local function smaller_group(recipe, k)
  local head, group, tail = recipe:match "^(.-%-)(%d+)(.*)$"
  group = tonumber(group)
  while head and group and group > 16 do
    group = group / 2
    local other = ("%s%d%s"):format(head, group, tail)
    local ok, q = pcall(core.quantizer, other)
    if ok and k % q.k_multiple == 0 then return other end
  end
end

-- The recipe itself if its block divides k; else a neighbour, at last f16.
function M.fitting(recipe, k)
  while not M.PLAIN[recipe] do
    local q = core.quantizer(recipe)
    if k % q.k_multiple == 0 then return recipe end
    recipe = M.NEIGHBOURS[recipe] or smaller_group(recipe, k) or "f16"
  end
  return recipe
end

-- ---- the mixed-bits rule ----

-- What a score of the spread of magnitudes is worth: above the first number, so many bits.
local STEPS = { { 3.5, 8 }, { 2.8, 6 }, { 2, 5 }, { 1.2, 4 }, { 0.6, 3 } }
local ALWAYS = { embedding = 8, head = 8, norm = 8, router = 8, gate = 6, expert_gate = 6 }

-- metal-marlin's rule, as its script for GLM-4.7-Flash applies it: routers, embeddings and heads 8 bits, gates 6, the
-- rest by s = 3 min(p99 / mean, 100) / 100 + 2 min(max / mean, 30) / 30 over |W|; attention at least 4; within least
-- and most.
function M.outlier_bits(role, spread, least, most)
  local bits = ALWAYS[role]
  if not bits then
    local mean = math.max(spread.mean_abs, 1e-30)
    local s = 3 * math.min(spread.quantile / mean, 100) / 100 + 2 * math.min(spread.max_abs / mean, 30) / 30
    bits = 2
    for i = #STEPS, 1, -1 do
      if s > STEPS[i][1] then bits = STEPS[i][2] end
    end
    if role == "attention" then bits = math.max(bits, 4) end
  end
  return math.max(least, math.min(most, bits))
end

local WIDTHS = { 2, 3, 4, 5, 6, 8 }

-- The recipe of so many bits in a map of formats; the next wider one where there is none of the width.
function M.of_bits(bits, map)
  for _, w in ipairs(WIDTHS) do
    if w >= bits then return formats.recipe(map, w) end
  end
  return formats.recipe(map, 8)
end

-- ---- overrides ----

-- "PATTERN=TYPE" -> { pattern =, recipe = }; raises (level 0).
function M.override(text, format)
  local pattern, recipe = text:match "^(.+)=([^=]+)$"
  if not pattern then error(("--tensor %s: expected PATTERN=TYPE, as in ffn_down=q6_k"):format(text), 0) end
  local ok, name = pcall(M.check, recipe, format)
  if not ok then error(("--tensor %s: %s"):format(text, name), 0) end
  return { pattern = pattern, recipe = name, text = text, used = 0 }
end

-- The first override that fits one of the tensor's names; those of weight formats pass over vectors.
function M.overridden(overrides, is_matrix, ...)
  for _, o in ipairs(overrides) do
    for _, name in ipairs { ... } do
      if names.fits(o.pattern, name) then
        if is_matrix or M.PLAIN[o.recipe] then
          o.used = o.used + 1
          return o.recipe
        end
        o.vectors = true
      end
    end
  end
end

return M

-- same.lua: does the GGUF file that is to be written say what config.json says? GGUF has no key for some of it (which
-- layers see a window, experts whose weights are not renormalized, ...), and programs that read it assume the rest. So
-- its keys are read back, as a model would read them, before anything is written.
local config_of = require "luabench.model.config"
local gguf_keys = require "luabench.convert.gguf_keys"
local kv = require "luabench.kv"

local M = {}

-- Keys of GGUF are f32.
local function near(a, b)
  if type(a) == "number" and type(b) == "number" then return math.abs(a - b) <= 1e-6 * math.max(math.abs(a), 1e-30) end
  return a == b
end

local ROPE = { "dim", "base", "scaling", "factor", "low_freq_factor", "high_freq_factor", "original_context",
  "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate" }

-- Frequencies as a list, and the factor on cos and sin; factors: what GGUF's rope_freqs divides them by, or nil.
local function rotation(rope, factors)
  local r = {}
  for _, name in ipairs(ROPE) do r[name] = rope[name] end
  local f, scale = kv.rope_frequencies(r)
  local list = f:totable()
  for i = 1, #list do list[i] = list[i] / (factors and factors[i] or 1) end
  return list, scale
end

local function same_rotation(a, b, factors)
  local x, scale_x = rotation(a)
  local y, scale_y = rotation(b, factors)
  if #x ~= #y or math.abs(scale_x - scale_y) > 1e-5 then return false end
  for i = 1, #x do
    if math.abs(x[i] - y[i]) > 1e-5 * math.abs(x[i]) then return false end
  end
  return true
end

local function windows(s)
  local list = {}
  for layer = 1, s.layers do list[layer] = tostring(s.window_of(layer) or "all") end
  return table.concat(list, " ")
end

-- Biases and tied embeddings are what tensors are there, in both.
local SIZES = { "layers", "hidden", "heads", "vocab", "context", "intermediate", "eps" }
local MOE = { "experts", "top_k", "intermediate", "shared", "dense", "score", "bias", "renormalize", "scale", "groups",
  "top_groups", "group_sum" }
local MLA = { "q_rank", "kv_rank", "nope", "rope", "v" }

-- What differs between two specs, in words: a list.
local function differences(a, b, factors)
  local list = {}
  local function compare(x, y, names, what)
    for _, name in ipairs(names) do
      if not near((x or {})[name], (y or {})[name]) then
        list[#list + 1] = ("%s%s (%s in config.json, %s in GGUF)"):format(what, name, tostring((x or {})[name]),
          tostring((y or {})[name]))
      end
    end
  end
  compare(a, b, SIZES, "")
  compare(a.moe, b.moe, MOE, "experts: ")
  if a.moe then compare(a.moe.clamp, b.moe.clamp, { "alpha", "limit" }, "experts: ") end
  compare(a.mla, b.mla, MLA, "latents: ")
  if not a.mla then compare(a, b, { "kv_heads", "head_dim" }, "") end
  if a.mla and not near(a.attention_scale, b.attention_scale) then list[#list + 1] = "the scale of attention" end
  if windows(a) ~= windows(b) then list[#list + 1] = "which layers see a sliding window only" end
  if not same_rotation(a.rope, b.rope, factors) then list[#list + 1] = "the scaling of rotary embeddings" end
  return list
end

-- Raises (level 0) with what GGUF could not say of this configuration. metadata and items: as they are to be written.
function M.check(path, config, kind, metadata, items)
  local arch = gguf_keys.family(kind)
  if not arch.attention then return end                              -- nothing here could run it
  local shapes = {}
  for _, item in ipairs(items) do shapes[item.name] = item.shape end
  local file = { metadata = function(_, key) return metadata[key] end, info = function(_, name)
    return { shape = shapes[name] or error("there is no tensor " .. name, 0) }
  end }
  local list = differences(config_of.from_hf(config, arch), config_of.from_gguf(file, arch),
    gguf_keys.rope_factors(config, kind))
  if #list > 0 then
    error(("%s: GGUF's architecture %s has no way to say this, and programs would compute something else: %s; OUT can "
      .. "be a folder or a .safetensors file"):format(path, metadata["general.architecture"], table.concat(list, "; ")),
      0)
  end
end

return M

-- gpt_oss.lua: gpt-oss: a sink in each head's softmax, a sliding window on every other layer, biases everywhere, and
-- experts with a clamped SwiGLU.
local attention = require "luabench.model.attention"
local core = require "luabench.core"
local weights = require "luabench.model.weights"

-- Hugging Face's files have the experts as [E, K, N], gate and up in turns along N; or, as they were published, in
-- MXFP4 blocks along K, [E, N, K / 32, 16], and scales [E, N, K / 32].
local FROM = { gate_exps = { "gate_up_proj", 1 }, up_exps = { "gate_up_proj", 2 }, down_exps = { "down_proj" } }

local function read_blocks(r, name, shape, part)
  for _, ending in ipairs { "_blocks", "_scales" } do
    if not r:has(name .. ending) then error(("tensor %s is missing"):format(name .. ending), 0) end
  end
  local t = core.mxfp4_blocks(r:tensor(name .. "_blocks"), r:tensor(name .. "_scales"), part or 1, part and 2 or 1)
  local list = weights.matrices(weights.checked(t, shape, name .. "_blocks"))
  for _, one in ipairs(list) do r.made[one] = true end
  return list
end

local function read(r, prefix, role)
  local from = FROM[(role[1]:gsub("_bias$", ""))]
  if r.gguf or not from then return nil end
  local bias, shape = role[1]:find "_bias$", role[2]
  local name = prefix .. "mlp.experts." .. from[1] .. (bias and "_bias" or "")
  if not r:has(name) then
    if not bias and r:has(name .. "_blocks") then return read_blocks(r, name, shape, from[2]) end
    error(("tensor %s is missing"):format(name), 0)
  end
  local t = r:tensor(name)
  if from[2] then                                                    -- one of two in turns
    local dims = t.shape
    dims[#dims], dims[#dims + 1] = dims[#dims] / 2, 2
    t = t:reshape(dims):slice(#dims, from[2], from[2]):clone()
    dims[#dims] = nil
    t = t:reshape(dims)
  end
  if bias then return t end
  return weights.matrices(weights.checked(t:transpose(2, 3):clone(), shape, name))
end

return {
  name = "gpt_oss",
  about = "gpt-oss: attention sinks, a window on every other layer, biases, experts with a clamped SwiGLU",
  gguf = "gpt-oss",
  attention = attention.gqa,
  qkv_bias = "always",
  o_bias = true,
  sinks = true,
  window_every = 2,
  yarn_truncate = false,
  rope_theta = 150000,
  moe = { score = "softmax", renormalize = true, bias = "adds", clamp = true },
  read = read,
  names = {
    ffn_norm = { gguf = "post_attention_norm.weight" },
    router = { hf = "mlp.router.weight" },
    router_bias = { hf = "mlp.router.bias" },
  },
}

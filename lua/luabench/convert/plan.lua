-- plan.lua: what a converted model file will hold: each tensor's name, shape and role, and how it is made from the
-- tensors of the file that is read. Nothing is read but heads; get() of an item reads one tensor.
--
-- An item is { name =, shape =, role =, from = { names in the file read }, info = the file's info of the only one that
-- it is as it stands (else nil), was = the recipe of what it is made of (nil: none), get = function() -> tensor }.
local lb = require "luabench"
local gguf_keys = require "luabench.convert.gguf_keys"
local names = require "luabench.convert.names"
local suggest = require "luabench.suggest"

local core = lb.core
local M = {}

-- A tensor whose elements can be moved; blocks cannot.
local function plain(t) return t.quantizer and t:dequantize() or t end

-- Rows of q and k from halves of a head to neighbours: row h D + i of [2, D / 2] becomes h D + 2 (i mod D / 2) + ...
local function permuted(t, heads)
  local shape = t.shape
  local rest = shape[2] or 1
  local d = shape[1] / heads
  return t:reshape({ heads, 2, d / 2, rest }):transpose(2, 3):clone():reshape(shape)
end

local function as_it_is(file, name, item)
  local info = file:info(name)
  item.shape, item.from, item.info = info.shape, { name }, info
  item.get = function() return file:tensor(name) end
  return item
end

-- ---- the same names ----

local function same_names(file)
  local items = {}
  for i, name in ipairs(file:names()) do
    items[i] = as_it_is(file, name, { name = name, role = names.role(name) })
  end
  return items
end

-- ---- Hugging Face to GGUF ----

-- Stacks that gate_up holds together: [E, 2 I, H] with gate before up, or gpt-oss's [E, H, 2 I], gate and up by turns.
local function split_fused(t, fused, part, oss)
  local shape = t.shape
  if fused == "down_proj" then return oss and t:transpose(2, 3) or t end
  if fused == "down_proj_bias" then return t end
  if not oss then
    local inner = shape[2] / 2
    return part == "gate" and t:slice(2, 1, inner) or t:slice(2, inner + 1, -1)
  end
  local which = part == "gate" and 1 or 2
  if fused == "gate_up_proj_bias" then return t:reshape({ shape[1], shape[2] / 2, 2 }):slice(3, which, which)
    :clone():reshape { shape[1], shape[2] / 2 } end
  return t:reshape({ shape[1], shape[2], shape[3] / 2, 2 }):slice(4, which, which):clone()
    :reshape({ shape[1], shape[2], shape[3] / 2 }):transpose(2, 3)
end

local FUSED = {
  gate_up_proj = { { "ffn_gate_exps.weight", "gate" }, { "ffn_up_exps.weight", "up" } },
  gate_up_proj_bias = { { "ffn_gate_exps.bias", "gate" }, { "ffn_up_exps.bias", "up" } },
  down_proj = { { "ffn_down_exps.weight" } }, down_proj_bias = { { "ffn_down_exps.bias" } },
}

local function fused_shape(shape, fused, oss)
  if fused == "down_proj" then return oss and { shape[1], shape[3], shape[2] } or shape end
  if fused == "down_proj_bias" then return shape end
  if fused == "gate_up_proj_bias" then return { shape[1], shape[2] / 2 } end
  return oss and { shape[1], shape[3] / 2, shape[2] } or { shape[1], shape[2] / 2, shape[3] }
end

-- gpt-oss's experts in MXFP4 blocks, [E, N, K / 32, 16] with scales beside them; gate and up by turns along N.
local function add_blocks(state, name, to)
  local fused = to.fused:gsub("_blocks$", "")
  local scales = name:gsub("_blocks$", "_scales")
  local shape = state.file:info(name).shape
  if #shape ~= 4 or shape[4] ~= 16 then
    error(("%s: tensor %s is [%s]; blocks [experts, rows, K / 32, 16] were expected"):format(state.file.path, name,
      table.concat(shape, ", ")), 0)
  end
  local parts = FUSED[fused]
  for i, p in ipairs(parts) do
    local target = ("blk.%d.%s"):format(to.layer, p[1])
    state.items[#state.items + 1] = { name = target, role = names.role(target), from = { name, scales },
      shape = { shape[1], shape[2] / #parts, shape[3] * 32 },
      get = function()
        return core.mxfp4_blocks(state.file:tensor(name), state.file:tensor(scales), i, #parts)
      end }
  end
end

local function add_fused(state, name, to)
  if to.fused:find "^[%w_]+_proj_scales$" and state.there[(name:gsub("_scales$", "_blocks"))] then return end
  if to.fused == "gate_up_proj_blocks" or to.fused == "down_proj_blocks" then return add_blocks(state, name, to) end
  local parts = FUSED[to.fused]
  if not parts then
    error(("%s: tensor %s: experts stored like this have no way into GGUF here; save the model in bf16 first")
      :format(state.file.path, name), 0)
  end
  local info, oss = state.file:info(name), state.kind == "gpt_oss"
  for _, p in ipairs(parts) do
    local target = ("blk.%d.%s"):format(to.layer, p[1])
    state.items[#state.items + 1] = { name = target, role = names.role(target), from = { name },
      shape = fused_shape(info.shape, to.fused, oss),
      was = info.recipe,
      get = function() return split_fused(plain(state.file:tensor(name)), to.fused, p[2], oss):clone() end }
  end
end

-- One expert's tensor: the stack is one item, whose experts must all come.
local function add_expert(state, name, to)
  local stack = state.stacks[to.name]
  local info = state.file:info(name)
  local shape = info.shape
  if not stack then
    stack = { name = to.name, role = names.role(to.name), from = {}, experts = {}, count = 0, was = info.recipe }
    state.stacks[to.name] = stack
    state.items[#state.items + 1] = stack
    stack.each = shape
  end
  if table.concat(shape, "x") ~= table.concat(stack.each, "x") then
    error(("%s: tensor %s is [%s], the other experts of its layer are [%s]"):format(state.file.path, name,
      table.concat(shape, ", "), table.concat(stack.each, ", ")), 0)
  end
  stack.experts[to.expert] = name
  stack.count = stack.count + 1
  stack.from[#stack.from + 1] = name
end

local function close_stacks(state)
  for _, stack in pairs(state.stacks) do
    for e = 0, stack.count - 1 do
      if not stack.experts[e] then
        error(("%s: of %s expert %d is missing; there are %d"):format(state.file.path, stack.name, e, stack.count), 0)
      end
    end
    stack.shape = { stack.count, stack.each[1], stack.each[2] }
    stack.get = function()
      local list = {}
      for e = 0, stack.count - 1 do list[e + 1] = plain(state.file:tensor(stack.experts[e])) end
      return lb.stack(list)
    end
  end
end

local function add_plain(state, name, to)
  local item = as_it_is(state.file, name, { name = to.name, role = names.role(to.name) })
  local which = gguf_keys.PERMUTED[state.kind] and to.name:match "%.attn_([qk])%.%w+$"
  if which then
    local heads = which == "q" and state.heads or state.kv
    if item.shape[1] % (2 * heads) ~= 0 then
      error(("%s: tensor %s has %d rows, which %d heads do not divide"):format(state.file.path, name, item.shape[1],
        heads), 0)
    end
    item.was, item.info = item.info.recipe, nil
    item.get = function() return permuted(plain(state.file:tensor(name)), heads) end
  end
  state.items[#state.items + 1] = item
end

local function by_place(a, b)
  local function place(item)
    local layer = item.name:match "^blk%.(%d+)%."
    if layer then return tonumber(layer) end
    return item.name:find "^token_embd" and -2 or item.name:find "^rope_freqs" and -1 or math.huge
  end
  local x, y = place(a), place(b)
  if x ~= y then return x < y end
  return a.name < b.name
end

-- Tensors of layers beyond num_hidden_layers predict several tokens at once; nothing here runs them.
local function to_gguf(file, kind, config)
  local arch = gguf_keys.ARCHITECTURE[kind]
  local heads, kv = gguf_keys.heads(config, kind)
  local state = { file = file, kind = kind, heads = heads, kv = kv, items = {}, stacks = {} }
  local skipped, unknown = {}, {}
  local there = {}
  for _, name in ipairs(file:names()) do there[name] = true end
  state.there = there
  for _, name in ipairs(file:names()) do
    local to = names.to_gguf(name, arch)
    if to and to.layer and to.layer >= config.num_hidden_layers then
      to = { skip = "of a layer after the last: predicts further tokens" }
    elseif name == "lm_head.weight" and config.tie_word_embeddings and there["model.embed_tokens.weight"] then
      to = { skip = "tied to the embeddings" }
    end
    if not to then unknown[#unknown + 1] = name
    elseif to.skip then skipped[#skipped + 1] = { name = name, reason = to.skip }
    elseif to.fused then add_fused(state, name, to)
    elseif to.expert then add_expert(state, name, to)
    else add_plain(state, name, to) end
  end
  if #unknown > 0 then
    error(("%s: GGUF's architecture %s has no name that is known here for %d of its tensors: %s%s"):format(file.path,
      arch, #unknown, table.concat(unknown, ", ", 1, math.min(3, #unknown)), #unknown > 3 and ", ..." or ""), 0)
  end
  close_stacks(state)
  local factors = gguf_keys.rope_factors(config, kind)
  if factors then
    state.items[#state.items + 1] = { name = "rope_freqs.weight", role = "bias", shape = { #factors }, from = {},
      get = function() return lb.tensor(factors) end }
  end
  table.sort(state.items, by_place)
  return state.items, skipped
end

-- items, skipped = { { name =, reason = } } for a file that is to be written in `format`. kind: lb.model_type's.
function M.of(file, format, kind, config)
  if format ~= "gguf" or file.format == "gguf" then return same_names(file), {} end
  if not config then
    error(("%s: without a config.json beside it a model cannot become GGUF: its sizes are not in the tensors; OUT can "
      .. "be a .safetensors file"):format(file.path), 0)
  end
  if not gguf_keys.ARCHITECTURE[kind or ""] then
    error(("%s: a model of type %s has no architecture in GGUF that is known here; there are %s"):format(file.path,
      tostring(kind), table.concat(suggest.keys(gguf_keys.ARCHITECTURE), ", ")), 0)
  end
  return to_gguf(file, kind, config)
end

return M

-- resume.lua: what of a `luabench model` run is done, in a journal: prompts, loading and memory of each model, quality.
-- What is found there was measured with the same options on the same files, by this build on this processor.
local core = require "luabench.core"
local journal = require "luabench.journal"
local json = require "luabench.json"
local models = require "luabench.model_file"
local record = require "luabench.record"
local sys = require "luabench.sys"

local M = {}
local Memo = {}
Memo.__index = Memo

-- Options that every figure depends on.
local COUNT = { "device", "threads", "dtype", "mode", "no_repack", "iterations", "max_new_tokens", "batch_size",
  "temperature", "top_k", "top_p", "min_p", "seed", "ignore_stop", "context", "kv_type", "model_type",
  "random_weights" }
local BESIDE = { "config.json", "generation_config.json", "tokenizer.json" }

-- The files of a model as a later run can tell that they are the same: path, size, time of the last change.
local function files_of(path)
  local ok, file = pcall(models.open, path)
  local names = ok and file.parts or { path }
  if ok then file:close() end
  local folder = sys.is_directory(path) and path or path:match "^(.*)/[^/]*$" or "."
  for _, name in ipairs(BESIDE) do names[#names + 1] = folder .. "/" .. name end
  local list = json.array()
  for _, name in ipairs(names) do
    local at = core.stat(name)
    if at then list[#list + 1] = json.array { name, at.bytes, at.modified_s } end
  end
  return list
end

-- opt: the command's options; text: what quality is measured on; prompts; run: the head of the result.
function M.open(opt, text, prompts, run)
  local circumstances = journal.circumstances()
  local options = {}
  for _, name in ipairs(COUNT) do options[name] = opt[name] end
  local original = files_of(opt.original)
  local sides = { original = { files = original } }
  if opt.quantize then
    sides.quantized = { files = original, quantize = opt.quantize, tensor = json.array(opt.tensor) }
  elseif opt.quantized then
    sides.quantized = { files = files_of(opt.quantized) }
  end
  local self = setmetatable({ prompts = prompts, sides = sides, options = options, circumstances = circumstances,
    quality = { text = record.hash(text), context = opt.quality_context, tokens = opt.quality_tokens,
      original = original } }, Memo)
  self.journal = journal.begin { outputs = opt.output, names = { "model" }, resume = opt.resume, run = run,
    aside = true, fingerprint = record.hash(json.encode { options, sides, circumstances }):sub(1, 10) }
  return self
end

-- kind: "prompt" (of: the prompt), "side" (what sides.lua knows of one whose prompts are all done), "quality", or
-- "quantization" (what --quantize made).
local function key_of(self, side, kind, of)
  local more = kind == "prompt" and { of.name, of.category, of.text } or kind == "quality" and self.quality or {}
  return record.hash(json.encode { kind = kind, side = side, files = self.sides[side], options = self.options,
    circumstances = self.circumstances, more = more })
end

function Memo:get(side, kind, of) return self.journal.records[key_of(self, side, kind, of)] end

function Memo:put(side, kind, value, say, of) self.journal:add(key_of(self, side, kind, of), value, say) end

-- How many of a side's prompts are done.
function Memo:done(side)
  local n = 0
  for _, prompt in ipairs(self.prompts) do n = n + (self:get(side, "prompt", prompt) and 1 or 0) end
  return n
end

-- Is nothing left to do with this model? quality: is it wanted.
function Memo:whole(side, quality)
  return self:done(side) == #self.prompts and self:get(side, "side") ~= nil
    and (not quality or self:get(side, "quality") ~= nil)
end

return M

-- resume.lua: what of a `luabench model` run is done, in a journal: prompts, loading and memory of each model, quality.
-- What is found there was measured with the same options on the same files, by this build on this processor and device.
local convert = require "luabench.convert.run"
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
  "random_weights", "timing", "no_isolation" }
-- What a model, or what is made of it, depends on beside the files of its tensors.
local BESIDE = { "model.safetensors.index.json" }
for _, name in ipairs(convert.COMPANIONS) do BESIDE[#BESIDE + 1] = name end

-- The files of a model as a later run can tell that they are the same: path, size, time of the last change. Never a
-- folder's own time: a result that is written into it changes that.
function M.files_of(path, random)
  local ok, file = false, nil
  if not random then ok, file = pcall(models.open, path) end
  local is_folder = sys.is_directory(path)
  local names = {}
  for i, name in ipairs(ok and file.parts or { not is_folder and path or nil }) do names[i] = name end
  if ok then file:close() end
  local folder = is_folder and path or path:match "^(.*)/[^/]*$" or "."
  for _, name in ipairs(BESIDE) do names[#names + 1] = folder .. "/" .. name end
  local list = json.array()
  for _, name in ipairs(names) do
    local at = core.stat(name)
    if at then list[#list + 1] = json.array { name, at.bytes, at.modified_s } end
  end
  return list
end

-- The GPUs of this machine as nvidia-smi names them, model and UUID, in its order; nil where it cannot be asked.
local function gpus()
  local ok, lines, status = pcall(sys.lines_of, { "nvidia-smi", "-L" }, 30)
  return ok and status == 0 and json.array(lines) or nil
end

-- What a device is: the CPU's threads and instructions; of a GPU its name, which GPUs there are, and which of them may
-- be seen. It is not opened: that holds its memory, or all of it where it serves one process only. nil where the CPU
-- cannot be opened: no run will be.
local function device_of(opt)
  if opt.device ~= "cpu" then
    return { name = opt.device, threads = opt.threads, gpus = gpus(), visible = os.getenv "CUDA_VISIBLE_DEVICES",
      order = os.getenv "CUDA_DEVICE_ORDER" }
  end
  local ok, device = pcall(core.device, "cpu")
  if not ok then return nil end
  local caps = device.caps
  return { threads = opt.threads or device.threads, isa = device.isa, model = caps.model or caps.name }
end

-- opt: the command's options; asked = { prompts =, text = what quality is measured on, questions = a list or nil
-- }; run: the head of the result.
function M.open(opt, asked, run)
  local circumstances = journal.circumstances()
  circumstances["(device)"] = device_of(opt)
  local options = {}
  for _, name in ipairs(COUNT) do options[name] = opt[name] end
  local original = M.files_of(opt.original, opt.random_weights)
  local sides = { original = { files = original } }
  if opt.quantize then
    sides.quantized = { files = original, quantize = opt.quantize, tensor = json.array(opt.tensor) }
  elseif opt.quantized then
    sides.quantized = { files = M.files_of(opt.quantized, opt.random_weights) }
  end
  local self = setmetatable({ prompts = asked.prompts, sides = sides, options = options, circumstances = circumstances,
    quality = { text = record.hash(asked.text), context = opt.quality_context, tokens = opt.quality_tokens,
      original = original }, questions = asked.questions and record.hash(json.encode(asked.questions)) }, Memo)
  self.journal = journal.begin { outputs = opt.output, names = { "model" }, resume = opt.resume, run = run,
    aside = true, fingerprint = record.hash(json.encode { options, sides, circumstances }):sub(1, 10) }
  return self
end

local function prompt_key(prompt) return json.array { prompt.name, prompt.category, prompt.text } end

-- kind: "prompt" (of: the prompt), "side" (what sides.lua knows of one whose prompts are all done: of these prompts,
-- the first of which the cold start was of), "quality", "questions", or "quantization" (what --quantize made).
local function key_of(self, side, kind, of)
  local more = {}
  if kind == "prompt" then more = prompt_key(of)
  elseif kind == "quality" then more = self.quality
  elseif kind == "questions" then more = self.questions
  elseif kind == "side" then
    more = json.array()
    for i, prompt in ipairs(self.prompts) do more[i] = prompt_key(prompt) end
  end
  return record.hash(json.encode { kind = kind, side = side, files = self.sides[side], options = self.options,
    circumstances = self.circumstances, more = more })
end

function Memo:get(side, kind, of) return self.journal:take(key_of(self, side, kind, of)) end

function Memo:put(side, kind, value, say, of) self.journal:add(key_of(self, side, kind, of), value, say) end

-- Has an earlier run left anything for this one?
function Memo:found()
  for side in pairs(self.sides) do
    for _, kind in ipairs { "side", "quality", "questions", "quantization" } do
      if self.journal.records[key_of(self, side, kind)] then return true end
    end
    if self:done(side) > 0 then return true end
  end
  return false
end

-- How many of a side's prompts are done, by an earlier run or this one.
function Memo:done(side)
  local n, j = 0, self.journal
  for _, prompt in ipairs(self.prompts) do
    local key = key_of(self, side, "prompt", prompt)
    if j.records[key] or j.done[key] then n = n + 1 end
  end
  return n
end

-- Is nothing left to do with this model? quality: is it wanted.
function Memo:whole(side, quality)
  return self:done(side) == #self.prompts and self:get(side, "side") ~= nil
    and (not quality or self:get(side, "quality") ~= nil
      and (not self.questions or self:get(side, "questions") ~= nil))
end

return M

-- run.lua: a model file from another: formats chosen for each tensor, written one tensor at a time, so that memory
-- holds the largest of them and not the model. What is written has its name only when it is whole.
local core = require "luabench.core"
local gguf_keys = require "luabench.convert.gguf_keys"
local gguf_tokenizer = require "luabench.convert.gguf_tokenizer"
local models = require "luabench.model_file"
local plan_of = require "luabench.convert.plan"
local random = require "luabench.convert.random"
local recipes = require "luabench.convert.recipes"
local same = require "luabench.convert.same"
local sys = require "luabench.sys"

local M = {}

-- Vectors, and the small matrices that every runtime wants as they are; the mixed-bits rule has 8 bits for routers.
local KEPT = { norm = true, bias = true, router = true }
-- Beside a model's tensors in a folder.
M.COMPANIONS = { "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
  "special_tokens_map.json", "tokenizer.model", "chat_template.jinja", "vocab.json", "merges.txt" }

local function fail(...) error((...):format(select(2, ...)), 0) end

-- ---- where it goes ----

local function folder_of(path)
  if sys.is_directory(path) then return path end
  return path:match "^(.*)/[^/]*$" or "."
end

-- { path =, format =, folder = or nil }: a file by its ending, or a folder for model.safetensors and what is beside it.
local function target_of(out)
  local lower = out:lower()
  if lower:find "%.gguf$" then return { path = out, format = "gguf" } end
  if lower:find "%.safetensors$" then return { path = out, format = "safetensors" } end
  if out:find "/$" or sys.is_directory(out) then
    local folder = out:gsub("(.)/+$", "%1")
    if sys.exists(folder .. "/model.safetensors.index.json") then
      fail("%s has a model in several parts already (model.safetensors.index.json); name another folder", folder)
    end
    return { path = folder .. "/model.safetensors", format = "safetensors", folder = folder }
  end
  fail("%s: expected a name that ends in .gguf or .safetensors, or a folder (a name that ends in /)", out)
end

local function check_apart(file, target)
  local there = core.stat(target.path)
  if not there then return end
  if there.kind ~= "file" then fail("%s is there and no file", target.path) end
  for _, path in ipairs(file.parts) do
    local own = core.stat(path)
    if own and own.id == there.id then
      fail("%s is the file that is read; quantized weights over their originals would lose them", target.path)
    end
  end
end

-- Parts are never written over others; that is said before the work, and for any number of parts: how many it will be
-- is not known before the formats are chosen, and parts of two models under one name are nobody's wish.
local function check_no_parts(target)
  local ending = "." .. target.format
  local folder, stem = target.path:match "^(.*/)([^/]*)$"
  folder, stem = folder or "./", stem or target.path
  if stem:sub(-#ending) == ending then stem = stem:sub(1, -#ending - 1) end
  if not sys.is_directory(folder) then return end
  for _, name in ipairs(sys.list_directory(folder)) do
    if name:sub(1, #stem) == stem and name:sub(#stem + 1):find("^%-%d%d%d%d%d%-of%-%d%d%d%d%d%" .. ending .. "$") then
      fail("%s is there already; parts of a model are not written over others: remove them, or name another file",
        (folder == "./" and "" or folder) .. name)
    end
  end
end

-- ---- what each tensor becomes ----

local function is_matrix(item, rule)
  local kept = KEPT[item.role] and not (rule and item.role == "router")
  return #item.shape >= 2 and not kept and item.shape[#item.shape] > 1 and item.shape[#item.shape - 1] > 0
end

-- Can its elements be had as numbers?
local function is_known(item)
  return not item.info or item.info.dtype ~= nil
end

local function is_float(item)
  local d = item.info and item.info.dtype
  return d == nil or d == "quantized" or d:find "^b?f%d" ~= nil
end

local function asked_for(item, job)
  local given = recipes.overridden(job.overrides, #item.shape >= 2, item.name, unpack(item.from))
  if given then return given, "override" end
  if not is_matrix(item, job.rule) then return nil end
  if not job.rule then return job.recipe, "type" end
  local t = item.get()
  local bits = recipes.outlier_bits(item.role, t:spread(0.99), job.min_bits, job.max_bits)
  t:close()
  item.bits = bits
  return recipes.of_bits(bits, job.map), "rule"
end

-- gpt-oss's experts stand as [E, K, N] in Hugging Face's files: blocks along their rows would go across the products.
local function check_rows(item, job, target)
  if target.format ~= "safetensors" or job.kind ~= "gpt_oss" or recipes.PLAIN[item.recipe] then return end
  if not item.name:find "mlp%.experts%.[%w_]+_proj$" then return end
  fail("%s: the experts of gpt-oss cannot be quantized in safetensors, where their rows do not lie along K (%s); OUT "
    .. "can be a .gguf file", job.file.path, item.name)
end

-- Sets item.recipe (nil: kept), item.asked, item.type (as the file writes it), item.stored_shape.
local function choose(item, job, target)
  local asked = is_float(item) and is_known(item) and asked_for(item, job) or nil
  if asked then
    item.asked, item.recipe = asked, recipes.fitting(asked, item.shape[#item.shape] or 1)
    check_rows(item, job, target)
  elseif is_known(item) and is_float(item) and target.format == "gguf" and not (item.info and item.info.recipe) then
    item.recipe = item.info and job.file.format == "gguf" and item.info.dtype or "f32"
  end
  if not item.recipe then
    if not item.info or not is_known(item) and job.file.format ~= target.format then
      fail("%s: tensor %s is %s, which %s cannot hold as it is", job.file.path, item.name,
        item.info and item.info.type or "made of others", target.format)
    end
    item.recipe = item.info.recipe or item.info.dtype
  end
  local same = item.info and job.file.format == target.format
    and (item.info.recipe or item.info.dtype) == item.recipe
  item.copied = same
end

local function matrices_of(shape)
  local count = 1
  for i = 1, #shape - 2 do count = count * shape[i] end
  return count
end

-- What the writer is told of an item; quantized ones in safetensors are bytes with a line of metadata.
local function announce(item, target, metadata)
  if target.format == "gguf" then
    item.type = item.copied and item.info.type or recipes.gguf_type(item.recipe) or item.recipe
    return { name = item.name, shape = item.shape, type = item.type }
  end
  if not item.recipe or not pcall(core.quantizer, item.recipe) then
    item.type = item.copied and item.info.type or item.recipe:upper()
    return { name = item.name, shape = item.shape, type = item.type }
  end
  item.type = item.recipe
  local shape, bytes = item.shape, nil
  bytes = item.copied and item.info.bytes
    or core.quantizer(item.recipe):size_bytes(shape[#shape - 1], shape[#shape]) * matrices_of(shape)
  metadata["luabench.quantized:" .. item.name] = item.recipe .. " " .. table.concat(shape, " ")
  return { name = item.name, shape = { bytes }, type = "U8" }
end

-- ---- one tensor ----

local function numel(shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  return n
end

-- The tensor as it is to be stored, and its error against what was read (nil: none, or nothing to compare).
local function converted(item, on_rows)
  local t = item.get()
  local source = t
  if t.quantizer and t.quantizer.name == item.recipe then return t, nil, t end
  if t.quantizer then source = t:dequantize() end
  local q
  if recipes.PLAIN[item.recipe] or item.recipe == "f64" then q = source:to(item.recipe)
  else q = source:quantize(item.recipe, { progress = on_rows }) end
  local e = q ~= source and q:error(source) or nil
  if source ~= t then t:close() end
  return q, e, source
end

local function store(w, i, item, target, job, on_rows)
  local row = { name = item.name, role = item.role, type = item.type, asked = item.asked, bits = item.bits,
    weights = numel(item.shape) }
  if item.copied then
    local bytes = job.file:bytes(item.info.name)
    row.bytes = item.info.bytes
    w:add_bytes(i, bytes)
    bytes:close()
    return row
  end
  local q, e, source = converted(item, on_rows)
  row.bytes = q:nbytes()
  if e then
    row.error2, row.original2, row.rel_rmse = e.error2, e.original2, e.rel_rmse
    if e.error2 ~= e.error2 or e.error2 == math.huge then
      fail("tensor %s has elements that %s cannot hold: NaN, infinite, or too large", item.name, item.recipe)
    end
  end
  row.requantized = item.was or item.info and item.info.recipe or nil
  if q.quantizer and target.format == "safetensors" then
    local bytes = q:bytes()
    w:add_bytes(i, bytes)
    bytes:close()
  else
    w:add(i, q)
  end
  if source ~= q then source:close() end
  q:close()
  return row
end

-- ---- metadata ----

local function beside(folder)
  return function(name)
    local path = folder .. "/" .. name
    if not core.stat(path) then return {} end
    local ok, value = pcall(sys.json_decode, sys.file_read(path))
    if not ok then fail("%s: %s", path, sys.clean(value)) end
    return type(value) == "table" and value or {}
  end
end

local function name_of(path) return (path:gsub("/+$", ""):gsub("^.*/", ""):gsub("%.%w+$", "")) end

-- metadata, types, from (whose keys stay)
local function metadata_of(job, target)
  local file, metadata, types = job.file, {}, {}
  if target.format == "safetensors" then
    if job.random then metadata["luabench.random_weights"] = "true" end
    if file.format == "safetensors" then
      metadata.format = file:metadata "format" or "pt"
      return metadata, types, not job.made and file or nil
    end
    for key, v in pairs(file:metadata()) do
      if type(v) ~= "table" then metadata["gguf." .. key] = tostring(v) end
    end
    return metadata, types
  end
  if file.format == "safetensors" then
    metadata, types = gguf_keys.of(job.config, job.kind, name_of(job.input))
    local folder = folder_of(job.input)
    if job.random then metadata["luabench.random_weights"] = true end
    if job.no_tokenizer or job.made and not core.stat(folder .. "/tokenizer.json") then
      metadata["tokenizer.ggml.model"] = "none"                      -- llama.cpp wants to be told
    else
      local keys, notes = gguf_tokenizer.of(folder, job.kind, job.config, beside(folder))
      if not keys then fail("%s has no tokenizer.json; --no-tokenizer writes a model without one", folder) end
      for _, note in ipairs(notes) do table.insert(job.notes, note) end
      for key, v in pairs(keys) do metadata[key] = v end
      for key, t in pairs(gguf_tokenizer.types) do types[key] = t end
    end
  end
  metadata["general.quantization_version"] = 2
  metadata["general.file_type"] = not job.rule and gguf_keys.file_type(job.recipe)
    or file.format == "gguf" and require("luabench.json").null or nil
  return metadata, types, file.format == "gguf" and file or nil
end

-- ---- the whole ----

local function copy_companions(from, to)
  local copied = {}
  for _, name in ipairs(M.COMPANIONS) do
    local text = sys.read_file(from .. "/" .. name)
    if text then
      sys.replace_file(to .. "/" .. name, text)
      copied[#copied + 1] = name
    end
  end
  return copied
end

local function write_all(w, items, target, job, report)
  local rows = {}
  for i, item in ipairs(items) do
    report.item(i, #items, item.name)
    rows[i] = store(w, i, item, target, job, function(done, total) report.rows(done, total) end)
    collectgarbage()
    if sys.interrupted() then fail "interrupted" end
  end
  return rows
end

local function unused_overrides(job)
  for _, o in ipairs(job.overrides) do
    if o.used == 0 then
      fail("--tensor %s: no %s has a name that fits", o.text, o.vectors and "matrix, only vectors," or "tensor")
    end
  end
end

local function sum(rows)
  local by, order, total = {}, {}, { type = "total", tensors = 0, weights = 0, bytes = 0, error2 = 0, original2 = 0 }
  for _, row in ipairs(rows) do
    local s = by[row.type]
    if not s then
      s = { type = row.type, tensors = 0, weights = 0, bytes = 0, error2 = 0, original2 = 0 }
      by[row.type] = s
      order[#order + 1] = s
    end
    for _, x in ipairs { s, total } do
      x.tensors, x.weights, x.bytes = x.tensors + 1, x.weights + row.weights, x.bytes + row.bytes
      x.error2, x.original2 = x.error2 + (row.error2 or 0), x.original2 + (row.original2 or 0)
    end
  end
  table.sort(order, function(a, b) return a.bytes > b.bytes end)
  order[#order + 1] = total
  for _, s in ipairs(order) do
    s.bits_per_weight = s.weights > 0 and s.bytes * 8 / s.weights or nil
    s.rel_rmse = s.original2 > 0 and math.sqrt(s.error2 / s.original2) or nil
    s.error2, s.original2 = nil, nil
  end
  return order
end

-- Converts. o = { input =, output =, recipe =, overrides = { texts }, rule = bool, map = "k" or "uniform", min_bits =,
-- max_bits =, no_tokenizer =, split_bytes =, model_type =, random = bool (input is a config.json, or a folder with
-- one), seed =, report = { item = f(i, n, name), rows = f(done, total) } }.
-- Returns { path =, paths =, format =, type =, random = are the weights random ones, tensors = rows, types = sums with
-- the total last, skipped =, notes =,
-- copied =, bytes = of the files }. Errors are raised (level 0).
function M.run(o)
  local target = target_of(o.output)
  local job = { file = o.random and random.open(o.input, o.seed, o.model_type) or models.open(o.input), input = o.input,
    made = o.random, rule = o.rule, map = o.map, min_bits = o.min_bits or 2,
    max_bits = o.max_bits or 8, no_tokenizer = o.no_tokenizer, overrides = {}, notes = {} }
  job.random = job.made or models.is_random(job.file)
  check_apart(job.file, target)
  if o.split_bytes then check_no_parts(target) end
  if o.recipe then job.recipe = recipes.check(o.recipe, target.format) end
  if o.rule then recipes.check_map(o.map, target.format) end
  for i, text in ipairs(o.overrides or {}) do job.overrides[i] = recipes.override(text, target.format) end
  if job.made then
    job.kind, job.config = job.file.type, job.file.config
  else
    job.kind, job.config = models.model_type(job.file, o.model_type).type, models.config(job.file)
  end
  local items, skipped = plan_of.of(job.file, target.format, job.kind, job.config)
  local metadata, types, from = metadata_of(job, target)
  if target.format == "gguf" and job.file.format ~= "gguf" then
    same.check(job.file.path, job.config, job.kind, metadata, items)
  end
  local list = {}
  for i, item in ipairs(items) do
    if job.rule then o.report.item(i, #items, item.name .. ": looking") end
    choose(item, job, target)
    list[i] = announce(item, target, metadata)
    if sys.interrupted() then fail "interrupted" end
  end
  unused_overrides(job)
  if target.folder then sys.mkdir_p(target.folder) end
  local w = models.writer(target.path, { tensors = list, metadata = metadata, types = types, from = from,
    split_bytes = o.split_bytes })
  local ok, rows = pcall(write_all, w, items, target, job, o.report)
  if not ok then
    w:close()
    error(rows, 0)
  end
  local from_folder, copied = folder_of(o.input), nil
  if target.folder and from_folder ~= target.folder then copied = copy_companions(from_folder, target.folder) end
  local paths = w:finish()
  job.file:close()
  local bytes = 0
  for _, path in ipairs(paths) do bytes = bytes + core.stat(path).bytes end
  return { path = target.path, paths = paths, format = target.format, type = job.kind, random = job.random or false,
    tensors = rows, types = sum(rows), skipped = skipped, notes = job.notes, copied = copied, bytes = bytes }
end

return M

-- builder.lua: a transformer's steps, from token numbers to logits, recorded into a plan or run one by one.
--
-- What differs between "plan" and "fused": fused gives products of one input, and their biases, as one `linear` (on a
-- GPU of formats that have panels there), adds and norms as one add_rms_norm, and a dense FFN of quantized weights as
-- one `moe_ffn` (on a GPU of up to 64 rows; on a CPU not where one of its products goes by planes, which is `linear`
-- alone). "eager" takes the steps of "plan" and hands each to the engine on its own, from Lua.
local core = require "luabench.core"

local Builder = {}
Builder.__index = Builder
local M = {}

-- o: model, rows (T), sequences (B), cache (lb.kv_cache), io = { ids [T], positions [T], lengths [B], starts [B+1] or
-- nil }, fused (true or false), pool (table of buffers that builders share; pool.outgrown becomes true where a larger
-- one took a buffer's place, which steps recorded before go on using), record(op, args), keep (i32 [B] or nil: the
-- rows that are wanted at the end; the last layer leaves the others behind its attention).
function M.new(o)
  local b = setmetatable({}, Builder)
  for k, v in pairs(o) do b[k] = v end
  b.spec, b.device = o.model.spec, o.model.device
  b.on_cpu = tostring(b.device.name):find "^cpu" ~= nil
  b.lengths, b.starts = o.io.lengths, o.io.starts
  return b
end

-- ---- buffers: by name, so that all layers share them ----

local function product(dims)
  local n = 1
  for _, d in ipairs(dims) do n = n * d end
  return n
end

local function buffer(b, name, dims, dtype)
  local key, n = name .. ":" .. dtype, math.max(product(dims), 1)
  local have = b.pool[key]
  if not have or have.shape[1] < n then
    b.pool.outgrown = b.pool.outgrown or have ~= nil
    have = core.zeros({ n }, { dtype = dtype, device = b.device })
    b.pool[key] = have
  end
  if n ~= have.shape[1] then have = have:slice(1, 1, n) end
  return have:reshape(dims)
end

function Builder:f32(name, dims) return buffer(self, name, dims, "f32") end
function Builder:i32(name, dims) return buffer(self, name, dims, "i32") end

-- A vector of zeros that no step writes.
function Builder:zeros(n) return buffer(self, "zeros " .. n, { n }, "f32") end

-- ---- steps ----

-- Records one operation; returns its `out`, or its operands where it has several. native: that of the model where nil.
function Builder:emit(op, args)
  if self.model.native and args.native == nil then args.native = true end
  self.record(op, args)
  return args.out or args
end

local function shaped(t, dim)
  return dim and t:reshape { t.shape[1], t.shape[2] / dim, dim } or t
end

local function all_quantized(ws)
  for _, w in ipairs(ws) do
    if not w.quantizer then return false end
  end
  return true
end

-- All biases below one another, 0 where there is none; made once for each set of weights.
local function joined_bias(b, ws, biases)
  local any
  for i = 1, #ws do any = any or biases[i] end
  if not any or #ws == 1 then return any or nil end
  local known = b.model.joined
  if not known[any] then
    local parts = {}
    for i, w in ipairs(ws) do
      parts[i] = biases[i] or core.zeros({ w.shape[1] }, { dtype = "f32", device = b.device })
    end
    known[any] = core.cat(parts)
  end
  return known[any]
end

local function one_wide(b, x, ws, biases, name, dim)
  local total = 0
  for _, w in ipairs(ws) do total = total + w.shape[1] end
  local out = b:f32(name, { b.rows, total })
  b:emit("linear", { x = x, w = #ws > 1 and ws or ws[1], bias = joined_bias(b, ws, biases), out = out, label = name })
  local views, at = {}, 0
  local wide = shaped(out, dim)
  for i, w in ipairs(ws) do
    local n = w.shape[1] / (dim or 1)
    views[i] = #ws == 1 and wide or wide:slice(2, at + 1, at + n)
    at = at + n
  end
  return views
end

-- Formats of which a GPU's `linear` has products: those with panels. On the CPU it takes all.
local with_panels
local function linear_takes(b, ws)
  if b.on_cpu then return true end
  if b.model.native then return false end
  if not with_panels then
    with_panels = {}
    for _, name in ipairs(core.kernels()) do
      local k = core.kernel(name)
      if k.device == "cuda" and k.panel_rows then with_panels[k.format] = true end
    end
  end
  for _, w in ipairs(ws) do
    if not with_panels[w.quantizer.family] then return false end
  end
  return true
end

-- Are products of these weights fused with one another?
function Builder:fuses(ws) return self.fused and all_quantized(ws) and linear_takes(self, ws) end

-- Does a kernel here take a whole FFN of these in their files' own layout? Without one moe_ffn would be the reference.
local function has_native_ffn(device, gate, up, down)
  local function f32(...) return core.zeros({ ... }, { dtype = "f32", device = device }) end
  local function i32(list) return core.tensor(list, { dtype = "i32", device = device }) end
  local plan = core.plan(device)
  plan:moe_ffn { x = f32(1, gate.shape[2]), gate = gate, up = up, down = down, offsets = i32 { 0, 1 }, rows = i32 { 0 },
    class = i32 { 0 }, h = f32(1, gate.shape[1]), y = f32(1, down.shape[1]), native = true }
  local kernel = plan:steps()[1].kernel
  plan:close()
  return kernel:find "native" ~= nil
end

-- Is there a kernel of the CPU, other than the reference, that does `op` with the quantized w in its file's own layout?
local function native_kernel(op, w, ...)
  if not w.quantizer or not tostring(w.device.name):find "^cpu" then return false end
  local plan = core.plan(w.device)
  plan[op](plan, { x = core.zeros({ ... }, { dtype = "f32", device = w.device }), w = w, native = true })
  local kernel = plan:steps()[1].kernel
  plan:close()
  return kernel:find "native" ~= nil
end

-- Does one read this matrix so?
function M.reads_native(w) return native_kernel("linear", w, 1, w.shape[2]) end

-- One a head, [H, N, K]?
function M.reads_native_heads(w) return native_kernel("head_gemm", w, 1, w.shape[1], w.shape[3]) end

-- Does the product of this matrix, x to out, go by planes (kernels/cpu/README.md, "Planes")? That is `linear` alone,
-- which then has other bits than what is fused.
local function by_planes(w, x, out)
  local plan = core.plan(w.device)
  plan:linear { x = x, w = w, out = out }
  local kernel = plan:steps()[1].kernel
  plan:close()
  return kernel:find "planes" ~= nil
end

-- Of one of an FFN's? Asked with the buffers that it takes either way.
function Builder:has_planes(ws, x, name)
  local known, gate = self.model.planes, ws[1]
  local h = self:f32(name .. "gated", { self.rows, gate.shape[1] })
  for i, w in ipairs(ws) do
    local key = ("%s %dx%d %d"):format(w.quantizer.name, w.shape[1], w.shape[2], self.rows)
    if known[key] == nil then
      local down = i == #ws
      known[key] = by_planes(w, down and h or x, down and self:f32(name .. "ffn out", { self.rows, w.shape[1] }) or h)
    end
    if known[key] then return true end
  end
  return false
end

-- Has this machine kernels that fuse a whole FFN of them? Of repacked weights it has. A GPU's read the weights once for
-- each 16 rows: with many rows `linear` reads them less often. So does a CPU's by planes.
function Builder:fuses_ffn(ws, x, name)
  if not self.fused or not all_quantized(ws) then return false end
  if not self.model.native then
    if self.model.repack_bytes == 0 or not self.on_cpu then return self.model.repack_bytes > 0 and self.rows <= 64 end
    return not self:has_planes(ws, x, name)
  end
  if not self.on_cpu then return false end
  local known, key = self.model.ffn_kernels, ""
  for _, w in ipairs(ws) do key = ("%s %s %dx%d"):format(key, w.quantizer.name, w.shape[1], w.shape[2]) end
  if known[key] == nil then known[key] = has_native_ffn(self.device, unpack(ws)) end
  return known[key]
end

-- What moe_group gives for one expert that all rows go to: offsets { 0, T }, rows 0 to T - 1. Made once a plan.
function Builder:every_row()
  if not self.all then
    local list = {}
    for i = 1, self.rows do list[i] = i - 1 end
    local opts = { dtype = "i32", device = self.device }
    self.all = { core.tensor({ 0, self.rows }, opts), core.tensor(list, opts) }
  end
  return self.all[1], self.all[2]
end

-- The operation for the product of one matrix: of quantized ones `linear` in every mode, so that all have the same bits
-- also where a format's `gemm` sums in another order. A GPU's `linear` is its `gemm` with the bias, so there it is for
-- "fused".
function Builder:product(w) return self.on_cpu and w.quantizer and "linear" or "gemm" end

-- w x + bias for each of the matrices; a list of [T, N], or [T, N / dim, dim] if `dim` is given.
function Builder:project(x, ws, biases, name, dim)
  if self:fuses(ws) then return one_wide(self, x, ws, biases, name, dim) end
  local outs = {}
  for i, w in ipairs(ws) do
    local part = #ws > 1 and name .. " " .. i or name
    local out = self:f32(part, { self.rows, w.shape[1] })
    self:emit(self:product(w), { x = x, w = w, out = out, label = name })
    if biases[i] then
      local sum = self:f32(part .. " biased", out.shape)
      self:emit("add", { a = out, b = biases[i], out = sum, label = name })
      out = sum
    end
    outs[i] = shaped(out, dim)
  end
  return outs
end

-- Rotates rows [T, H, D] in place.
function Builder:rope(x, name)
  local r = self.spec.rope
  if r.dim < x.shape[3] then x = x:slice(3, 1, r.dim) end
  self:emit("rope", { x = x, positions = self.io.positions, frequencies = self.model.frequencies, interleaved = r.pairs,
    scale = self.model.rope_scale, label = name })
end

-- ---- the residual stream: h, and what is still to be added to it ----

-- Of x [T, N] and of the residual stream the rows that are wanted, in the last layer; where all are, x itself.
function Builder:leave_rows(x, layer)
  if not self.keep or layer < self.spec.layers then return x end
  local n = self.keep.shape[1]
  local function kept(name, rows)
    return self:emit("gather", { x = rows, ids = self.keep, out = self:f32(name, { n, rows.shape[2] }),
      label = "last rows" })
  end
  self.h = kept("last rows of the stream", self.h)
  x = kept("last rows attended", x)
  self.rows, self.all = n, nil
  return x
end

function Builder:norm(weight, name)
  local out = self:f32("normed", { self.rows, self.spec.hidden })
  local args = { weight = weight, eps = self.spec.eps, out = out, label = name }
  local pending = self.pending
  self.pending = nil
  if pending and self.fused then
    args.x, args.h = pending, self.h
    return self:emit("add_rms_norm", args)
  end
  if pending then self:emit("residual", { x = pending, y = self.h, label = name }) end
  args.x = self.h
  return self:emit("rms_norm", args)
end

-- What a block gives, through its norm where the model has one behind the block too.
function Builder:add(x, weight, name)
  if weight then
    x = self:emit("rms_norm", { x = x, weight = weight, eps = self.spec.eps, out = self:f32(name .. " normed", x.shape),
      label = name .. " norm" })
  end
  self.pending = x
end

function Builder:embed()
  self.h = self:f32("residual stream", { self.rows, self.spec.hidden })
  self:emit("embedding", { ids = self.io.ids, table = self.model.weights.embedding, out = self.h })
end

function Builder:block(layer)
  local l, arch = self.model.layers[layer], self.model.architecture
  self:add(arch.attention.record(self, l, self:norm(l.attention_norm, "attention norm"), layer),
    l.after_attention_norm, "attention")
  self:add(self.model.feed_forward(layer).record(self, l, self:norm(l.ffn_norm, "ffn norm"), layer),
    l.after_ffn_norm, "ffn")
end

-- All layers; leaves the residual stream complete in h.
function Builder:trunk()
  self:embed()
  for layer = 1, self.spec.layers do self:block(layer) end
end

function Builder:settle()
  if not self.pending then return end
  self:emit("residual", { x = self.pending, y = self.h, label = "residual" })
  self.pending = nil
end

-- Logits [T, vocab] of the rows of h.
function Builder:head()
  local w = self.model.weights
  local x = self:norm(w.norm, "final norm")
  local out = self:f32("logits", { self.rows, self.spec.vocab })
  local head = w.head or w.embedding
  return self:emit(self:product(head), { x = x, w = head, out = out, label = "head",
    native = self.model.native_head or nil })
end

return M

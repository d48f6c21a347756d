-- loss.lua: what its weights' formats cost a case, where the script does not say: the error of the quantized weights
-- against what they were made from, and of the output of a plan that is one product.
--
-- The originals of t:quantize are held while case() records; a weight that came from somewhere else (a file,
-- lb.prepared, a view) has none, and then nothing is said: the error of a part of the weights would not be that of the
-- plan.
local sys = require "luabench.sys"

local M = {}

-- Originals are held up to this share of the memory that is free.
local MEMORY_SHARE = 0.25
-- The reference product is formed in f64 up to so many FLOPs; beyond, the error of the output is not computed.
local MOST_FLOPS = 2e11

-- Calls f with originals being held.
function M.recording(f, ...)
  local free = sys.machine().memory_available_bytes
  sys.keep_originals(free and free > 0 and free * MEMORY_SHARE or 2 ^ 30)
  return f(...)
end

function M.stop() sys.keep_originals(nil) end

local function tensors_of(operand)
  return sys.is_tensor(operand) and { operand } or operand
end

-- The plan's quantized weights with their originals, each pair of original and format once; nil where an original is
-- unknown. And the steps.
local function weights_of(plan)
  local list, seen = {}, {}
  local steps = sys.steps(plan)
  for i = 1, #steps do
    for _, operand in pairs(sys.operands(plan, i)) do
      for _, t in ipairs(tensors_of(operand)) do
        if t.quantizer then
          local original = sys.original_of(t)
          if not original then return nil, steps end
          seen[original] = seen[original] or {}
          if not seen[original][t.quantizer.name] then
            seen[original][t.quantizer.name] = true
            list[#list + 1] = { weight = t, original = original }
          end
        end
      end
    end
  end
  return #list > 0 and list or nil, steps
end

-- Sums over all weights.
local function weights_error(weights)
  local error2, want2, bits, elements = 0, 0, 0, 0
  for _, pair in ipairs(weights) do
    local w = pair.weight
    local e, norm = w:error(pair.original), pair.original:norm()
    error2, want2 = error2 + (e.rel_rmse * norm) ^ 2, want2 + norm ^ 2
    bits, elements = bits + w:nbytes() * 8, elements + w:numel()
  end
  if want2 <= 0 or elements == 0 then return nil end
  local rel = math.sqrt(error2 / want2)
  return { bits_per_weight = bits / elements, rel_rmse = rel, sqnr_db = rel > 0 and -20 * math.log10(rel) or nil }
end

-- What one product would give with the original weights, in f64; nil for other plans.
local function reference(plan, steps)
  if #steps ~= 1 or steps[1].op ~= "gemm" then return nil end
  local o = sys.operands(plan, 1)
  if not sys.is_tensor(o.x) or not sys.is_tensor(o.w) or #o.x.shape ~= 2 or #o.w.shape ~= 2 then return nil end
  if 2 * o.x:numel() * o.w.shape[1] > MOST_FLOPS then return nil end
  local y = sys.oracle_matmul(o.x, sys.original_of(o.w))
  sys.oracle_forget()
  return y
end

-- Right after case(), before anything ran: { quantization_error fields, reference = f64 output or nil }, or nil where
-- nothing is quantized or an original is unknown. Lets the originals go.
function M.before(plan)
  local ok, found = pcall(function()
    local weights, steps = weights_of(plan)
    local e = weights and weights_error(weights) or nil
    return e and { error = e, reference = reference(plan, steps) }
  end)
  M.stop()
  if not ok and sys.interrupted() then error(found, 0) end
  return ok and found or nil
end

-- While the outputs are those of the check: the record's quantization_error.
function M.after(plan, before)
  local e, want = before.error, before.reference
  if want then
    local got = sys.last_output(plan)
    local ok, nmse = pcall(sys.nmse, got, want)
    if ok and nmse == nmse then e.output_rel_rmse = math.sqrt(nmse) end
  end
  return e
end

return M

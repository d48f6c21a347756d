-- kernel_choice.lua: what the choice of a kernel costs: the one that a plan takes against every other that fits, by
-- turns.
--   luabench scenarios/kernel_choice.lua                      # with what `luabench tune` found, if it ran
--   luabench scenarios/kernel_choice.lua --kernels priority   # by priority alone
--   luabench scenarios/kernel_choice.lua --work gemm,linear --quant f32,q4_k,bf16 --rows 1,8,64
-- Regret is the time of the plan's kernel over that of the fastest, less 1: at least 0, and some of it noise; "best"
-- names that one. Where one kernel fits (references apart) there is nothing to choose, and the case is skipped.
local lb = require "luabench"

local function weight(opt, format, dims)
  local w = lb.randn(dims, { seed = 2, device = opt.device })
  if format == "f32" then return w end
  if format == "bf16" or format == "f16" then return w:to(format) end
  return w:quantize(format)
end

local function rows_of(g, opt, seed) return lb.randn({ g.rows, opt.k }, { seed = seed or 1, device = opt.device }) end

local record = {}         -- work -> function(plan, axes, options): records it

function record.gemm(plan, g, opt) plan:gemm { x = rows_of(g, opt), w = weight(opt, g.quant, { opt.n, opt.k }) } end
function record.linear(plan, g, opt)
  plan:linear { x = rows_of(g, opt),
    w = { weight(opt, g.quant, { opt.n, opt.k }), weight(opt, g.quant, { opt.n, opt.k }) } }
end

-- One sequence of `rows` new positions behind `past` others, 8 query heads for each of 4 cache heads.
function record.attention(plan, g, opt)
  local s = g.rows + opt.past
  local c = lb.kv_cache { batch = 1, heads = 4, capacity = s, dim = 128, type = g.quant, device = opt.device }
  c.lengths:fill(s)
  for _, cache in ipairs { c.k[1], c.v[1] } do
    local x = lb.randn({ s, 4, 128 }, { seed = 3, device = opt.device })
    lb.plan(opt.device):kv_write { x = x, cache = cache, lengths = c.lengths, packed = c.packed }:run()
  end
  local q = lb.randn({ g.rows, 32, 128 }, { seed = 4, device = opt.device })
  plan:attention { q = q, k = c.k[1], v = c.v[1], lengths = c.lengths, packed = c.packed }
end

function record.rms_norm(plan, g, opt) plan:rms_norm { x = rows_of(g, opt) } end
function record.softmax(plan, g, opt) plan:softmax { x = rows_of(g, opt) } end
function record.swiglu(plan, g, opt) plan:swiglu { gate = rows_of(g, opt), up = rows_of(g, opt, 2) } end

local FORMATS = { gemm = "weights", linear = "weights", attention = "cache" }
local CACHES = { f32 = true, f16 = true, bf16 = true, f8e4m3 = true, q8_0 = true, q4_0 = true }

-- What makes no sense, or nil.
local function senseless(g, opt)
  if not FORMATS[g.work] then return g.quant ~= "f32" and g.work .. " has no weights: quant f32 only" or nil end
  if FORMATS[g.work] == "cache" then return not CACHES[g.quant] and "no cache is of " .. g.quant or nil end
  if g.quant == "f32" or g.quant == "bf16" or g.quant == "f16" then return nil end
  local multiple = lb.quantizer(g.quant).k_multiple
  return opt.k % multiple ~= 0 and ("%s needs K to be a multiple of %d"):format(g.quant, multiple) or nil
end

-- Is there another kernel, references apart?
local function has_choice(plan)
  local n = 0
  for _, c in ipairs((plan:candidates(1))) do
    if c.fits and not c.loaded and c.priority > 0 then n = n + 1 end
  end
  return n > 1
end

local function metrics(plan, opt)
  local q = lb.tune(plan, { keep = false, again = true, max_time = opt.kernel_time, cache = opt.cache,
    seed = opt.seed })[1]
  return {
    regret = { unit = "fraction", median = q.regret, chosen = q.chosen, why = q.why, best = q.best, ns = q.ns,
      noisy = q.noisy },
    regret_of_priority = { unit = "fraction", median = q.regret_of_default, kernel = q.default },
  }
end

local works = {}
for name in pairs(record) do works[#works + 1] = name end
table.sort(works)

return lb.scenario {
  about = "regret of the choice of kernels",
  options = {
    work = { help = "operations", default = works, choices = works },
    quant = { help = "formats of weights or caches", default = { "f32", "q4_k", "bf16" }, check = function(list)
      for _, name in ipairs(list) do
        if not CACHES[name] and not pcall(lb.quantizer, name) then return false, "f32, f16, bf16 and weight formats" end
      end
      return true
    end },
    rows = { "rows of activations", { 1, 16, 256 } },
    n = { help = "output columns", default = 4096, min = 1, max = 1048576 },
    k = { help = "input columns", default = 4096, min = 1, max = 1048576 },
    past = { help = "positions in the cache before the rows", default = 2048, min = 0, max = 1048576 },
    kernel_time = { help = "seconds of sampling of each kernel", default = 0.3, min = 0.001, max = 3600 },
  },
  grid = function(opt)
    return lb.grid { { "work", opt.work }, { "quant", opt.quant }, { "rows", opt.rows } }
      :where(function(g) return not senseless(g, opt) end)
  end,
  group = "work",
  columns = { "quant", "rows", "time", { title = "chosen", field = "metrics.regret.chosen" },
    { title = "by", field = "metrics.regret.why" }, { title = "regret", field = "metrics.regret", unit = "fraction" },
    { title = "best", field = "metrics.regret.best" },
    { title = "regret by priority", field = "metrics.regret_of_priority", unit = "fraction" } },
  case = function(g, opt)
    local plan = lb.plan(opt.device)
    record[g.work](plan, g, opt)
    if not has_choice(plan) then return lb.skip "one kernel fits, references apart" end
    return { plan = plan, items = g.rows, item = "row", metrics = function() return metrics(plan, opt) end }
  end,
}

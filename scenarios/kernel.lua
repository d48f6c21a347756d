-- kernel.lua: single kernels at a shape, against one another: what `luabench ab KERNEL KERNEL` runs.
--   luabench scenarios/kernel.lua --kernel gemm.q4_k.avx512,gemm.any.portable --m 1 --recipe q4_k
--   luabench ab gemm.q4_k.avx512 gemm.any.portable --m 8 --recipe q4_k
--   luabench scenarios/kernel.lua --own mine.c --recipe f32 --m 8   # a file for lb.kernel.compile, and those of gemm
local lb = require "luabench"

-- The first format of the kernel's family, unless --recipe names one: "int4wo" takes "int4wo-128".
local function format_of(kernel, opt)
  if opt.recipe then return opt.recipe end
  if kernel.format == nil or kernel.format == "any" or kernel.format == "f32" then return "f32" end
  for _, name in ipairs(lb.quantizers()) do
    if lb.quantizer(name).family == kernel.format then return name end
  end
  return kernel.format
end

local build = {}      -- operation -> operands and parameters, or a skip

function build.gemm(kernel, opt, device)
  local w = lb.randn({ opt.n, opt.k }, { seed = opt.seed, device = device })
  local format = format_of(kernel, opt)
  if format ~= "f32" then
    local multiple = lb.quantizer(format).k_multiple
    if opt.k % multiple ~= 0 then return lb.skip(("%s needs K to be a multiple of %d"):format(format, multiple)) end
    w = lb.prepared(("kernel.lua %s n=%d k=%d seed=%d"):format(format, opt.n, opt.k, opt.seed), function()
      return { w = w:quantize(format) }
    end, "quantizing to " .. format).w
  end
  return { x = lb.randn({ opt.m, opt.k }, { seed = opt.seed + 1, device = device }), w = w }
end

local function vector(opt, device, seed)
  return lb.randn({ opt.m, opt.n }, { seed = opt.seed + seed, device = device })
end

function build.swiglu(_, opt, device) return { gate = vector(opt, device, 0), up = vector(opt, device, 1) } end
function build.axpy(_, opt, device)
  return { x = vector(opt, device, 0), y = vector(opt, device, 1), scale = lb.full({ 1 }, 0.5, { device = device }) }
end
function build.fill(_, opt, device) return { out = vector(opt, device, 0), value = 1 } end
function build.peak(_, opt) return { rounds = opt.rounds } end
function build.peak_read(_, opt, device) return { x = vector(opt, device, 0) } end
build.peak_copy = build.peak_read
function build.peak_write(_, opt, device) return { out = vector(opt, device, 0) } end

local function usable_gemms()
  local list = {}
  for _, name in ipairs(lb.kernels "gemm") do
    if lb.kernel(name).usable then list[#list + 1] = name end
  end
  return list
end

local function known(list)
  for _, name in ipairs(list) do
    local ok, why = pcall(lb.kernel, name)
    if not ok then return false, ("names of kernels (%s)"):format(why) end
  end
  return true
end

return lb.scenario {
  about = "single kernels at a shape",
  options = {
    kernel = { help = "kernels to run (default: those of gemm)", type = "list", default = usable_gemms(),
      check = known },
    m = { help = "rows of activations", default = 1, min = 1, max = 65536 },
    n = { help = "output columns", default = 4096, min = 1, max = 2 ^ 28 },
    k = { help = "input columns", default = 4096, min = 1, max = 2 ^ 28 },
    recipe = { help = "format of the weights (default: the first that the kernel takes)", type = "string",
      check = function(v)
        local ok, why = pcall(lb.quantizer, v)
        return v == "f32" or ok, ("f32 or a weight format (%s)"):format(tostring(why))
      end },
    own = { help = "files of C with kernels of your own (lb.kernel.compile), to run beside them", type = "list",
      default = {} },
    rounds = { help = "rounds of a peak kernel", default = 16, min = 1, max = 1e9 },
  },
  grid = function(opt)
    local names = {}
    for i, name in ipairs(opt.kernel) do names[i] = name end
    for _, file in ipairs(opt.own) do names[#names + 1] = lb.kernel.compile(file).name end
    opt.kernel = names               -- --kernel and --own together are the axis
    return lb.grid { kernel = names }
  end,
  case = function(axes, opt)
    for _, file in ipairs(opt.own) do lb.kernel.compile(file) end
    local kernel = lb.kernel(axes.kernel)
    if not kernel.usable then return lb.skip(("%s cannot run on this machine"):format(axes.kernel)) end
    local make = build[kernel.op]
    if not make then
      local names = {}
      for name in pairs(build) do names[#names + 1] = name end
      table.sort(names)
      return lb.skip(("this scenario has no operands for %s, only for %s; --scenario names another"):format(kernel.op,
        table.concat(names, ", ")))
    end
    local operands = make(kernel, opt, opt.device)
    if getmetatable(operands) ~= nil then return operands end        -- a skip
    local plan = lb.plan(opt.device)
    local ok, why = pcall(plan.call, plan, axes.kernel, operands)
    if ok then return { plan = plan, items = opt.m, item = "row" } end
    local reason = tostring(why):match "does not fit: (.*)$"
    if not reason then error(why, 0) end
    return lb.skip(("%s does not fit: %s"):format(axes.kernel, reason))
  end,
}

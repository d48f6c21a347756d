-- memory.lua: how fast memory moves: read, copy, gather, scatter, by strides, again and again; from each cache and
-- beyond.
--   luabench scenarios/memory.lua --work read,copy --mib 1,512
local lb = require "luabench"

local ROW = 1024 -- floats of a gathered or scattered row

return lb.scenario {
  about = "memory kernels by size: what the caches and the memory give",
  options = {
    stride = { help = "elements from one strided read to the next", default = 16, min = 1, max = 1048576 },
    times = { help = "how often a block is read again", default = 8, min = 1, max = 1024 },
    block = { help = "KiB of a block that is read again", default = 16, min = 1, max = 1048576 },
  },
  grid = lb.grid {
    { "work", { "read", "copy", "gather", "scatter", "strided", "reuse" } },
    { "mib", { 0.25, 4, 64, 512 } },
  },
  group = "mib",
  case = function(g, opt)
    local n = math.floor(g.mib * 2 ^ 20 / 4)
    if n < ROW then error(("--mib %s: at least one row of 4 KiB is needed"):format(g.mib), 0) end
    local rows = math.floor(n / ROW)
    local x = lb.randn({ rows, ROW }, { seed = opt.seed, device = opt.device })
    local plan = lb.plan(opt.device)
    if g.work == "read" then
      plan:peak_read { x = x }
    elseif g.work == "copy" then
      plan:copy { x = x }
    elseif g.work == "strided" then
      plan:read_strided { x = x, stride = opt.stride }
    elseif g.work == "reuse" then
      plan:read_reuse { x = x, block = opt.block * 256, times = opt.times }
    elseif g.work == "gather" or g.work == "scatter" then
      -- every row once, far from its neighbours: steps of an odd number around a count that it does not divide
      local step, list = 7919, {}
      while rows % step == 0 do step = step + 2 end
      for i = 1, rows do list[i] = (i - 1) * step % rows end
      local ids = lb.tensor(list, { dtype = "i32", device = opt.device })
      if g.work == "gather" then plan:gather { x = x, ids = ids }
      else plan:scatter { x = x, ids = ids, out = lb.zeros({ rows, ROW }, { device = opt.device }) } end
    else
      error(("--work %s: read, copy, gather, scatter, strided or reuse"):format(g.work), 0)
    end
    return { plan = plan, cache = "hot", items = rows * ROW, item = "element" }
  end,
}

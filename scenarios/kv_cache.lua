-- kv_cache.lua: a cache of keys and values by type and layout: write a token, read it all, attend to it.
--   luabench scenarios/kv_cache.lua --layout bshd,paged --type bf16,q4_0 --s 32768
local lb = require "luabench"

return lb.scenario {
  about = "KV caches: one token written, all read, one token's attention, by type and layout",
  options = {
    s = { help = "positions in the cache", default = 8192, min = 64, max = 1048576 },
    batch = { help = "sequences", default = 1, min = 1, max = 4096 },
    heads = { help = "cache heads", default = 8, min = 1, max = 1024 },
    group = { help = "query heads of a cache head", default = 8, min = 1, max = 1024 },
    dim = { help = "values of a head", default = 128, min = 32, max = 1024 },
  },
  grid = lb.grid {
    { "work", { "write", "read", "attention" } },
    { "type", { "f32", "f16", "bf16", "f8e4m3", "q8_0", "q4_0" } },
    { "layout", { "bhsd", "bshd", "hbsd", "lbhsd", "paged" } },
  },
  group = "work",
  baseline = { type = "f16", layout = "bhsd" },
  case = function(g, opt)
    if g.layout == "paged" and opt.s % 64 ~= 0 then return lb.skip "pages have 64 positions" end
    if (g.type == "q8_0" or g.type == "q4_0") and opt.dim % 32 ~= 0 then
      return lb.skip "packed types take 32 values a block"
    end
    local c = lb.kv_cache { batch = opt.batch, heads = opt.heads, capacity = opt.s, dim = opt.dim, type = g.type,
      layout = g.layout, device = opt.device }
    c.lengths:fill(opt.s)
    local function row(heads, seed)
      return lb.randn({ opt.batch, heads, opt.dim }, { seed = opt.seed + seed, device = opt.device })
    end
    local function with(t)
      t.lengths, t.pages, t.packed = c.lengths, c.pages, c.packed
      return t
    end
    local plan = lb.plan(opt.device)
    if g.work == "write" then
      for i, cache in ipairs { c.k[1], c.v[1] } do plan:kv_write(with { x = row(opt.heads, i), cache = cache }) end
    else
      -- contents: without them all scores are equal, and zeros draw less power
      for i, cache in ipairs { c.k[1], c.v[1] } do
        local x = lb.randn({ opt.batch * opt.s, opt.heads, opt.dim }, { seed = opt.seed + i, device = opt.device })
        lb.plan(opt.device):kv_write(with { x = x, cache = cache }):run()
      end
      if g.work == "read" then
        for _, cache in ipairs { c.k[1], c.v[1] } do plan:kv_read(with { cache = cache }) end
      elseif g.work == "attention" then
        plan:attention(with { q = row(opt.heads * opt.group, 3), k = c.k[1], v = c.v[1] })
      else
        error(("--work %s: write, read or attention"):format(g.work), 0)
      end
    end
    return { plan = plan, cache = ({ write = "hot", read = "weights-cold", attention = "all-cold" })[g.work],
      items = opt.batch, item = "token",
      memory = { weights_bytes = c.nbytes } }
  end,
}

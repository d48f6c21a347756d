-- attention.lua: attention by variant, cache layout and length: prefill and decode, MHA, GQA, MQA, MLA, windows, sinks.
--   luabench scenarios/attention.lua --variant gqa,mla_absorbed --phase decode --s 8192 --type bf16,q8_0
--
-- Decode is measured with everything cold (a cache of keys and values is read once a token), prefill as it follows a
-- product.
local lb = require "luabench"
local kv = require "luabench.kv"

-- Query heads, cache heads, head size (d), value size (v); absorbed MLA keeps one latent a position and no v.
local VARIANTS = {
  mha = { h = 32, g = 32, d = 64 },
  gqa = { h = 32, g = 4, d = 128 },
  mqa = { h = 32, g = 1, d = 128 },
  mla_expanded = { h = 20, g = 20, d = 192, v = 128 },
  mla_absorbed = { h = 20, g = 1, d = 576, v = 0, value_dim = 512 },
  window = { h = 32, g = 8, d = 128, window = 128 },
  sinks = { h = 64, g = 8, d = 64, window = 128, sinks = true },
  not_causal = { h = 16, g = 16, d = 64, causal = 0 },
}

return lb.scenario {
  about = "attention by variant, cache layout, type and length",
  options = {
    batch = { help = "sequences", default = 1, min = 1, max = 4096 },
    kernel = { help = "force this kernel", default = "" },
  },
  grid = lb.grid {
    { "phase", { "prefill", "decode" } },
    { "variant", { "mha", "gqa", "mqa", "mla_expanded", "mla_absorbed", "window", "sinks", "not_causal" } },
    { "s", { 2048, 8192 } },
    { "layout", { "bhsd", "bshd", "paged" } },
    { "type", { "bf16", "q8_0" } },
  }:where(function(g) return g.phase == "decode" or (g.s <= 2048 and g.layout == "bhsd" and g.type == "bf16") end),
  group = "s",
  case = function(g, opt)
    local a = VARIANTS[g.variant]
    if not a then error(("--variant %s: no such variant"):format(g.variant), 0) end
    if g.phase ~= "prefill" and g.phase ~= "decode" then error(("--phase %s: prefill or decode"):format(g.phase), 0) end
    if g.layout == "paged" and g.s % 64 ~= 0 then return lb.skip "pages have 64 positions" end
    local rows = g.phase == "prefill" and g.s or 1
    local c = lb.kv_cache { batch = opt.batch, heads = a.g, capacity = g.s, dim = a.d, value_dim = a.v or a.d,
      type = g.type,
      layout = g.layout, device = opt.device }
    c.lengths:fill(g.s)
    local function fill(cache, dim, seed)
      local x = lb.randn({ opt.batch * g.s, a.g, dim }, { seed = seed, device = opt.device })
      lb.plan(opt.device):kv_write { x = x, cache = cache, lengths = c.lengths, pages = c.pages,
        packed = c.packed }:run()
    end
    fill(c.k[1], a.d, opt.seed)
    if c.v[1] then fill(c.v[1], a.v or a.d, opt.seed + 1) end
    local call = {
      q = lb.randn({ opt.batch * rows, a.h, a.d }, { seed = opt.seed + 2, device = opt.device }),
      k = c.k[1], v = c.v[1], value_dim = a.value_dim, lengths = c.lengths, pages = c.pages, packed = c.packed,
      window = a.window, causal = a.causal, kernel = opt.kernel ~= "" and opt.kernel or nil,
      sinks = a.sinks and lb.randn({ a.h }, { seed = opt.seed + 3, device = opt.device }) or nil,
    }
    return {
      plan = lb.plan(opt.device):attention(call),
      cache = g.phase == "decode" and "all-cold" or "hot",
      items = opt.batch * rows, item = "token",
      memory = { weights_bytes = c.nbytes },
    }
  end,
}

-- attention.lua: the two kinds of attention: heads that share keys and values (GQA), and latents (MLA).
--
-- Each has roles(spec): what weights a layer needs, { role, shape, name in Hugging Face's files, in GGUF [, optional]
-- }; and record(b, l, x, layer): the steps from the normed rows x [T, hidden] to the block's output. b is the builder,
-- l the layer's tensors by role.
local M = {}

-- ---- heads ----

M.gqa = {}

function M.gqa.roles(s)
  local q, kv = s.heads * s.head_dim, s.kv_heads * s.head_dim
  local roles = {
    { "q", { q, s.hidden }, "self_attn.q_proj.weight", "attn_q.weight" },
    { "k", { kv, s.hidden }, "self_attn.k_proj.weight", "attn_k.weight" },
    { "v", { kv, s.hidden }, "self_attn.v_proj.weight", "attn_v.weight" },
    { "o", { s.hidden, q }, "self_attn.o_proj.weight", "attn_output.weight" },
  }
  local function add(...) roles[#roles + 1] = { ... } end
  if s.qkv_bias then
    add("q_bias", { q }, "self_attn.q_proj.bias", "attn_q.bias")
    add("k_bias", { kv }, "self_attn.k_proj.bias", "attn_k.bias")
    add("v_bias", { kv }, "self_attn.v_proj.bias", "attn_v.bias")
  end
  if s.o_bias then add("o_bias", { s.hidden }, "self_attn.o_proj.bias", "attn_output.bias") end
  if s.qk_norm then
    add("q_norm", { s.head_dim }, "self_attn.q_norm.weight", "attn_q_norm.weight")
    add("k_norm", { s.head_dim }, "self_attn.k_norm.weight", "attn_k_norm.weight")
  end
  if s.sinks then add("sinks", { s.heads }, "self_attn.sinks", "attn_sinks.weight") end
  return roles
end

function M.gqa.cache(s) return { heads = s.kv_heads, dim = s.head_dim } end

function M.gqa.record(b, l, x, layer)
  local s = b.spec
  local q, k, v = unpack(b:project(x, { l.q, l.k, l.v }, { l.q_bias, l.k_bias, l.v_bias }, "qkv", s.head_dim))
  if s.qk_norm then
    q = b:emit("rms_norm", { x = q, weight = l.q_norm, eps = s.eps, out = b:f32("q_normed", q.shape),
      label = "q norm" })
    k = b:emit("rms_norm", { x = k, weight = l.k_norm, eps = s.eps, out = b:f32("k_normed", k.shape),
      label = "k norm" })
  end
  b:rope(q, "q")
  b:rope(k, "k")
  local kv = b.cache
  b:emit("kv_write", { x = k, cache = kv.k[layer], lengths = b.lengths, starts = b.starts, pages = kv.pages,
    packed = kv.packed, label = "k" })
  b:emit("kv_write", { x = v, cache = kv.v[layer], lengths = b.lengths, starts = b.starts, pages = kv.pages,
    packed = kv.packed, label = "v" })
  local out = b:f32("attended", { b.rows, s.heads, s.head_dim })
  b:emit("attention", { q = q, k = kv.k[layer], v = kv.v[layer], lengths = b.lengths, starts = b.starts,
    pages = kv.pages,
    packed = kv.packed, sinks = l.sinks, window = s.window_of(layer) or 0, out = out })
  out = b:leave_rows(out:reshape { b.rows, s.heads * s.head_dim }, layer)
  return b:project(out, { l.o }, { l.o_bias }, "attention out")[1]
end

-- ---- latents ----
-- A position's keys and values come from one latent of kv_rank values, the same for all heads. Absorbed: q goes into
-- the latents' space (k_b), attention works on the cached latents, and v_b takes each head's result out of it; nothing
-- is expanded for each position.

M.mla = {}

function M.mla.roles(s)
  local m = s.mla
  local width = s.heads * (m.nope + m.rope)
  local roles = {
    { "kv_a", { m.kv_rank + m.rope, s.hidden }, "self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight" },
    { "kv_a_norm", { m.kv_rank }, "self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight" },
    { "o", { s.hidden, s.heads * m.v }, "self_attn.o_proj.weight", "attn_output.weight" },
    -- one matrix in Hugging Face's files, and in old GGUF files; see prepare
    { "kv_b", { s.heads * (m.nope + m.v), m.kv_rank }, "self_attn.kv_b_proj.weight", "attn_kv_b.weight",
      optional = true },
    { "k_b", { s.heads, m.kv_rank, m.nope }, nil, "attn_k_b.weight", optional = true },
    { "v_b", { s.heads, m.v, m.kv_rank }, nil, "attn_v_b.weight", optional = true },
  }
  local function add(...) roles[#roles + 1] = { ... } end
  if m.q_rank then
    add("q_a", { m.q_rank, s.hidden }, "self_attn.q_a_proj.weight", "attn_q_a.weight")
    add("q_a_norm", { m.q_rank }, "self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight")
    add("q_b", { width, m.q_rank }, "self_attn.q_b_proj.weight", "attn_q_b.weight")
  else
    add("q", { width, s.hidden }, "self_attn.q_proj.weight", "attn_q.weight")
  end
  return roles
end

-- One head's part of `all` on its own: k_b or v_b. What was quantized along other rows is quantized again: q8_0, which
-- adds little to any format's error; f16 where its blocks do not fit.
local function stored_again(part, quantized, made)
  if not quantized then return part:clone() end
  local wide = part:clone()
  local t = wide.shape[3] % 32 == 0 and wide:quantize "q8_0" or wide:to "f16"
  made[t] = t.quantizer and true or nil
  wide:close()
  return t
end

-- k_b [H, kv_rank, nope] and v_b [H, v, kv_rank] from kv_b [H * (nope + v), kv_rank]. Keys of `made` become those that
-- were quantized here. In between it takes ten times their memory: all of that is given back.
function M.mla.prepare(l, s, _, made)
  if l.k_b and l.v_b then return end
  if not l.kv_b then error("neither kv_b nor k_b and v_b are there", 0) end
  local m, quantized = s.mla, l.kv_b.quantizer ~= nil
  local flat = quantized and l.kv_b:dequantize() or l.kv_b
  local all = flat:reshape { s.heads, m.nope + m.v, m.kv_rank }
  local k = all:slice(2, 1, m.nope)
  local turned, v = k:transpose(2, 3), all:slice(2, m.nope + 1, m.nope + m.v)
  l.k_b, l.v_b = stored_again(turned, quantized, made), stored_again(v, quantized, made)
  for _, t in ipairs { all, k, turned, v, quantized and flat or nil } do t:close() end
  l.kv_b:forget()
end

function M.mla.cache(s) return { heads = 1, dim = s.mla.kv_rank + s.mla.rope, value_dim = 0 } end

-- q's rows [T, H, kv_rank + rope]: what was not rotated taken into the latents' space, then the rotated part.
local function queries(b, l, x)
  local s, m = b.spec, b.spec.mla
  if m.q_rank then
    local low = b:project(x, { l.q_a }, {}, "q low")[1]
    x = b:emit("rms_norm", { x = low, weight = l.q_a_norm, eps = s.eps, out = b:f32("q low normed", low.shape),
      label = "q norm" })
  end
  local q = b:project(x, { m.q_rank and l.q_b or l.q }, {}, "q", m.nope + m.rope)[1]
  local turned = q:slice(3, m.nope + 1, m.nope + m.rope)
  b:rope(turned, "q")
  local out = b:f32("q latent", { b.rows, s.heads, m.kv_rank + m.rope })
  local step = { x = q:slice(3, 1, m.nope), w = l.k_b, out = out:slice(3, 1, m.kv_rank), label = "q to latent" }
  if b.model.packed_latents then step.native = false end
  b:emit("head_gemm", step)
  b:emit("add", { a = turned, b = b:zeros(m.rope), out = out:slice(3, m.kv_rank + 1, m.kv_rank + m.rope),
    label = "q rotated" })
  return out
end

-- Where a part of a cache's rows begins and ends, in its elements: bytes for packed types.
local BLOCK_BYTES = { q8_0 = 34, q4_0 = 18 }
local function part(cache, packed, first, last)
  local bytes = BLOCK_BYTES[packed]
  if bytes then first, last = (first - 1) / 32 * bytes + 1, last / 32 * bytes end
  return cache:slice(4, first, last)
end

function M.mla.record(b, l, x, layer)
  local s, m, kv = b.spec, b.spec.mla, b.cache
  local q = queries(b, l, x)
  local low = b:project(x, { l.kv_a }, {}, "kv low", m.kv_rank + m.rope)[1]           -- [T, 1, kv_rank + rope]
  local latent = b:emit("rms_norm", { x = low:slice(3, 1, m.kv_rank), weight = l.kv_a_norm, eps = s.eps,
    out = b:f32("latent", { b.rows, 1, m.kv_rank }), label = "kv norm" })
  local turned = low:slice(3, m.kv_rank + 1, m.kv_rank + m.rope)
  b:rope(turned, "k")
  local width = m.kv_rank + m.rope
  for _, w in ipairs { { latent, 1, m.kv_rank, "latent" }, { turned, m.kv_rank + 1, width, "k" } } do
    b:emit("kv_write", { x = w[1], cache = part(kv.k[layer], kv.packed, w[2], w[3]), lengths = b.lengths,
      starts = b.starts,
      pages = kv.pages, packed = kv.packed, label = w[4] })
  end
  local out = b:f32("latents", { b.rows, s.heads, m.kv_rank })
  b:emit("attention", { q = q, k = kv.k[layer], value_dim = m.kv_rank, scale = s.attention_scale, lengths = b.lengths,
    starts = b.starts, pages = kv.pages, packed = kv.packed, window = s.window_of(layer) or 0, out = out })
  out = b:leave_rows(out:reshape { b.rows, s.heads * m.kv_rank }, layer):reshape { b.rows, s.heads, m.kv_rank }
  local values = b:f32("attended", { b.rows, s.heads, m.v })
  b:emit("head_gemm", { x = out, w = l.v_b, out = values, label = "v from latent" })
  return b:project(values:reshape { b.rows, s.heads * m.v }, { l.o }, {}, "attention out")[1]
end

return M

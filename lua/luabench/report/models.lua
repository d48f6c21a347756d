-- models.lua: the part on whole models (`luabench model`): what was gained and lost, bars for memory and rates, both
-- models side by side, categories of prompts, and what each wrote.
local show = require "luabench.model_bench.show"
local summary = require "luabench.model_bench.summary"
local svg = require "luabench.report.svg"
local units = require "luabench.units"

local M = {}

local e, at = svg.escape, summary.at

-- ---- bars ----

local LABEL, WIDTH, BAR, GAP = 150, 620, 15, 12

-- rows = { { label, value of a, value of b or nil } }, all of one unit: a pair of bars each.
local function bars(title, rows, unit, pair)
  local most, shown = 0, {}
  for _, r in ipairs(rows) do
    if r[2] or r[3] then
      shown[#shown + 1] = r
      most = math.max(most, r[2] or 0, r[3] or 0)
    end
  end
  if most <= 0 then return "" end
  local each = (pair and 2 or 1) * BAR + GAP
  local c = svg.open(WIDTH, #shown * each + 30, title)
  svg.text(c, 0, 14, title, { class = "facet" })
  for i, r in ipairs(shown) do
    local top = 26 + (i - 1) * each
    svg.text(c, LABEL - 8, top + (each - GAP) / 2 + 4, r[1], { class = "tick", anchor = "end" })
    for k = 1, pair and 2 or 1 do
      local v = r[k + 1]
      if v then
        local width, y = v / most * (WIDTH - LABEL - 110), top + (k - 1) * BAR
        svg.rect(c, LABEL, y, width, BAR - 2, "k" .. k)
        svg.text(c, LABEL + width + 6, y + BAR - 5, show.value_text(v, unit), { class = "tick" })
      end
    end
  end
  return svg.close(c)
end

local function rows_of(a, b, list)
  local rows = {}
  for i, l in ipairs(list) do rows[i] = { l[1], at(a, l[2]), b and at(b, l[2]) } end
  return rows
end

local MEMORY = { { "weights", "memory.weights_bytes" }, { "KV cache", "memory.kv_bytes" },
  { "overhead", "memory.overhead_bytes" }, { "peak of the process", "memory.peak_bytes" } }
local LOADING = { { "model", "load.model_ns" }, { "repacking", "load.repack_ns" },
  { "tokenizer", "load.tokenizer_ns" }, { "cold start", "cold_start_ns" } }
local LATENCY = { { "first token", "performance.time_to_first_token.median" },
  { "between tokens", "performance.inter_token_latency.median" },
  { "between tokens, p99", "performance.inter_token_latency.p99" } }

local function by_category(a, b, path)
  local rows = {}
  for i, c in ipairs(type(a.categories) == "table" and a.categories or {}) do
    local other = b and type(b.categories) == "table" and b.categories[i]
    rows[i] = { tostring(type(c) == "table" and c.category or "?"), at(c, path), other and at(other, path) or nil }
  end
  return rows
end

local function legend(a, b)
  if not b then return "" end
  return ('<div class="legend"><span><i class="k1"></i>%s</span><span><i class="k2"></i>%s</span></div>'):format(
    e(a.name or "original"), e(b.name or "quantized"))
end

local function drawings(a, b)
  local pair = b ~= nil
  local list = { bars("Memory", rows_of(a, b, MEMORY), "B", pair),
    bars("Loading", rows_of(a, b, LOADING), "ns", pair),
    bars("Prompt rate", { { "all prompts", at(a, "performance.prompt.rate"), b and at(b, "performance.prompt.rate") } },
      "tokens/s", pair),
    bars("Generation rate", rows_of(a, b, { { "mean", "performance.generation.rate" },
      { "steady", "performance.steady_rate" }, { "peak", "performance.peak_rate" } }), "tokens/s", pair),
    bars("Latency", rows_of(a, b, LATENCY), "ns", pair),
    bars("Generation rate by category", by_category(a, b, "generation.rate"), "tokens/s", pair) }
  local out = {}
  for _, drawing in ipairs(list) do
    if drawing ~= "" then out[#out + 1] = "<div>" .. drawing .. "</div>" end
  end
  if #out == 0 then return "" end
  return ('<div class="card">%s<div class="columns wide">%s</div></div>'):format(legend(a, b), table.concat(out, "\n"))
end

-- ---- what was gained and lost ----

-- path, what it is called, is more better?
local GAINS = { { "memory.weights_bytes", "weights", false }, { "memory.peak_bytes", "memory at its peak", false },
  { "load.total_ns", "loading", false }, { "performance.prompt.rate", "prompt rate", true },
  { "performance.generation.rate", "generation rate", true },
  { "performance.time_to_first_token.median", "time to first token", false },
  { "quality.perplexity", "perplexity", false } }

local function gains(a, b)
  local out = {}
  for _, g in ipairs(GAINS) do
    local x, y = at(a, g[1]), at(b, g[1])
    if x and y and x > 0 then
      local change = y / x - 1
      local tone = math.abs(change) < 0.005 and "" or ((change > 0) == g[3] and "good" or "bad")
      out[#out + 1] = ('<span class="pill %s">%s %+.1f %%</span>'):format(tone, e(g[2]), change * 100)
    end
  end
  local same = at(b, "quality.top1_agreement")
  if same then out[#out + 1] = ('<span class="pill">same likeliest token %s</span>'):format(units.percent(same)) end
  return #out > 0 and '<div class="pills">' .. table.concat(out) .. "</div>" or ""
end

-- ---- tables ----

local function cell(text, left) return ("<td%s>%s</td>"):format(left and ' class="left"' or "", e(text or "")) end

local function html_table(titles, rows)
  local out = { '<div class="scroll"><table><thead><tr>' }
  for i, t in ipairs(titles) do out[#out + 1] = ("<th%s>%s</th>"):format(i == 1 and ' class="left"' or "", e(t)) end
  out[#out + 1] = "</tr></thead><tbody>"
  for _, r in ipairs(rows) do
    if r.heading then
      out[#out + 1] = ('<tr class="group"><td colspan="%d">%s</td></tr>'):format(#titles, e(r.heading))
    else
      local cells = {}
      for i = 1, #titles do cells[i] = cell(r[i], i == 1) end
      out[#out + 1] = "<tr>" .. table.concat(cells) .. "</tr>"
    end
  end
  out[#out + 1] = "</tbody></table></div>"
  return table.concat(out, "\n")
end

local function side_by_side(a, b)
  local rows, titles = {}, { "", a.name or "original" }
  if b then titles = { "", a.name or "original", b.name or "quantized", "difference", "ratio" } end
  for i, r in ipairs(summary.compare(a, b)) do
    rows[i] = r.heading and r or { summary.label(r), show.cells(r) }
  end
  return html_table(titles, rows)
end

local CATEGORY = { { "prompts", "prompts.ok", "count" }, { "prompt tokens", "prompt.count", "count" },
  { "time to first token", "time_to_first_token.median", "ns" }, { "prompt rate", "prompt.rate", "tokens/s" },
  { "generated tokens", "generated_tokens", "count" }, { "generation rate", "generation.rate", "tokens/s" },
  { "between tokens", "inter_token_latency.median", "ns" }, { "end to end", "end_to_end.median", "ns" } }

local function categories(a, b)
  local rows, titles = {}, { "", a.name or "original" }
  if b then titles = { "", a.name or "original", b.name or "quantized", "difference", "ratio" } end
  for i, c in ipairs(type(a.categories) == "table" and a.categories or {}) do
    local other = b and type(b.categories) == "table" and b.categories[i]
    rows[#rows + 1] = { heading = type(c) == "table" and tostring(c.category or "?") or "?" }
    for _, line in ipairs(CATEGORY) do
      local x, y = at(c, line[2]), other and at(other, line[2])
      rows[#rows + 1] = { line[1], show.value_text(x, line[3]), show.value_text(y or nil, line[3]),
        show.difference_text(x and y and y - x or nil, line[3]), show.ratio_text(x and y and x ~= 0 and y / x or nil) }
    end
  end
  return #rows > 0 and html_table(titles, rows) or ""
end

-- ---- what they wrote ----

local function texts(cases)
  local by, order = {}, {}
  for _, c in ipairs(cases) do
    local name = c.scenario == "model" and c.axes.prompt
    local written = type(c.generated) == "table" and c.generated.text
    if name and (type(written) == "string" or c.status ~= "ok") then
      if not by[name] then
        by[name] = { prompt = type(c.prompt_text) == "string" and c.prompt_text or nil }
        order[#order + 1] = name
      end
      table.insert(by[name], { tostring(c.axes.model), type(written) == "string" and written
        or ("%s: %s"):format(c.status, c.reason or "?") })
    end
  end
  local out = {}
  for _, name in ipairs(order) do
    local p = by[name]
    out[#out + 1] = "<details><summary>" .. e(tostring(name)) .. "</summary>"
    if p.prompt then out[#out + 1] = '<p class="note">prompt</p><pre>' .. e(p.prompt) .. "</pre>" end
    for _, one in ipairs(p) do
      out[#out + 1] = ('<p class="note">%s</p><pre>%s</pre>'):format(e(one[1]), e(one[2]))
    end
    out[#out + 1] = "</details>"
  end
  return table.concat(out, "\n")
end

local function card(title, body)
  return body ~= "" and ('<div class="card"><h3>%s</h3>%s</div>'):format(e(title), body) or ""
end

-- HTML of a result's models; "" for results that have none.
function M.html(result)
  local models = result.models
  local a = type(models) == "table" and type(models.original) == "table" and models.original
  if not a then return "" end
  local b = type(models.quantized) == "table" and models.quantized or nil
  local out, heads = { '<h2 id="models">Models</h2>' }, show.heads(a, b)
  out[#out + 1] = "<pre>" .. e(table.concat(heads, "\n")) .. "</pre>"
  if b then out[#out + 1] = gains(a, b) end
  out[#out + 1] = drawings(a, b)
  out[#out + 1] = card(b and "Side by side" or "Figures", side_by_side(a, b))
  out[#out + 1] = card("By category of prompts", categories(a, b))
  out[#out + 1] = card("What was written", texts(result.cases))
  return table.concat(out, "\n")
end

return M

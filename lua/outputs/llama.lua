-- llama.lua: what llama-bench prints, for cases that run a model: JSON, JSON lines, CSV, SQL, Markdown.
--
-- A case can be written if its scenario gave it  metrics = { llama_bench = { ... } }  with at least
--   model_filename, model_type ("qwen2 0.5B Q4_K - Medium"), model_size (bytes), model_n_params,
--   n_prompt, n_gen (tokens that one run processes and generates; either may be 0)
-- and any other of llama-bench's fields below that it knows (n_batch, n_ubatch, type_k, type_v, ...; n_depth, tokens in
-- the cache before the run, is 0 unless it says so), and if work.items is n_prompt + n_gen. The rest follows from the
-- record: test_time, build_commit, cpu_info, gpu_info, backends, n_threads, and avg_ns, stddev_ns, avg_ts, stddev_ts
-- over the medians of its processes, or the samples of its only one. What is not known is null. Cases of other
-- scenarios, or without these fields, are refused: nothing is written then.
local json = require "luabench.json"
local result_of = require "luabench.result"
local suggest = require "luabench.suggest"
local sys = require "luabench.sys"

local M = { about = "llama-bench's JSON, JSON lines, CSV, SQL and Markdown, for cases that run a model",
  variants = true,
  endings = { "llama.json", "llama.jsonl", "llama.csv", "llama.sql", "llama.md" } }

local TEXT, INTEGER, REAL = "TEXT", "INTEGER", "REAL"
-- llama-bench's fields in its order, with the column types of its SQL.
local FIELDS = {
  { "build_commit", TEXT }, { "build_number", INTEGER }, { "cpu_info", TEXT }, { "gpu_info", TEXT },
  { "backends", TEXT }, { "model_filename", TEXT }, { "model_type", TEXT }, { "model_size", INTEGER },
  { "model_n_params", INTEGER }, { "n_batch", INTEGER }, { "n_ubatch", INTEGER }, { "n_threads", INTEGER },
  { "cpu_mask", TEXT }, { "cpu_strict", INTEGER }, { "poll", INTEGER }, { "type_k", TEXT }, { "type_v", TEXT },
  { "n_gpu_layers", INTEGER }, { "n_cpu_moe", INTEGER }, { "split_mode", TEXT }, { "main_gpu", INTEGER },
  { "no_kv_offload", INTEGER }, { "flash_attn", INTEGER }, { "devices", TEXT }, { "tensor_split", TEXT },
  { "tensor_buft_overrides", TEXT }, { "load_mode", TEXT }, { "embeddings", INTEGER }, { "no_op_offload", INTEGER },
  { "no_host", INTEGER }, { "fit_target", INTEGER }, { "fit_min_ctx", INTEGER }, { "n_prompt", INTEGER },
  { "n_gen", INTEGER }, { "n_depth", INTEGER }, { "test_time", TEXT }, { "avg_ns", INTEGER }, { "stddev_ns", INTEGER },
  { "avg_ts", REAL }, { "stddev_ts", REAL },
}
local KNOWN, ORDER = {}, {}
for i, f in ipairs(FIELDS) do KNOWN[f[1]], ORDER[i] = f[2], f[1] end

local REQUIRED = { { "model_filename", "string" }, { "model_type", "string" }, { "model_size", "number" },
  { "model_n_params", "number" }, { "n_prompt", "number" }, { "n_gen", "number" } }

local function refuse(case, why)
  error(("llama-bench's formats: %s has no model run to write: %s; lua/outputs/llama.lua says what a scenario must "
    .. "give"):format(result_of.flat_name(case), why), 0)
end

local function checked(case)
  local given = (case.metrics or {}).llama_bench
  if type(given) ~= "table" then refuse(case, "its record has no metrics.llama_bench") end
  for _, f in ipairs(REQUIRED) do
    if type(given[f[1]]) ~= f[2] then
      refuse(case, ("metrics.llama_bench.%s should be a %s, got %s"):format(f[1], f[2], type(given[f[1]])))
    end
  end
  for _, name in ipairs(suggest.keys(given)) do
    if not KNOWN[name] then
      refuse(case, ("metrics.llama_bench.%s is no field of llama-bench%s"):format(name, suggest.hint(name, ORDER)))
    end
  end
  local tokens, items = given.n_prompt + given.n_gen, (case.work or {}).items
  if tokens <= 0 or items ~= tokens then
    refuse(case, ("n_prompt + n_gen is %s, and work.items, from which its rate follows, is %s"):format(tostring(tokens),
      tostring(items)))
  end
  return given, tokens
end

local function round(x) return x and x == x and math.floor(x + 0.5) or nil end

-- Times in ns that count as repetitions.
local function times_of(case)
  local list = {}
  for i, p in ipairs(case.processes or {}) do list[i] = p.median_ns end
  if #list > 1 then return list end
  return case.samples_ns and #case.samples_ns > 0 and case.samples_ns or { case.time.median }
end

local function gpu_of(machine)
  for _, d in ipairs(machine.devices or {}) do
    if d.name ~= "cpu" then return d.model end
  end
  return ""
end

local function row_of(result, case)
  local given, tokens = checked(case)
  local run, machine = result.run or {}, result.machine or {}
  local row = {}
  for name, value in pairs(given) do row[name] = value end
  local times, rates, whole = times_of(case), {}, {}
  for i, ns in ipairs(times) do rates[i], whole[i] = tokens * 1e9 / ns, round(ns) end
  local t, r = sys.stats(times), sys.stats(rates)
  row.build_commit, row.cpu_info = row.build_commit or run.commit, row.cpu_info or machine.cpu
  row.gpu_info = row.gpu_info or gpu_of(machine)
  row.backends = row.backends or (case.device or "cpu"):gsub(":.*$", ""):upper()
  row.n_threads, row.n_depth = row.n_threads or case.threads, row.n_depth or 0
  row.test_time = run.started and run.started:gsub("%.%d+Z$", "Z") or nil
  row.avg_ns, row.stddev_ns, row.avg_ts, row.stddev_ts = round(t.mean), round(t.std), r.mean, r.std
  row.samples_ns, row.samples_ts = json.array(whole), json.array(rates)
  return row
end

local function rows_of(result)
  local rows = {}
  for _, case in ipairs(result.cases) do
    if case.status == "ok" and case.time then rows[#rows + 1] = row_of(result, case) end
  end
  if #rows == 0 then
    error("llama-bench's formats: there is no case with a time to write", 0)
  end
  return rows
end

local function text_of(v)
  if v == nil then return nil end
  if type(v) == "boolean" then return v and "1" or "0" end
  return type(v) == "number" and json.number(v) or tostring(v)
end

local writers = {}

writers["llama.json"] = function(rows)
  return json.encode(json.array(rows), { pretty = true, order = ORDER }) .. "\n"
end

writers["llama.jsonl"] = function(rows)
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = json.encode(row, { order = ORDER }) .. "\n" end
  return table.concat(lines)
end

writers["llama.csv"] = function(rows)
  local lines = { table.concat(ORDER, ",") }
  for _, row in ipairs(rows) do
    local cells = {}
    for i, name in ipairs(ORDER) do cells[i] = '"' .. (text_of(row[name]) or ""):gsub('"', '""') .. '"' end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

writers["llama.sql"] = function(rows)
  local columns = {}
  for i, f in ipairs(FIELDS) do columns[i] = ("  %s %s"):format(f[1], f[2]) end
  local out = { "CREATE TABLE IF NOT EXISTS test (", table.concat(columns, ",\n"), ");", "" }
  for _, row in ipairs(rows) do
    local values = {}
    for i, name in ipairs(ORDER) do
      local text = text_of(row[name])
      values[i] = text and "'" .. text:gsub("'", "''") .. "'" or "NULL"
    end
    out[#out + 1] = ("INSERT INTO test (%s) VALUES (%s);"):format(table.concat(ORDER, ", "), table.concat(values, ", "))
  end
  return table.concat(out, "\n") .. "\n"
end

local function size_text(bytes)
  return bytes < 2 ^ 30 and ("%.2f MiB"):format(bytes / 2 ^ 20) or ("%.2f GiB"):format(bytes / 2 ^ 30)
end

local function params_text(n) return n < 1e9 and ("%.2f M"):format(n / 1e6) or ("%.2f B"):format(n / 1e9) end

local function test_text(row)
  local parts = {}
  if row.n_prompt > 0 then parts[1] = ("pp%d"):format(row.n_prompt) end
  if row.n_gen > 0 then parts[#parts + 1] = ("tg%d"):format(row.n_gen) end
  return table.concat(parts, "+") .. (row.n_depth > 0 and (" @ d%d"):format(row.n_depth) or "")
end

-- title, width, right-aligned, cell
local COLUMNS = {
  { "model", 30, false, function(r) return r.model_type end },
  { "size", 10, true, function(r) return size_text(r.model_size) end },
  { "params", 10, true, function(r) return params_text(r.model_n_params) end },
  { "backend", 10, false, function(r) return r.backends end },
  { "threads", 7, true, function(r) return text_of(r.n_threads) or "" end },
  { "test", 15, true, test_text },
  { "t/s", 20, true, function(r)
    return r.stddev_ts and r.stddev_ts == r.stddev_ts and ("%.2f ± %.2f"):format(r.avg_ts, r.stddev_ts)
      or ("%.2f"):format(r.avg_ts)
  end },
}

local function md_line(cells)
  for i, c in ipairs(COLUMNS) do
    local text = cells[i]:gsub("|", "\\|")
    local _, shown = text:gsub("[^\128-\191]", "")
    local space = (" "):rep(math.max(0, c[2] - shown))
    cells[i] = c[3] and space .. text or text .. space
  end
  return "| " .. table.concat(cells, " | ") .. " |"
end

writers["llama.md"] = function(rows, result)
  local titles, rule = {}, {}
  for i, c in ipairs(COLUMNS) do
    titles[i], rule[i] = c[1], ("-"):rep(c[3] and c[2] - 1 or c[2]) .. (c[3] and ":" or "")
  end
  local lines = { md_line(titles), "| " .. table.concat(rule, " | ") .. " |" }
  for _, row in ipairs(rows) do
    local cells = {}
    for i, c in ipairs(COLUMNS) do cells[i] = c[4](row) or "" end
    lines[#lines + 1] = md_line(cells)
  end
  local run = result.run or {}
  lines[#lines + 1] = ("\nbuild: %s (luabench %s)"):format(run.commit or "unknown", run.version or "?")
  return table.concat(lines, "\n") .. "\n"
end

function M.write(result, opts)
  return writers[opts and opts.ending or "llama.json"](rows_of(result), result)
end

return M

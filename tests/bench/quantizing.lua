-- quantizing.lua: weights quantized a second. Formats of one pass from memory to memory, of the read bandwidth and of a
-- copy's by turns; K-quants file to file beside llama-quantize, where LUABENCH_LLAMA_QUANTIZE or PATH names it, both
-- with all threads. `make bench` runs it.
--
-- Bytes are 4 a weight and what is written, once, as a copy's are counted; that a line is read before it is written is
-- left out, so that memory speed is some 80 % of a read's by this count. "Into a tensor that is there" is what is held
-- against memory; a new tensor's pages are handed out and cleared by the system while they are written.
local lb = require "luabench"
local beside = dofile "tests/bench/lib/beside.lua"
local programs = dofile "tests/bench/lib/programs.lua"
local core, json = lb.core, require "luabench.json"

local N, K, TURNS, WANTED, TIMES = 4096, 16384, 9, 0.75, 2
local device = beside.device()

local function seconds_of(f)
  local start = core.now_ns()
  f()
  return (core.now_ns() - start) * 1e-9
end

local function row_of_memory(dense, format)
  local q = dense:quantize(format)
  local bytes = dense:nbytes() + q:nbytes()
  local rates, reads, copies, fresh, pages = {}, {}, {}, {}, {}
  for i = 1, TURNS do
    local ceiling = core.ceilings(device, 0.02, { "read", "copy" })
    local s = seconds_of(function() dense:quantize(format, { out = q }) end)
    local anew
    local s_new = seconds_of(function() anew = dense:quantize(format) end)
    anew:close()
    rates[i], reads[i], copies[i] = N * K / s, bytes / s / ceiling.read.median, bytes / s / ceiling.copy.median
    fresh[i], pages[i] = N * K / s_new, (s_new - s) * device.threads / (q:nbytes() / 4096) * 1e9
  end
  q:close()
  local share = programs.median(reads)
  print(("%-8s %8.2f thousand million weights/s into a tensor that is there, %3.0f %% of the read bandwidth   "
    .. "%2.0f %%%s")
    :format(format, programs.median(rates) * 1e-9, share * 100, WANTED * 100, beside.verdict(share, WANTED)))
  print(("%-8s %8.2f into a new one: %.0f ns of a thread more for each 4 KiB; the former is %.0f %% of a copy")
    :format("", programs.median(fresh) * 1e-9, programs.median(pages), programs.median(copies) * 100))
end

local function peer()
  local named = os.getenv "LUABENCH_LLAMA_QUANTIZE"
  if named and named ~= "" then return named end
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if core.stat(folder .. "/llama-quantize") then return folder .. "/llama-quantize" end
  end
end

-- The least seconds of three runs of a command that writes `out`, which is not there before: a file system may write
-- what takes an older file's place to the disk first.
local function seconds(argv, out)
  local least = math.huge
  for _ = 1, 3 do
    os.remove(out)
    local start = core.now_ns()
    local ok, said = programs.run(argv, 120)
    if not ok then error(argv[1] .. " failed: " .. said, 0) end
    least = math.min(least, (core.now_ns() - start) * 1e-9)
  end
  return least
end

-- One layer with Llama-3.2-1B's shapes, in f32.
local function write_model(folder)
  core.write_file(folder .. "/config.json", json.encode { architectures = { "LlamaForCausalLM" }, model_type = "llama",
    hidden_size = 2048, head_dim = 64, num_attention_heads = 32, num_key_value_heads = 8, vocab_size = 1024,
    intermediate_size = 8192, num_hidden_layers = 1, max_position_embeddings = 8192, rms_norm_eps = 1e-5,
    rope_theta = 500000, tie_word_embeddings = true })
  local path = folder .. "/f32.gguf"
  local ok, said = programs.run({ core.exe_path(), "quantize", folder, path, "--type", "f32", "--random-weights",
    "--quiet" }, 120)
  if not ok then error("luabench quantize failed: " .. said, 0) end
  return path, core.stat(path).bytes / 4
end

print(("weights quantized by %d threads"):format(device.threads))
local dense = lb.randn({ N, K }, { seed = 1, device = device })
for _, format in ipairs { "q8_0", "q4_0", "int8wo" } do row_of_memory(dense, format) end
dense:close()
programs.with_folder(function(folder)
  local path, weights = write_model(folder)
  local theirs = peer()
  if not theirs then print "beside nobody: no llama-quantize in PATH, and LUABENCH_LLAMA_QUANTIZE is not set" end
  for _, format in ipairs { "q2_k", "q3_k", "q4_k", "q5_k", "q6_k" } do
    local out = ("%s/%s.gguf"):format(folder, format)
    local ours = seconds({ core.exe_path(), "quantize", path, out, "--type", format, "--quiet" }, out)
    local their = theirs and seconds({ theirs, "--pure", path, out .. ".peer",
      format:upper():gsub("Q3_K", "Q3_K_S"), tostring(device.threads) }, out .. ".peer")
    print(("%-8s %8.0f million weights/s, file to file%s"):format(format, weights / ours * 1e-6, their and
      (", llama-quantize %.0f: %.1f times   %d times%s"):format(weights / their * 1e-6, their / ours, TIMES,
        their / ours < TIMES and "  off" or "") or ""))
  end
end)

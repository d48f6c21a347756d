-- ab.lua: `luabench ab A B`: pairs of fresh processes, interleaved; is B faster, slower or the same?
--
-- The result file (-o X.json, "luabench-ab/1") is { schema, run, machine, kind, a, b, what, options, pairs, stopped,
-- failed, seconds, cases = { { case, status, reason, verdict, noisy, ratio, ci95, epsilon, p_difference, p_same,
-- p_flip, detectable, family, p_difference_holm, p_same_holm, a, b = { median_ns, medians_ns, path, disturbed,
-- contended }, orders } } }.
local cli = require "luabench.cli"
local json = require "luabench.json"
local options = require "luabench.options"
local pairs_of = require "luabench.pairs"
local sys = require "luabench.sys"
local units = require "luabench.units"

local M = { usage = "ab A B", about = "interleaved process pairs of two commands, builds or kernels" }

local HEAD = [[
luabench ab A B [options] [options of the scenario]
  A and B are both one of
    kernels        luabench ab gemm.q4_k.avx512 gemm.any.portable --m 8 --recipe q4_k
                   of scenarios/kernel.lua (--m --n --k --recipe --rounds), or of --scenario NAME: through its axis
                   `kernel` if it has one, else the kernel is taken wherever it fits
    programs       luabench ab old/build build --scenario gemm_formats --only m=1
                   two luabench programs, or folders with one, that run the same scenario
    scenarios      luabench ab "gemm_formats --quant q4_k" "gemm_formats --quant q8_0" --m 1 --k 4096
                   cases with the same axes, or one case each
    commands       luabench ab "gzip -k -f x" "zstd -q -f x"
                   any command lines; the wall time of the whole command; a status other than 0 is an error
  Each pair is two fresh processes in an order drawn from the seed. Kernels and scenarios are open at once and take
  turns of a few milliseconds (ABBA), checked before and after; programs and commands run one after the other.
  B is faster or slower if the 95 % interval of B/A over the pairs clears ±epsilon, the same if it lies inside, else
  inconclusive. It ends when the interval is narrow enough, never because a difference has become significant.
  Where over 5 % of a side's samples were disturbed by other work (context switches, waiting for a CPU, ...), the
  verdict is inconclusive whatever the interval (unless --allow-noisy); of commands, where for so long others took a
  CPU that somebody waited for. A clock that wanders is only remarked on: it meets both sides alike.

]]

local TAIL = [[

  Unknown options, and all after --, go to the scenario.
Exit status: 0 B is not slower; 1 B is slower (in some case), or a side failed; 2 the command line is wrong;
130 interrupted: what was done is shown and written.
]]

local OPTIONS = {
  { name = "scenario", type = "string", metavar = "NAME", help = "what kernels and programs run" },
  { name = "a", type = "string", metavar = "TEXT", help = "options of the scenario for A alone" },
  { name = "b", type = "string", metavar = "TEXT", help = "options of the scenario for B alone" },
  { name = "pairs", type = "integer", min = 6, max = 10000, default = pairs_of.LEAST, metavar = "N",
    help = "pairs at least" },
  { name = "max_pairs", type = "integer", min = 6, max = 10000, metavar = "N",
    help = ("pairs at most (default %d)"):format(pairs_of.MOST) },
  { name = "max_time", type = "number", min = 0, max = 864000, default = pairs_of.MAX_TIME, metavar = "SECONDS",
    help = "no new pair after so long, once there are enough" },
  { name = "epsilon", type = "number", share = true, min = 0.0001, max = 0.5, default = 0.01, metavar = "FRACTION",
    help = "what counts as a difference; 0.01 or 1%" },
  { name = "precision", type = "number", share = true, min = 0.0001, max = 0.5, metavar = "FRACTION",
    help = "half-width of the interval that is narrow enough (default: half of epsilon, or a tenth of the effect); "
      .. "0.005 or 0.5%" },
  { name = "process_time", type = "number", min = 0.001, max = 3600, default = pairs_of.PROCESS_TIME,
    metavar = "SECONDS",
    help = "sampling in each process (kernels and scenarios)" },
  { name = "seed", type = "integer", min = 0, max = 2 ^ 53 - 1, default = 1, metavar = "N", help = "of the orders" },
  { name = "timeout", type = "number", min = 0.1, max = 864000, default = 120, metavar = "SECONDS",
    help = "a process, or one answer of it, may take this long" },
  { name = "output", short = "o", type = "string", metavar = "FILE.json",
    help = "write the result; .json.gz compresses, - is the standard output" },
  { name = "extra_work", type = "number", share = true, min = 0, max = 1, metavar = "SHARE",
    help = "B does so much more work than is counted, 0.02 or 2%: to see that ab finds it (kernels and scenarios)" },
  { name = "allow_noisy", type = "boolean", help = "give verdicts of disturbed samples too" },
  { name = "quiet", type = "boolean", help = "no table, no progress" },
}

local function help()
  local out = { HEAD }
  for _, o in ipairs(OPTIONS) do
    local flag = (o.short and "-" .. o.short .. ", " or "") .. options.flag(o.name)
      .. (o.metavar and " " .. o.metavar or "")
    out[#out + 1] = ("  %-26s %s%s\n"):format(flag, o.help,
      o.default and (" (default %s)"):format(tostring(o.default)) or "")
  end
  out[#out + 1] = TAIL
  return table.concat(out)
end

local function fail(...) error({ message = (...):format(select(2, ...)) }, 0) end

-- ---- the command line ----

-- A and B, own options, and the rest for the scenario. Of the rest the kinds are not known here: what follows an
-- option is its value unless it is an option itself.
local function split(argv)
  local sides = {}
  local function other(rest, i, flag)
    local a = argv[i]
    if a:sub(1, 1) == "-" and #a > 1 then
      rest[#rest + 1] = a
      local common = options.common_by_name[(a:match "^%-%-(.+)$" or ""):gsub("%-", "_")]
      local following = argv[i + 1]
      if #sides == 2 and not flag and following and not (common and common.type == "boolean")
          and (following:sub(1, 1) ~= "-" or following:find "^%-[%d.]") then
        i = i + 1
        rest[#rest + 1] = following
      end
    elseif #sides < 2 then
      sides[#sides + 1] = a
    else
      fail("ab: A and B are %q and %q; what is %q? A command with spaces needs quotes", sides[1], sides[2], a)
    end
    return i
  end
  local values, rest = options.split(argv, OPTIONS, other, function(text, ...) fail("ab: " .. text, ...) end)
  if #sides < 2 then fail("ab needs an A and a B, got %d of them; luabench ab --help says what they can be", #sides) end
  return sides, values, rest
end

local function check_output(target)
  if not target or target == "-" then return end
  if not target:find "%.json$" and not target:find "%.json%.gz$" then
    fail("--output %s: ab writes JSON; the name should end in .json or .json.gz", target)
  end
  local ok, why = require("luabench.outputs").check(target, {})
  if not ok then fail("%s", why) end
end

-- ---- progress ----

local function interval_text(r)
  if not r or not r.ratio then return "" end
  if not r.ci95 then return ("  B/A %.4f"):format(r.ratio) end
  return ("  B/A %.4f, %.4f to %.4f"):format(r.ratio, r.ci95[1], r.ci95[2])
end

local SPIN = { "|", "/", "-", "\\" }

local function progress(quiet)
  local terminal, start = sys.isatty(2), sys.now_s()
  local p = { line = "starting", drawn = 0, said = 0, spin = 0 }
  local function draw()
    p.drawn, p.spin = sys.now_s(), p.spin % 4 + 1
    io.stderr:write("\r\27[K", SPIN[p.spin], " ", p.line)
    io.stderr:flush()
  end
  function p.tick()
    if terminal and not quiet and sys.now_s() - p.drawn > 0.1 then draw() end
  end
  function p.pair(state)
    local widest
    for _, c in ipairs(state.cases) do
      if c.result and (not widest or (c.result.half_width or 1 / 0) > (widest.half_width or 1 / 0)) then
        widest = c.result
      end
    end
    p.line = ("%d of at most %d pairs, %s%s"):format(state.pairs, state.most, units.duration(state.seconds),
      interval_text(widest))
    if quiet then return end
    if terminal then draw()
    elseif sys.now_s() - start > 2 and state.pairs % 10 == 0 then io.stderr:write(p.line, "\n") end
  end
  function p.clear()
    if terminal and not quiet then io.stderr:write "\r\27[K" end
  end
  return p
end

-- ---- what is shown ----

local ENDED = { precision = "the interval is narrow enough", pairs = "all pairs are done", time = "the time is up",
  interrupted = "interrupted", failed = "a side failed" }

local function median(list) return sys.stats(list).median end

local function rows_of(result)
  local rows = { { "case", "A", "B", "B/A", "95 %", "verdict", "p", "would find" } }
  local skipped = {}
  for _, c in ipairs(result.cases) do
    local r = c.result
    if r then
      rows[#rows + 1] = { c.key ~= "" and c.key or "-", units.time(median(c.a_ns)), units.time(median(c.b_ns)),
        ("%.4f"):format(r.ratio), r.ci95 and ("%.4f to %.4f"):format(r.ci95[1], r.ci95[2]) or "too few pairs",
          r.verdict,
        r.p_flip and ("%.2g"):format(r.p_flip) or "-", r.detectable and ("%.2g %%"):format(r.detectable * 100) or "-" }
    elseif c.skipped then
      skipped[#skipped + 1] = ("%s: skipped: %s"):format(c.key, c.skipped)
    end
  end
  return rows, skipped
end

local function aligned(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, #cell) end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local fill = (" "):rep(widths[i] - #cell)
      cells[i] = (i == 1 or i == 6) and cell .. fill or fill .. cell
    end
    lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return lines
end

local function text_of(sides, result, epsilon)
  local rows, skipped = rows_of(result)
  local out = { "A  " .. sides.a, "B  " .. sides.b,
    ("%d pairs of fresh processes in %s, until %s; %s"):format(result.pairs, units.duration(result.seconds),
      ENDED[result.stopped], sides.what), "" }
  if #rows > 1 then
    for _, line in ipairs(aligned(rows)) do out[#out + 1] = line end
    out[#out + 1] = ""
    out[#out + 1] = ("verdict: against ±%g %%%s; p: sign-flip permutation; would find: with 80 %% power"):format(
      epsilon * 100, #rows > 2 and (", Holm over %d cases"):format(#rows - 1) or "")
  end
  for _, line in ipairs(skipped) do out[#out + 1] = line end
  for _, c in ipairs(result.cases) do
    if c.result and c.result.reason then
      out[#out + 1] = ("%s%s, so nothing is claimed"):format(c.key ~= "" and c.key .. ": " or "", c.result.reason)
    elseif c.result and c.result.wandered then
      out[#out + 1] = ("%sthe clock was over 2 %% off its median after %.0f %% of the samples; both sides met that, "
        .. "and the interval has it"):format(c.key ~= "" and c.key .. ": " or "", c.result.wandered * 100)
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- ---- the file ----

local function side_block(c, side)
  local about = c.about and c.about[side] or {}
  local detail = c.details[1] and c.details[1][side] or {}
  local disturbed, contended = pairs_of.disturbed_share(c, side)
  return { median_ns = median(c[side .. "_ns"]), medians_ns = json.array(c[side .. "_ns"]), path = about.path,
    device = about.device, threads = about.threads, mode = about.mode, cache = about.cache,
    iterations = detail.iterations, disturbed = disturbed, contended = contended }
end

local CASE_ORDER = { "case", "status", "reason", "verdict", "noisy", "ratio", "ci95", "epsilon", "p_difference",
  "p_same",
  "p_flip", "detectable", "family", "p_difference_holm", "p_same_holm", "a", "b", "orders" }
local ORDER = { "schema", { "run", { "started", "argv", "seed", "version", "commit", "dirty", "flags" } }, "machine",
  "kind",
  "a", "b", "what", "options", "pairs", "stopped", "failed", "seconds", { "cases", CASE_ORDER } }

local function case_block(c)
  local r = c.result
  if not r then return { case = c.key, status = c.skipped and "skipped" or "failed", reason = c.skipped } end
  local out = { case = c.key, status = "ok", orders = json.array(c.orders), a = side_block(c, "a"),
    b = side_block(c, "b") }
  for _, name in ipairs { "verdict", "noisy", "reason", "ratio", "ci95", "epsilon", "p_difference", "p_same", "p_flip",
      "detectable", "family", "p_difference_holm", "p_same_holm" } do out[name] = r[name] end
  return out
end

local function file_text(sides, result, opt, started)
  local v, cases = sys.version(), {}
  for i, c in ipairs(result.cases) do cases[i] = case_block(c) end
  local value = { schema = "luabench-ab/1", machine = require("luabench.machine").block(), kind = sides.kind,
    a = sides.a,
    b = sides.b, what = sides.what, pairs = result.pairs, stopped = result.stopped, failed = result.failed,
    seconds = result.seconds, cases = json.array(cases),
    run = { started = started, argv = json.array(sys.argv()), seed = opt.seed, version = v.version, commit = v.commit,
      dirty = v.dirty, flags = v.flags },
    options = { pairs = opt.pairs, max_pairs = opt.max_pairs, max_time = opt.max_time, epsilon = opt.epsilon,
      precision = opt.precision, process_time = opt.process_time, extra_work = opt.extra_work } }
  return json.encode(value, { pretty = true, order = ORDER }) .. "\n"
end

local function write(target, text)
  if target == "-" then
    io.stdout:write(text)
    return
  end
  if target:find "%.gz$" then text = sys.gzip(text) end
  sys.replace_file(target, text)
end

-- ---- the command ----

local function status_of(result)
  if result.stopped == "interrupted" then return 130 end
  if result.failed then return 1 end
  local any = false
  for _, c in ipairs(result.cases) do
    any = any or c.result ~= nil
    if c.result and c.result.verdict == "slower" then return 1 end
  end
  return any and 0 or 1
end

local function compare(sides_text, opt, bar)
  local started = sys.time_iso()
  local sides = require("luabench.ab").resolve(sides_text[1], sides_text[2], opt)
  local ok, result = pcall(pairs_of.run, { take = sides.take, least = opt.pairs, most = opt.max_pairs, seed = opt.seed,
    max_time = opt.max_time, epsilon = opt.epsilon, precision = opt.precision, on_pair = bar.pair })
  sides.close()
  bar.clear()
  if not ok then error(result, 0) end
  if not opt.allow_noisy then pairs_of.refuse_noisy(result.cases) end
  if result.failed then io.stderr:write("luabench: ab: ", result.failed, "\n") end
  local shown = opt.output == "-" and io.stderr or io.stdout
  if not opt.quiet and result.pairs > 0 then shown:write(text_of(sides, result, opt.epsilon)) end
  if opt.output then write(opt.output, file_text(sides, result, opt, started)) end
  return status_of(result)
end

function M.run(argv)
  for _, a in ipairs(argv) do
    if a == "--" then break end
    if a == "--help" or a == "-h" then
      io.stdout:write(help())
      return 0
    end
  end
  sys.flag_interrupts()
  local bar
  local ok, status = pcall(function()
    local sides, opt, rest = split(argv)
    check_output(opt.output)
    if opt.max_pairs and opt.max_pairs < opt.pairs then
      fail("ab: --max-pairs %d is less than --pairs %d", opt.max_pairs, opt.pairs)
    end
    local words = require("luabench.ab").words
    bar = progress(opt.quiet)
    opt.rest, opt.a, opt.b = rest, words(opt.a or ""), words(opt.b or "")
    opt.on_tick = bar.tick
    opt.on_print = function(line) io.stderr:write(line, "\n") end
    if opt.extra_work == 0 then opt.extra_work = nil end
    return compare(sides, opt, bar)
  end)
  if ok then return status end
  if bar then bar.clear() end
  if sys.interrupted() then return 130 end
  local usage = cli.complain(type(status) == "table" and status.message or sys.clean(status))
  return type(status) == "table" and status.status or usage
end

return M

-- test_own.lua: kernels of one's own from C: what the parameters stand for, checks, errors with their places, kept
-- objects.
local lu = require "luaunit"
local lb = require "luabench"
local core = require "luabench.core"
local objects = require "luabench.own.objects"
local prototype = require "luabench.own.prototype"
local sizes_of = require "luabench.own.sizes"
local sys = require "luabench.sys"

local T = {}

local work
function T.setUp() work = core.tempdir "luabench-own-" end
function T.tearDown() core.tempdir_remove(work) end

-- What is compiled here must not land in the user's folder, nor be found there.
objects.directory = function() return work .. "/kernels" end

local GEMM = [[
void kernel(const float *x, const float *w, float *out, int M, int N, int K, int64_t begin, int64_t end) {
    for (int m = 0; m < M; m++)
        for (int64_t n = begin; n < end; n++) {
            float sum = 0;
            for (int k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
            out[m * N + n] = sum;
        }
}
]]

local function gemm(name, changes)
  local spec = { op = "gemm", name = name, split = "N", source = GEMM }
  for k, v in pairs(changes or {}) do spec[k] = v end
  return lb.kernel.compile(spec)
end

local function operands(m, n, k)
  return { x = lb.randn({ m, k }, { seed = 1 }), w = lb.randn({ n, k }, { seed = 2 }) }
end

function T.test_a_gemm_over_shapes_with_tails_and_threads()
  local k = gemm "test_gemm"
  lu.assertEquals(k.name, "gemm.f32.test_gemm")
  lu.assertEquals(k.op .. " " .. k.device .. " " .. k.format, "gemm cpu f32")
  lu.assertTrue(k.usable)
  lu.assertStrContains(k.source, "test_own.lua:")
  for threads = 1, 2 do
    local d = lb.device("cpu", { threads = threads })
    for _, s in ipairs { { 1, 1, 1 }, { 3, 7, 33 }, { 2, 65, 128 }, { 0, 4, 8 } } do
      local o = { x = lb.randn({ s[1], s[3] }, { seed = 1, device = d }),
        w = lb.randn({ s[2], s[3] }, { seed = 2, device = d }) }
      local c = lb.plan(d):call(k, o):check()
      lu.assertTrue(c.passed, c.reason)
    end
  end
end

function T.test_it_is_one_of_the_kernels()
  local k = gemm "test_listed"
  local found = false
  for _, name in ipairs(lb.kernels "gemm") do found = found or name == k.name end
  lu.assertTrue(found)
  lu.assertEquals(lb.kernel "gemm.f32.test_listed", k)
  local o = operands(2, 8, 16)
  o.kernel = k
  lu.assertEquals(lb.plan():gemm(o):account().path[1].kernel, k.name)
  o.kernel = nil
  -- never by itself, unless its priority says so
  lu.assertNotEquals(lb.plan():gemm(o):account().path[1].kernel, k.name)
  local c = lb.compare { a = lb.plan():call(k, o), b = lb.plan():gemm(o), rounds = 6, max_time = 0.1 }
  lu.assertTrue(c.outputs.b.agree)
end

function T.test_a_wrong_one_does_not_pass()
  local k = gemm("test_wrong", { source = (GEMM:gsub("= sum;", "= n == 3 ? sum * 1.001f : sum;")) })
  local c = lb.plan():call(k, operands(2, 9, 64)):check()
  lu.assertFalse(c.passed)
  lu.assertStrContains(c.reason, "gemm")
end

function T.test_the_same_name_again_gives_way_to_what_is_new()
  local bad = (GEMM:gsub("= sum;", "= 0;"))
  local old = lb.plan():call(gemm("test_again", { source = bad }), operands(2, 9, 64))
  local k = gemm "test_again"
  lu.assertTrue(lb.plan():call("gemm.f32.test_again", operands(2, 9, 64)):check().passed)
  lu.assertFalse(old:check().passed)                     -- a plan keeps what it was recorded with
  lu.assertEquals(gemm "test_again", k)
  gemm("test_again", { source = bad })                   -- and back: the first object is loaded still
  lu.assertFalse(lb.plan():call("gemm.f32.test_again", operands(2, 9, 64)):check().passed)
  lu.assertErrorMsgContains("there is a kernel 'gemm.any.portable' already", gemm, "gemm.any.portable")
end

function T.test_rows_workspace_and_phases()
  local k = lb.kernel.compile { op = "rms_norm", name = "test_norm", phases = 2, workspace = "8 * x_rows",
    split = "x_rows",
    tolerance = 1e-12, tolerance_why = "sums in f64", accumulator = "f64", source = [[
    #include <math.h>
    // void kernel(int nothing) { in a comment
    void kernel(const float *restrict x, const float *weight, float out[], void *workspace, double eps, int phase,
                int64_t begin, int64_t end, int64_t K) {
        double *scale = workspace;
        for (int64_t r = begin; r < end; r++) {
            if (phase == 0) {
                double sum = 0;
                for (int64_t i = 0; i < K; i++) sum += (double)x[r * K + i] * x[r * K + i];
                scale[r] = 1 / sqrt(sum / K + eps);
            } else {
                for (int64_t i = 0; i < K; i++)
                    out[r * K + i] = (float)(x[r * K + i] * scale[r] * (weight ? weight[i] : 1.0f));
            }
        }
    }]] }
  local x = lb.randn({ 2, 5, 70 }, { seed = 1 })
  for _, weight in ipairs { false, lb.randn({ 70 }, { seed = 2 }) } do
    local c = lb.plan():call(k, { x = x, weight = weight or nil }):check()
    lu.assertTrue(c.passed, c.reason)
  end
end

function T.test_quantized_bytes_and_descriptors()
  local k = lb.kernel.compile { op = "gemm", name = "test_q8", format = "q8_0", split = "N", needs = "K % 32 == 0",
    source = [[
    typedef struct block { _Float16 d; int8_t q[32]; } block;
    void kernel(const lb_tensor *x, const void *w, float *out, int N, int K, int begin, int end) {
        const float *values = lb_tensor_f32(x);
        const block *blocks = w;
        for (int m = 0; m < x->dims[0]; m++)
            for (int n = begin; n < end; n++) {
                double sum = 0;
                for (int i = 0; i < K; i++) {
                    const block *b = &blocks[(n * K + i) / 32];
                    sum += (double)(float)b->d * b->q[i % 32] * values[m * K + i];
                }
                out[m * N + n] = (float)sum;
            }
    }]] }
  lu.assertEquals(k.name, "gemm.q8_0.test_q8")
  local o = operands(3, 17, 96)
  o.w = o.w:quantize "q8_0"
  local c = lb.plan():call(k, o):check()
  lu.assertTrue(c.passed, c.reason)
  o.w = lb.randn({ 17, 96 }):quantize "q4_0"
  lu.assertErrorMsgContains("takes q8_0 weights, not q4_0", function() lb.plan():call(k, o) end)
end

function T.test_the_whole_contract()
  local k = lb.kernel.compile { op = "fill", name = "test_whole", source = [[
    static void fill(float *p, float v, int64_t begin, int64_t end) { for (int64_t i = begin; i < end; i++) p[i] = v; }
    void kernel(const lb_args *a, const lb_launch *l) {
        int64_t begin, end;
        lb_tensor *out = lb_arg(a, LB_FILL_OUT);
        lb_split(lb_tensor_numel(out), 16, l->part, l->parts, &begin, &end);
        fill(lb_tensor_data(out), (float)a->p[LB_FILL_P_VALUE], begin, end);
    }]] }
  lu.assertTrue(lb.plan():call(k, { out = lb.zeros { 99 }, value = 3 }):check().passed)
  lu.assertFalse(k.serial)
  local plugin = lb.kernel.compile { source = [[
    #include "kernel.h"
    #include "ops/slots.h"
    static void launch(const lb_args *a, const lb_launch *l) { (void)a, (void)l; }
    static const lb_kernel mine = { .name = "empty.none.test_plugin", .op = "empty", .device = "cpu",
        .about = "nothing", .source = "a test", .tolerance_why = "nothing", .launch = launch };
    const lb_kernel *const luabench_kernels[] = { &mine, 0 };
    const int luabench_abi = LB_KERNEL_ABI;]] }
  lu.assertEquals(plugin.name, "empty.none.test_plugin")
end

function T.test_what_does_not_compile_is_said_with_its_place()
  local ok, why = pcall(lb.kernel.compile, { op = "gemm", name = "test_broken", source = [[
    void kernel(const float *x, const float *w, float *out) {
        nothing = 1;
    }]] })
  lu.assertFalse(ok)
  local line = why:match "test_own%.lua:(%d+):%d*:? error"
  lu.assertNotNil(line, why)
  local text = sys.read_file "tests/lua/test_own.lua"
  local at = select(2, text:sub(1, text:find("nothing = 1;", 1, true)):gsub("\n", "")) + 1
  lu.assertEquals(tonumber(line), at)
  lu.assertStrContains(why, "gemm.f32.test_broken does not compile")
end

function T.test_files_and_their_comments()
  sys.replace_file(work .. "/half.h", "#define HALF 0.5f\n")
  sys.replace_file(work .. "/mine.c", [[
/* luabench: op=fill name=test_file split="out_numel", priority=-3 */
#include "half.h"
void kernel(float *out, float value, int begin, int end) {
  for (int i = begin; i < end; i++) out[i] = value + HALF - 0.5f;
}
]])
  local k = lb.kernel.compile(work .. "/mine.c")
  lu.assertEquals(k.name, "fill.any.test_file")
  lu.assertEquals(k.priority, -3)
  lu.assertTrue(lb.plan():call(k, { out = lb.zeros { 40 }, value = 3 }):check().passed)
  sys.replace_file(work .. "/bad.c", "/* luabench: opp=fill */\nvoid kernel(float *out) { }\n")
  lu.assertErrorMsgContains('there is no field "opp"; did you mean "op"', lb.kernel.compile, work .. "/bad.c")
  lu.assertErrorMsgContains("no such file: /nowhere.c", lb.kernel.compile, "/nowhere.c")
end

local function count(pattern)
  local n = 0
  for _, name in ipairs(sys.list_directory(work .. "/kernels")) do n = n + (name:find(pattern) and 1 or 0) end
  return n
end

function T.test_objects_are_kept_by_what_they_were_made_of()
  local real, calls = core.spawn, 0
  core.spawn = function(o)
    for _, a in ipairs(o.argv) do calls = calls + (a == "-shared" and 1 or 0) end
    return real(o)
  end
  local ok, why = pcall(function()
    local o = { text = "const int luabench_abi = 0;\n", folder = ".", what = "test" }
    for _ = 1, 2 do lu.assertErrorMsgContains("exports no luabench_kernels", objects.load, o) end
    lu.assertEquals(calls, 1)
    o.flags = "-O1"
    pcall(objects.load, o)
    lu.assertEquals(calls, 2)
    lu.assertEquals(count "%.so$", 2)
    lu.assertEquals(count "^new%-", 0)
    -- an object with another key under its name is made again, and so is one whose header is younger
    for _, name in ipairs(sys.list_directory(work .. "/kernels")) do
      if name:find "%.key$" then sys.replace_file(work .. "/kernels/" .. name, "other") end
    end
    pcall(objects.load, o)
    lu.assertEquals(calls, 3)
    objects.MOST = 1
    o.flags = "-O2"
    pcall(objects.load, o)
    lu.assertEquals(count "%.so$", 1)
  end)
  core.spawn, objects.MOST = real, 200
  if not ok then error(why, 0) end
end

function T.test_a_younger_header_makes_it_anew()
  local path = work .. "/size.h"
  local source = [[
#include "size.h"
void kernel(float *out, int out_numel) { for (int i = 0; i < out_numel; i++) out[i] = SIZE; }
]]
  sys.replace_file(work .. "/s.c", "/* luabench: op=fill name=test_header */\n" .. source)
  sys.replace_file(path, "#define SIZE 1\n")
  local function filled()
    local out = lb.zeros { 4 }
    lb.plan():call(lb.kernel.compile(work .. "/s.c"), { out = out, value = 1 }):run()
    return out:get(1)
  end
  lu.assertEquals(filled(), 1)
  core.sleep(0.02)
  sys.replace_file(path, "#define SIZE 2\n")
  require("luabench.own.objects").forget()
  lu.assertEquals(filled(), 2)
end

function T.test_errors_say_what_is_expected()
  local function refused(pattern, spec)
    local ok, why = pcall(function() lb.kernel.compile(spec) end)
    lu.assertFalse(ok, pattern)
    lu.assertStrContains(why, pattern)
    lu.assertStrContains(why, "test_own.lua:")
  end
  refused("op is missing", { source = GEMM })
  refused('unknown operation "gem"; did you mean "gemm"', { op = "gem", source = GEMM })
  refused('there is no field "sorce"; did you mean "source"', { op = "gemm", sorce = GEMM })
  refused("source, a text of C, or file is missing", { op = "gemm" })
  refused("give either source or file", { op = "gemm", source = GEMM, file = "x.c" })
  refused("defines no function 'kernel'", { op = "gemm", source = "int x;" })
  refused('nothing is named "Q"', { op = "gemm", source = "void kernel(const float *x, int Q) { }", format = "f32" })
  refused("operands x, w, out; sizes K, M, N", { op = "gemm", source = "void kernel(const float *x, int Q) { }" })
  refused("declare it as const", { op = "gemm", source = "void kernel(float *x) { }" })
  refused("`split` must say of what", { op = "gemm", source = GEMM })
  refused("takes no begin and end", { op = "fill", source = "void kernel(float *out) { }", split = "out_numel" })
  refused("`workspace` must say", { op = "fill", source = "void kernel(float *out, void *workspace) { }" })
  refused("`phases` must say", { op = "fill", source = "void kernel(float *out, int phase) { }" })
  refused('there is no size "L"', { op = "gemm", source = GEMM, split = "L" })
  refused('split = "(N": ")" is missing', { op = "gemm", source = GEMM, split = "(N" })
  refused('activation = "bf17": one of', { op = "gemm", source = GEMM, split = "N", activation = "bf17" })
  refused("tolerance: an NMSE", { op = "gemm", source = GEMM, split = "N", tolerance = 2 })
  refused("`format` must say what they are", { op = "gemm", source = "void kernel(const void *w) { }" })
  refused("name = ", { op = "gemm", source = GEMM, split = "N", name = "a b" })
  refused("device \"gpu\"", { op = "gemm", source = GEMM, split = "N", device = "gpu" })
  refused("a table { op =, source = }", 7)
  refused("several lines", GEMM)
  refused("a pointer to float", { op = "gemm", source = "void kernel(const float **x) { }" })
end

function T.test_types_that_do_not_fit()
  local k = gemm("test_types", { format = "any" })
  local o = operands(2, 4, 8)
  lu.assertErrorMsgContains("another type", function() lb.plan():call(k, { x = o.x, w = o.w:to "bf16" }) end)
  local strided = lb.randn { 8, 4 }:t()
  lu.assertErrorMsgContains("dense", function() lb.plan():call(k, { x = o.x, w = strided }) end)
end

function T.test_sizes_and_expressions()
  local gemm_op = require("luabench.meta").operation "gemm"
  local sizes = sizes_of.of(gemm_op)
  lu.assertEquals({ sizes.M.slot, sizes.M.index, sizes.N.slot, sizes.N.index, sizes.K.index }, { 0, 0, 1, 0, 1 })
  lu.assertEquals(sizes_of.of(require("luabench.meta").operation "rms_norm").K.index, -1)
  local tree = sizes_of.parse("(N + 31) / 32 * min(M, 4) - 1", sizes, "x")
  lu.assertEquals(sizes_of.to_c(tree), "((lb_own_div(((int64_t)lb_own_dim(lb_a, 1, 0) + 31), 32) * lb_own_min("
    .. "(int64_t)lb_own_dim(lb_a, 0, 0), 4)) - 1)")
  lu.assertEquals(#sizes_of.to_terms(tree), 11)
  for text, pattern in pairs { ["N N"] = "too much", ["N +"] = "too early", ["N $ 2"] = "has no place",
    ["* 2"] = "should",
      ["min(N)"] = "missing" } do
    lu.assertErrorMsgContains(pattern, sizes_of.parse, text, sizes, "x")
  end
end

function T.test_prototypes()
  local e = prototype.find([[
    #define kernel(a) wrong
    static int kernel2(int x) { return "}{"[x]; }
    void kernel(const float *restrict x,  /* a, b */
                int32_t const M, float out[4]) { if (x) { } }
  ]], nil, false)
  lu.assertEquals(#e.parameters, 3)
  lu.assertEquals({ e.parameters[1].type, e.parameters[1].stars, e.parameters[1].const, e.parameters[1].name },
    { "float", 1, true, "x" })
  lu.assertEquals({ e.parameters[3].stars, e.parameters[3].const, e.parameters[3].name }, { 1, false, "out" })
  e = prototype.find("template <int N> __device__ int f(int a) { return a; }\n"
    .. "__global__ void __launch_bounds__(64) go(int M) { }", nil, true)
  lu.assertEquals(e.name, "go")
  lu.assertEquals(prototype.find("void kernel(void) { }").parameters, {})
end

return T

-- cpu.lua: a kernel of one's own for the CPU: the C file around the script's function, compiled and loaded.
local objects = require "luabench.own.objects"
local sizes_of = require "luabench.own.sizes"

local M = {}

local HEAD = [[
#include "kernel.h"
#include "ops/slots.h"
#include "ops/kv.h"
#include <math.h>
#include <string.h>
]]

-- What the wrapper calls, behind the script's own text.
local HELPERS = [[
static inline const lb_tensor *lb_own_first(const lb_args *a, int s) { return lb_arg(a, s); }
__attribute__((unused)) static int64_t lb_own_dim(const lb_args *a, int s, int i) {
    const lb_tensor *t = lb_own_first(a, s);
    if (t && i < 0) i += t->rank;
    return t && i >= 0 && i < t->rank ? t->dims[i] : 0;
}
__attribute__((unused)) static int64_t lb_own_stride(const lb_args *a, int s, int i) {
    const lb_tensor *t = lb_own_first(a, s);
    return t && i < t->rank ? t->strides[i] : 0;
}
__attribute__((unused)) static int64_t lb_own_numel(const lb_args *a, int s, int i) {
    (void)i;
    return lb_own_first(a, s) ? lb_tensor_numel(lb_own_first(a, s)) : 0;
}
__attribute__((unused)) static int64_t lb_own_rows(const lb_args *a, int s, int i) {
    int64_t last = lb_own_dim(a, s, -1);
    return last ? lb_own_numel(a, s, i) / last : 0;
}
__attribute__((unused)) static int64_t lb_own_rank(const lb_args *a, int s, int i) {
    (void)i;
    return lb_own_first(a, s) ? lb_own_first(a, s)->rank : 0;
}
__attribute__((unused)) static int64_t lb_own_count(const lb_args *a, int s, int i) { return (void)i, a->t[s].count; }
__attribute__((unused)) static int64_t lb_own_div(int64_t a, int64_t b) { return b ? a / b : 0; }
__attribute__((unused)) static int64_t lb_own_mod(int64_t a, int64_t b) { return b ? a % b : 0; }
__attribute__((unused)) static int64_t lb_own_min(int64_t a, int64_t b) { return a < b ? a : b; }
__attribute__((unused)) static int64_t lb_own_max(int64_t a, int64_t b) { return a > b ? a : b; }
__attribute__((unused)) static const lb_tensor *lb_own_item(const lb_args *a, const lb_launch *l, int s) {
    return a->t[s].count ? a->t[s].items[a->t[s].count > 1 ? l->pick : 0] : NULL;
}
__attribute__((unused)) static void *lb_own_data(const lb_args *a, const lb_launch *l, int s) {
    const lb_tensor *t = lb_own_item(a, l, s);
    return t ? lb_tensor_data(t) : NULL;
}
/* Pointers are for dense tensors of the type that the function declares; quantized ones are bytes. */
__attribute__((unused)) static bool lb_own_is(const lb_args *a, int s, lb_dtype want, const char **why) {
    for (int i = 0; i < a->t[s].count; i++) {
        const lb_tensor *t = a->t[s].items[i];
        if (t->dtype != LB_QUANT && !lb_tensor_is_dense(t))
            return *why = "an operand is not dense, and the function takes a plain pointer", false;
        if (want != LB_QUANT && t->dtype != want && !(want == LB_U8 && t->dtype == LB_QUANT))
            return *why = "an operand is of another type than the function's pointer", false;
    }
    return true;
}
]]

local function c_string(s)
  return '"' .. s:gsub('[%z\1-\31\\"?\127-\255]', function(c) return ("\\%03o"):format(c:byte()) end) .. '"'
end

local DTYPE = { f32 = "LB_F32", f64 = "LB_F64", i8 = "LB_I8", u8 = "LB_U8", i32 = "LB_I32", i64 = "LB_I64",
  f16 = "LB_F16",
  bf16 = "LB_BF16", any = "LB_QUANT" }

local function argument(b)
  if b.kind == "args" then return "lb_a" end
  if b.kind == "launch" then return "lb_l" end
  if b.kind == "workspace" then return "lb_l->workspace" end
  if b.kind == "data" then return ("lb_own_data(lb_a, lb_l, %d)"):format(b.slot) end
  if b.kind == "tensor" then return ("lb_own_item(lb_a, lb_l, %d)"):format(b.slot) end
  if b.kind == "tensors" then return ("lb_a->t[%d].items"):format(b.slot) end
  if b.kind == "begin" or b.kind == "stop" then return "lb_" .. b.kind end
  if b.kind == "size" then return ("(%s)%s"):format(b.parameter.type, sizes_of.c(b.size)) end
  return "lb_l->" .. b.kind                                     -- part, parts, phase, pick
end

local function has(bound, ...)
  for _, b in ipairs(bound) do
    for _, kind in ipairs { ... } do
      if b.kind == kind then return true end
    end
  end
  return false
end

local function check(k)
  local ranged = has(k.bound, "begin", "stop")
  if ranged and not k.split then
    error(('%s() takes begin and end, so `split` must say of what: split = "N" shares [0, N) out among the threads')
      :format(k.entry.name), 0)
  end
  if k.split and not has(k.bound, "begin", "launch") then
    error(("split = %q, but %s() takes no begin and end: every thread would do all the work")
      :format(tostring(k.split), k.entry.name), 0)
  end
  if has(k.bound, "workspace") ~= (k.workspace ~= nil) and not has(k.bound, "launch") then
    error(k.workspace and ("workspace is given, but %s() takes no workspace"):format(k.entry.name)
      or ("%s() takes a workspace, so `workspace` must say of how many bytes: workspace = \"4 * K\"")
        :format(k.entry.name), 0)
  end
  if has(k.bound, "phase") and not k.phases then
    error(("%s() takes phase, so `phases` must say how many there are"):format(k.entry.name), 0)
  end
end

local function launch(k)
  local list, lines = {}, { "static void lb_own_launch(const lb_args *lb_a, const lb_launch *lb_l) {" }
  for i, b in ipairs(k.bound) do list[i] = argument(b) end
  if has(k.bound, "begin", "stop") then
    lines[#lines + 1] = "    int64_t lb_begin, lb_stop;"
    lines[#lines + 1] = ("    lb_split(%s, %d, lb_l->part, lb_l->parts, &lb_begin, &lb_stop);"):format(
      sizes_of.to_c(sizes_of.parse(k.split, k.sizes, "split")), k.unit)
    lines[#lines + 1] = "    if (lb_begin >= lb_stop) return;"
  end
  lines[#lines + 1] = ("    %s(%s);\n    (void)lb_a, (void)lb_l;\n}"):format(k.entry.name, table.concat(list, ", "))
  return table.concat(lines, "\n")
end

local function supports(k)
  local lines = { "static bool lb_own_supports(const lb_args *lb_a, const char **why) {", "    (void)lb_a, (void)why;" }
  for _, b in ipairs(k.bound) do
    if b.kind == "data" then
      lines[#lines + 1] = ("    if (!lb_own_is(lb_a, %d, %s, why)) return false;"):format(b.slot, DTYPE[b.dtype])
    end
  end
  if k.needs then
    lines[#lines + 1] = ("    if (!%s) return *why = %s, false;"):format(
      sizes_of.to_c(sizes_of.parse(k.needs, k.sizes, "needs")), c_string("needs " .. k.needs))
  end
  lines[#lines + 1] = "    return true;\n}"
  return table.concat(lines, "\n")
end

local function descriptor(k)
  local lines, out = {}, {}
  local serial = not has(k.bound, "begin", "stop", "part", "parts", "launch")
  local function set(name, value) lines[#lines + 1] = ("    .%s = %s,"):format(name, value) end
  if k.workspace then
    out[#out + 1] = ("static size_t lb_own_workspace(const lb_args *lb_a, int lb_parts) {\n"
      .. "    (void)lb_a, (void)lb_parts;\n"
      .. "    return (size_t)%s;\n}"):format(sizes_of.to_c(sizes_of.parse(k.workspace, k.sizes, "workspace")))
  end
  if k.phases then
    out[#out + 1] = ("static int lb_own_phases(const lb_args *lb_a) { return (void)lb_a, %d; }"):format(k.phases)
  end
  for _, name in ipairs { "name", "op", "device", "about", "source", "tolerance_why" } do
    set(name, c_string(k[name]))
  end
  if k.format then set("format", c_string(k.format)) end
  set("act", "LB_ACT_" .. k.activation:upper())
  set("acc", k.accumulator == "i32+f32" and "LB_ACC_I32_F32" or "LB_ACC_" .. k.accumulator:upper())
  set("compute", "LB_COMPUTE_" .. k.compute:upper())
  set("tolerance", ("%.17g"):format(k.tolerance))
  set("priority", ("%d"):format(k.priority))
  set("serial", tostring(serial))
  set("supports", "lb_own_supports")
  if k.phases then set("phases", "lb_own_phases") end
  if k.workspace then set("workspace_bytes", "lb_own_workspace") end
  set("launch", "lb_own_launch")
  out[#out + 1] = "static const lb_kernel lb_own_kernel = {\n" .. table.concat(lines, "\n") .. "\n};"
  out[#out + 1] = "const lb_kernel *const luabench_kernels[] = { &lb_own_kernel, NULL };"
  out[#out + 1] = "const int luabench_abi = LB_KERNEL_ABI;"
  return table.concat(out, "\n")
end

-- "#line": errors then name the place where the author wrote it.
local function line(number, name) return ("#line %d %s\n"):format(number, c_string(name)) end

-- The whole file. k: see compile.lua.
function M.text(k)
  check(k)
  return table.concat({ HEAD, line(k.at.line, k.at.file) .. k.text, line(1, "what lb.kernel.compile adds"), HELPERS,
    launch(k), supports(k), descriptor(k) }, "\n") .. "\n"
end

-- Compiles and loads; returns the names of its kernels. A source with a table luabench_kernels[] is taken as it is.
function M.make(k)
  local text = k.whole and line(k.at.line, k.at.file) .. k.text or M.text(k)
  return objects.load { text = text, flags = k.flags, folder = k.folder, what = k.name or k.at.file }
end

return M

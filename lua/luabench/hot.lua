-- hot.lua: the calls that scripts make inside their loops, through the FFI where the JIT compiles them: plan:run(),
-- plan:submit(n), timer:now_ns(). They replace the C methods of the same names, which stay in use without the JIT
-- (an FFI call is slower than the C API when interpreted).
--
-- Every name used inside is a local: a script that changes a global, or a function's environment, cannot take a check
-- away. The engine's functions check NULL again and never call back into Lua.
local M = {}

local error, getmetatable, tonumber, type = error, getmetatable, tonumber, type
local floor = math.floor

local CDEF = [[
typedef struct lb_plan lb_plan;
typedef struct { void *object; } lb_lua_box;
int lb_plan_run(lb_plan *p);
int lb_plan_replay(lb_plan *p, int64_t n, uint64_t *elapsed_ns, uint64_t *launches);
uint64_t lb_now_ns(void);
const char *lb_error(void);
]]

-- At most so many runs go to C at once, so that Ctrl-C is seen between them.
local PART = 65536

local function fast_index(mt, methods)
  local slow = mt.__index
  mt.__index = function(self, key)
    local f = methods[key]
    if f ~= nil then return f end
    return slow(self, key)
  end
end

local function install_plan(core, mt, ffi)
  local C, cast, text = ffi.C, ffi.cast, ffi.string
  local box = ffi.typeof "lb_lua_box *"
  local plan_t = ffi.typeof "lb_plan *"
  local out = ffi.new "uint64_t[2]"
  local interrupted = core.interrupted
  local methods = mt.methods

  local function plan_of(self)
    if type(self) ~= "userdata" or getmetatable(self) ~= mt then error("plan expected, got " .. type(self), 3) end
    local p = cast(box, self).object
    if p == nil then error("the plan is closed", 3) end
    return cast(plan_t, p)
  end

  function methods.run(self)
    if C.lb_plan_run(plan_of(self)) ~= 0 then error(text(C.lb_error()), 2) end
    return self
  end

  function methods.submit(self, n)
    local p = plan_of(self)
    if n == nil then n = 1 end
    if type(n) ~= "number" or n ~= floor(n) or n < 1 or n > 2 ^ 53 then
      error("n: a whole number from 1 expected, got " .. (type(n) == "number" and n or type(n)), 2)
    end
    local ns, launches = 0, 0
    repeat
      local part = n < PART and n or PART
      if C.lb_plan_replay(p, part, out, out + 1) ~= 0 then error(text(C.lb_error()), 2) end
      ns, launches, n = ns + tonumber(out[0]), launches + tonumber(out[1]), n - part
      if n > 0 and interrupted() then error("interrupted", 2) end
    until n <= 0
    return ns, launches
  end
  fast_index(mt, methods)
end

local function install_timer(mt, ffi)
  local C, cast = ffi.C, ffi.cast
  local box = ffi.typeof "lb_lua_box *"
  local methods = mt.methods

  function methods.now_ns(self)
    if type(self) ~= "userdata" or getmetatable(self) ~= mt then error("timer expected, got " .. type(self), 2) end
    if cast(box, self).object == nil then error("the timer is closed", 2) end
    return tonumber(C.lb_now_ns())
  end
  fast_index(mt, methods)
end

-- Puts the fast forms in place, once, if the JIT is on. true = they are in use.
function M.install(core)
  if M.installed ~= nil then return M.installed end
  M.installed = false
  core.hot = false
  if not jit.status() then return false end
  local ok, ffi = pcall(require, "ffi")
  if not ok or not pcall(ffi.cdef, CDEF) then return false end
  local classes = core.classes()
  install_plan(core, classes.plan.metatable, ffi)
  install_timer(classes.timer.metatable, ffi)
  M.installed = true
  core.hot = true
  return true
end

return M

-- coordinator.lua: one worker process at a time, watched: time, life, memory. A dead worker costs one request.
--
-- call(request, timeout) returns a reply:
--   { kind = "done", value = } | { kind = "error", message = } | { kind = "interrupted" } |
--   { kind = "crashed" | "timeout", reason = , phase = }
local json = require "luabench.json"
local sys = require "luabench.sys"
local units = require "luabench.units"
local worker = require "luabench.worker"

local M = {}
local Coordinator = {}
Coordinator.__index = Coordinator

local TICK_S = 0.1
-- Of the memory that was free when the run began, a worker may hold this much.
local MEMORY_SHARE = 0.92

-- opts = { isolation = bool, on_phase = f(name), on_progress = f(text, fraction), on_print = f(line),
--          on_stderr = f(line), on_tick = f(), tick_s = least often (0.1) }
function M.new(opts)
  local self = setmetatable({ isolation = opts.isolation, opts = opts }, Coordinator)
  local m = sys.machine()
  if m.memory_available_bytes and m.memory_available_bytes > 0 then
    self.memory_limit = m.memory_available_bytes * MEMORY_SHARE
  end
  return self
end

local function notify(self, name, ...)
  local f = self.opts[name]
  if f then f(...) end
end

function Coordinator:start()
  -- one that died between two requests (while it freed what a case had held) must not cost the next case
  if self.process and not sys.state(self.process).running then self:stop() end
  if self.process then return end
  local command = sys.self_command()
  command[#command + 1] = "--worker"
  self.process = sys.spawn(command)
  self.blank, self.last_stderr = 0, {}
end

-- Ends the worker at once; the next call starts another.
function Coordinator:stop()
  if self.process then
    sys.kill(self.process)
    sys.free(self.process)
  end
  self.process = nil
end
Coordinator.close = Coordinator.stop

-- Lines of a worker: replies are returned, the rest is passed on. Blank lines before a reply are the reply's own.
local function read_reply(self)
  while true do
    local line = sys.line(self.process, 1)
    if not line then return nil end
    if line:sub(1, 1) == worker.MARK then
      self.blank = math.max(0, self.blank - 1)
      for _ = 1, self.blank do notify(self, "on_print", "") end
      self.blank = 0
      local ok, event = pcall(sys.json_decode, line:sub(2))
      if not ok then return { event = "error", message = "a reply of the worker could not be read" } end
      if event.event == "phase" then
        self.phase = event.phase
        notify(self, "on_phase", event.phase)
      elseif event.event == "progress" then
        self.phase = event.text
        notify(self, "on_progress", event.text, event.fraction)
      else
        return event
      end
    elseif line == "" then
      self.blank = self.blank + 1
    else
      for _ = 1, self.blank do notify(self, "on_print", "") end
      self.blank = 0
      notify(self, "on_print", line)
    end
  end
end

local function read_stderr(self)
  while true do
    local line = sys.line(self.process, 2)
    if not line then return end
    table.insert(self.last_stderr, line)
    if #self.last_stderr > 3 then table.remove(self.last_stderr, 1) end
    notify(self, "on_stderr", line)
  end
end

local HINTS = {
  SIGKILL = "; the kernel does this when memory is exhausted",
  SIGSEGV = "; a kernel or library touched memory that is not its own",
  SIGILL = "; a kernel used an instruction that this CPU lacks",
  SIGBUS = "; a mapped file was cut short, or memory is broken",
  SIGFPE = "; an integer was divided by zero",
}

local function crash_reply(self)
  local state = sys.state(self.process)
  local reason
  if state.signal and state.signal ~= 0 then
    reason = ("killed by %s%s"):format(state.signal_name, HINTS[state.signal_name] or "")
  else
    reason = ("the worker ended with status %s"):format(tostring(state.code))
  end
  if self.phase then reason = reason .. ", in phase " .. self.phase end
  if #self.last_stderr > 0 then reason = reason .. "; its last words: " .. table.concat(self.last_stderr, " / ") end
  local reply = { kind = "crashed", reason = reason, phase = self.phase }
  self:stop()
  return reply
end

local function over_memory(self)
  if not self.memory_limit then return nil end
  local held = sys.resident_bytes(self.process)
  if not held or held < self.memory_limit then return nil end
  self:stop()
  return { kind = "crashed", phase = self.phase,
    reason = ("memory exhausted: the worker held %s of the %s that were free%s"):format(units.bytes(held),
      units.bytes(self.memory_limit / MEMORY_SHARE), self.phase and ", in phase " .. self.phase or "") }
end

local function reply_of(self, event)
  if event.event == "done" then return { kind = "done", value = event.value } end
  if event.event == "interrupted" then return { kind = "interrupted" } end
  return { kind = "error", message = event.message or "?", phase = self.phase }
end

local function call_here(self, request)
  local event = worker.handle(request, function(e)
    if e.event == "phase" then notify(self, "on_phase", e.phase)
    elseif e.event == "progress" then notify(self, "on_progress", e.text, e.fraction) end
  end)
  -- through JSON, as between processes, so that both ways give the same records
  if event.value ~= nil then event.value = sys.json_decode(json.encode(event.value)) end
  return reply_of(self, event)
end

-- One request; timeout in seconds from now.
function Coordinator:call(request, timeout)
  self.phase = nil
  if not self.isolation then return call_here(self, request) end
  self:start()
  local deadline = sys.now_s() + timeout
  if not sys.write(self.process, json.encode(request) .. "\n", timeout) then return crash_reply(self) end
  while true do
    local event = read_reply(self)
    read_stderr(self)
    if event then
      if event.lost then self:stop() end
      return reply_of(self, event)
    end
    if sys.eof(self.process) then
      sys.wait(self.process, 2)
      return crash_reply(self)
    end
    local now = sys.now_s()
    if now >= deadline then
      local reply = { kind = "timeout", phase = self.phase,
        reason = ("no end within %g s%s; --timeout allows more"):format(timeout,
          self.phase and ", in phase " .. self.phase or "") }
      self:stop()
      return reply
    end
    local exhausted = over_memory(self)
    if exhausted then return exhausted end
    if sys.poll(self.process, math.min(self.opts.tick_s or TICK_S, deadline - now)) == "interrupted" then
      self:stop()
      return { kind = "interrupted" }
    end
    notify(self, "on_tick")
  end
end

return M

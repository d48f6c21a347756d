-- memory.lua: what a worker's process holds over time, seen from outside; and what a GPU does meanwhile, by nvidia-smi.
local core = require "luabench.core"
local sys = require "luabench.sys"

local M = {}
local Watch = {}
Watch.__index = Watch

local EVERY_S = 0.05
M.EVERY_S = EVERY_S

-- A watch over the processes that current() gives (nil while there is none). device: "cuda:0" is watched too.
function M.new(current, device)
  local w = setmetatable({ current = current, samples = {}, gpu = {}, last = 0 }, Watch)
  local index = type(device) == "string" and device:match "^cuda:(%d+)$"
  if index then w:open_gpu(index) end
  return w
end

function Watch:open_gpu(index)
  local ok, p = pcall(core.spawn, { argv = { "nvidia-smi", "-i", index, "-lms", "100", "--format=csv,noheader,nounits",
    "--query-gpu=utilization.gpu,memory.used" }, stdin = "null", stdout = "pipe", stderr = "null" })
  if ok then self.smi = p else self.gpu_reason = "nvidia-smi cannot be run" end
end

local function read_gpu(w)
  if not w.smi then return end
  pcall(core.poll, { w.smi }, 0)
  while true do
    local line = sys.line(w.smi, 1)
    if not line then break end
    local utilization, used = line:match "^%s*(%d+)%s*,%s*(%d+)"
    if used then w.gpu[#w.gpu + 1] = { tonumber(utilization), tonumber(used) * 2 ^ 20 } end
  end
end

-- To be called often; looks at most every 50 ms.
function Watch:tick()
  local now = sys.now_s()
  if now - self.last < 0.9 * EVERY_S then return end
  self.last = now
  local p = self.current()
  local held = p and sys.resident_bytes(p)
  if held then self.samples[#self.samples + 1] = held end
  read_gpu(self)
end

local function stats_of(list)
  if #list == 0 then return nil end
  local s = sys.stats(list)
  return { min = s.min, mean = s.mean, max = s.max, std = s.std, samples = #list }
end

-- { resident = { min, mean, max, std, samples }, gpu = { utilization =, memory_bytes =, reason = } or nil }
function Watch:close()
  read_gpu(self)
  local utilization, used = {}, {}
  for i, g in ipairs(self.gpu) do utilization[i], used[i] = g[1], g[2] end
  local gpu = (self.smi or self.gpu_reason) and { utilization_percent = stats_of(utilization),
    memory_bytes = stats_of(used), reason = self.gpu_reason or #used == 0 and "nvidia-smi said nothing" or nil } or nil
  if self.smi then
    sys.kill(self.smi)
    sys.free(self.smi)
  end
  return { resident = stats_of(self.samples), gpu = gpu }
end

return M

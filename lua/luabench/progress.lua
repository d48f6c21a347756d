-- progress.lua: what a run says while it goes: a bar on a terminal, a line per case elsewhere, nothing when quiet.
--
-- Everything goes to the standard error, so that a table on the standard output stays clean.
local units = require "luabench.units"
local sys = require "luabench.sys"

local M = {}
local Progress = {}
Progress.__index = Progress

local LEVELS = { error = 1, warn = 2, info = 3, debug = 4 }

-- opts = { total =, quiet =, level = "info", terminal = bool or nil (asked), width = columns or nil, write = f or nil }
function M.new(opts)
  local self = setmetatable({ total = opts.total or 0, done = 0, quiet = opts.quiet,
    level = LEVELS[opts.level or "info"], case = "", phase = "", started = sys.now_s(), spent = 0, drawn = false,
      last_draw = 0, finished = 0 }, Progress)
  self.terminal = opts.terminal
  if self.terminal == nil then self.terminal = sys.isatty(2) and os.getenv "TERM" ~= "dumb" end -- one that erases lines
  self.width = opts.width or self.terminal and sys.terminal_width(2) or nil
  self.write = opts.write or function(text) io.stderr:write(text) io.stderr:flush() end
  return self
end

local function cut(text, width)
  if #text <= width then return text end
  return text:sub(1, math.max(0, width - 1)) .. "~"
end

-- Seconds left, from the mean of the cases so far; nil before the first one.
function Progress:left()
  if self.finished == 0 then return nil end
  return (sys.now_s() - self.started) / self.finished * (self.total - self.done)
end

function Progress:line(width)
  local share = self.total > 0 and self.done / self.total or 0
  local filled = math.floor(share * 20)
  local left = self:left()
  local tail = left and "  " .. units.duration(left) .. " left" or ""
  local head = ("[%s%s] %d/%d"):format(("#"):rep(filled), ("."):rep(20 - filled), self.done, self.total)
  local middle = self.case ~= "" and "  " .. self.case or ""
  if self.phase ~= "" then middle = middle .. "  " .. self.phase end
  return cut(head .. tail .. middle, width - 1)
end

function Progress:clear()
  if self.drawn then
    self.write "\r\27[K"
    self.drawn = false
  end
end

-- Draws the bar anew; at most ten times a second unless `now`.
function Progress:draw(now)
  if self.quiet or not self.terminal or self.level < LEVELS.info or self.total == 0 then return end
  local t = sys.now_s()
  if not now and t - self.last_draw < 0.1 then return end
  self.last_draw = t
  self.write("\r\27[K" .. self:line(self.width and self.width > 20 and self.width or 80))
  self.drawn = true
end

-- A case begins. `index` counts from 1.
function Progress:start(name)
  self.case, self.phase = name, ""
  self:draw(true)
end

-- "quantizing 64 experts", 0.43 -> phase "quantizing 64 experts 43 %". On a line-wise output it is said once a text.
function Progress:set_phase(text, fraction)
  local shown = fraction and ("%s %d %%"):format(text, math.floor(fraction * 100 + 0.5)) or text
  if not self.terminal and fraction and self.said ~= text then
    self.said = text
    self:log("info", text)
  end
  if self.level == LEVELS.debug and shown ~= self.phase then
    self:log("debug", ("  %s: %s"):format(self.case, shown))
  end
  self.phase = shown
  self:draw(fraction == nil or fraction >= 1)
end

-- A case has ended: on a line-wise output this is its line.
function Progress:finish(rec, resumed)
  self.done = self.done + 1
  if not resumed then self.finished = self.finished + 1 end
  self.phase, self.case = "", ""
  if self.quiet or self.level < LEVELS.info then return end
  if not self.terminal and not resumed then
    local text = rec.status == "ok" and units.time(rec.time and rec.time.median) or
      rec.status .. (rec.reason and ": " .. rec.reason or "")
    self.write(("[%d/%d] %s  %s  %s\n"):format(self.done, self.total, rec.scenario, rec.case, text))
  elseif self.terminal and rec.status ~= "ok" and rec.status ~= "skipped" then
    self:clear()
    self.write(("%s %s: %s: %s\n"):format(rec.scenario, rec.case, rec.status, rec.reason or "?"))
  end
  self:draw(true)
end

-- A message of a level ("error", "warn", "info", "debug"), above the bar.
function Progress:log(level, text)
  if LEVELS[level] > self.level or self.quiet and level ~= "error" then return end
  self:clear()
  self.write((level == "error" or level == "warn") and ("luabench: %s\n"):format(text) or text .. "\n")
  self:draw(true)
end

function Progress:close()
  self:clear()
end

return M

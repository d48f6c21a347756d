-- places.lua: "FILE:LINE: " in messages: which of them name the program's own files, and which a script's.
local core = require "luabench.core"

local M = {}

local FOLDERS = { "luabench", "commands" }
local SHORTENED = 56      -- characters that LuaJIT leaves of a longer file name, behind "..."
local DEVICES = { cpu = true, cuda = true }     -- "cuda:0: " begins an error of a device

-- Is this chunk (a `source` of debug.getinfo) one of the program's own files?
function M.ours(source)
  local root = "@" .. core.lua_root() .. "/"
  return source:sub(1, #root) == root
end

-- Are these the last characters of the name of a file in one of FOLDERS?
local function ends_ours(name)
  local root = core.lua_root()
  for _, folder in ipairs(FOLDERS) do
    local at = name:find("/" .. folder .. "/", 2, true)
    while at do
      if root:sub(1 - at) == name:sub(1, at - 1) and name:find("^[%w_/]+%.lua$", at) then return true end
      at = name:find("/" .. folder .. "/", at + 1, true)
    end
  end
  return false
end

local function without_shortened(text)
  local from = text:find("...", 1, true)
  while from do
    local name = text:sub(from + 3, from + 2 + SHORTENED)
    local _, last = text:find("^:%d+: ", from + 3 + SHORTENED)
    if last and ends_ours(name) then
      text = text:sub(1, from - 1) .. text:sub(last + 1)
    else
      from = from + 1
    end
    from = text:find("...", from, true)
  end
  return text
end

-- The text without the places in the program's own files that passed it on; a script's place is kept, whatever its
-- folders are called.
function M.strip(text)
  local root = core.lua_root():gsub("%W", "%%%0")
  for _, folder in ipairs(FOLDERS) do
    local whole = text
    text = whole:gsub("()" .. root .. "/" .. folder .. "/[%w_/]+%.lua:%d+: ", function(at)
      if at > 1 and whole:find("^[%w_./-]", at - 1) then return nil end     -- the end of a longer path
      return ""
    end)
  end
  return without_shortened(text)
end

-- Does the text begin with a place?
function M.begins(text)
  local name = text:match "^([^\n:]+):%d+: "
  return name ~= nil and not DEVICES[name]
end

-- A function of ours, with errors that name the script's place and not one of these files. What the script's own
-- functions raise keeps its place, and what is no text passes as it is.
function M.guard(f)
  local function out(ok, ...)
    if ok then return ... end
    local e = ...
    if type(e) ~= "string" or core.interrupted() then error(e, 0) end
    local text = M.strip(e)
    local level, info = 1, nil
    repeat     -- to the script: `return lb.f()` leaves no trace of it, and the caller is then one of these files
      level = level + 1
      info = debug.getinfo(level, "S")
    until not info or info.what ~= "C" and not M.ours(info.source)
    error(text, (M.begins(text) or not info) and 0 or level)
  end
  return function(...) return out(pcall(f, ...)) end
end

return M

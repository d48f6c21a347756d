-- arguments.lua: checks of what scripts hand to a model's methods. All raise at level 0: the method adds the place.
local suggest = require "luabench.suggest"

local M = {}

-- A table of options, empty if there is none, with none but the allowed keys.
function M.table(o, allowed, what)
  if o ~= nil and type(o) ~= "table" then error(what .. ": a table of options expected, got " .. type(o), 0) end
  suggest.check_keys(o or {}, allowed, what, 0)
  return o or {}
end

-- o[name] as a number from lo to hi, a whole one if wanted; the default where it is not given.
function M.number(o, name, default, lo, hi, whole)
  local v = o[name]
  if v == nil then return default end
  if type(v) ~= "number" or not (v >= lo and v <= hi) or (whole and v % 1 ~= 0) then
    error(("%s: a %s from %g to %g expected, got %s"):format(name, whole and "whole number" or "number", lo, hi,
      tostring(v)), 0)
  end
  return v
end

-- o[name], nil or of a type.
function M.of_type(o, name, wanted)
  local v = o[name]
  if v ~= nil and type(v) ~= wanted then error(("%s: a %s expected, got %s"):format(name, wanted, type(v)), 0) end
  return v
end

return M

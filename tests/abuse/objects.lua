-- objects.lua: the objects of the public face that are Lua tables: how one of each is made, made ready for the next
-- call (renew), made unusable (dead), and their methods.
local lb = require "luabench"

local M = { make = {}, renew = {}, dead = {} }

local TINY = os.getenv "LUABENCH_TREE" or lb.core.pwd()

M.make.grid = function() return lb.grid { m = { 1, 2 }, n = { 3 } } end
M.make.own_model = function() return lb.model.load(TINY .. "/tests/fixtures/models/tiny-llama") end
M.make.own_session = function()
  return lb.model.load(TINY .. "/tests/fixtures/models/tiny-llama"):session { capacity = 16 }
end
-- As a call should find it: by turns with a prompt taken in, and with nothing. What calls before left is gone.
local turn = 0
M.renew.own_session = function(s)
  if s.model.closed then s = M.make.own_session() end
  s:reset()
  turn = turn + 1
  if turn % 2 == 0 then s:prompt { { 1, 2 } } end
  return s
end
M.dead.own_session = function()
  local s = M.renew.own_session(M.make.own_session())
  s.model:close()
  return s
end
M.dead.own_model = function()
  local m = M.make.own_model()
  m:close()
  return m
end
M.make.traced = function() return lb.trace(lb.plan():gemm { x = lb.randn { 4, 32 }, w = lb.randn { 4, 32 } }) end

-- name -> its methods: the functions of its metatable, and of the table that it looks fields up in.
function M.methods()
  local all = {}
  for name, make in pairs(M.make) do
    local mt, seen = getmetatable(make()), {}
    for _, t in ipairs { mt, type(mt.__index) == "table" and mt.__index or {} } do
      for key, f in pairs(t) do
        if type(f) == "function" and not key:find "^__" then seen[key] = true end
      end
    end
    local list = require("luabench.suggest").keys(seen)
    assert(#list > 0, name .. " has no methods")
    all[name] = list
  end
  return all
end

return M

-- stored.lua: what a loaded model's weights are stored as.
local sys = require "luabench.sys"

local M = {}

--- Bytes by type: of a format its name, else the dtype. A tensor that stands in several places counts once.
function M.types(model)
  local seen, by = {}, {}
  local function add(t)
    if type(t) == "table" then
      for _, one in ipairs(t) do add(one) end
    elseif sys.is_tensor(t) and not seen[t] then
      seen[t] = true
      local name = t.quantizer and t.quantizer.name or t.dtype
      by[name] = (by[name] or 0) + t:nbytes()
    end
  end
  for _, t in pairs(model.weights) do add(t) end
  for _, layer in ipairs(model.layers) do
    for role, t in pairs(layer) do
      if role ~= "classes" then add(t) end
    end
  end
  return by
end

return M

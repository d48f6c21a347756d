-- sizes.lua: names of sizes that a kernel of one's own can use, and arithmetic with them.
--
-- The sizes of an operation are those that its operands' descriptions name, as help "gemm" shows them: x [M, K], w [N,
-- K]:
-- M, N, K. Of each operand NAME there are NAME_rows (elements over the last dimension), NAME_cols (the last dimension),
-- NAME_numel, NAME_rank, NAME_count (tensors of a list), NAME_dim0, NAME_dim1, ... and NAME_stride0, ...; parameters
-- stand under their own names. An optional operand that was left out has sizes of 0.
--
-- An expression ("(N + 31) / 32") has numbers, these names, + - * / % (whole numbers, division cuts off), comparisons,
-- && || !, min(a, b), max(a, b). It becomes C for kernels of the CPU, and for a GPU a list of terms that the engine
-- evaluates.
local suggest = require "luabench.suggest"

local M = {}

-- { name = { what = "param" | "dim" | "rows" | "numel" | "rank" | "count" | "stride", slot =, index = } }; slots and
-- indices from 0, a negative index from the end.
function M.of(op)
  local names, strong = {}, {}
  for i, o in ipairs(op.operands) do
    local slot = i - 1
    local list = (o.about or ""):match "%[([^%]]*)%]"
    local parts = {}
    for part in ((list or "") .. ","):gmatch "%s*([^,]-)%s*," do parts[#parts + 1] = part end
    for k, part in ipairs(parts) do
      local sure = not o.optional or o.role == "write" or o.role == "partial"
      if part:find "^%a[%w_]*$" and (not names[part] or sure and not strong[part]) then
        names[part] = { what = "dim", slot = slot, index = parts[1] == ".." and k - 1 - #parts or k - 1 }
        strong[part] = sure
      end
    end
  end
  for i, o in ipairs(op.operands) do
    local slot = i - 1
    for _, what in ipairs { "rows", "numel", "rank", "count" } do
      names[o.name .. "_" .. what] = { what = what, slot = slot, index = 0 }
    end
    names[o.name .. "_cols"] = { what = "dim", slot = slot, index = -1 }
    for d = 0, 7 do
      names[o.name .. "_dim" .. d] = { what = "dim", slot = slot, index = d }
      names[o.name .. "_stride" .. d] = { what = "stride", slot = slot, index = d }
    end
  end
  for i, p in ipairs(op.params) do names[p.name] = { what = "param", slot = i - 1, index = 0 } end
  return names
end

-- A size as C, with `lb_a` the launch's arguments; the functions are in cpu.lua's text.
function M.c(size)
  if size.what == "param" then return ("lb_a->p[%d]"):format(size.slot) end
  return ("lb_own_%s(lb_a, %d, %d)"):format(size.what, size.slot, size.index)
end

-- ---- expressions ----

local LEVELS = { { "||" }, { "&&" }, { "==", "!=" }, { "<=", ">=", "<", ">" }, { "+", "-" }, { "*", "/", "%" } }

local function tokens_of(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    local token = text:match("^%d+%.?%d*", at) or text:match("^%a[%w_]*", at) or text:match("^[=!<>]=", at)
      or text:match("^&&", at) or text:match("^||", at) or text:match("^[-+*/%%<>!(),]", at)
    if not token then error(("%q has no place in it"):format(text:sub(at, at)), 0) end
    list[#list + 1] = token
    at = at + #token
  end
end

local Parser = {}
Parser.__index = Parser

function Parser:take(token)
  if self.list[self.at] ~= token then return false end
  self.at = self.at + 1
  return true
end

function Parser:expect(token)
  if not self:take(token) then error(("%q is missing"):format(token), 0) end
end

function Parser:primary()
  local token = self.list[self.at]
  if not token then error("it ends too early", 0) end
  self.at = self.at + 1
  if token == "(" then
    local e = self:binary(1)
    self:expect ")"
    return e
  end
  if token == "-" then return { "-", { 0 }, self:primary() } end
  if token == "!" then return { "==", self:primary(), { 0 } } end
  if token:find "^%d" then return { tonumber(token) } end
  if (token == "min" or token == "max") and self:take "(" then
    local a = self:binary(1)
    self:expect ","
    local b = self:binary(1)
    self:expect ")"
    return { token, a, b }
  end
  local size = self.sizes[token]
  if not size then
    if not token:find "^%a" then error(("%q stands where a number or a name should"):format(token), 0) end
    error(("there is no size %q%s"):format(token, suggest.hint(token, suggest.keys(self.sizes))), 0)
  end
  return { size }
end

function Parser:binary(level)
  if level > #LEVELS then return self:primary() end
  local left = self:binary(level + 1)
  while true do
    local found
    for _, op in ipairs(LEVELS[level]) do
      if not found and self:take(op) then found = op end
    end
    if not found then return left end
    left = { found, left, self:binary(level + 1) }
  end
end

-- The tree of an expression (or of a number); `what` names it in errors.
function M.parse(text, sizes, what)
  if type(text) == "number" then
    if text ~= math.floor(text) or text < 0 or text > 2 ^ 53 then
      error(("%s: a whole number expected, got %g"):format(what, text), 0)
    end
    return { text }
  end
  if type(text) ~= "string" then
    error(("%s: a number or an expression such as \"(N + 31) / 32\" expected, got %s"):format(what, type(text)), 0)
  end
  if #text > 400 then error(("%s: the expression is too long"):format(what), 0) end
  local ok, tree = pcall(function()
    local p = setmetatable({ list = tokens_of(text), at = 1, sizes = sizes }, Parser)
    local e = p:binary(1)
    if p.list[p.at] then error(("%q is too much"):format(p.list[p.at]), 0) end
    return e
  end)
  if not ok then error(("%s = %q: %s"):format(what, text, tostring(tree)), 0) end
  return tree
end

function M.to_c(tree)
  if #tree == 1 then
    if type(tree[1]) == "number" then return ("%.0f"):format(tree[1]) end
    return "(int64_t)" .. M.c(tree[1])
  end
  local a, b = M.to_c(tree[2]), M.to_c(tree[3])
  if tree[1] == "min" or tree[1] == "max" then return ("lb_own_%s(%s, %s)"):format(tree[1], a, b) end
  if tree[1] == "/" or tree[1] == "%" then
    return ("lb_own_%s(%s, %s)"):format(tree[1] == "/" and "div" or "mod", a, b)
  end
  return ("(%s %s %s)"):format(a, tree[1], b)
end

-- Terms in the order in which a stack takes them: { what =, slot =, index = }, { what = "number", value = }, { what =
-- "+" }.
function M.to_terms(tree, list)
  list = list or {}
  if #tree == 1 then
    local t = tree[1]
    list[#list + 1] = type(t) == "number" and { what = "number", value = t } or t
  else
    M.to_terms(tree[2], list)
    M.to_terms(tree[3], list)
    list[#list + 1] = { what = tree[1] }
  end
  return list
end

return M

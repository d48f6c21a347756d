-- md.lua: a Markdown table per scenario and group, with the columns of the terminal's table.
local columns = require "luabench.columns"

local M = { about = "Markdown tables", endings = { "md", "markdown" } }

local function escape(text) return (text:gsub("|", "\\|"):gsub("[\r\n]+", " ")) end

local function row(cells) return "| " .. table.concat(cells, " | ") .. " |" end

local function is_noisy(case) return case.status == "ok" and case.disturbance and case.disturbance.noisy or false end

local function write_section(section, cols, out)
  local titles, rule = {}, {}
  local remarks = false
  for _, c in ipairs(section.cases) do remarks = remarks or c.status ~= "ok" or is_noisy(c) end
  for i, col in ipairs(cols) do
    titles[i] = escape(col.title)
    rule[i] = (col.left or col.axis) and ":--" or "--:"
  end
  if remarks then titles[#titles + 1], rule[#rule + 1] = "status", ":--" end
  out[#out + 1] = row(titles)
  out[#out + 1] = row(rule)
  for _, c in ipairs(section.cases) do
    local cells = {}
    for i, col in ipairs(cols) do
      local text = (c.status == "ok" or col.axis) and col.cell(c) or nil
      cells[i] = escape(text or "")
    end
    if remarks then
      cells[#cells + 1] = escape(c.status .. (c.reason and ": " .. c.reason or "") .. (is_noisy(c) and ", noisy" or ""))
    end
    out[#out + 1] = row(cells)
  end
end

function M.write(result)
  local out = {}
  for _, s in ipairs(columns.by_scenario(result)) do
    if #out > 0 then out[#out + 1] = "" end
    out[#out + 1] = "## " .. escape(s.name) .. (s.spec.about and ": " .. escape(s.spec.about) or "")
    local cols = columns.of(s.cases, s.spec)
    for _, section in ipairs(columns.sections(s.cases, s.spec)) do
      out[#out + 1] = ""
      if section.title then
        out[#out + 1] = "### " .. escape(section.title)
        out[#out + 1] = ""
      end
      write_section(section, cols, out)
    end
  end
  local m, run = result.machine or {}, result.run or {}
  out[#out + 1] = ""
  out[#out + 1] = ("%s, %s; luabench %s, seed %s, %s"):format(m.cpu or "unknown machine",
    m.cores and tostring(m.cores.usable or m.cores.physical or "?") .. " cores" or "? cores", run.version or "?",
    tostring(run.seed or "?"), run.started or "?")
  for _, note in ipairs(result.notes or {}) do out[#out + 1] = "\n" .. escape(note) end
  return table.concat(out, "\n") .. "\n"
end

return M

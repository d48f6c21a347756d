-- run.lua: runs one file of tests, named by $LUABENCH_TEST_FILE, inside luabench.
-- The file returns a table of functions; those whose names begin with "test" are the tests, setUp and tearDown run
-- around each. The last line has the counts.

-- luaunit asks for these globals; scripts may not read one that was never set.
for _, name in ipairs { "EXPORT_ASSERT_TO_GLOBALS", "setupSuite", "teardownSuite" } do rawset(_G, name, false) end
local lu = require "luaunit"

local path = os.getenv "LUABENCH_TEST_FILE"
if not path then error("run.lua: LUABENCH_TEST_FILE names no file", 0) end
local tests = dofile(path)
if type(tests) ~= "table" then
  error(path .. ": a table of test functions must be returned, got " .. type(tests), 0)
end

local runner = lu.LuaUnit.new()
runner:setOutputType "text"
runner:runSuiteByInstances({ { path:match "([^/]+)%.lua$", tests } })
local result = runner.result
local bad = result.failureCount + result.errorCount
print(string.format("%d passed, %d failed, %d skipped", result.successCount, bad, result.skippedCount))
os.exit(bad == 0 and 0 or 1)

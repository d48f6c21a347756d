#!/usr/bin/env python3
"""test_selftest.py: the command: lines, JSON, exit statuses, and that a fault makes it leave with 1."""
import json
import os
import subprocess
import sys
import tempfile

LUABENCH = os.environ["LUABENCH"]
passed = failed = 0


def check(name, condition, detail=""):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name} {detail}")


def run(*args, status=0):
    r = subprocess.run([LUABENCH, *args], capture_output=True, text=True, timeout=200)
    check(f"{' '.join(args)[:60]}: exit status", r.returncode == status, f"{r.returncode}: {r.stdout}{r.stderr}")
    return r.stdout, r.stderr


def main():
    out, _ = run("selftest", "--quick", "--only", "oracle", "-o", "r.json")
    check("a line a check", out.count("oracle") == 8 and "FAILED" not in out, out)
    check("a verdict", "verdict on this machine: fit" in out and "8 passed, 0 failed" in out, out)
    with open("r.json") as f:
        r = json.load(f)
    check("JSON", r["schema"] == "luabench-selftest/1" and r["passed"] is True and r["quick"] is True
          and len(r["checks"]) == 8 and all(c["passed"] for c in r["checks"]) and r["machine"]["cpu"] is not None
          and r["fitness"]["verdict"].startswith("fit"), r)

    broken = ('os.exit(require("commands.selftest").run({ "--quick", "--only", "clock", "-o", "b.json" }, '
              '{ clock = function() return { name = "c", resolution_ns = 4e6, cost_ns = 20 } end }))')
    out, _ = run("-e", broken, status=1)
    check("a fault is a failed line", "FAILED clock        resolution: 4.000 ms of c" in out
          and "verdict on this machine: not fit" in out, out)
    with open("b.json") as f:
        r = json.load(f)
    check("and is in the JSON", r["passed"] is False and r["checks"][0]["passed"] is False, r)

    out, _ = run("selftest", "--help")
    check("help names the parts", "rotation" in out and "--quick" in out, out)
    _, err = run("selftest", "--quik", status=2)
    check("did you mean", 'did you mean "--quick"' in err, err)
    _, err = run("selftest", "--only", "clok", status=2)
    check("unknown part", 'did you mean "clock"' in err, err)
    run("selftest", "-o", "r.txt", status=2)
    run("selftest", "-o", "none/r.json", status=2)
    run("selftest", "--threads", "many", status=2)
    run("selftest", "--seed", status=2)


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    os.environ.update(XDG_CACHE_HOME=work + "/cache", XDG_STATE_HOME=work + "/state", NO_COLOR="1")
    try:
        main()
    finally:
        os.chdir("/")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)

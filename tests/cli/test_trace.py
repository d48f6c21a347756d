#!/usr/bin/env python3
"""test_trace.py: --trace FILE.json: what an independent reader finds in it, and the tables after the results."""
import gzip
import json
import os
import subprocess
import sys
import tempfile

LUABENCH = os.environ["LUABENCH"]
SCRIPT = """
local lb = require "luabench"
return lb.scenario {
  about = "chains of products",
  grid = lb.grid { m = { 1, 4 }, kind = { "one", "two", "bad" } },
  case = function(g, opt)
    if g.kind == "bad" then return lb.skip "on purpose" end
    local x = lb.randn({ g.m, 128 }, { seed = 1, device = opt.device })
    local w = lb.randn({ 128, 128 }, { seed = 2, device = opt.device }):quantize "q8_0"
    local p = lb.plan(opt.device):gemm { x = x, w = w, label = "up" }
    if g.kind == "two" then p:gemm { x = p:last(), w = w, label = "down" } end
    return p
  end,
}
"""
passed = failed = 0


def check(name, condition, detail=""):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name} {detail}")


def run(*args, status=0):
    r = subprocess.run([LUABENCH, "s.lua", "--quick", "--max-time", "0.05", *args], capture_output=True, text=True,
                       timeout=120)
    check(f"{' '.join(args)}: exit status", r.returncode == status, f"{r.returncode}: {r.stdout}{r.stderr}")
    return r.stdout, r.stderr


def events_of(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as f:
        trace = json.load(f)
    check("an object with events", isinstance(trace["traceEvents"], list) and trace["displayTimeUnit"] == "ns")
    return trace["traceEvents"]


def valid(events):
    """The Trace Event Format: complete events with numbers, metadata with names; slices of a thread do not overlap."""
    reached = {}
    for e in events:
        ok = e["ph"] in "XM" and isinstance(e["pid"], int) and isinstance(e["tid"], int) and isinstance(e["args"], dict)
        if e["ph"] == "M":
            ok = ok and e["name"] in ("process_name", "thread_name") and isinstance(e["args"]["name"], str)
        else:
            ok = ok and isinstance(e["name"], str) and e["cat"] in ("launch", "wait")
            ok = ok and e["ts"] >= 0 and e["dur"] >= 0
            begin, key = round(e["ts"] * 1000), (e["pid"], e["tid"])
            ok = ok and begin >= reached.get(key, 0)
            reached[key] = begin + round(e["dur"] * 1000)
        if not ok:
            return e
    return None


def main():
    with open("s.lua", "w") as f:
        f.write(SCRIPT)
    out, _ = run("--threads", "1", "--trace", "t.json", "-o", "r.json")
    events = events_of("t.json")
    check("every event is valid", valid(events) is None, valid(events))
    with open("r.json") as f:
        cases = {c["case"]: c for c in json.load(f)["cases"]}
    names = {e["args"]["name"]: e["pid"] for e in events if e["name"] == "process_name"}
    check("a process a case that ran", len(names) == 4 and len(set(names.values())) == 4, names)
    for name, case in cases.items():
        if case["status"] != "ok":
            check("a skipped case has no trace", not case.get("trace"))
            continue
        slices = [e for e in events if e["pid"] == names["s  " + name] and e["ph"] == "X"]
        launches = [e for e in slices if e["cat"] == "launch"]
        wanted = ["up", "down"] if case["axes"]["kind"] == "two" else ["up"]
        check(name + ": a slice a step", [e["name"] for e in launches] == wanted, launches)
        for e in launches:
            a = e["args"]
            check(name + ": operation, kernel, shapes, bytes, thread",
                  a["op"] == "gemm" and a["kernel"] == case["path"][0]["kernel"] and a["bytes"] > a["weight_bytes"] > 0
                  and a["operands"]["w"] == "q8_0[128, 128]" and a["thread"] == 1 and a["step"] >= 1, a)
        t = case["trace"]
        check(name + ": launches as in path", sum(o["launches"] for o in t["operations"])
              == sum(p["launches"] for p in case["path"]))
        total = sum(o["share"] for o in t["operations"]) + t["wait_share"] + t["rest_share"]
        check(name + ": shares add up", abs(total - 1) < 1e-9, total)
        check(name + ": a fraction of the limit", 0 < t["operations"][0]["fraction"], t)
    check("a table a case, after the results", out.count("one traced run:") == 4 and out.count("of limit") == 4
          and out.index("one traced run:") > out.index("of ceiling"), out)

    out, err = run("--trace", "t.json.gz", "--format", "json", "--only", "m=1,kind=two")
    check("the standard output stays JSON", len(json.loads(out)["cases"]) == 1)
    check("the table goes to the standard error", "(waiting at barriers)" in err)
    check("compressed", valid(events_of("t.json.gz")) is None)
    run("--trace", "p.json", "--processes", "2", "--only", "m=1,kind=one")
    check("one process of a case is traced", sum(e["name"] == "process_name" for e in events_of("p.json")) == 1)
    run("--mode", "eager", "--no-isolation", "--trace", "e.json", "--only", "m=1,kind=two")
    check("eager mode", valid(events_of("e.json")) is None)

    _, err = run("--trace", "t.txt", status=2)
    check("a name that says nothing", "--trace t.txt: the name should end in .json" in err, err)
    _, err = run("--trace", "none/t.json", status=2)
    check("no such directory", "--trace none/t.json: there is no directory none" in err, err)
    os.remove("t.json")
    run("--trace", "t.json", "-o", "q.json", "--resume", "--only", "m=1,kind=one")
    _, err = run("--trace", "u.json", "-o", "q.json", "--resume", "--only", "m=1,kind=one")
    check("a case from the journal has no trace, and that is said", "no case was traced" in err
          and not os.path.exists("u.json"), err)


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    os.environ.update(XDG_CACHE_HOME=work + "/cache", XDG_STATE_HOME=work + "/state", NO_COLOR="1")
    try:
        main()
    finally:
        os.chdir("/")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)

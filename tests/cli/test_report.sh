#!/usr/bin/env bash
# test_report.sh: `luabench report` from outside: the page of a real run is one file that an independent parser accepts.
set -u
. "$(dirname "$0")/common.sh"

cd "$work" || exit 1
cat > s.lua <<'END'
local lb = require "luabench"
return lb.scenario { about = "a product", grid = lb.grid { m = { 1, 4, 16 }, quant = { "f32", "q8_0", "none" } },
  case = function(g, opt)
    if g.quant == "none" then error("<b>on purpose</b>") end
    local x, w = lb.randn({ g.m, 256 }, { seed = 1 }), lb.randn({ 64, 256 }, { seed = 2 })
    return { plan = lb.plan(opt.device):gemm { x = x, w = g.quant == "f32" and w or w:quantize(g.quant) }, items = g.m }
  end }
END
run=(s.lua --quick --measurement-iterations 8 --warmup-iterations 1 --quiet)
check "a run with cases that fail" 1 "" "$LUABENCH" "${run[@]}" -o r.json -o r.jsonl.gz -o r.yaml
check "its page" 0 "" "$LUABENCH" report r.json -o r.html
check "of JSON lines, the same" 0 "" sh -c "'$LUABENCH' report r.jsonl.gz -o l.html && cmp l.html r.html"
check "of YAML, the same" 0 "" sh -c "'$LUABENCH' report r.yaml -o y.html && cmp y.html r.html"
check "on the standard output, with a title" 0 "<h1>A &amp; B</h1>" "$LUABENCH" report r.json --title "A & B" -o -
if command -v python3 > /dev/null; then
    cat > verify.py <<'END'
import html.parser, json, re, xml.etree.ElementTree as ET
text = open("r.html", encoding="utf-8").read()
r = json.load(open("r.json"))
class Page(html.parser.HTMLParser):
    void, stack, seen, text = {"meta"}, [], set(), []
    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        for name, value in attrs: assert name not in ("src", "href") or value.startswith("#"), (tag, name, value)
        if tag not in self.void: self.stack.append(tag)
    def handle_startendtag(self, tag, attrs): self.seen.add(tag)
    def handle_endtag(self, tag): assert self.stack.pop() == tag, tag
    def handle_data(self, data): self.text.append(data)
p = Page()
p.feed(text)
assert not p.stack and "script" not in p.seen and "link" not in p.seen and "b" in p.seen
assert "url(" not in text and "@import" not in text
svgs = re.findall(r"<svg.*?</svg>", text, re.S)
assert len(svgs) >= 3 + 2 * 6, len(svgs)
for s in svgs:
    for node in ET.fromstring(s).iter():
        for value in node.attrib.values(): assert "nan" not in value and "inf" not in value, value
said = " ".join(p.text)
for c in r["cases"]:
    assert c["reproduce"] in said, c["reproduce"]
    if c["status"] != "ok": assert "<b>on purpose</b>" in said
assert re.search(r"\b6 ok\b", said) and re.search(r"\b3 failed\b", said)
END
    check "python's parsers take it; it loads nothing; every case is in it" 0 "" python3 verify.py
else
    skipped=$((skipped + 1))
fi
browser=$(command -v chromium || command -v chromium-browser || true)
if [ -n "$browser" ]; then
    check "a browser draws it" 0 "" \
        sh -c "'$browser' --headless=new --no-sandbox --disable-gpu --user-data-dir=browser \
        --screenshot=r.png --window-size=1000,3000 file://$work/r.html && [ \$(stat -c %s r.png) -gt 40000 ]"
else
    skipped=$((skipped + 1))
fi

check "help" 0 "self-contained" "$LUABENCH" report --help
check "without -o" 2 "-o FILE.html is missing" "$LUABENCH" report r.json
check "another ending" 2 "ends in .html" "$LUABENCH" report r.json -o r.pdf
check "no such file" 2 "none.json: no such file" "$LUABENCH" report none.json -o x.html
check "no result" 2 "no result of luabench" sh -c "echo '{}' > x.json; '$LUABENCH' report x.json -o x.html"
check "no such folder" 2 "cannot write" "$LUABENCH" report r.json -o no/where.html
check "nothing is left of it" 1 "" test -e x.html

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

-- style.lua: the report's style sheet: light by default, dark where the reader's system is.
return [[
:root {
  color-scheme: light dark;
  --bg: #f7f7f5; --card: #ffffff; --ink: #1c1e21; --soft: #5d636b; --faint: #8b9199; --rule: #e3e3de; --grid: #ececE8;
  --link: #1a5fb4; --good: #1a7f4b; --bad: #c0392b; --warn: #a8650a; --good-bg: #e5f4ec; --bad-bg: #fbe9e7;
    --warn-bg: #fbf1de;
  --c1: #2563a8; --c2: #d9741a; --c3: #2a9461; --c4: #b0478f; --c5: #7a5cc4; --c6: #a88a12; --c7: #2f97b5;
    --c8: #c2453d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #14161a; --card: #1c1f24; --ink: #e6e8eb; --soft: #a3a9b1; --faint: #757c86; --rule: #2d3138; --grid: #282c33;
    --link: #7fb2f0; --good: #5fc794; --bad: #f08a7e; --warn: #e5b15a; --good-bg: #17301f; --bad-bg: #3a1f1c;
      --warn-bg: #35290f;
    --c1: #6aa5e8; --c2: #f0a05a; --c3: #62c795; --c4: #df86c2; --c5: #ab92ec; --c6: #d6bb4e; --c7: #68c3dd;
      --c8: #f0847b;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 15px; margin: 0 0 10px; }
p { margin: 0 0 10px; max-width: 76ch; }
.sub, .note { color: var(--soft); }
.sub { max-width: none; }
.note { font-size: 13.5px; }
a { color: var(--link); }
nav { margin: 12px 0 0; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 14px; }
.pills { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0 0; }
.pill { border-radius: 999px; padding: 2px 11px; font-size: 13.5px; border: 1px solid var(--rule);
  background: var(--card); }
.pill.good { background: var(--good-bg); color: var(--good); border-color: transparent; }
.pill.bad { background: var(--bad-bg); color: var(--bad); border-color: transparent; }
.pill.warn { background: var(--warn-bg); color: var(--warn); border-color: transparent; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px;
  margin: 14px 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 14px; }
.columns.wide { grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); }
.columns > .card { margin: 0; align-self: start; }
.callout { border-left: 3px solid var(--warn); background: var(--warn-bg); padding: 8px 14px;
  border-radius: 0 6px 6px 0;
  margin: 8px 0; font-size: 14px; overflow-wrap: anywhere; }
.callout.bad { border-color: var(--bad); background: var(--bad-bg); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 0; font-size: 14px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; min-width: 100%; }
th { text-align: right; font-weight: 600; color: var(--soft); font-size: 12.5px; white-space: nowrap;
  padding: 5px 9px 6px;
  border-bottom: 1px solid var(--rule); }
td { text-align: right; padding: 4px 9px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
tbody tr:hover td { background: color-mix(in srgb, var(--ink) 4%, transparent); }
.left { text-align: left; }
td.reason { white-space: normal; color: var(--soft); text-align: left; min-width: 260px; }
td.bar { width: 110px; min-width: 90px; }
.bar span { display: block; height: 9px; border-radius: 2px; background: var(--c1); opacity: .75; }
tr.group td { font-weight: 600; text-align: left; padding-top: 14px; border-bottom: 1px solid var(--rule); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .faint { color: var(--faint); }
.best { font-weight: 700; }
details { border-top: 1px solid var(--grid); padding: 7px 0; }
details:first-of-type { border-top: 0; }
summary { cursor: pointer; font-size: 14px; }
summary .faint { font-size: 13px; }
details[open] > summary { font-weight: 600; margin-bottom: 10px; }
.folded { margin: 14px 0; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--bg); border: 1px solid var(--rule); border-radius: 6px; padding: 9px 12px; overflow-x: auto;
  margin: 8px 0;
  white-space: pre-wrap; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; margin: 0 auto; font-family: inherit; }
svg text { fill: var(--ink); font-size: 12px; }
svg .tick { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
svg .axis-title { fill: var(--soft); font-size: 12px; }
svg .facet { font-weight: 600; font-size: 12.5px; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .grid.minor { stroke-dasharray: 1 3; }
svg .axis { stroke: var(--faint); stroke-width: 1; }
svg .roof { stroke: var(--ink); stroke-width: 1.6; fill: none; }
svg .roof.thin { stroke: var(--faint); stroke-width: 1.2; stroke-dasharray: 5 4; }
svg .roof-label { fill: var(--soft); font-size: 11.5px; }
svg .whisker { stroke-width: 1; opacity: .55; } svg .ci { stroke-width: 4.5; opacity: .55; stroke-linecap: butt; }
svg .mean { stroke-width: 1.8; fill: none; }
svg .band { opacity: .14; stroke: none; }
svg .median { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 3; }
svg .interval { fill: var(--ink); opacity: .08; }
svg .step { fill: none; stroke-width: 1.6; } svg .step.thin { stroke-width: 1; opacity: .5; }
svg .dot { stroke: none; opacity: .8; } svg .dot.off { fill: none; stroke: var(--bad); stroke-width: 1.2; opacity: 1; }
svg .point { stroke: var(--card); stroke-width: 1; }
svg .split { stroke: var(--rule); stroke-width: 1; }
svg .front { fill: none; stroke: var(--faint); stroke-width: 1.2; stroke-dasharray: 4 3; }
.k1 { fill: var(--c1); } .k2 { fill: var(--c2); } .k3 { fill: var(--c3); } .k4 { fill: var(--c4); }
.k5 { fill: var(--c5); } .k6 { fill: var(--c6); } .k7 { fill: var(--c7); } .k8 { fill: var(--c8); }
.s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); }
.s5 { stroke: var(--c5); } .s6 { stroke: var(--c6); } .s7 { stroke: var(--c7); } .s8 { stroke: var(--c8); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 8px; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px;
  vertical-align: -1px; }
.legend .k1 { background: var(--c1); } .legend .k2 { background: var(--c2); } .legend .k3 { background: var(--c3); }
.legend .k4 { background: var(--c4); } .legend .k5 { background: var(--c5); } .legend .k6 { background: var(--c6); }
.legend .k7 { background: var(--c7); } .legend .k8 { background: var(--c8); }
footer { margin-top: 40px; color: var(--faint); font-size: 13px; }
@media (max-width: 640px) { main { padding: 18px 12px 40px; } .card { padding: 14px 12px; }
  .columns, .columns.wide { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
]]

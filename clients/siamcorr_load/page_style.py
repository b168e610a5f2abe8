"""How the page looks, in light and in dark."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root {
  --paper: #f6f7f9; --card: #ffffff; --ink: #16202b; --soft: #5b6875; --line: #dfe4ea; --faint: #eef1f4;
  --s1: #0072b2; --s2: #d55e00; --s3: #009e73; --s4: #cc79a7; --s5: #b07d00;
  --good: #00734f; --bad: #b3261e;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #10151b; --card: #182029; --ink: #e8edf2; --soft: #9aa7b4; --line: #2c3742; --faint: #222c36;
    --s1: #56b4e9; --s2: #f28e4b; --s3: #2fc79a; --s4: #e0a3c6; --s5: #e6b93c;
    --good: #3ddc9f; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 40px 24px 64px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1120px; margin: 0 auto; display: grid; gap: 20px; }
header { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: baseline; }
h1 { font-size: 30px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 0 0 2px; }
p { margin: 0; }
.soft, figcaption, .tile span { color: var(--soft); }
.wide { flex-basis: 100%; }
.verdict { border-radius: 99px; padding: 2px 14px; font-weight: 600; border: 1.5px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 12px; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; letter-spacing: -0.01em; white-space: nowrap; }
section { padding: 20px 24px; min-width: 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 20px; }
figure { margin: 10px 0 0; }
figcaption { font-size: 13.5px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font-size: 12px; }
svg .label { font-size: 12.5px; }
svg .rule-text, svg .mark-text {
  fill: var(--bad); font-size: 12.5px; font-weight: 600;
  paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round;
}
svg .mark-text { fill: var(--good); }
svg .on-bar { fill: var(--card); font-size: 13px; font-weight: 600; }
.grid { stroke: var(--line); } .faint { stroke: var(--faint); } .axis { stroke: var(--soft); }
.rule { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
.mark { stroke: var(--good); stroke-width: 1.5; stroke-dasharray: 5 4; }
.line { fill: none; stroke: var(--c); stroke-width: 2.25; stroke-linejoin: round; }
.dot { fill: var(--c); stroke: var(--card); stroke-width: 1.5; }
.dot.hollow { fill: var(--card); stroke: var(--c); stroke-width: 2; }
.bar { fill: var(--c); } .bar:hover, .dot:hover { opacity: 0.75; }
.s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); } .s4 { --c: var(--s4); }
.s5 { --c: var(--s5); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13.5px; margin-top: 6px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  background: var(--c); margin-right: 6px; }
.band { fill: var(--good); opacity: 0.12; }
.noise { fill: var(--line); }
svg .name { fill: var(--ink); font-size: 13.5px; }
.good-dot { fill: var(--good); } .bad-dot { fill: var(--bad); } .same-dot { fill: var(--soft); }
.legend .good-dot { background: var(--good); } .legend .bad-dot { background: var(--bad); }
.legend .same-dot { background: var(--soft); }
table { border-collapse: collapse; width: 100%; margin-top: 8px; font-size: 14px; }
th, td { text-align: right; padding: 5px 0 5px 14px; border-bottom: 1px solid var(--faint); }
th { color: var(--soft); font-weight: 400; } tr > :first-child { text-align: left; padding-left: 0; }
td.word, th.word { text-align: left; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
ul { margin: 0; padding-left: 20px; }
"""

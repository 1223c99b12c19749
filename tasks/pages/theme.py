"""Style sheet of the pages: light and dark mode, system fonts, no external resources."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d1c1a; --muted: #6d6a64; --rule: #e5e1d8;
  --accent: #b4472b; --line: #8f8b83; --faint: rgba(180, 71, 43, .18);
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #151413; --card: #1e1d1b; --ink: #efece6; --muted: #a09b92; --rule: #35322e;
    --accent: #ef8a68; --line: #7f7a72; --faint: rgba(239, 138, 104, .2);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 var(--sans); font-variant-numeric: tabular-nums;
}
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 clamp(16px, 4vw, 40px); }
header { padding-top: clamp(40px, 7vw, 88px); }
h1 { font: 400 clamp(34px, 5.4vw, 60px)/1.08 var(--serif); letter-spacing: -.015em; margin: 0; }
h2 { font: 400 clamp(25px, 3vw, 34px)/1.2 var(--serif); margin: 0 0 8px; }
h3 { font-size: 15px; font-weight: 600; margin: 28px 0 8px; }
.lede { max-width: 62ch; color: var(--muted); font-size: 18px; margin: 18px 0 0; }
section { padding-top: clamp(52px, 7vw, 88px); }
section > p { max-width: 68ch; color: var(--muted); margin: 0 0 24px; }
nav { margin-top: 28px; border-block: 1px solid var(--rule); }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 26px; list-style: none; margin: 0;
  padding: 11px 0; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 4px; }
a:hover { text-decoration-color: var(--accent); }
nav a { color: var(--muted); text-decoration: none; font-size: 14px; }
nav a:hover { color: var(--ink); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
img { display: block; max-width: 100%; height: auto; border-radius: 3px; background: var(--rule); }
figure { margin: 0; }
figcaption { font-size: 13px; color: var(--muted); padding-top: 6px; }
.hero { display: grid; gap: 26px 22px; margin-top: 40px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, clamp(150px, 22vw, 250px)), 1fr)); }
.hero .result { width: 100%; }
.hero .from { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center;
  padding-top: 10px; }
.hero .from img { width: 54px; }
.hero .from span { flex: 1 1 110px; font-size: 13px; line-height: 1.35; color: var(--muted);
  min-width: 0;
  overflow-wrap: anywhere; }
.tiles { display: grid; gap: 28px 36px; border-top: 1px solid var(--rule); padding-top: 24px;
  grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); margin-top: 52px; }
.tiles + p { margin-top: 36px; }
.tiles b { display: block; font: 400 38px/1.1 var(--serif); }
.tiles span { display: block; font-size: 14px; color: var(--muted); padding-top: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; }
caption { text-align: left; color: var(--muted); padding-bottom: 8px; }
th { text-align: left; font-weight: 600; vertical-align: middle; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; }
.facts { width: 100%; }
.facts th, .facts td { padding: 8px 18px 8px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
.facts td { overflow-wrap: anywhere; }
.board td { white-space: nowrap; overflow-wrap: normal; }
.board small, .pictures small { display: block; color: var(--muted); font-size: 12px; }
.board thead th, .board tbody th { min-width: 108px; padding-right: 18px; }
.board tbody th { position: sticky; left: 0; background: var(--paper); }
.methods tbody th { min-width: 108px; }
.mark { font-size: 12px; color: var(--muted); }
.mark.first { color: var(--accent); }
section > p.small { font-size: 14px; margin: 16px 0 0; }
section > p.small + .scroll { margin-top: 28px; }
.pictures th, .pictures td { padding: 2px; vertical-align: top; }
.pictures:not(.sweep) thead th { max-width: clamp(72px, 9.4vw, 116px); }
.pictures.sweep th, .pictures.methods tbody th { vertical-align: middle; }
.pictures img { max-width: none; width: clamp(72px, 9.4vw, 116px); }
.pictures thead th, .pictures tbody th { padding-bottom: 8px; font-weight: 400;
  color: var(--muted); font-size: 12px; overflow-wrap: anywhere; }
.pictures tbody th { position: sticky; left: 0; background: var(--paper); padding-right: 12px;
  z-index: 1; }
.sweep img { width: clamp(60px, 11vw, 132px); }
.sweep tbody th { font-size: 13px; white-space: nowrap; }
.triples { display: grid; gap: 24px; grid-template-columns: repeat(auto-fill,
  minmax(min(100%, 330px), 1fr)); }
.triples div { display: grid; grid-template-columns: repeat(3, 1fr); gap: 3px; }
.fits { display: grid; gap: 22px; grid-template-columns: repeat(auto-fill,
  minmax(min(100%, 230px), 1fr)); }
.fits div { display: grid; grid-template-columns: repeat(2, 1fr); gap: 3px; }
.fits b { display: block; color: var(--ink); font-weight: 600; }
.fits b.lost { color: var(--accent); }
.strip { display: grid; gap: 8px; margin-top: 28px; grid-template-columns: repeat(auto-fill,
  minmax(min(100%, 250px), 1fr)); }
.measure { display: grid; gap: 6px 32px; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
  padding: 22px 0; border-top: 1px solid var(--rule); }
.measure:last-child { border-bottom: 1px solid var(--rule); }
.measure h3 { margin: 0; }
.measure p { margin: 4px 0 0; font-size: 14px; color: var(--muted); max-width: 52ch; }
.charts { display: grid; gap: 22px 28px; grid-template-columns: repeat(auto-fill,
  minmax(min(100%, 250px), 1fr)); }
.charts.curves { margin: 40px 0 28px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--muted); font: 12px var(--sans); }
svg.bars { max-width: 680px; }
svg .strong { fill: var(--ink); font-weight: 600; }
svg .axis { stroke: var(--rule); stroke-width: 1; fill: none; }
svg .raw { stroke: var(--faint); stroke-width: 1.5; fill: none; }
svg .curve { stroke: var(--accent); stroke-width: 1.8; fill: none; stroke-linejoin: round; }
svg .ours { stroke: var(--accent); fill: var(--accent); stroke-width: 2; }
svg .other { stroke: var(--line); fill: var(--line); stroke-width: 1.5; }
details { border-top: 1px solid var(--rule); }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; padding: 12px 0; font-weight: 500; }
details > :not(summary) { margin-bottom: 22px; }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { padding-block: 64px 80px; color: var(--muted); font-size: 14px; }
@media (max-width: 720px) { .measure { grid-template-columns: minmax(0, 1fr); } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print { .scroll { overflow: visible; } section { break-inside: avoid-page; } }
"""

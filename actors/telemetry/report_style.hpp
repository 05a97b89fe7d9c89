#pragma once
// The report's style sheet. Colours are Okabe and Ito's, which the colour-blind can tell apart;
// each curve also has a dash pattern of its own.

namespace troupe {

inline constexpr const char* kReportStyle = R"css(
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c2024;--soft:#5f6b76;--line:#e2e5e8;
--c1:#0072b2;--c2:#c75000;--c3:#00815f;--c4:#a34d84;--c5:#7a6a00;--c6:#5b4bb7;--c7:#b3261e;--c8:#5f6b76;--good:#00815f;--bad:#c75000;--idle:#e4e7ea}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2025;--ink:#e6e9ec;--soft:#98a4af;
--line:#31373d;--c1:#56b4e9;--c2:#f0a03c;--c3:#3ccaa0;--c4:#df94c2;--c5:#e8dc5a;--c6:#aba0ff;--c7:#ff8a80;--c8:#b4bec8;--good:#3ccaa0;--bad:#f0a03c;--idle:#2c3238}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1320px;padding:24px 20px 60px;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px;padding-top:6px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:18px 0 8px}
p{margin:4px 0}.soft,figcaption span,dt{color:var(--soft)}
.badge{display:inline-block;padding:1px 9px;border-radius:99px;font-size:13px;border:1px solid currentColor;color:var(--good);vertical-align:4px}
.badge.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:20px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:18px;font-weight:650;white-space:nowrap;line-height:1.3;font-variant-numeric:tabular-nums}
.tile b i{font-style:normal;color:var(--soft);font-weight:400}
.tile span{color:var(--soft);font-size:13px}.tile.bad b{color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px 8px;min-width:0}
figure.wide{margin:0 0 14px}figcaption{font-size:14px;margin-bottom:6px}figcaption span{font-size:13px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}svg .e{text-anchor:end}svg .m{text-anchor:middle}
path{fill:none}path.grid{stroke:var(--line);stroke-width:1}
.s1,.s2,.s3,.s4,.s5,.s6,.s7,.s8{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.s1{stroke:var(--c1)}.s2{stroke:var(--c2);stroke-dasharray:6 4}.s3{stroke:var(--c3);stroke-dasharray:1.5 4}.s4{stroke:var(--c4);stroke-dasharray:9 3 2 3}
.s5{stroke:var(--c5);stroke-dasharray:3 3}.s6{stroke:var(--c6);stroke-dasharray:12 4}.s7{stroke:var(--c7);stroke-dasharray:6 3 1 3}.s8{stroke:var(--c8);stroke-dasharray:2 6}
.d1{fill:var(--c1)}.d2{fill:var(--c2)}.d3{fill:var(--c3)}.d4{fill:var(--c4)}.d5{fill:var(--c5)}.d6{fill:var(--c6)}.d7{fill:var(--c7)}.d8{fill:var(--c8)}
rect.t{fill:transparent}rect.t:hover{fill:var(--soft);fill-opacity:.14}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft);margin:2px 0 4px}
.legend span{display:flex;align-items:center;gap:6px}svg.key{width:24px;height:8px}
.bars{display:grid;grid-template-columns:minmax(60px,auto) 1fr minmax(64px,auto);gap:7px 10px;align-items:center;font-size:13px;padding:6px 0;font-variant-numeric:tabular-nums}
.bars i{height:14px;border-radius:3px;background:linear-gradient(var(--c1),var(--c1)) 0/var(--w) 100% no-repeat,var(--idle)}
.bars i.bad{background-image:linear-gradient(var(--bad),var(--bad))}
.rows{display:grid;grid-template-columns:auto 1fr;gap:6px 12px;align-items:center;font-size:13px}
.rows svg{height:22px;border-radius:3px;overflow:hidden}
.w0{fill:var(--idle)}.w1,.w2,.w3,.w4{fill:var(--c1)}.w1{fill-opacity:.3}.w2{fill-opacity:.5}.w3{fill-opacity:.75}
path.mark{stroke:var(--c2);stroke-width:1.5;vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;margin:0;color:var(--soft);font-size:12px}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 14px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft)}tr:last-child>*{border-bottom:0}
th:first-child,td:first-child,.left{text-align:left}.wrap{white-space:pre-wrap;overflow-wrap:anywhere;min-width:220px}
.mono,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:13px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:14px}
.sample{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--soft);border-radius:8px;padding:10px 14px;margin-bottom:10px}
.sample.pass{border-left-color:var(--good)}.sample.fail{border-left-color:var(--bad)}
.sample p{overflow-wrap:anywhere;white-space:pre-wrap}
pre{margin:0;padding:14px;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto;max-height:520px}
details{margin:10px 0}summary{cursor:pointer;color:var(--soft)}
@media(max-width:600px){body{padding:16px 12px 40px}h1{font-size:23px}th,td{padding:6px 9px}.grid{grid-template-columns:1fr}}
)css";

}  // namespace troupe

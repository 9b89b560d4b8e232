--
-- report_style: how a report looks.  Colours are pairs of a text and its ground
-- with a contrast of at least 4.5 to 1, light and dark, as test/t/097 computes.
--

CREATE FUNCTION workflow._report_style() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $style$
  SELECT $$
:root{color-scheme:light;--page:#f4f6f8;--card:#ffffff;--text:#18212b;--muted:#55606d;--line:#d9dfe5;--soft:#eef1f4;--link:#1f5fb0;--bar:#2f6fc1;--bar2:#8a5a00;--good:#17703a;--good-ground:#ddf3e4;--fair:#7c4f00;--fair-ground:#fdefcf;--bad:#ad1f2b;--bad-ground:#fce4e4;--plain-ground:#e6eaee;--s1:#9cc3ee;--s2:#5b96d8;--s3:#2c63a8;--s4:#143a6b}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#0d1117;--card:#151b23;--text:#e6edf3;--muted:#9fabb8;--line:#2e3843;--soft:#1d2530;--link:#79b0ff;--bar:#5c9df0;--bar2:#e0ab3c;--good:#6fd694;--good-ground:#12331f;--fair:#efc262;--fair-ground:#3b2c0a;--bad:#ff9a94;--bad-ground:#47181c;--plain-ground:#2a323c;--s1:#d3e5fb;--s2:#8fbdf3;--s3:#4f8fdd;--s4:#2b5f9f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;padding:2rem 1.5rem 3rem;max-width:75rem;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:anywhere}
h1,h2,h3,p,dl,dd,ul,figure{margin:0;padding:0}
h1{font-size:1.75rem;line-height:1.2;font-weight:650;letter-spacing:-.015em}
h1 span{color:var(--muted);font-weight:400}
h2{font-size:1.2rem;line-height:1.3;font-weight:650;letter-spacing:-.01em;margin-bottom:.75rem}
.span{margin-top:.5rem;font-size:1.05rem}
.zone,.origin{color:var(--muted);font-size:.875rem}
.zone{margin-left:.5rem}
a{color:var(--link)}
code{font:.86em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--soft);padding:.05em .3em;border-radius:.25em}
small{font-size:.8125rem;color:var(--muted)}
section,.tile{background:var(--card);border:1px solid var(--line);border-radius:.625rem}
section{margin-top:1.25rem;padding:1.25rem 1.25rem 1.35rem}
section>*+*{margin-top:1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin-top:1.5rem}
.tile{padding:.85rem 1rem .8rem}
.tile dt{color:var(--muted);font-size:.8125rem}
.tile dd{font-size:1.7rem;line-height:1.25;font-weight:620;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile small{display:block;font-weight:400;letter-spacing:0;line-height:1.4;margin-top:.15rem}
nav{margin-top:1rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;font-size:.9375rem}
.none{color:var(--muted)}
.good{color:var(--good)}.fair{color:var(--fair)}.bad{color:var(--bad)}
.badge{display:inline-block;font-size:.75rem;line-height:1.35;font-weight:600;padding:.1em .55em;border-radius:1em;white-space:nowrap}
.badge.good{background:var(--good-ground)}.badge.fair{background:var(--fair-ground)}.badge.bad{background:var(--bad-ground)}.badge.plain{background:var(--plain-ground);color:var(--text)}
.empty,.note{color:var(--muted)}
.note{font-size:.8125rem}
.note+.note{margin-top:.25rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:.75rem;list-style:none}
.cards li{color:var(--text);background:var(--soft);border-left:4px solid var(--fair);border-radius:.375rem;padding:.7rem .9rem;font-size:.9375rem}
.cards li.bad{border-left-color:var(--bad)}
.cards p{margin-top:.35rem}
.hint{color:var(--muted);font-size:.8125rem}
.scroll{overflow-x:auto;max-width:100%;background:linear-gradient(to right,var(--card) 40%,transparent) 0 0/2rem 100% no-repeat local,linear-gradient(to left,var(--card) 40%,transparent) 100% 0/2rem 100% no-repeat local,linear-gradient(to right,var(--line),transparent) 0 0/.6rem 100% no-repeat scroll,linear-gradient(to left,var(--line),transparent) 100% 0/.6rem 100% no-repeat scroll}
.scroll:focus-visible,a:focus-visible,summary:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.35rem;font-size:.9375rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid var(--line);min-width:4rem}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--muted);font-weight:500;font-size:.8125rem;vertical-align:bottom;overflow-wrap:normal}
tbody th{font-weight:550;min-width:7rem}
tbody tr:last-child>*{border-bottom:0}
th.n,td.n{text-align:right;min-width:3.25rem;overflow-wrap:normal}
td.l{min-width:11rem}
td bdi,th bdi{display:inline-block;max-width:16rem;overflow-wrap:break-word}
td.l bdi{max-width:26rem}
table{overflow-wrap:normal}
time{white-space:nowrap}
figcaption{font-size:.9375rem;font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1.25rem}
.chart figcaption{display:flex;flex-wrap:wrap;gap:.1rem .6rem;align-items:baseline}
.chart figcaption b{font-size:1.2rem;font-weight:620;font-variant-numeric:tabular-nums}
.key{display:inline-flex;flex-wrap:wrap;align-items:center;gap:.15rem .4rem;color:var(--muted);font-size:.8125rem;font-weight:400}
.key i{width:.75rem;height:.75rem;border-radius:2px;background:var(--bar)}
.key i.up{background:repeating-linear-gradient(45deg,var(--bar2) 0 2px,var(--card) 2px 4px);border:1px solid var(--bar2)}
.key i+i,.key i:not(:first-child){margin-left:.4rem}
.stackkey{margin-top:.4rem}
.stackkey span{display:inline-flex;align-items:center;gap:.4rem;margin-right:.4rem}
.key i.s1{background:var(--s1)}.key i.s2{background:var(--s2)}.key i.s3{background:var(--s3)}.key i.s4{background:var(--s4)}
.plot{display:flex;margin-top:.25rem}
.plot .axis{flex:none}
.plot .bars{flex:1;min-width:0;overflow:visible}
.plot text{font-size:11px;fill:var(--muted);font-variant-numeric:tabular-nums}
.axis text{text-anchor:end}
.bars .grid{stroke:var(--line);stroke-width:1}
.bars .unread{fill:var(--soft)}
.bars .unread-text{text-anchor:middle}
.bars .touch{fill:transparent}
.bars g:hover .touch{fill:var(--soft)}
.bars .low{fill:var(--bar)}
.bars .up{stroke:var(--bar2);stroke-width:1}
.hatch-ground{fill:var(--card)}.hatch-line{fill:var(--bar2)}
.gauge{vertical-align:middle}
.gauge .track{fill:var(--plain-ground)}.gauge .good{fill:var(--good)}.gauge .fair{fill:var(--fair)}.gauge .bad{fill:var(--bad)}.gauge .mark{fill:var(--text)}
.stack{display:block;border-radius:3px;min-width:8rem;margin-top:.2rem}
.stack .s1{fill:var(--s1)}.stack .s2{fill:var(--s2)}.stack .s3{fill:var(--s3)}.stack .s4{fill:var(--s4)}
.diagram .scroll{margin-top:.5rem}
.diagram svg{display:block}
summary{cursor:pointer;color:var(--link);font-size:.9375rem}
details>.scroll{margin-top:.75rem}
footer{margin-top:1.5rem;color:var(--muted);font-size:.8125rem}
@media (max-width:40rem){body{padding:1.25rem .75rem 2rem}h1{font-size:1.4rem}section{padding:1rem .85rem}.tiles{grid-template-columns:1fr 1fr}.tile dd{font-size:1.4rem}.zone{display:block;margin:0}.wide{display:none}th,td{padding-right:.6rem}td bdi,th bdi{max-width:11.5rem}td.l bdi{max-width:16rem}tbody th{min-width:5rem}}
@media print{@page{margin:14mm}:root{--page:#ffffff}body{padding:0;max-width:none;font-size:10pt}nav,summary,details:not([open]){display:none}section{border:0;border-top:1px solid var(--line);border-radius:0;padding:.9rem 0;margin-top:.5rem}.tile,.cards li,tr,.chart,.diagram{break-inside:avoid}h2,caption,figcaption{break-after:avoid}thead{display:table-header-group}.scroll{overflow:visible}table{font-size:7.5pt}th,td{min-width:0;padding-right:.4rem}td.l,tbody th{min-width:0}th.n,td.n{min-width:0}.stack{min-width:5rem}.diagram svg{max-width:100%;max-height:230mm;width:auto;height:auto}.tiles{grid-template-columns:repeat(6,1fr);gap:.4rem}.tile{padding:.5rem .6rem}.charts{grid-template-columns:repeat(3,1fr);gap:.5rem}td bdi,th bdi{max-width:9rem;overflow-wrap:anywhere}.scroll{background:none}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
$$
$style$;
COMMENT ON FUNCTION workflow._report_style() IS
  'Inner: the style sheet of a report';

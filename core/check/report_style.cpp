#include <twingrad/check/report_style.h>

namespace twingrad::check {

const std::string_view report_style = R"css(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--line:#dde2e8;--ink:#17212b;--soft:#5a6775;--lane:#f3f5f8;
--wire:#8595a5;--side:#b9c4cf;--hot:#0b63c4;--good:#1a7f4b;--warn:#8f6400;--bad:#b42318;--ill:#6a3fb5;--grey:#5a6775;
--e0:#edf1f5;--e1:#e0eefb;--e2:#c3def5;--e3:#9cc8ec;--e4:#6fadde;--e5:#fbcf8f;--e6:#f39a55;--e7:#d8432f;--on7:#fff;
--fwd:#3f6184;--bwd:#94662a;--upd:#4d7a45;--in:#4f93cc;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media(prefers-color-scheme:dark){:root{--page:#10151b;--card:#182029;--line:#2c3844;--ink:#e4eaf0;--soft:#9aa8b6;--lane:#141b23;
--wire:#66788a;--side:#3c4a58;--hot:#6db3ff;--good:#2e9e63;--warn:#c9971c;--bad:#e5534b;--ill:#a47fe8;--grey:#7d8b99;
--e0:#26303a;--e1:#1b3247;--e2:#1b4263;--e3:#1d5482;--e4:#2268a3;--e5:#7d5514;--e6:#a4501a;--e7:#c43a2b;--on7:#fff;
--fwd:#7fa9d3;--bwd:#d5a865;--upd:#8fc285;--in:#4f93cc}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1280px;margin:0 auto;padding:20px 24px 48px}
h1{font-size:24px;line-height:1.25;margin:0}h2{font-size:17px;margin:30px 0 10px}h3{font-size:15px;margin:0 0 6px}
p{margin:4px 0}.soft{color:var(--soft)}code,.mono{font-family:var(--mono);font-size:.92em}a{color:var(--hot)}
.top{color:var(--soft);margin-bottom:8px;display:flex;justify-content:space-between;gap:20px}
.banner{border-radius:10px;padding:18px 22px;color:#fff;background:var(--grey)}
.banner .kind{display:inline-block;font-weight:700;letter-spacing:.04em;text-transform:uppercase;font-size:12px;border:1px solid #fff9;border-radius:4px;padding:1px 8px;margin-bottom:8px}
.banner p{max-width:980px}.banner.good{background:#176e42}.banner.warn{background:#855c00}.banner.bad{background:#a82218}.banner.ill{background:#5f38a6}
.facts,.cards{display:flex;flex-wrap:wrap;gap:12px;margin-top:12px}
.facts div{color:var(--soft)}.facts b{color:var(--ink);font-weight:600}.facts{gap:4px 28px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;flex:1 1 340px;min-width:0}
.card+.card.wide,.wide{flex-basis:100%}
.find{border-left:5px solid var(--bad);margin-top:12px;display:grid;grid-template-columns:minmax(0,1fr) auto;gap:6px 24px}
.find.warn{border-left-color:var(--warn)}.find.ill{border-left-color:var(--ill)}
.find .draw{display:flex;flex-direction:column;gap:10px}
.chip{display:inline-block;border-radius:4px;padding:0 7px;font-size:12px;font-weight:600;color:#fff;background:var(--grey);white-space:nowrap;line-height:19px}
.chip.good{background:#176e42}.chip.warn{background:#855c00}.chip.bad{background:#a82218}.chip.ill{background:#5f38a6}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 14px;margin:6px 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow:auto;border:1px solid var(--line);border-radius:10px;background:var(--card)}
.rows{max-height:540px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
tr:last-child td{border-bottom:0}th{position:sticky;top:0;background:var(--card);font-weight:600;color:var(--soft);font-size:13px;box-shadow:inset 0 -1px var(--line)}
td.num,th.num{text-align:right}td.wrap{white-space:normal;min-width:200px}tr.bad td:first-child{box-shadow:inset 4px 0 var(--bad)}
tr.warn td:first-child{box-shadow:inset 4px 0 var(--warn)}tr.ill td:first-child{box-shadow:inset 4px 0 var(--ill)}
details>summary{cursor:pointer;margin:10px 0}summary h2{display:inline;margin:0}
.key{display:flex;flex-wrap:wrap;gap:4px 22px;align-items:center;margin:0 0 8px;color:var(--soft);font-size:13px}
.key .tools{margin-left:auto}.key button{font:inherit;border:1px solid var(--line);background:var(--card);color:var(--ink);border-radius:6px;padding:1px 10px;margin-left:4px;cursor:pointer}
.swatch{display:inline-block;width:26px;height:14px;border:1.6px solid var(--fwd);border-radius:4px;vertical-align:-2px;margin-right:6px}
.swatch.b{border:1.6px dashed var(--bwd)}.swatch.u{border-color:var(--upd)}.swatch.l{border:1px solid var(--side);border-radius:8px}
.frame{display:flex;gap:8px}.box{flex:1;min-width:0;max-height:max(460px,72vh);overflow:auto;border:1px solid var(--line);border-radius:10px;background:var(--card);position:relative}
.side{flex:0 0 120px;position:relative;border:1px solid var(--line);border-radius:10px;background:var(--card);overflow:hidden}
.overview{position:absolute;left:0;top:0;width:100%;height:100%}.view-at{position:absolute;border:1.5px solid var(--hot);border-radius:4px;pointer-events:none;background:#3a8ee622}
.net{display:block;margin:0 auto}.panel{margin-top:8px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;min-height:150px}
.cols{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:4px 28px}
svg text{font-family:var(--mono);font-size:10px;fill:var(--ink)}svg text.op{font-size:11px;font-weight:700}svg text.r{text-anchor:end;fill:var(--ink);opacity:.75}
svg text.v{text-anchor:middle;font-weight:700;fill:#fff}svg text.m{text-anchor:middle;fill:var(--soft)}
svg text.lanename{font:600 13px system-ui,sans-serif;fill:var(--soft)}.lane{fill:var(--lane)}
.w{fill:none;stroke:var(--wire);stroke-width:1.2}.w.c{stroke:var(--side);stroke-width:1.1}.tip{fill:var(--wire)}
.n rect{fill:var(--e0);stroke:var(--fwd);stroke-width:1.4}.n.bwd rect{stroke:var(--bwd);stroke-dasharray:5 3}.n.upd rect{stroke:var(--upd)}
.n.leaf rect{fill:var(--card);stroke:var(--side);stroke-width:1}.n.leaf text{fill:var(--soft)}
.n.view rect{fill:var(--card);stroke-width:1}.n.view text.op{font-weight:400;font-style:italic}
.n.e1 rect{fill:var(--e1)}.n.e2 rect{fill:var(--e2)}.n.e3 rect{fill:var(--e3)}.n.e4 rect{fill:var(--e4)}
.n.e5 rect{fill:var(--e5)}.n.e6 rect{fill:var(--e6)}.n.e7 rect{fill:var(--e7)}.n.e7 text{fill:var(--on7)}.n.e7 text.r{fill:var(--on7);opacity:1}
.legend .n rect{stroke:none}.limit{stroke:var(--bad);stroke-width:2}
.n.bad rect{stroke:var(--bad);stroke-width:2.6;stroke-dasharray:none}.n.bad .flag{fill:var(--bad)}
.n.odd rect{stroke:var(--warn);stroke-width:2.2;stroke-dasharray:none}.n.odd .flag{fill:#855c00}
.overview .n rect{stroke-width:0;stroke:none}.overview .n.bad rect{fill:var(--bad)}.overview .n.odd rect{fill:var(--warn)}.overview .n.leaf rect,.overview .n.view rect{fill:var(--side)}
.overview .n.e0 rect,.overview .n.e1 rect{fill:var(--e2)}
.net .n{cursor:pointer}.net .n:focus{outline:none}.net .n:hover rect,.net .n.on rect,.net .n:target rect{stroke:var(--hot);stroke-width:2.6;stroke-dasharray:none}
.w.on{stroke:var(--hot);stroke-width:2.2}.hist rect{fill:var(--in)}.axis{stroke:var(--soft);fill:none}
.pos .none,.ratio .none{fill:var(--line)}.pos .hit,.ratio .over{fill:var(--bad)}.ratio .in{fill:var(--in)}.ratio .mark{fill:var(--ink)}.ratio{vertical-align:middle;margin-left:8px}
@media print{.box,.rows{max-height:none}.key .tools,.side{display:none}}
)css";

const std::string_view report_script = R"js(
document.querySelectorAll('.graph').forEach(function (graph) {
  var box = graph.querySelector('.box'), net = graph.querySelector('.net'), panel = graph.querySelector('.panel');
  var wires = {}, pinned = null;
  net.querySelectorAll('.w').forEach(function (wire) {
    [wire.dataset.f, wire.dataset.t].forEach(function (end) { (wires[end] = wires[end] || []).push(wire); });
  });
  function show(node) {
    var details = document.getElementById(node.id + '-d');
    if (!details) { return; }
    panel.replaceChildren(details.content.cloneNode(true));
    net.querySelectorAll('.on').forEach(function (lit) { lit.classList.remove('on'); });
    node.classList.add('on');
    (wires[node.id.split('-').pop()] || []).forEach(function (wire) { wire.classList.add('on'); });
  }
  net.querySelectorAll('.n').forEach(function (node) {
    node.addEventListener('mouseenter', function () { if (!pinned) { show(node); } });
    node.addEventListener('focus', function () { show(node); });
    node.addEventListener('click', function (event) { pinned = node; show(node); event.stopPropagation(); });
  });
  box.addEventListener('click', function () { pinned = null; });
  // Links from findings and tables.
  function arrive() {
    var node = document.getElementById(location.hash.slice(1));
    if (node && net.contains(node)) {
      pinned = node;
      show(node);
      node.scrollIntoView({block: 'center', inline: 'center'});
    }
  }
  window.addEventListener('hashchange', arrive);
  arrive();

  var width = +net.getAttribute('width'), height = +net.getAttribute('height'), scale = 1;
  var tools = graph.querySelector('.tools'), side = graph.querySelector('.side'), mark = null;
  function follow() {
    if (!mark) { return; }
    // The overview keeps its proportions, centred at the top.
    var fit = Math.min(side.clientWidth / width, side.clientHeight / height), by = fit / scale;
    var left = (side.clientWidth - width * fit) / 2;
    mark.style.left = left + box.scrollLeft * by + 'px';
    mark.style.top = box.scrollTop * by + 'px';
    mark.style.width = Math.min(width * fit, box.clientWidth * by) + 'px';
    mark.style.height = Math.min(height * fit, box.clientHeight * by) + 'px';
  }
  function zoom(to) {
    scale = Math.min(3, Math.max(0.05, to));
    net.setAttribute('width', width * scale);
    net.setAttribute('height', height * scale);
    follow();
  }
  [['\u2212', function () { zoom(scale / 1.25); }], ['+', function () { zoom(scale * 1.25); }],
   ['100 %', function () { zoom(1); }],
   ['fit', function () { zoom(Math.min(1, (box.clientWidth - 4) / width)); }]].forEach(function (tool) {
    var button = document.createElement('button');
    button.type = 'button';
    button.textContent = tool[0];
    button.addEventListener('click', tool[1]);
    tools.appendChild(button);
  });
  if (side) {
    mark = document.createElement('div');
    mark.className = 'view-at';
    side.appendChild(mark);
    box.addEventListener('scroll', follow);
    window.addEventListener('resize', follow);
    follow();
  }
});
)js";

}  // namespace twingrad::check

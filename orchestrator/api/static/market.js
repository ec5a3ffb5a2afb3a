"use strict";
// The market stream's part of the page; the rest, and what both use, is in dashboard.js.
const price = new Intl.NumberFormat("en", {maximumFractionDigits: 2, minimumFractionDigits: 2});
const seconds = value => value == null ? "–" : value < 1 ? `${Math.round(1e3 * value)} ms` : duration(1e3 * value);
const rate = (of, per) => (m, rows, i) => {
  let first = i; while (first > 0 && m.at_ms - rows[first - 1].at_ms <= 6e3) first--;
  return first === i ? NaN : Math.max(0, (m[of] - rows[first][of]) * per / (m.at_ms - rows[first].at_ms));
};
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});

function marketCharts() {
  chart("chart-ticks", [{name: "ticks a second", colour: "own", of: rate("ticks_in", 1e3), fill: true}], v => compact.format(v), 10);
  chart("chart-lag", [{name: "furthest behind", colour: "warn", of: m => m.lag_seconds ?? NaN, fill: true}], seconds, 0.1);
  chart("chart-signals", [{name: "signals a minute", colour: "ok", of: rate("signals", 60e3), fill: true}], v => compact.format(v), 10);
}
function marketCards(s) {
  const last = moments.length - 1, now = (of, per) => last < 0 ? null : rate(of, per)(moments[last], moments, last);
  const some = value => Number.isFinite(value) ? compact.format(Math.round(value)) : "–";
  const lost = s.late + s.duplicate + s.dead;
  const stages = Object.entries(s.latency_us).map(([stage, spread]) => `${stage} ${seconds(spread.p99 / 1e6)}`).join(" · ");
  const log = s.latency_us.log;
  const rows = [["ticks a second", some(now("ticks_in", 1e3)), `${compact.format(s.symbols)} symbols`],
    ["ticks in", compact.format(s.ticks_in), s.balanced ? "balanced" : "NOT BALANCED", s.balanced ? "" : "bad"],
    ["late, repeated, dead", number.format(lost), lost ? `${s.late} · ${s.duplicate} · ${s.dead}` : ""],
    ["behind", seconds(s.lag_seconds), s.lag_messages ? `${number.format(s.lag_messages)} frames` : ""],
    ["signals a minute", some(now("signals", 60e3)), `${compact.format(s.signals)} in all`],
    ["log to signal, median", log ? seconds(log.p50 / 1e6) : "–", "", "", stages && `99 in 100 below: ${stages}`],
    ["workers", number.format(s.workers.length), s.workers.every(w => w.ready) ? "" : "not all are ready", s.workers.length ? "" : "bad"]];
  $("market-cards").replaceChildren(...rows.map(([name, value, note, kind, title]) => el("div", {class: "card", title}, el("b", {class: kind || ""}, value + " ", el("small", {}, note)), el("span", {}, name))));
}
function signalRow(s) {
  const side = s.side > 0 ? ["buy", "ok"] : s.side < 0 ? ["sell", "bad"] : ["leave", "dim"];
  const latency = s.latency_us.log;
  const shown = Object.entries(s.probabilities || s.features).map(([k, v]) => `${k} ${v == null ? "–" : price.format(v)}`).join(" · ");
  return el("tr", {title: `${s.signal_id}\n${JSON.stringify(s.features)}`}, el("td", {}, clock(s.ts_event_ns / 1e6)), el("td", {class: "mono"}, s.symbol), el("td", {}, `${s.kind} ${s.window}`),
    el("td", {}, el("span", {class: "chip", style: {"--c": `var(--${side[1]})`}}, side[0])), el("td", {class: "r"}, price.format(s.strength)),
    el("td", {class: "r"}, s.expected_move_bps == null ? "–" : price.format(s.expected_move_bps)), el("td", {class: "r"}, s.cost_bps == null ? "–" : price.format(s.cost_bps)),
    el("td", {class: "r"}, latency == null ? "–" : seconds(latency / 1e6)), el("td", {class: "dim why"}, shown));
}
function worker(w) {
  const sum = of => w.partitions.reduce((a, p) => a + (p[of] || 0), 0), lag = Math.max(0, ...w.partitions.map(p => p.lag_seconds || 0));
  return el("div", {class: "device"}, el("div", {class: "line"}, el("b", {}, el("a", {href: w.page}, w.worker)), el("span", {class: "dim"}, w.device), el("span", {class: "chip", style: {"--c": `var(--${w.ready ? "ok" : "warn"})`}}, w.ready ? "READY" : "STARTING"),
    el("span", {class: "push dim"}, `${w.host} · capacity ${number.format(w.capacity)}`)),
    el("div", {class: "dim"}, `${w.partitions.length} partitions (${w.partitions.map(p => p.partition).join(", ") || "none"}) · ${compact.format(sum("ticks_in"))} ticks · ${compact.format(sum("signals"))} signals · ${lag ? `${seconds(lag)} behind` : "nothing waits"}`));
}
async function refreshMarket() {
  const [s, latest] = await Promise.all(["/market/stats", "/market/signals?limit=40"].map(read));
  marketCards(s);
  fill("workers", s.workers.map(worker), "no worker has reported in the last ten seconds");
  const rows = latest.signals.map(signalRow);
  $("signals").replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", {colspan: 9, class: "dim"}, "no signals yet"))]));
}

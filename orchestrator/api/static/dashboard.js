"use strict";
// What a person looks at: reads the API with the token that the tab was given, and its event stream.
const $ = id => document.getElementById(id);
const el = (tag, attrs = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name === "style") Object.entries(value).forEach(([k, v]) => made.style.setProperty(k, v));
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child != null));
  return made;
};
const svg = (tag, attrs, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attrs).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
};
const number = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const bytes = value => {
  if (value == null) return "–";
  const step = value >= 1e12 ? [1e12, "TB"] : value >= 1e9 ? [1e9, "GB"] : value >= 1e6 ? [1e6, "MB"] : value >= 1e3 ? [1e3, "kB"] : [1, "B"];
  return `${number.format(value / step[0])} ${step[1]}`;
};
const duration = ms => ms == null ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : ms < 60e3 ? `${number.format(ms / 1e3)} s`
  : ms < 3600e3 ? `${number.format(ms / 60e3)} min` : ms < 864e5 ? `${number.format(ms / 3600e3)} h` : `${number.format(ms / 864e5)} d`;
const clock = ms => new Date(ms).toLocaleTimeString("en-GB");
const COLOURS = {QUEUED: "dim", GRANTED: "run", RUNNING: "run", RECLAIMING: "warn", SUCCEEDED: "ok", FAILED: "bad",
  CANCELLED: "dim", DEADLINE_EXCEEDED: "warn", REJECTED: "bad", HEALTHY: "ok", UNKNOWN: "dim", SUSPECT: "warn",
  QUARANTINED: "bad", PROBATION: "warn", LOST: "bad", WARN: "warn", HIGH: "warn", CRITICAL: "bad"};
const chip = text => el("span", {class: "chip", style: {"--c": `var(--${COLOURS[text] || "dim"})`}}, text.replace("_", " "));
const empty = text => el("div", {class: "empty"}, text);

let token = "";
const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
if (fragment) { sessionStorage.setItem("token", fragment); history.replaceState(null, "", location.pathname); }
token = fragment || sessionStorage.getItem("token") || "";

async function call(path, options = {}) {
  const reply = await fetch("/api/v1" + path, {...options, headers: {...options.headers, Authorization: `Bearer ${token}`}});
  if (reply.status === 401) { ask(true); throw new Error("unauthorized"); }
  if (!reply.ok) throw new Error((await reply.json()).detail);
  return reply;
}
const read = async path => (await call(path)).json();

function ask(refused) {
  sessionStorage.removeItem("token");
  token = "";
  $("main").hidden = true; $("ask").hidden = false; $("refused").hidden = !refused; $("token").focus();
  status("", "no token");
}
$("ask").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value.trim(); $("token").value = "";
  sessionStorage.setItem("token", token);
  begin();
});
$("forget").addEventListener("click", () => ask(false));

function status(kind, text) { $("status").className = `status ${kind}`; $("status").lastChild.textContent = text; }

// Charts: a line each, time to the right, the newest at the edge.
const moments = [];
const SPAN_MS = 600e3;
function chart(id, series, show, least = 1) {
  const box = $(id), wide = box.clientWidth || 400, high = 132, left = 46, bottom = 18, top = 6;
  const now = moments.length ? moments[moments.length - 1].at_ms : Date.now(), from = Math.max(now - SPAN_MS, moments.length ? Math.min(moments[0].at_ms, now - 60e3) : 0);
  const rows = moments.filter(m => m.at_ms >= from);
  const values = series.map(s => rows.map((m, i) => s.of(m, rows, i)));
  const most = nice(Math.max(least, ...values.flat().filter(Number.isFinite)));
  const x = ms => left + (wide - left - 4) * (ms - from) / Math.max(1, now - from), y = v => top + (high - top - bottom) * (1 - v / most);
  const drawn = svg("svg", {class: "chart", viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none"});
  for (const part of [0, .5, 1]) {
    drawn.append(svg("line", {class: "grid", x1: left, x2: wide, y1: y(most * part), y2: y(most * part)}));
    drawn.append(svg("text", {x: left - 6, y: y(most * part) + 4, "text-anchor": "end"}, show(most * part)));
  }
  for (const [at, anchor] of [[from, "start"], [now, "end"]]) drawn.append(svg("text", {x: x(at), y: high - 4, "text-anchor": anchor}, at === now ? "now" : `${duration(now - at)} ago`));
  series.forEach((s, k) => {
    const points = rows.map((m, i) => [x(m.at_ms), y(values[k][i])]).filter(p => Number.isFinite(p[1]));
    if (!points.length) return;
    const line = points.map(p => p.map(v => v.toFixed(1)).join(",")).join(" L");
    if (s.fill) drawn.append(svg("path", {d: `M${points[0][0]},${y(0)} L${line} L${points[points.length - 1][0]},${y(0)} Z`, fill: `var(--${s.colour})`, opacity: .16}));
    drawn.append(svg("path", {d: `M${line}`, fill: "none", stroke: `var(--${s.colour})`, "stroke-width": 1.8, "stroke-linejoin": "round"}));
  });
  const keys = el("div", {class: "keys"});
  const tell = i => keys.replaceChildren(...series.map((s, k) => el("span", {}, el("i", {class: "key", style: {background: `var(--${s.colour})`}}), `${s.name} `,
    el("b", {}, rows.length && Number.isFinite(values[k][i]) ? show(values[k][i]) : "–"))), el("span", {class: "push"}, i < rows.length - 1 ? clock(rows[i].at_ms) : ""));
  tell(rows.length - 1);
  const cross = svg("line", {class: "cross", y1: top, y2: high - bottom, visibility: "hidden"});
  drawn.append(cross);
  drawn.addEventListener("pointermove", event => {
    if (!rows.length) return;
    const at = from + (event.offsetX - left) / Math.max(1, wide - left - 4) * (now - from);
    let best = 0; rows.forEach((m, i) => { if (Math.abs(m.at_ms - at) < Math.abs(rows[best].at_ms - at)) best = i; });
    cross.setAttribute("x1", x(rows[best].at_ms)); cross.setAttribute("x2", x(rows[best].at_ms)); cross.setAttribute("visibility", "visible"); tell(best);
  });
  drawn.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); tell(rows.length - 1); });
  box.replaceChildren(drawn, keys);
}
function nice(value) { const power = 10 ** Math.floor(Math.log10(value)), part = value / power; return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 4 ? 4 : part <= 5 ? 5 : 10); }
function perMinute(m, rows, i) {
  let first = i; while (first > 0 && m.at_ms - rows[first - 1].at_ms <= 10e3) first--;
  return first === i ? NaN : Math.max(0, (m.ended - rows[first].ended) * 60e3 / (m.at_ms - rows[first].at_ms));
}
function charts() {
  chart("chart-tasks", [{name: "waiting", colour: "warn", of: m => m.waiting}, {name: "running", colour: "run", of: m => m.running, fill: true}], v => number.format(v), 4);
  chart("chart-ended", [{name: "ended", colour: "ok", of: perMinute, fill: true}], v => number.format(v), 10);
  chart("chart-memory", [{name: "in use", colour: "own", of: m => m.used_bytes, fill: true}, {name: "of", colour: "other", of: m => m.memory_bytes}], bytes, 1e9);
}

let chosen = "", stats = null;
function cards(s) {
  const t = s.tasks, d = s.devices, open = Object.values(s.open_alerts).reduce((a, b) => a + b, 0);
  const bad = (t.FAILED || 0) + (t.DEADLINE_EXCEEDED || 0), share = d.memory_bytes ? (d.memory_bytes - d.free_bytes) / d.memory_bytes : null;
  const rows = [["waiting", number.format(s.queue.waiting), s.queue.oldest_wait_ms == null ? "" : `oldest ${duration(s.queue.oldest_wait_ms)}`],
    ["running", number.format(t.RUNNING || 0), t.GRANTED ? `${t.GRANTED} granted` : ""], ["succeeded", number.format(t.SUCCEEDED || 0), ""],
    ["failed or late", number.format(bad), t.REJECTED ? `${t.REJECTED} rejected` : "", bad ? "bad" : ""],
    ["devices healthy", `${d.healthy} / ${d.count}`, "", d.healthy < d.count ? "bad" : ""],
    ["memory in use", share == null ? "–" : `${number.format(Math.round(100 * share))} %`, `of ${bytes(d.memory_bytes)}`],
    ["open alerts", number.format(open), Object.entries(s.open_alerts).map(([k, v]) => `${v} ${k.toLowerCase()}`).join(", "), open ? "bad" : ""]];
  $("cards").replaceChildren(...rows.map(([name, value, note, kind]) => el("div", {class: "card"}, el("b", {class: kind || ""}, value + " ", el("small", {}, note)), el("span", {}, name))));
  $("policy").replaceChildren($("policy").firstElementChild, ...["conservative", "moderate", "aggressive"].map(name =>
    el("button", {class: name === s.policy ? "on" : "", onclick: () => choose(name)}, name)));
  $("filters").replaceChildren(...["", ...Object.keys(t)].map(state => el("button", {class: chosen === state ? "on" : "", onclick: () => { chosen = state; refresh(); }},
    state ? `${state.toLowerCase().replace("_", " ")} ${number.format(t[state])}` : "all")));
}
async function choose(policy) {
  await call("/gpu/memory/policy", {method: "POST", body: JSON.stringify({policy})});
  refresh();
}
function device({report: r, age_ms, leased_bytes, alert}) {
  const all = r.memory_bytes, used = all == null || r.free_bytes == null ? null : all - r.free_bytes;
  const part = value => `${Math.min(100, 100 * Math.max(0, value || 0) / all)}%`;
  const known = (r.own_bytes || 0) + (r.stranger_bytes || 0);
  const bar = all ? el("div", {class: "bar", title: `ours ${bytes(r.own_bytes)}, strangers' ${bytes(r.stranger_bytes)}, promised ${bytes(leased_bytes)}`},
    el("span", {class: "own", style: {width: part(r.own_bytes)}}), el("span", {class: "strangers", style: {width: part(r.stranger_bytes)}}),
    el("span", {class: "other", style: {width: part((used || 0) - known)}}), leased_bytes ? el("span", {class: "lease", style: {width: part(leased_bytes)}}) : null,
    ...[80, 90, 95].map(mark => el("i", {class: "mark", style: {left: `${mark}%`}}))) : null;
  const facts = [r.kind === "cpu" ? `${r.slots} slots` : null, r.utilisation == null ? null : `${Math.round(100 * r.utilisation)} % busy`,
    r.temperature_c == null ? null : `${Math.round(r.temperature_c)} °C`, r.power_w == null ? null : `${Math.round(r.power_w)} W`].filter(Boolean).join(" · ");
  return el("div", {class: "device"}, el("div", {class: "line"}, el("b", {}, r.name || r.gpu_uuid), el("span", {class: "dim mono"}, r.name ? r.gpu_uuid.slice(0, 24) : ""),
    chip(r.health), alert ? chip(alert) : null, age_ms > 5000 ? el("span", {class: "bad"}, `silent for ${duration(age_ms)}`) : null,
    el("span", {class: "push dim"}, [facts, r.host].filter(Boolean).join(" · "))), bar,
    el("div", {class: "line dim"}, all ? `${bytes(used)} of ${bytes(all)} in use` : "memory unknown", leased_bytes ? ` · ${bytes(leased_bytes)} promised` : "",
      r.reasons && r.reasons.length && r.health !== "HEALTHY" ? ` · ${r.reasons.join("; ")}` : ""));
}
function task(t) {
  const over = ["SUCCEEDED", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED", "REJECTED"].includes(t.state);
  const where = t.gpu_uuids.map(uuid => uuid.slice(0, 16)).join(", ") + (t.cpu_reason ? ` (${t.cpu_reason.toLowerCase().replaceAll("_", " ")})` : "");
  const state = el("td", {title: t.failure ? `${t.failure.code}: ${t.failure.problem}` : null}, chip(t.state), t.failure ? el("span", {class: "dim"}, ` ${t.failure.code.toLowerCase().replaceAll("_", " ")}`) : null,
    t.state === "RUNNING" && t.progress != null ? el("div", {class: "tiny", title: t.stage || ""}, el("i", {style: {width: `${100 * t.progress}%`}})) : null);
  return el("tr", {}, el("td", {class: "id", title: t.task_id}, t.task_id), el("td", {}, t.task_type), state, el("td", {class: "r"}, t.priority), el("td", {}, where || "–"),
    el("td", {class: "r"}, t.attempt || "–"), el("td", {class: "r"}, bytes(t.memory_required) + (t.devices > 1 ? ` × ${t.devices}` : "")), el("td", {class: "r"}, bytes(t.peak_memory_bytes)),
    el("td", {class: "r"}, t.queued_ms == null && !over ? duration(Date.now() - t.submitted_ms) : duration(t.queued_ms)), el("td", {class: "r"}, duration(t.ran_ms)), el("td", {}, clock(t.submitted_ms)),
    el("td", {}, over ? "" : t.cancel_requested ? el("span", {class: "dim"}, "cancelling") : el("button", {class: "quiet", onclick: () => cancel(t.task_id)}, "cancel")));
}
async function cancel(id) { await call(`/gpu/tasks/${encodeURIComponent(id)}`, {method: "DELETE"}); refresh(); }
const on = r => (r.gpu_uuids || []).map(uuid => uuid.slice(0, 16)).join(", ");
const SENTENCES = {
  owner_claimed: r => `${r.owner} owns ${r.domain} from epoch ${r.epoch} on`, device_seen: r => `${r.gpu_uuid} has ${bytes(r.capacity_bytes)} and ${r.slots || 1} slot(s)`,
  health_changed: r => `${r.gpu_uuid} is ${r.health}${r.reasons ? `: ${r.reasons.join("; ")}` : ""}`, task_accepted: r => `${r.task_id} (${r.task_type}) is accepted`,
  admission_changed: r => `${r.gpu_uuid} ${r.stopped ? "takes no more tasks" : "takes tasks again"}${r.reason ? `: ${r.reason}` : ""}`,
  granted: r => `${r.task_id} may have ${bytes(r.memory_bytes)} on ${on(r)}, attempt ${r.attempt}`, started: r => `${r.agent} runs ${r.task_id}, attempt ${r.attempt}`,
  ended: r => `${r.task_id} ended: ${r.outcome}${r.failure ? ` (${r.failure})` : ""}`, reclaiming: r => `${r.task_id} gives its memory back: ${r.cause}`,
  released: r => `the memory of ${r.task_id} is free again`, rejected: r => `${r.task_id} is rejected: ${r.failure} ${r.problem || ""}`, cancel_requested: r => `${r.task_id} shall be cancelled`,
  deadline_passed: r => `${r.task_id} is past its deadline`, policy_changed: r => `policy is now ${r.policy}`};
function decision(d) {
  const r = d.record, said = (SENTENCES[r.kind] || (() => r.kind))(r), why = d.reason ? `ignored: ${d.reason}` : [r.why || r.detail, r.kind === "granted" ? r.policy : ""].filter(Boolean).join(" · ");
  return el("li", {class: d.verdict, title: JSON.stringify(r)}, el("time", {}, clock(r.at_ns / 1e6)), el("span", {}, said, why ? el("span", {class: "why"}, ` — ${why}`) : null));
}
function alertRow(a) {
  return el("div", {class: "device"}, el("div", {class: "line"}, chip(a.level), el("b", {}, a.gpu_uuid.slice(0, 20)), el("span", {class: "dim"}, a.kind.replace("_", " ")), el("span", {class: "push dim"}, `${a.event} ${clock(a.at_ns / 1e6)}`)),
    el("div", {class: "dim"}, `${bytes(a.used_bytes)} of ${bytes(a.capacity_bytes)}${a.reason ? ` · ${a.reason}` : ""}`));
}
function lease(l) {
  return el("div", {class: "device"}, el("div", {class: "line"}, el("b", {class: "mono"}, l.task_id.slice(0, 24)), l.reclaiming ? chip("RECLAIMING") : null, el("span", {class: "push dim"}, l.agent || "not started")),
    el("div", {class: "dim"}, `${bytes(l.memory_bytes)} on ${on(l)} · attempt ${l.attempt}`));
}
const fill = (id, rows, none) => $(id).replaceChildren(...(rows.length ? rows : [empty(none)]));

let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const filter = chosen ? `&state=${chosen}` : "";
    const [s, resources, tasks, alerts, allocations] = await Promise.all(["/gpu/stats", "/gpu/resources", `/gpu/tasks?limit=40${filter}`, "/gpu/memory/alerts?limit=40", "/gpu/allocations?limit=80"].map(read));
    stats = s; cards(s);
    fill("devices", resources.devices.map(device), "no device has reported yet");
    const rows = tasks.tasks.map(task);
    $("tasks").replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", {colspan: 12, class: "dim"}, "no tasks yet"))]));
    const openIds = new Set(alerts.open.map(a => a.alert_id));
    fill("alerts", [...alerts.open, ...alerts.recent.filter(a => !openIds.has(a.alert_id)).slice(0, 6)].map(alertRow), "none: memory is well");
    $("decisions").replaceChildren(...(allocations.decisions.length ? allocations.decisions.map(decision) : [empty("no decisions yet")]));
    fill("leases", allocations.leases.map(lease), "nobody holds anything");
    await refreshMarket();
    if (live) status("live", s.ready ? "live" : "reading the topics …");
  } catch (error) { if (token) status("gone", error.message); }
  busy = false;
  if (again) { again = false; setTimeout(refresh, 300); }
}
async function sample() {
  const h = await read("/gpu/stats/history").catch(() => null);
  if (h) { moments.splice(0, moments.length, ...h.moments); charts(); marketCharts(); }
}

let live = false, lastId = "", turn = 0;
async function follow(mine) {
  while (mine === turn) {
    try {
      const reply = await call("/events", lastId ? {headers: {"Last-Event-ID": lastId}} : {});
      live = true; status("live", "live");
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done || mine !== turn) break;
        text += value;
        const blocks = text.split("\n\n"); text = blocks.pop();
        let changed = false;
        for (const block of blocks) {
          const id = /^id: (.*)$/m.exec(block), kind = /^event: (.*)$/m.exec(block);
          if (id) lastId = id[1];
          changed ||= kind && kind[1] !== "hello";
        }
        if (changed) soon();
      }
    } catch (error) { if (mine === turn && token) status("gone", "the API does not answer"); }
    live = false;
    if (!token) return;
    await new Promise(resolve => setTimeout(resolve, 2000));
  }
}
let due = null;
function soon() { due ||= setTimeout(() => { due = null; refresh(); }, 250); }

function begin() {
  if (!token) { ask(false); return; }
  $("ask").hidden = true; $("main").hidden = false;
  turn += 1; follow(turn); refresh(); sample();
}
setInterval(() => { if (token) { refresh(); sample(); } }, 2000);
addEventListener("resize", () => { charts(); marketCharts(); });
begin();

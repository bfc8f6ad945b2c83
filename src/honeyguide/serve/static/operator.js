// The operator's page: what the API says to an admin key, drawn; asked again every five seconds while the tab is seen.

import { ask as askWith } from "/static/api.js";
import { bars, big, figure, line, pairs, share, table } from "/static/charts.js";
import { at, make, number } from "/static/dom.js";
import { makerOf } from "/static/facts.js";

const KEY = "operator-key", EVERY = 5000, POINTS = 60;
const rates = [];
let before = null, timer = null, turn = 0;

const ask = (method, path, body) => askWith(method, path, body, KEY);
const put = (id, ...nodes) => at(id).replaceChildren(...nodes.flat().filter(Boolean));
const day = (text) => (text ? new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "never");
const ms = (value) => (value >= 100 ? number(value) : number(value, 1));

function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} seconds`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} hours` : `${Math.round(seconds / 86400)} days`;
}

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
  at("message").hidden = !text;
}

async function look() {
  clearTimeout(timer);
  const mine = ++turn; // an answer to an earlier key comes too late
  try {
    const found = await ask("GET", "/v1/operator");
    if (mine !== turn) return;
    shown(found);
    say("");
    await experiments();
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401 || error.status === 403) {
      at("figures").hidden = true;
      at("leave").hidden = true;
      put("health");
      say(sessionStorage.getItem(KEY) ? `Refused: ${error.message}` : "Enter a key with the scopes admin and read.", Boolean(sessionStorage.getItem(KEY)));
      return;
    }
    say(error.message, true);
  }
  timer = setTimeout(() => (document.hidden ? null : look()), EVERY);
}

function shown(found) {
  at("figures").hidden = false;
  at("key-hint").hidden = true;
  at("leave").hidden = !sessionStorage.getItem(KEY);
  put("health", make("b", { class: found.status === "ok" ? "" : "bad" }, found.status === "ok" ? "All is well" : "Degraded"),
    make("span", {}, `tenant ${found.tenant}`), make("span", {}, `up ${span(found.uptime_seconds)}`), make("span", {}, `honeyguide ${found.version}`));
  traffic(found);
  lists(found.lists);
  ingest(found.ingest);
  model(found.model);
  catalogue(found.catalogue);
  pipeline(found.pipeline);
  keys(found.keys);
}

function traffic(found) {
  const total = found.traffic.reduce((sum, row) => sum + row.requests, 0);
  if (before) rates.push(Math.max(0, total - before.total) / Math.max(0.001, found.uptime_seconds - before.at));
  if (rates.length > POINTS) rates.shift();
  before = { total, at: found.uptime_seconds };
  const latest = rates.at(-1) ?? 0;
  put("rate", rates.length > 1 ? figure(line(rates, `Requests a second, now ${number(latest, 1)}`), "Requests a second since this page was opened", `now ${number(latest, 1)}, most ${number(Math.max(...rates), 1)}`) : null);
  const pages = found.traffic.filter((row) => !/^\/(v1|metrics|health|mcp|openapi)/.test(row.route));
  const asked = found.traffic.filter((row) => !pages.includes(row));
  const most = (row, value) => (value >= row.limit_ms ? `≥ ${ms(value)}` : ms(value));
  const status = (count) => (count ? make("b", {}, number(count)) : "0");
  put("traffic", table([
    ["Route", (row) => make("code", {}, row.route), "k"], ["Requests", (row) => number(row.requests), "n"], ["Refused", (row) => status(row.refused), "n"], ["Errors", (row) => status(row.errors), "n"],
    ["Mean", (row) => ms(row.mean_ms), "n"], ["p50", (row) => most(row, row.p50_ms), "n"], ["p95", (row) => most(row, row.p95_ms), "n"], ["p99 ms", (row) => most(row, row.p99_ms), "n"],
  ], asked));
  at("since").textContent = `Since the start, in milliseconds, of all tenants; quantiles are read from a histogram. Pages, their files and the rest: ${number(pages.reduce((sum, row) => sum + row.requests, 0))} requests.`;
}

function lists(counts) {
  const rows = Object.entries(counts), total = rows.reduce((sum, [, n]) => sum + n, 0);
  put("lists", total ? table([["Made from", ([name]) => name], ["", ([, n]) => share(n / total)], ["Lists", ([, n]) => number(n), "n"], ["", ([, n]) => `${number(100 * n / total)} %`, "n"]], rows) : make("p", { class: "faint" }, "None yet."));
}

function ingest(found) {
  const today = found.hours.reduce((sum, n) => sum + n, 0);
  put("ingest", big([["stored", found.stored], ["in 24 hours", today]]),
    figure(bars(found.hours, `Events of each of the last 24 hours: ${found.hours.join(", ")}`), "24 hours ago", "this hour"),
    make("p", { class: "faint" }, `Latest: ${day(found.latest)}.`));
}

function model(card) {
  const report = card.report;
  const parts = [big([["users", card.users], ["items", card.items], ["events", card.events]]), pairs([
    ["Model", make("code", {}, card.name)], ["Version", make("code", {}, card.version)], ["Fitted", day(card.fitted)],
    ["Cost of the fit", `${number(report.cpu_seconds, 1)} CPU-seconds, ${number(report.peak_rss_mb)} MB${report.finished ? "" : "; ended at a limit"}`], ["Parameters", number(report.n_parameters)], ["Scores are", `a ${card.scale}`],
    ["Can", make("span", {}, card.capabilities.map((name) => make("span", { class: "tag" }, name)))],
  ])];
  const curve = report.curve.map((row) => Object.entries(row).find(([name, value]) => typeof value === "number" && /ndcg|recall|valid/.test(name))).filter(Boolean);
  if (curve.length > 1) parts.push(make("h3", {}, "Learning curve"), figure(line(curve.map(([, value]) => value), `${curve[0][0]}: ${curve.map(([, value]) => number(value, 4)).join(", ")}`), `${curve[0][0]} by epoch`, `best ${number(Math.max(...curve.map(([, value]) => value)), 4)}`));
  if (report.search.length) parts.push(make("h3", {}, `Search: the latest ${report.search.length} of ${report.trials} trials`), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Search" }, table(columnsOf(report.search), report.search)));
  if (report.updates.length) parts.push(make("h3", {}, "Updates"), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Updates" }, table(columnsOf(report.updates), report.updates)));
  const options = make("details", {}, make("summary", {}, "Options"), pairs(Object.entries(card.config).map(([name, value]) => [name, make("code", {}, JSON.stringify(value))])));
  options.open = at("model").querySelector("details")?.open ?? false;
  put("model", ...parts, options);
}

/** Values of reports in few signs: intervals as "value (low to high)". */
function brief(value) {
  if (typeof value === "number") return number(value, 4);
  if (Array.isArray(value)) return value.map(brief).join(", ");
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  if ("value" in value && "low" in value) return value.value === null ? "" : `${brief(value.value)} (${brief(value.low)} to ${brief(value.high)})${value.p === undefined ? "" : `, p ${number(value.p, 3)}`}`;
  return Object.entries(value).map(([name, part]) => `${name.replaceAll("_", " ")} ${brief(part)}`).join(", ");
}
const columnsOf = (rows) => [...new Set(rows.flatMap(Object.keys))].slice(0, 8).map((name) => [name.replaceAll("_", " "), (row) => brief(row[name]), typeof rows[0][name] === "number" ? "n" : null]);

function catalogue(found) {
  const waiting = found.waiting ? `${number(found.waiting)} posted items wait for the next fit: ${found.waiting_examples.join(", ")}${found.waiting > found.waiting_examples.length ? "…" : ""}.` : "Every posted item can be recommended.";
  put("catalogue", big([["items", found.items], ["without an event", found.unseen], ["posted here", found.stored], ["waiting", found.waiting]]), make("p", { class: "faint" }, waiting),
    make("h3", {}, "Fields, and the share of items that have them"),
    table([["Field", (row) => make("code", {}, row.name)], ["Share", (row) => share(row.coverage)], ["", (row) => `${number(100 * row.coverage)} %`, "n"]], found.fields),
    make("h3", {}, "Most popular"), table([["Item", (row) => row.title], ["Events", (row) => number(row.events), "n"]], found.popular));
}

function pipeline(found) {
  const fault = found.fault ? make("p", { class: "notice bad" }, `The file is broken, and the last good one is in use: ${found.fault}`) : null;
  put("pipeline", fault, pairs([["File", found.file ?? "none: the model alone"], ["Retrieve", found.config.retrieve.map((one) => `${one.source} ${one.n}`).join(", ")], ["Rank", `by ${found.config.rank.by}`],
    ["Rules", found.config.rules.length ? found.config.rules.map((rule) => rule.filter ? `only ${rule.filter}` : rule.boost ? `boost ${rule.boost} by ${rule.weight}` : `pin ${rule.pin.join(", ")}`).join("; ") : "none"],
    ["Diversify", found.config.diversify.method === "none" ? "no" : `${found.config.diversify.method}, weight ${found.config.diversify.weight}`], ["Page", `${found.config.page} items`]]));
}

function keys(rows) {
  put("keys", rows.length ? table([["Name", (row) => row.name], ["Scopes", (row) => row.scopes.join(", ")], ["Made", (row) => day(row.created)], ["Id", (row) => make("code", {}, row.id)]], rows) : make("p", {}, "There is no key: whoever is on this machine may do everything."));
}

async function experiments() {
  let found;
  try { found = await ask("GET", "/v1/experiments"); } catch (error) {
    put("experiments", make("p", { class: "faint" }, error.status === 404 ? "No experiment runs on this service." : error.message));
    return;
  }
  const rows = Array.isArray(found) ? found : found.experiments ?? [];
  put("experiments", found.fault ? make("p", { class: "notice bad" }, `The file is broken, and what ran before goes on: ${found.fault}`) : null, rows.length ? rows.map(experiment) : make("p", { class: "faint" }, "No experiment is running."));
}

/** An experiment: what it came to, a table of its variants, and the rest of its report as names and values. */
function experiment(one) {
  const variants = Array.isArray(one.variants) ? one.variants : [];
  const rest = Object.entries(one).filter(([name, value]) => !["experiment", "name", "variants", "verdict"].includes(name) && brief(value) !== "");
  return make("div", {}, make("h3", {}, String(one.experiment ?? one.name ?? "experiment")), one.verdict ? make("p", {}, String(one.verdict)) : null,
    variants.length ? make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Variants" }, table(columnsOf(variants), variants)) : null,
    make("details", {}, make("summary", {}, "How it was found"), pairs(rest.map(([name, value]) => [name.replaceAll("_", " "), brief(value)]))));
}

async function trace() {
  const form = new FormData(at("trace")), where = String(form.get("where")).trim();
  try {
    const found = await ask("POST", "/v1/recommend", { user_id: String(form.get("user")).trim() || null, scenario: form.get("scenario"), where: where ? [where] : [], trace: true });
    const total = found.trace.reduce((sum, step) => sum + step.milliseconds, 0);
    put("traced", make("p", { class: "faint" }, `A ${found.source} list by ${found.model} ${found.version}, ${number(total, 2)} ms in ${found.trace.length} stages.`), make("div", { class: "two" },
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Stages" }, table([["Stage", (step) => step.stage, "k"], ["In", (step) => number(step.before), "n"], ["Out", (step) => number(step.after), "n"], ["ms", (step) => number(step.milliseconds, 2), "n"], ["", (step) => share(total ? step.milliseconds / total : 0)],
        ["Effect", (step) => Object.entries(step.effect).filter(([, value]) => value !== null && value.length !== 0).map(([name, value]) => `${name.replaceAll("_", " ")}: ${brief(value)}`).join("; ")]], found.trace)),
      found.items.length ? table([["#", (row) => row.rank, "n"], ["Item", (row) => `${row.title}${makerOf(row.fields) ? `, ${makerOf(row.fields)}` : ""}`], ["Score", (row) => number(row.score, 3), "n"]], found.items) : make("p", {}, "Nothing passes the filter.")));
  } catch (error) {
    put("traced", make("p", { class: "notice bad" }, error.message));
  }
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("key").value) sessionStorage.setItem(KEY, at("key").value);
  at("key").value = "";
  look();
});
at("leave").addEventListener("click", () => { sessionStorage.removeItem(KEY); location.reload(); });
at("trace").addEventListener("submit", (event) => { event.preventDefault(); trace(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();

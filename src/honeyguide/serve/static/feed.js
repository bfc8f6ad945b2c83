// The feed: lists, commands, what is known, undo. Who comes without a name is a visit of this tab.

import { ask } from "/static/api.js";
import { card, gone, waiting } from "/static/cards.js";
import { at, make, newId, sentence } from "/static/dom.js";
import { shortcuts } from "/static/keys.js";
import { echoed, plainly } from "/static/wishes.js";

const PAGE = 10;
const state = { user: sessionStorage.getItem("user") || "", list: null, next: null, shown: [], undo: null, search: null, marks: new Map(), turn: 0 };
// Of an anonymous visit: items liked and put away, in this tab alone, and an id once a command has to be kept.
const kept = (name) => JSON.parse(sessionStorage.getItem(name) || "[]");
const keep = (name, value) => sessionStorage.setItem(name, JSON.stringify(value));
const visitor = () => sessionStorage.getItem("visitor");
const known = () => state.user || visitor() || null;
const of = (user) => `/v1/users/${encodeURIComponent(user)}`;

function asking() {
  const more = state.user ? {} : { session: kept("liked").slice(-200), exclude: kept("away").slice(-1000) };
  return { user_id: known(), ...more };
}

/** Say what was done; `quiet` where the eye sees it anyway. */
function done(text, undo = null, quiet = false) {
  at("done").textContent = text;
  at("toast").classList.toggle("quiet", quiet);
  state.undo = undo;
  at("undo").hidden = undo === null;
}

/** What `work` finds, or null where another list was asked for meanwhile: an old answer does not take its place. */
async function latest(work) {
  const mine = ++state.turn, found = await work;
  return mine === state.turn ? found : null;
}

async function tried(work) {
  at("feed").setAttribute("aria-busy", "true");
  try { await work(); } catch (error) {
    if (error.status === 401 || error.status === 403) { at("key-field").hidden = false; at("key").focus(); }
    const text = error.status === 401 ? "This service asks for a key: enter it above." : sentence(error.message);
    if (at("feed").querySelector(".card:not(.wait)")) done(text);
    else broken(text);
  } finally { at("feed").setAttribute("aria-busy", "false"); }
}

function broken(text) {
  done("");
  at("source").textContent = "";
  at("feed").replaceChildren(make("li", { class: "notice bad" }, make("p", { role: "alert" }, text),
    make("button", { type: "button", on: { click: () => tried(begin) } }, "Try again")));
}

const SOURCES = {
  personal: "From what you did.", session: "From this visit.",
  popular: "What many like: nothing is known of you yet.", latest: "What is new: nothing is known of you yet.",
};

// -- acts on items --------------------------------------------------------------------------------

async function event(item, kind) {
  const id = newId();
  await ask("POST", "/v1/events", { events: [{ event_id: id, user_id: state.user, item_id: item, kind }] });
  return id;
}

async function mark(item, kind) {
  if (state.user) {
    const id = await event(item, kind);
    return () => ask("DELETE", `${of(state.user)}/events/${encodeURIComponent(id)}`);
  }
  const name = kind === "like" ? "liked" : "away";
  keep(name, [...kept(name), item]);
  return async () => keep(name, kept(name).filter((other) => other !== item));
}

const acts = {
  tried,
  liked: (item) => (state.user ? state.marks.get(item) === "like" : kept("liked").includes(item)),

  async like(entry, button) {
    const title = entry.title;
    if (button.getAttribute("aria-pressed") === "true" && button.undo) return button.undo();
    const back = await mark(entry.item_id, "like");
    button.setAttribute("aria-pressed", "true");
    const undo = async () => {
      await back();
      button.setAttribute("aria-pressed", "false");
      button.undo = null;
      done(`Taken back: ${title}.`);
      await remember();
    };
    button.undo = () => tried(undo);
    done(`You like ${title}. It counts from the next list on.`, undo);
    return remember();
  },

  async away(entry, kind, node) {
    const title = entry.title, back = await mark(entry.item_id, kind);
    const undo = async () => {
      await back();
      place.replaceWith(node);
      node.focus();
      state.shown.push(entry.item_id);
      done(`${title} is back.`);
      await remember();
    };
    const place = gone(title, kind, () => tried(undo));
    node.replaceWith(place);
    place.querySelector("button").focus();
    state.shown = state.shown.filter((item) => item !== entry.item_id);
    done(kind === "known" ? `Already known: ${title}.` : `Hidden: ${title}.`, undo, true);
    await remember();
  },

  reason: (entry) => {
    const { user_id, session } = asking();
    return ask("POST", "/v1/explain", { user_id, session: session || [], item_id: entry.item_id, recommendation_id: state.list ?? null, k: PAGE, change: true, paths: true });
  },

  async leaveOut(items, title) {
    let backs;
    if (state.user) backs = await Promise.all(items.map((item) => mark(item, "unlike")));
    else {
      const before = kept("liked");
      keep("liked", before.filter((item) => !items.includes(item)));
      backs = [async () => keep("liked", before)];
    }
    await refresh();
    at("list-title").focus();
    done(`${title} counts no longer. The list is a new one.`, async () => {
      for (const back of backs) await back();
      await refresh();
      done(`${title} counts again.`);
    });
  },
};

// -- lists ----------------------------------------------------------------------------------------

function show(found, fresh) {
  const away = new Set(kept("away"));
  const entries = found.items.filter((entry) => state.user || !away.has(entry.item_id));
  const cards = entries.map((entry) => card(entry, acts));
  if (fresh) { at("feed").replaceChildren(...cards); state.shown = []; } else at("feed").append(...cards);
  state.shown.push(...entries.map((entry) => entry.item_id));
  state.list = found.recommendation_id;
  state.next = found.next_page;
  at("more").hidden = found.next_page === null;
  at("model").textContent = `Made by ${found.model}, version ${found.version}.`;
  at("list-title").textContent = state.search === null ? "Your list" : `Found for “${state.search}”`;
  at("back").hidden = state.search === null;
  if (fresh) at("source").textContent = state.search === null ? SOURCES[found.source] : found.source === "personal" ? "What you would like first." : "";
  if (fresh && !cards.length) at("feed").replaceChildren(nothing());
  if (!fresh && cards.length) cards[0].focus();
}

function nothing() {
  const text = state.search === null ? "Nothing is left that fits all you asked for. Take something back under “You asked for”." : "Nothing was found. Try other words.";
  return make("li", { class: "notice" }, text);
}

async function refresh() {
  state.search = null;
  at("feed").replaceChildren(...waiting(3));
  const found = await latest(Promise.all([ask("POST", "/v1/recommend", { ...asking(), k: PAGE }), remember()]));
  if (found) show(found[0], true);
}

async function more() {
  try {
    show(await ask("GET", `/v1/recommend/${encodeURIComponent(state.list)}?page=${state.next}`), false);
  } catch (error) {
    if (error.status !== 404) throw error;
    await refresh();
    done("That list is not held any more; this is a new one.");
  }
}

// -- what is known --------------------------------------------------------------------------------

const SAID = { like: "liked", hide: "hidden", known: "already known", unlike: "no reason for lists", dislike: "disliked" };

async function remember() {
  const profile = known() ? await ask("GET", of(known())) : { preferences: [], marks: [] };
  wants(profile.preferences);
  const marks = profile.marks.filter((one) => one.kind in SAID);
  state.marks = new Map(marks.map((one) => [one.item_id, one.kind]).reverse());
  at("marked").hidden = !state.user;
  at("no-marks").hidden = marks.length > 0;
  at("marks").replaceChildren(...marks.slice(0, 12).map((one) => make("li", {}, make("span", {}, `${one.title} `, make("i", { class: "faint" }, SAID[one.kind])),
    make("button", { type: "button", class: "plain", "aria-label": `Take back: ${one.title}, ${SAID[one.kind]}`, on: { click: () => tried(async () => {
      await ask("DELETE", `${of(state.user)}/events/${encodeURIComponent(one.event_id)}`);
      await refresh();
      at("list-title").focus();
      done(`Taken back: ${one.title}, ${SAID[one.kind]}.`);
    }) } }, "Take back"))));
}

function wants(list) {
  at("asked").hidden = !list.length;
  at("wants").replaceChildren(...list.map((want) => make("li", {}, make("button", {
    type: "button", class: want.positive ? "chip" : "chip against", title: want.words ? `You said: ${want.words}` : null, "aria-label": `Take back: ${plainly(want.said)}`,
    on: { click: () => tried(async () => {
      await ask("DELETE", `${of(known())}/preferences/${encodeURIComponent(want.id)}`);
      await refresh();
      at("list-title").focus();
      at("heard").textContent = "";
      done(`Taken back: ${plainly(want.said)}.`, () => command("undo"));
    }) },
  }, plainly(want.said)))));
}

// -- commands -------------------------------------------------------------------------------------

async function command(text) {
  at("heard").textContent = "Working on it…";
  if (!known()) sessionStorage.setItem("visitor", `visitor-${newId()}`);
  let found;
  try {
    found = await latest(ask("POST", "/v1/command", { user_id: known(), command: text, shown: state.shown.slice(0, 100), k: PAGE }));
    if (!found) return;
  } catch (error) { at("heard").textContent = ""; throw error; }
  at("heard").textContent = echoed(found);
  wants(found.preferences);
  if (!found.heard) return;
  at("command").value = "";
  state.search = null;
  if (state.user || !(kept("liked").length + kept("away").length)) { show(found, true); await remember(); } else await refresh();
  done("", null);
}

async function begin() {
  at("user").value = state.user;
  await refresh();
  const { examples } = await ask("GET", "/v1/catalogue");
  const say = [...examples, "more like the second one"].slice(0, 6);
  at("examples").replaceChildren(make("span", { class: "faint" }, "Such as"), ...say.map((text) => make("button", { type: "button", on: { click: () => {
    at("command").value = text;
    at("command").focus();
  } } }, text)));
}

function submitted(id, work) {
  at(id).addEventListener("submit", (event) => { event.preventDefault(); tried(work); });
}

submitted("who", async () => {
  if (at("key").value) sessionStorage.setItem("key", at("key").value);
  state.user = at("user").value.trim();
  sessionStorage.setItem("user", state.user);
  at("heard").textContent = "";
  done("");
  await begin();
});
submitted("say", async () => {
  const text = at("command").value.trim();
  if (text) await command(text);
});
submitted("find", async () => {
  const query = at("query").value.trim();
  if (!query) return refresh();
  const found = await latest(ask("POST", "/v1/search", { query, user_id: state.user || null, k: PAGE }));
  if (!found) return undefined;
  state.search = query;
  show(found, true);
  return at("list-title").focus();
});
at("more").addEventListener("click", () => tried(more));
at("back").addEventListener("click", () => tried(async () => { await refresh(); at("list-title").focus(); }));
at("undo").addEventListener("click", () => { const undo = state.undo; done(""); if (undo) tried(undo); });
shortcuts({ more: () => at("more").hidden || tried(more) });
tried(begin);

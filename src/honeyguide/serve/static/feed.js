"use strict";
// Everything that comes from the catalogue or from people is put in as text, never as markup.

const at = (id) => document.getElementById(id);
const state = { user: "", list: null, next: null, shown: [] };

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const found = await answer.json();
  if (answer.status === 401) at("key-field").hidden = false;
  if (!answer.ok) throw new Error([found.error, found.remedy].filter(Boolean).join(" "));
  return found;
}

function say(text) { at("status").textContent = text; }

async function tried(work) {
  document.body.setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { say(error.message); } finally { document.body.removeAttribute("aria-busy"); }
}

const SOURCES = { personal: "From what you did.", session: "From this visit.", popular: "What many like: nothing is known of you yet." };

function facts(fields) {
  const words = [];
  for (const [name, value] of Object.entries(fields)) {
    if (["item_id", "title", "name", "cover", "image", "poster"].includes(name) || value === null) continue;
    const text = Array.isArray(value) ? value.slice(0, 4).join(", ") : String(value);
    if (text && text.length < 80) words.push(text);
  }
  return words.slice(0, 4).join(" · ");
}

function picture(fields) {
  const source = fields.cover || fields.image || fields.poster;
  if (typeof source !== "string" || !/^(https:\/\/|\/)/.test(source)) return null;
  const image = document.createElement("img");
  image.src = source; image.alt = ""; image.loading = "lazy";
  return image;
}

function card(entry) {
  const node = at("card").content.firstElementChild.cloneNode(true);
  const part = (name) => node.querySelector(name);
  const title = String(entry.fields.title || entry.fields.name || entry.item_id);
  node.dataset.item = entry.item_id;
  part("h2").textContent = title;
  part(".facts").textContent = facts(entry.fields);
  const cover = picture(entry.fields);
  if (cover) part(".cover").append(cover); else part(".cover").textContent = title.slice(0, 1);
  for (const [name, text] of [["like", "Like"], ["known", "Already known"], ["hide", "Hide"], ["why", "Why this?"]]) {
    part(`.${name}`).setAttribute("aria-label", `${text}: ${title}`);
  }
  part(".like").addEventListener("click", () => tried(async () => {
    await happened(entry.item_id, "like");
    part(".like").setAttribute("aria-pressed", "true");
    say(`Noted: you like ${title}. It counts from the next list on.`);
  }));
  for (const kind of ["known", "hide"]) {
    part(`.${kind}`).addEventListener("click", () => tried(async () => {
      await happened(entry.item_id, kind);
      const following = node.nextElementSibling || node.previousElementSibling;
      node.remove();
      state.shown = state.shown.filter((item) => item !== entry.item_id);
      say(`${title} will not be shown again.`);
      if (following) following.focus();
    }));
  }
  part(".why").addEventListener("click", () => tried(async () => {
    const open = part(".reason").hidden;
    if (open && !part(".reason").textContent) part(".reason").textContent = await reason(entry);
    part(".reason").hidden = !open;
    part(".why").setAttribute("aria-expanded", String(open));
  }));
  return node;
}

async function reason(entry) {
  const found = await ask("POST", "/v1/explain", { user_id: state.user || null, item_id: entry.item_id });
  const falls = found.rank_without > found.rank;
  const place = falls ? `it would stand at place ${found.rank_without} instead of ${found.rank}` : "its score would be lower";
  const checked = found.verified ? ` Checked: without that, ${place}.` : "";
  return found.why + checked;
}

function happened(item, kind) {
  if (!state.user) throw new Error("Say who you are first: a user id, above.");
  const event = { event_id: crypto.randomUUID(), user_id: state.user, item_id: item, kind };
  return ask("POST", "/v1/events", { events: [event] });
}

function show(found, fresh) {
  if (fresh) { at("feed").replaceChildren(); state.shown = []; }
  const cards = found.items.map(card);
  at("feed").append(...cards);
  state.shown.push(...found.items.map((entry) => entry.item_id));
  state.list = found.recommendation_id;
  state.next = found.next_page;
  at("more").hidden = found.next_page === null;
  if (fresh) say(found.items.length ? SOURCES[found.source] : "Nothing is left that fits all you asked for. Take something back.");
  else if (cards.length) cards[0].focus();
}

function wants(list) {
  at("wants").replaceChildren(...list.map((want) => {
    const node = document.createElement("li"), button = document.createElement("button");
    button.textContent = `${want.said} ✕`;
    button.title = `“${want.words}”`;
    button.setAttribute("aria-label", `Take back: ${want.said}`);
    button.addEventListener("click", () => tried(async () => {
      const path = `/v1/users/${encodeURIComponent(state.user)}/preferences/${encodeURIComponent(want.id)}`;
      wants((await ask("DELETE", path)).preferences);
      await refresh();
    }));
    node.append(button);
    return node;
  }));
}

async function refresh() {
  show(await ask("POST", "/v1/recommend", { user_id: state.user || null, k: 10 }), true);
}

at("who").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("key").value) sessionStorage.setItem("key", at("key").value);
  state.user = at("user").value.trim();
  tried(async () => {
    await refresh();
    wants(state.user ? (await ask("GET", `/v1/users/${encodeURIComponent(state.user)}`)).preferences : []);
  });
});

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const command = at("command").value.trim();
  if (!command) return;
  tried(async () => {
    if (!state.user) throw new Error("Say who you are first: a user id, above.");
    const found = await ask("POST", "/v1/command", { user_id: state.user, command, shown: state.shown.slice(0, 100), k: 10 });
    wants(found.preferences);
    show(found, true);
    if (!found.heard) say("That was not understood. Try: shorter, no crime · more like the second one · before 1990 · undo");
    else at("command").value = "";
  });
});

at("more").addEventListener("click", () => tried(async () => {
  show(await ask("GET", `/v1/recommend/${encodeURIComponent(state.list)}?page=${state.next}`), false);
}));

tried(refresh);

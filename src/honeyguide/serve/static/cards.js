// A card of the feed: what an item is, what can be said of it, and the reason that opens.

import { draw, listed, make, number, sentence } from "/static/dom.js";
import { plainly } from "/static/wishes.js";
import { coverOf, factsOf, makerOf, shade, tagsOf } from "/static/facts.js";

function cover(entry, title) {
  const made = () => make("div", { class: `made made-${shade(title)}` }, make("b", {}, title), make("i", {}, makerOf(entry.fields)));
  const box = make("div", { class: "cover", "aria-hidden": "true" });
  const source = coverOf(entry.fields);
  if (!source) { box.append(made()); return box; }
  const image = make("img", { src: source, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(made()));
  box.append(image);
  return box;
}

/**
 * @param entry  an item of a list
 * @param acts   `like(entry, button)`, `away(entry, kind, card)`, `reason(entry)`, `leaveOut(items, title)`, `tried(work)`
 */
export function card(entry, acts) {
  const title = entry.title;
  const button = (name, text, act, more = {}, shown = text) => make("button", { type: "button", class: name, "aria-label": `${text}: ${title}`, ...more, on: { click: () => acts.tried(act) } }, shown);
  const reason = make("div", { class: "reason", hidden: true, id: `why-${entry.rank}-${entry.item_id}` });
  const like = button("like", "Like", () => acts.like(entry, like), { "aria-pressed": String(Boolean(acts.liked(entry.item_id))) });
  const why = button("why", "Why this?", () => open(entry, why, reason, acts), { "aria-expanded": "false", "aria-controls": reason.id });
  const tags = tagsOf(entry.fields);
  const node = make("li", { class: "card", tabindex: "-1", "data-item": entry.item_id, "aria-label": `${entry.rank}. ${title}` },
    cover(entry, title),
    make("div", {},
      make("h3", {}, make("span", { class: "rank" }, `${entry.rank}. `), title),
      make("p", { class: "by" }, makerOf(entry.fields)),
      make("p", { class: "facts" }, factsOf(entry)),
      tags.length ? make("ul", { class: "tags", "aria-label": "Tags" }, tags.map((tag) => make("li", {}, tag))) : null),
    make("div", { class: "acts" }, like,
      button("known", "Already known", () => acts.away(entry, "known", node), {}, [make("span", {}, "Already "), "known"]),
      button("hide", "Hide", () => acts.away(entry, "hide", node)), why),
    reason);
  return node;
}

/** What stands in the place of a card that was hidden. */
export function gone(title, kind, undo) {
  const text = kind === "known" ? `${title}: already known.` : `${title}: hidden.`;
  return make("li", { class: "card gone" }, make("span", {}, text),
    make("button", { type: "button", "aria-label": `Undo: show ${title} again`, on: { click: undo } }, "Undo"));
}

export const waiting = (n) => Array.from({ length: n }, () => make("li", { class: "card wait", "aria-hidden": "true" }));

async function open(entry, why, reason, acts) {
  const opening = reason.hidden;
  if (opening && !reason.childElementCount) {
    why.disabled = true;
    try { reason.replaceChildren(...told(await acts.reason(entry), entry.title, acts)); } finally { why.disabled = false; why.focus(); }
  }
  reason.hidden = !opening;
  why.setAttribute("aria-expanded", String(opening));
}

function told(found, title, acts) {
  const parts = [make("p", { class: "said" }, sentence(found.why))];
  if (found.said_by !== "template") parts.push(make("p", { class: "faint" }, `In the words of ${found.said_by}, which may place names and not write them.`));
  if (found.evidence.length) parts.push(proof(found));
  if (found.wanted.length) parts.push(make("p", {}, `You asked for it: ${found.wanted.map(plainly).join("; ")}.`));
  if (found.because.length) parts.push(pieces(found.because, acts));
  if (found.paths && found.paths.length) {
    parts.push(make("div", {}, make("h4", {}, "How they are joined"), make("ul", { class: "ways" }, found.paths.map((path) => make("li", {}, sentence(path))))));
  }
  if (found.evidence.length) parts.push(change(found, title, acts));
  return parts;
}

function proof(found) {
  const place = `By its score alone it stands at place ${number(found.rank)} of ${number(found.n_items)}`;
  if (!found.verified) return make("p", { class: "proof open" }, `${place}. Checked on the model: without that, its score does not fall.`);
  const falls = found.rank_without > found.rank ? `at place ${number(found.rank_without)}` : "at the same place, with a lower score";
  return make("p", { class: "proof good" }, `${place}. Checked on the model: without that it would stand ${falls}.`);
}

function pieces(because, acts) {
  const most = Math.max(...because.map((piece) => piece.adds));
  return make("div", {}, make("h4", {}, "What it rests on"), make("ul", { class: "pieces" }, because.map((piece) => {
    const share = most > 0 ? Math.max(2, 100 * piece.adds / most) : 0;
    return make("li", {}, make("span", {}, piece.title),
      make("button", { type: "button", class: "plain", "aria-label": `Not interested in this reason: ${piece.title}`, on: { click: () => acts.tried(() => acts.leaveOut([piece.item_id], piece.title)) } }, "Not interested in this reason"),
      draw("svg", { class: "part", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("rect", { width: share, height: 4, rx: 1 })));
  })));
}

function change(found, title, acts) {
  const heading = make("h4", {}, "What would change it");
  if (!found.change) return make("div", {}, heading, make("p", {}, "No few things that you did decide it: it rests on many of them, or on what everybody likes."));
  const { titles, items, rank_without: rank, k, smallest } = found.change;
  const only = smallest ? "" : " Fewer of these do not suffice.";
  const text = `Without ${listed(titles)} it would leave the first ${number(k)} places: place ${number(rank)}.${only}`;
  return make("div", {}, heading, make("p", {}, text),
    make("button", { type: "button", class: "plain", "aria-label": `Leave out ${listed(titles)}, on which ${title} rests`, on: { click: () => acts.tried(() => acts.leaveOut(items, listed(titles))) } },
      items.length > 1 ? "Leave these out" : "Leave this out"));
}

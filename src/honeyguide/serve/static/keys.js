// Single keys as shortcuts, where nothing is being typed; they can be switched off.

import { at } from "/static/dom.js";

const CARD = { l: ".like", a: ".known", h: ".hide", w: ".why" };

function step(by) {
  const cards = [...document.querySelectorAll("#feed > .card:not(.wait)")];
  const here = cards.findIndex((card) => card.contains(document.activeElement));
  const next = cards[Math.min(cards.length - 1, Math.max(0, here + by))];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
}

export function shortcuts({ more }) {
  const on = at("keys-on");
  on.checked = localStorage.getItem("keys") !== "off";
  on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (!on.checked || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const key = event.key;
    const card = document.activeElement && document.activeElement.closest("#feed > .card");
    if (key in CARD) { const button = card && card.querySelector(CARD[key]); if (button) button.click(); else return; }
    else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "/") at("command").focus();
    else if (key === "s") at("query").focus();
    else if (key === "n") more();
    else if (key === "u") { if (!at("undo").hidden) at("undo").click(); }
    else if (key === "?") { at("help").open = !at("help").open; at("help").querySelector("summary").focus(); }
    else return;
    event.preventDefault();
  });
}

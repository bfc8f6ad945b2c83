// Small charts of SVG, made by hand: bars, a line, a share. Each says its numbers to those who do not see it.

import { draw, make, number } from "/static/dom.js";

/** Bars from left to right. */
export function bars(values, label) {
  const most = Math.max(1, ...values), width = 100 / values.length;
  const chart = draw("svg", { class: "bars", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label });
  values.forEach((value, place) => {
    const height = value ? Math.max(0.8, 39 * value / most) : 0;
    chart.append(draw("rect", { x: place * width + 0.2 * width, y: 40 - height, width: 0.6 * width, height }));
  });
  return chart;
}

/** A line through values at equal distances. */
export function line(values, label) {
  const most = Math.max(1e-9, ...values), last = Math.max(1, values.length - 1);
  const points = values.map((value, place) => `${(100 * place / last).toFixed(2)},${(39 - 37 * value / most).toFixed(2)}`);
  const chart = draw("svg", { class: "line", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (points.length) chart.append(draw("path", { class: "area", d: `M0,40 L${points.join(" L")} L100,40 Z` }), draw("path", { d: `M${points.join(" L")}` }));
  return chart;
}

/** A share of one, as a bar. */
export function share(value) {
  return draw("svg", { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("rect", { width: 100 * value, height: 4 }));
}

/** A chart with a line of words below. */
export const figure = (chart, ...words) => make("figure", {}, chart, make("figcaption", {}, words.map((text) => make("span", {}, text))));

/** A table; `columns` are `[head, row => cell, "n" for numbers]`. */
export function table(columns, rows, caption = null) {
  const cell = (tag, kind, content) => make(tag, { class: kind || null, scope: tag === "th" ? "col" : null }, content instanceof Node ? content : String(content ?? ""));
  return make("table", {}, caption ? make("caption", {}, caption) : null,
    make("thead", {}, make("tr", {}, columns.map(([head, , kind]) => cell("th", kind, head)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, columns.map(([, of, kind]) => cell("td", kind, of(row)))))));
}

/** Big figures with what they count. */
export const big = (entries) => make("dl", { class: "big" }, entries.map(([what, value]) => make("div", {}, make("dt", {}, what), make("dd", {}, typeof value === "number" ? number(value) : value))));

/** Names and values, one a line. */
export const pairs = (entries) => make("dl", { class: "pairs" }, entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value instanceof Node ? value : String(value))]));

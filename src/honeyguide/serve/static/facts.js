// What a row of the item table says, in the words of a card.

const COVERS = ["image_url", "cover", "cover_url", "image", "poster", "poster_url", "thumbnail"];
const MAKERS = ["authors", "author", "directors", "director", "artists", "artist", "brand"];
const SILENT = new Set(["item_id", "asin", "isbn", "language_code", "language", "url", "description", "overview", ...COVERS, ...MAKERS]);

/** Address of a cover that the page may load: over https, or of this server. */
export function coverOf(fields) {
  const found = COVERS.map((name) => fields[name]).find((value) => typeof value === "string" && value);
  return found && /^(https:\/\/|\/(?!\/))/.test(found) ? found : null;
}

export function makerOf(fields) {
  const found = MAKERS.map((name) => fields[name]).find((value) => value && value.length);
  return found ? (Array.isArray(found) ? found.slice(0, 3).join(", ") : String(found).split(", ").slice(0, 3).join(", ")) : "";
}

export function tagsOf(fields) {
  const lists = Object.entries(fields).filter(([name, value]) => Array.isArray(value) && !SILENT.has(name));
  return [...new Set(lists.flatMap(([, value]) => value.map((tag) => String(tag).split(" > ").at(-1))))].filter((tag) => tag.length < 30).slice(0, 5);
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function counted(name, value) {
  const words = name.toLowerCase();
  if (words.includes("year")) return value < 0 ? `${-value} BC` : String(value);
  if (words.includes("page")) return `${value} pages`;
  if (words.includes("minute") || words.includes("runtime")) return `${value} minutes`;
  if (words === "average_rating" || words === "rating") return `rated ${Number(value).toFixed(1)}`;
  if (words.endsWith("_count")) return `${compact.format(value)} ${words.slice(0, -6).replaceAll("_", " ")}`;
  return `${words.replaceAll("_", " ")} ${compact.format(value)}`;
}

/** Year, pages, ratings, series: a short line, without the title. */
export function factsOf(entry) {
  const found = [];
  for (const [name, value] of Object.entries(entry.fields)) {
    if (value === null || value === entry.title || SILENT.has(name) || Array.isArray(value)) continue;
    if (typeof value === "number") found.push(counted(name, value));
    else if (typeof value === "string" && value.length > 0 && value.length < 60) found.push(value);
  }
  return found.slice(0, 5).join(" · ");
}

/** One of six colours for a cover that is made of type, the same for the same title. */
export function shade(title) {
  let sum = 0;
  for (const sign of title) sum = (sum * 31 + sign.codePointAt(0)) % 9973;
  return sum % 6;
}

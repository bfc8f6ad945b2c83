// What was asked for, in words that people use.

/** A wish as the API tells it, with its comparison in words: "year < 1990" is "year before 1990". */
export function plainly(said) {
  const times = /\byear\b/.test(said);
  return said.replace(" <= ", times ? " up to " : " at most ").replace(" >= ", times ? " from " : " at least ").replace(" < ", times ? " before " : " under ").replace(" > ", times ? " after " : " over ");
}

/** How a command was understood, and what of it was not. */
export function echoed(found) {
  if (!found.heard) return "That was not understood, and nothing was changed. The examples show what can be said.";
  const { added, taken_back: back, as_text: free, undone, cleared } = found.echo;
  const parts = [];
  if (undone) parts.push("The last wish is taken back.");
  if (cleared) parts.push("All wishes before are put aside.");
  if (added.length) parts.push(`Understood: ${added.map(plainly).join("; ")}.`);
  if (back.length) parts.push(`Taken back: ${back.map(plainly).join("; ")}.`);
  if (free.length) parts.push(`Not a word of this catalogue: ${free.map((words) => `“${words}”`).join(", ")}. It is taken as a text, by likeness.`);
  return parts.join(" ");
}

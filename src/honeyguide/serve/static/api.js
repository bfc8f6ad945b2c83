// The API of the same server; the key, where one is needed, stays in this tab.

export class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

/** Ask the API; throws what went wrong in words. */
export async function ask(method, path, body, keyName = "key") {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const key = sessionStorage.getItem(keyName);
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "The service does not answer. Is it running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, [found.error, found.remedy].filter(Boolean).join(" ") || `Error ${answer.status}.`);
  return found;
}
